//! Euler's method with ancestral noise (k-diffusion).

use burn::tensor::Tensor;

use super::ancestral::{split, with_noise};
use super::build::Setup;
use super::euler::line;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Sampler};
use crate::noise::NoiseSource;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let integrator = EulerAncestral { eta: setup.eta(1.0), s_noise: setup.options.s_noise };
    Stepwise::boxed(setup.plan, setup.start, None, integrator)
}

struct EulerAncestral {
    eta: f64,
    s_noise: f64,
}

impl Integrator for EulerAncestral {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let from = step.from();
        let (down, up) = split(from.sigma, step.to().sigma, self.eta);
        let clean = model.denoise(x.clone(), from);
        with_noise(line(&x, &clean, from, down), up * self.s_noise, noise)
    }
}
