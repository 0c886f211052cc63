//! Samplers: how to get from one noise level to the next. None of them knows a model.
//!
//! A sampler works in one of two parameterisations, the one of its reference implementation, so that the latents between
//! its steps can be compared with it: k-diffusion's keep `alpha = 1`, diffusers' multistep solvers and DDIM's kin keep the
//! variance. The clean latent at the end is the same.
//!
//! To add a sampler, write its file (most are an [`Integrator`](plan::Integrator) over a fixed plan) and give it a line in
//! [`SAMPLERS`].

mod adaptive;
mod ancestral;
mod build;
mod catalog;
mod ddim;
mod ddpm;
mod deis;
mod dpm2;
mod dpm2_a;
mod dpmpp_2m;
mod dpmpp_2m_sde;
mod dpmpp_2s;
mod dpmpp_2s_a;
mod dpmpp_3m_sde;
mod dpmpp_sde;
mod euler;
mod euler_a;
mod heun;
mod lcm;
mod linear;
mod lms;
mod multistep;
mod options;
mod plan;
mod pndm;
mod restart;
mod tcd;
mod unipc;

use burn::tensor::Tensor;

pub use self::build::{Request, Run, SamplingError, build, build_on};
pub use self::catalog::{Randomness, SAMPLERS, SamplerInfo, SamplerKind, entries, parse, parse_with_schedule};
pub use self::options::SamplerOptions;
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

impl Level {
    /// A level of variance-exploding diffusion: `x0 + sigma * eps`.
    #[must_use]
    pub fn exploding(sigma: f64, timestep: f64) -> Self {
        Self { alpha: 1.0, sigma, timestep }
    }

    /// The level of variance-preserving diffusion with the noise-to-signal ratio `sigma`, which may be infinite.
    #[must_use]
    pub fn preserving(sigma: f64, timestep: f64) -> Self {
        if sigma.is_infinite() {
            return Self { alpha: 0.0, sigma: 1.0, timestep };
        }
        let norm = sigma.hypot(1.0);
        Self { alpha: 1.0 / norm, sigma: sigma / norm, timestep }
    }

    /// Noise-to-signal: the `sigma` that this level has in variance-exploding diffusion. Infinite without signal.
    #[must_use]
    pub fn ratio(self) -> f64 {
        self.sigma / self.alpha
    }

    /// Half the logarithm of the signal-to-noise ratio, in which the DPM solvers are formulated.
    #[must_use]
    pub fn lambda(self) -> f64 {
        -self.ratio().ln()
    }

    /// `alpha * clean + sigma * noise`: a clean latent brought to this level.
    #[must_use]
    pub fn mix(self, clean: Tensor<4>, noise: Tensor<4>) -> Tensor<4> {
        clean.mul_scalar(self.alpha as f32) + noise.mul_scalar(self.sigma as f32)
    }
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
///
/// To make a picture of pure noise, begin with unit noise times [`Self::initial_scale`]; to begin from a picture, with
/// [`Level::mix`] of its latent and unit noise at [`Self::level`]. What the last step returns is the clean latent.
pub trait Sampler {
    /// How many steps the run has, as far as is known: what a progress bar shows.
    fn steps(&self) -> usize;

    /// Whether the run has reached its end.
    fn finished(&self) -> bool;

    /// Where the run stands: the level of the `x` that the next [`Self::step`] takes (the target, when finished).
    fn level(&self) -> Level;

    /// What unit noise is multiplied with to begin a run without a picture. Not always the `sigma` of the first level:
    /// implementations differ in whether they account for the picture that is not there.
    fn initial_scale(&self) -> f64;

    /// Takes one step. `x` is the latent at [`Self::level`], in the sampler's own parameterisation.
    fn step(&mut self, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4>;

    /// A number that the sampler must know before its next step, still on the device. Only `readback` may wait
    /// for the device, so the pipeline reads it together with the step's latent and hands it to [`Self::observe`].
    /// A step is one attempt: whether it counts turns out there, so ask [`Self::finished`] and [`Self::level`] after it.
    fn probe(&self) -> Option<Tensor<1>> {
        None
    }

    /// The value of [`Self::probe`].
    fn observe(&mut self, _value: f32) {}
}
