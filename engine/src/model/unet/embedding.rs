//! Numbers as vectors: the time, sizes, the guidance scale.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::model::activation::Activation;
use crate::model::layer::{Bias, Linear};

/// How a number becomes sines and cosines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeFacts {
    /// How many of them.
    pub features: usize,
    /// Cosines before sines (`flip_sin_to_cos`).
    pub cosines_first: bool,
    /// `freq_shift`: 0 or 1; takes the last frequency to 1/10000 exactly where it is 1.
    pub shift: f64,
}

/// Embeds each number in sines and cosines of geometrically spaced frequencies: `[numbers, features]`, f32.
///
/// Computed on the host, in f32 as PyTorch does: these are a few hundred numbers.
pub fn time_embedding(numbers: &[f32], facts: TimeFacts, device: &Device) -> Tensor<2> {
    let half = facts.features / 2;
    let step = 10000f32.ln() / (half as f32 - facts.shift as f32);
    let mut values = Vec::with_capacity(numbers.len() * facts.features);
    for number in numbers {
        let angles = (0..half).map(|i| number * (-(i as f32) * step).exp());
        let (sines, cosines): (Vec<f32>, Vec<f32>) = angles.map(f32::sin_cos).unzip();
        let halves = if facts.cosines_first { [cosines, sines] } else { [sines, cosines] };
        values.extend(halves.into_iter().flatten());
        // An odd number of features ends in a zero.
        values.resize(values.len() + facts.features % 2, 0.0);
    }
    Tensor::from_data(TensorData::new(values, [numbers.len(), facts.features]), device)
}

/// Embeds guidance scales for a network that was distilled with guidance (LCM, Luo et al. 2023): `[scales, features]`.
///
/// `scales` are the usual guidance scales *less one*, the w of the paper.
pub fn guidance_embedding(scales: &[f32], features: usize, device: &Device) -> Tensor<2> {
    let facts = TimeFacts { features, cosines_first: false, shift: 1.0 };
    let thousandths: Vec<f32> = scales.iter().map(|scale| scale * 1000.0).collect();
    time_embedding(&thousandths, facts, device)
}

/// The dimensions of a [`TimeMlp`].
#[derive(Clone, Copy, Debug)]
pub(super) struct MlpShape {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) activation: Activation,
}

/// Two linear layers behind an embedding: diffusers' `TimestepEmbedding`.
#[derive(Module, Debug)]
pub(super) struct TimeMlp {
    linear_1: Linear,
    cond_proj: Option<Linear>,
    linear_2: Linear,
    #[module(skip)]
    activation: Activation,
}

impl TimeMlp {
    pub(super) fn new(shape: &MlpShape, condition: Option<usize>, device: &Device) -> Self {
        let MlpShape { inputs, outputs, activation } = *shape;
        Self {
            linear_1: Linear::new(inputs, outputs, Bias::With, device),
            cond_proj: condition.map(|features| Linear::new(features, inputs, Bias::Without, device)),
            linear_2: Linear::new(outputs, outputs, Bias::With, device),
            activation,
        }
    }

    pub(super) fn forward(&self, x: Tensor<2>, condition: Option<Tensor<2>>) -> Tensor<2> {
        let x = match (&self.cond_proj, condition) {
            (Some(projection), Some(condition)) => x + projection.rows(condition),
            _ => x,
        };
        self.linear_2.rows(self.activation.apply(self.linear_1.rows(x)))
    }
}
