//! DPM-Solver++(2M) for the stochastic equation (k-diffusion's `sample_dpmpp_2m_sde`, diffusers' `sde-dpmsolver++`).

use super::Sampler;
use super::build::Setup;
use super::multistep::{self, Face, Orders, Settings, Third};
use crate::schedule::{Algorithm, SolverType};

/// The variant that is called by this name: the midpoint's.
pub(super) fn midpoint(setup: Setup<'_>) -> Box<dyn Sampler> {
    sampler(setup, SolverType::Midpoint)
}

/// The variant with Heun's second-order term.
pub(super) fn heun(setup: Setup<'_>) -> Box<dyn Sampler> {
    sampler(setup, SolverType::Heun)
}

fn sampler(setup: Setup<'_>, solver: SolverType) -> Box<dyn Sampler> {
    let is_old = setup.follows_config && setup.config.algorithm_type == Some(Algorithm::SdeDpmSolver);
    let order = if setup.follows_config { setup.config.solver_order.unwrap_or(2) } else { 2 };
    let settings = Settings {
        face: if is_old { Face::Noise } else { Face::Data },
        solver: setup.options.solver.unwrap_or(solver),
        third: Third::Diffusers,
        orders: Orders::configured(&setup, order.min(2)),
        eta: setup.eta(1.0),
        s_noise: setup.options.s_noise,
    };
    multistep::sampler(setup, settings)
}
