//! Denoising diffusion implicit models (Song et al. 2020).

use burn::tensor::Tensor;

use super::build::Setup;
use super::linear::combine;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::prediction;
use crate::schedule::SchedulerClass;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let integrator = Ddim { eta: setup.eta(0.0), clip: setup.config.clip(SchedulerClass::Ddim) };
    Stepwise::boxed(setup.plan, setup.start, None, integrator)
}

struct Ddim {
    eta: f64,
    clip: Option<f64>,
}

impl Integrator for Ddim {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (from, to) = (step.from(), step.down());
        let clean = model.denoise(x.clone(), from);
        // Only the picture is clipped, not the noise that goes with it.
        let direction = prediction::noise(clean.clone(), x, from);
        let clean = match self.clip {
            Some(range) => clean.clamp(-range, range),
            None => clean,
        };
        let fresh = self.eta * deviation(from, to);
        let kept = (to.sigma * to.sigma - fresh * fresh).max(0.0).sqrt();
        let x = combine((to.alpha, &clean), &[(kept, &direction)]);
        if fresh > 0.0 { x + noise.draw().mul_scalar(fresh as f32) } else { x }
    }
}

/// The noise that the reverse diffusion from `from` to `to` adds (equation 16 at eta = 1).
pub(super) fn deviation(from: Level, to: Level) -> f64 {
    let ratio = to.sigma / from.sigma;
    let kept = from.alpha / to.alpha;
    ratio * (1.0 - kept * kept).max(0.0).sqrt()
}
