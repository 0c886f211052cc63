//! DPM-Solver-2's midpoint in `ln sigma` (Lu et al. 2022), in k-diffusion's form.

use burn::tensor::Tensor;

use super::ancestral::Churn;
use super::build::Setup;
use super::euler::line;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let churn = Churn::new(setup.options);
    Stepwise::boxed(setup.plan, setup.start, None, Dpm2 { churn })
}

struct Dpm2 {
    churn: Churn,
}

impl Integrator for Dpm2 {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (x, from) = self.churn.stir(step, x, noise);
        midpoint(step, x, from, step.to().sigma, model)
    }
}

/// A step to where `sigma` is left, with the slope at the geometric mean of both levels; Euler's where no noise is left.
pub(super) fn midpoint(step: Step<'_>, x: Tensor<4>, from: Level, sigma: f64, model: &dyn Denoise) -> Tensor<4> {
    let clean = model.denoise(x.clone(), from);
    if sigma == 0.0 {
        return line(&x, &clean, from, sigma);
    }
    let middle = step.plan.at((from.sigma * sigma).sqrt());
    let halfway = line(&x, &clean, from, middle.sigma);
    let clean_halfway = model.denoise(halfway.clone(), middle);
    let slope = (halfway - clean_halfway).mul_scalar((1.0 / middle.sigma) as f32);
    x + slope.mul_scalar((sigma - from.sigma) as f32)
}
