//! Denoising diffusion probabilistic models (Ho et al. 2020): the reverse diffusion itself.

use burn::tensor::Tensor;

use super::build::Setup;
use super::ddim::deviation;
use super::linear::combine;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Sampler};
use crate::noise::NoiseSource;
use crate::schedule::{SchedulerClass, Variance};

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let variance = setup.config.variance_type.unwrap_or_default();
    let clip = setup.config.clip(SchedulerClass::Ddpm);
    Stepwise::boxed(setup.plan, setup.start, clip, Ddpm { variance })
}

struct Ddpm {
    variance: Variance,
}

impl Integrator for Ddpm {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (from, to) = (step.from(), step.to());
        let clean = model.denoise(x.clone(), from);
        let alpha = from.alpha / to.alpha;
        let beta = 1.0 - alpha * alpha;
        let ratio = to.sigma / from.sigma;
        // The mean of the posterior (equation 7).
        let of_clean = to.alpha * beta / (from.sigma * from.sigma);
        let mean = combine((of_clean, &clean), &[(alpha * ratio * ratio, &x)]);
        if from.timestep <= 0.0 {
            return mean;
        }
        let spread = match self.variance {
            Variance::FixedLarge | Variance::FixedLargeLog => beta.max(0.0).sqrt(),
            _ => deviation(from, to),
        };
        mean + noise.draw().mul_scalar(spread as f32)
    }
}
