//! Trajectory consistency distillation (Zheng et al. 2024): jump below the next level, then back up to it with fresh noise.

use burn::tensor::Tensor;

use super::build::Setup;
use super::linear::combine;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Sampler};
use crate::noise::NoiseSource;
use crate::prediction;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    // The paper's gamma.
    let eta = setup.eta(0.3);
    Stepwise::boxed(setup.plan, setup.start, None, Tcd { eta })
}

struct Tcd {
    eta: f64,
}

impl Integrator for Tcd {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (from, to) = (step.from(), step.to());
        let clean = model.denoise(x.clone(), from);
        if to.sigma == 0.0 {
            return clean;
        }
        let below = step.plan.at_time(((1.0 - self.eta) * to.timestep).floor());
        let direction = prediction::noise(clean.clone(), x, from);
        let x = combine((below.alpha, &clean), &[(below.sigma, &direction)]);
        if self.eta == 0.0 || step.is_last() {
            return x;
        }
        let kept = to.alpha / below.alpha;
        let fresh = (1.0 - kept * kept).max(0.0).sqrt();
        combine((kept, &x), &[(fresh, &noise.draw())])
    }
}
