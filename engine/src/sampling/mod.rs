//! Samplers: how to get from one noise level to the next. None of them knows a model.

use burn::tensor::Tensor;

use crate::noise::NoiseSource;

/// A point on the path from noise to picture: `x = alpha * x0 + sigma * eps`.
///
/// Variance-exploding samplers (k-diffusion's) keep `alpha = 1`; variance-preserving ones (DDIM's kin) keep
/// `alpha^2 + sigma^2 = 1`, which also represents the zero signal-to-noise level (`alpha = 0`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The share of the clean latent.
    pub alpha: f64,
    /// The share of unit noise.
    pub sigma: f64,
    /// The model's own time for it, in `0..train_timesteps`; may be fractional.
    pub timestep: f64,
}

/// A model as samplers see it: guess the clean latent.
pub trait Denoise {
    /// The predicted clean latent for `x` of shape `[batch, channels, height, width]` at `at`, in f32.
    fn denoise(&self, x: Tensor<4>, at: Level) -> Tensor<4>;
}

/// One run of one sampler over one plan of levels.
///
/// A sampler is built for a run with its whole plan, so it may take more or fewer model calls per step than one,
/// visit levels twice (Restart), or find its own steps (DPM adaptive).
pub trait Sampler {
    /// How many steps the run has, as far as is known: what a progress bar shows.
    fn steps(&self) -> usize;

    /// Whether the run has reached its end.
    fn finished(&self) -> bool;

    /// Takes one step. `x` is the latent at the current level, in the sampler's own parameterisation.
    fn step(&mut self, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4>;

    /// A number that the sampler must know before its next step, still on the device. Only `readback` may wait
    /// for the device, so the pipeline reads it together with the step's latent and hands it to [`Self::observe`].
    fn probe(&self) -> Option<Tensor<1>> {
        None
    }

    /// The value of [`Self::probe`].
    fn observe(&mut self, _value: f32) {}
}
