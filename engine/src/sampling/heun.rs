//! Heun's method of second order (Karras et al. 2022, algorithm 2).

use burn::tensor::Tensor;

use super::ancestral::Churn;
use super::build::Setup;
use super::euler::line;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::schedule::SchedulerClass;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let clip = setup.config.clip(SchedulerClass::Heun);
    let churn = Churn::new(setup.options);
    Stepwise::boxed(setup.plan, setup.start, clip, Heun { churn })
}

struct Heun {
    churn: Churn,
}

impl Integrator for Heun {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (x, from) = self.churn.stir(step, x, noise);
        step_between(x, from, step.to(), model)
    }
}

/// One step between two levels; Euler's where no noise is left.
pub(super) fn step_between(x: Tensor<4>, from: Level, to: Level, model: &dyn Denoise) -> Tensor<4> {
    let clean = model.denoise(x.clone(), from);
    let ahead = line(&x, &clean, from, to.sigma);
    if to.sigma == 0.0 {
        return ahead;
    }
    let clean_ahead = model.denoise(ahead.clone(), to);
    // the mean of the slopes at both ends
    let slope =
        (x.clone() - clean).mul_scalar((0.5 / from.sigma) as f32) + (ahead - clean_ahead).mul_scalar((0.5 / to.sigma) as f32);
    x + slope.mul_scalar((to.sigma - from.sigma) as f32)
}
