//! DPM-Solver++(2M) (Lu et al. 2022b), and what else diffusers' multistep class can be set to without noise.

use super::Sampler;
use super::build::Setup;
use super::multistep::{self, Face, Orders, Settings, Third};
use crate::schedule::{Algorithm, SolverType};

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let config = setup.config;
    let is_old = setup.follows_config && config.algorithm_type == Some(Algorithm::DpmSolver);
    let order = if setup.follows_config { config.solver_order.unwrap_or(2) } else { 2 };
    let settings = Settings {
        face: if is_old { Face::Noise } else { Face::Data },
        solver: setup.options.solver.or(config.solver_type).unwrap_or(SolverType::Midpoint),
        third: Third::Expanded,
        orders: Orders::configured(&setup, order),
        eta: 0.0,
        s_noise: 0.0,
    };
    multistep::sampler(setup, settings)
}
