//! What a network's output means, and how its input is scaled: from the network's terms to a clean latent and back.
//!
//! Everything here holds for both parameterisations of a [`Level`] (`alpha = 1`, or `alpha^2 + sigma^2 = 1`) and every one
//! between, because a network only ever sees latents of unit variance.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::sampling::Level;

/// What the network predicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Prediction {
    /// The noise in its input (Ho et al. 2020).
    #[default]
    #[serde(rename = "epsilon")]
    Epsilon,
    /// The velocity `alpha * eps - sigma * x0` (Salimans and Ho 2022).
    #[serde(rename = "v_prediction")]
    V,
    /// The clean latent.
    #[serde(rename = "sample", alias = "original_sample")]
    Sample,
}

impl Prediction {
    /// The name in `scheduler_config.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::V => "v_prediction",
            Self::Sample => "sample",
        }
    }

    /// The clean latent that the network's `output` means, `x` being the (unscaled) latent that it was asked about.
    ///
    /// Noise prediction says nothing where there is no signal (`alpha = 0`): plans for such models begin below it.
    #[must_use]
    pub fn clean(self, output: Tensor<4>, x: Tensor<4>, at: Level) -> Tensor<4> {
        let norm = norm(at);
        match self {
            Self::Epsilon if at.alpha == 1.0 => x - output.mul_scalar(at.sigma as f32),
            Self::Epsilon => (x - output.mul_scalar(at.sigma as f32)).mul_scalar((1.0 / at.alpha) as f32),
            Self::V => x.mul_scalar((at.alpha / (norm * norm)) as f32) - output.mul_scalar((at.sigma / norm) as f32),
            Self::Sample => output,
        }
    }

    /// The network's output that [`Self::clean`] turns into `clean`: its inverse, for solvers that combine raw outputs.
    #[must_use]
    pub fn output(self, clean: Tensor<4>, x: Tensor<4>, at: Level) -> Tensor<4> {
        let norm = norm(at);
        match self {
            Self::Epsilon => noise(clean, x, at),
            Self::V => (x.mul_scalar((at.alpha / (norm * norm)) as f32) - clean).mul_scalar((norm / at.sigma) as f32),
            Self::Sample => clean,
        }
    }
}

/// What the latent `x` is multiplied with before the network sees it.
#[must_use]
pub fn input_scale(at: Level) -> f64 {
    1.0 / norm(at)
}

/// The noise in `x` if its clean latent is `clean`.
#[must_use]
pub fn noise(clean: Tensor<4>, x: Tensor<4>, at: Level) -> Tensor<4> {
    (x - clean.mul_scalar(at.alpha as f32)).mul_scalar((1.0 / at.sigma) as f32)
}

fn norm(at: Level) -> f64 {
    at.alpha.hypot(at.sigma)
}
