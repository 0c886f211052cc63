//! DPM-Solver++(3M) for the stochastic equation (k-diffusion's `sample_dpmpp_3m_sde`).

use super::Sampler;
use super::build::Setup;
use super::multistep::{self, Face, Orders, Settings, Third};
use crate::schedule::SolverType;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    // k-diffusion's solver where a user names it; diffusers' where its configuration does.
    let (solver, third, orders) = if setup.follows_config {
        (setup.config.solver_type.unwrap_or(SolverType::Midpoint), Third::Diffusers, Orders::configured(&setup, 3))
    } else {
        let most = setup.options.order.unwrap_or(3).clamp(1, 3);
        (SolverType::Heun, Third::Expanded, Orders { most, lower_at_end: false, euler_at_end: false })
    };
    let settings = Settings {
        face: Face::Data,
        solver: setup.options.solver.unwrap_or(solver),
        third,
        orders,
        eta: setup.eta(1.0),
        s_noise: setup.options.s_noise,
    };
    multistep::sampler(setup, settings)
}
