//! Euler's method, as in Karras et al. 2022, algorithm 2, without the second order.

use burn::tensor::Tensor;

use super::ancestral::Churn;
use super::build::Setup;
use super::linear::combine;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let churn = Churn::new(setup.options);
    Stepwise::boxed(setup.plan, setup.start, None, Euler { churn })
}

struct Euler {
    churn: Churn,
}

impl Integrator for Euler {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (x, from) = self.churn.stir(step, x, noise);
        let clean = model.denoise(x.clone(), from);
        line(&x, &clean, from, step.to().sigma)
    }
}

/// Along the straight line from `x` to `clean`, to where `sigma` of the noise is left.
pub(super) fn line(x: &Tensor<4>, clean: &Tensor<4>, from: Level, sigma: f64) -> Tensor<4> {
    let left = sigma / from.sigma;
    combine((left, x), &[(1.0 - left, clean)])
}
