//! DPM-Solver++(2S) with ancestral noise (Lu et al. 2022b; k-diffusion).

use burn::tensor::Tensor;

use super::ancestral::{split, with_noise};
use super::build::Setup;
use super::euler::line;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Sampler};
use crate::noise::NoiseSource;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let integrator = Dpmpp2sAncestral { eta: setup.eta(1.0), s_noise: setup.options.s_noise };
    Stepwise::boxed(setup.plan, setup.start, None, integrator)
}

struct Dpmpp2sAncestral {
    eta: f64,
    s_noise: f64,
}

impl Integrator for Dpmpp2sAncestral {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let from = step.from();
        let (down, up) = split(from.sigma, step.to().sigma, self.eta);
        let clean = model.denoise(x.clone(), from);
        let x = if down == 0.0 {
            clean
        } else {
            // In data prediction the exponential integrator of first order is the straight line to the clean latent.
            let middle = step.plan.at((from.sigma * down).sqrt());
            let clean_halfway = model.denoise(line(&x, &clean, from, middle.sigma), middle);
            line(&x, &clean_halfway, from, down)
        };
        with_noise(x, up * self.s_noise, noise)
    }
}
