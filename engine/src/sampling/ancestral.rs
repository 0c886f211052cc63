//! Two ways to put noise back in, shared by the samplers from k-diffusion.

use burn::tensor::Tensor;

use super::plan::Step;
use super::{Level, SamplerOptions};
use crate::noise::NoiseSource;

/// An ancestral step from `from` to `to`: how far to go down, and how much fresh noise then brings it back up to `to`.
/// `eta` = 0 adds none, 1 as much as the reverse diffusion has.
pub(super) fn split(from: f64, to: f64, eta: f64) -> (f64, f64) {
    let up = (eta * to * ((from * from - to * to).max(0.0)).sqrt() / from).min(to);
    ((to * to - up * up).max(0.0).sqrt(), up)
}

/// `x` with fresh noise of deviation `sigma`.
pub(super) fn with_noise(x: Tensor<4>, sigma: f64, noise: &mut dyn NoiseSource) -> Tensor<4> {
    if sigma > 0.0 { x + noise.draw().mul_scalar(sigma as f32) } else { x }
}

/// Karras et al. 2022, algorithm 2: before a step, the noise level is raised by a little fresh noise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Churn {
    total: f64,
    range: (f64, f64),
    noise: f64,
}

impl Churn {
    pub(super) fn new(options: &SamplerOptions) -> Self {
        Self { total: options.s_churn, range: (options.s_tmin, options.s_tmax), noise: options.s_noise }
    }

    /// The latent and the level that the step really begins at.
    pub(super) fn stir(self, step: Step<'_>, x: Tensor<4>, noise: &mut dyn NoiseSource) -> (Tensor<4>, Level) {
        let from = step.from();
        let share = (self.total / step.plan.steps() as f64).min(std::f64::consts::SQRT_2 - 1.0);
        if share <= 0.0 || from.sigma < self.range.0 || from.sigma > self.range.1 {
            return (x, from);
        }
        let raised = from.sigma * (1.0 + share);
        let added = (raised * raised - from.sigma * from.sigma).sqrt();
        (with_noise(x, added * self.noise, noise), step.plan.at(raised))
    }
}
