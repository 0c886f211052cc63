//! DPM-Solver++ for the stochastic equation, one step with a midpoint (k-diffusion's `sample_dpmpp_sde`).

use burn::tensor::Tensor;

use super::ancestral::split;
use super::build::Setup;
use super::euler::line;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Sampler};
use crate::noise::NoiseSource;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let integrator = DpmppSde { eta: setup.eta(1.0), s_noise: setup.options.s_noise };
    Stepwise::boxed(setup.plan, setup.start, None, integrator)
}

struct DpmppSde {
    eta: f64,
    s_noise: f64,
}

impl DpmppSde {
    /// Noise of deviation `up` from the path between two levels: the midpoint's and the whole step's belong together.
    fn stir(&self, x: Tensor<4>, from: f64, to: f64, up: f64, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let deviation = up * self.s_noise;
        if deviation > 0.0 { x + noise.increment(from, to).mul_scalar(deviation as f32) } else { x }
    }
}

impl Integrator for DpmppSde {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (from, to) = (step.from(), step.to());
        let clean = model.denoise(x.clone(), from);
        if to.sigma == 0.0 {
            return clean;
        }
        let middle = step.plan.at((from.sigma * to.sigma).sqrt());
        let (down, up) = split(from.sigma, middle.sigma, self.eta);
        let halfway = self.stir(line(&x, &clean, from, down), from.sigma, middle.sigma, up, noise);
        let clean_halfway = model.denoise(halfway, middle);
        let (down, up) = split(from.sigma, to.sigma, self.eta);
        self.stir(line(&x, &clean_halfway, from, down), from.sigma, to.sigma, up, noise)
    }
}
