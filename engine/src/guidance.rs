//! Classifier-free guidance: going further in the direction in which the prompt changes a prediction.
//!
//! The network predicts twice, once for the prompt and once for the negative prompt, and the difference is scaled
//! (Ho & Salimans, <https://arxiv.org/abs/2207.12598>). Large scales spread the values too far; the rescale of Lin et
//! al. (<https://arxiv.org/abs/2305.08891>, section 3.4) brings part of the spread back. Distilled models (LCM) take
//! the scale as an input of the network instead and predict once.

use burn::tensor::Tensor;

/// How a prompt leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    /// How far to go: 1 is the prediction for the prompt alone.
    pub scale: f64,
    /// How much of the prediction's spread to restore, 0 to 1.
    pub rescale: f64,
}

impl Guidance {
    /// Whether the negative prompt has a say, and the network must predict twice.
    pub fn is_on(&self) -> bool {
        self.scale > 1.0
    }

    /// The guided prediction from the network's outputs for the negative prompt and the prompt, `[batch, ...]` each.
    pub fn combine(&self, negative: Tensor<4>, positive: Tensor<4>) -> Tensor<4> {
        let guided = negative.clone() + (positive.clone() - negative) * self.scale;
        if self.rescale == 0.0 {
            return guided;
        }
        let rescaled = guided.clone() * (deviation(positive) / deviation(guided.clone()));
        rescaled * self.rescale + guided * (1.0 - self.rescale)
    }
}

/// The standard deviation of each item of a batch, `[batch, 1, 1, 1]`.
fn deviation(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let flat = x.reshape([batch, channels * height * width]);
    flat.var(1).sqrt().reshape([batch, 1, 1, 1])
}
