//! Latent consistency models (Luo et al. 2023): jump to the picture, then back up to the next level with fresh noise.

use burn::tensor::Tensor;

use super::build::Setup;
use super::linear::combine;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Sampler};
use crate::noise::NoiseSource;
use crate::schedule::SchedulerClass;

/// The deviation of data that the boundary condition assumes.
const SIGMA_DATA: f64 = 0.5;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let clip = setup.config.clip(SchedulerClass::Lcm);
    let time_scale = setup.config.timestep_scaling.unwrap_or(10.0);
    Stepwise::boxed(setup.plan, setup.start, clip, Lcm { time_scale })
}

struct Lcm {
    time_scale: f64,
}

impl Integrator for Lcm {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let from = step.from();
        let clean = model.denoise(x.clone(), from);
        // The boundary condition (equation 9): at time 0 the latent is its own picture.
        let time = from.timestep * self.time_scale;
        let norm = time.hypot(SIGMA_DATA);
        let skip = (SIGMA_DATA / norm).powi(2);
        let clean = combine((time / norm, &clean), &[(skip, &x)]);
        if step.is_last() { clean } else { step.to().mix(clean, noise.draw()) }
    }
}
