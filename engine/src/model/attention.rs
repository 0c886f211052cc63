//! Multi-head attention with projections (Vaswani et al. 2017), for self- and cross-attention.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};

use super::layer::{Bias, GroupNorm, Linear};
use crate::kernel::{Mask, attention_heads};

/// Where queries, keys and values come from and how they are split. Parameters as diffusers names them.
#[derive(Module, Debug)]
pub struct Attention {
    group_norm: Option<GroupNorm>,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Output,
    heads: usize,
    upcast: bool,
}

/// diffusers keeps the output projection in a list, with a dropout behind it.
#[derive(Module, Debug)]
struct Output {
    _0: Linear,
}

/// The dimensions of an [`Attention`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Features of the queries' tokens, and of the result.
    pub queries: usize,
    /// Features of the tokens that are looked at.
    pub context: usize,
    /// Heads; they divide `queries`.
    pub heads: usize,
    /// Whether the three input projections have a bias. The output's always has.
    pub bias: Bias,
    /// What the scores are computed in.
    pub scores: Scores,
}

/// The type in which attention scores are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// The network's own.
    Native,
    /// f32 at least: for networks whose scores overflow in f16 (`upcast_attention`).
    Wide,
}

impl Attention {
    /// An attention of the given shape.
    pub fn new(shape: AttentionShape, device: &Device) -> Self {
        let AttentionShape { queries, context, heads, bias, scores } = shape;
        Self {
            group_norm: None,
            to_q: Linear::new(queries, queries, bias, device),
            to_k: Linear::new(context, queries, bias, device),
            to_v: Linear::new(context, queries, bias, device),
            to_out: Output { _0: Linear::new(queries, queries, Bias::With, device) },
            heads,
            upcast: scores == Scores::Wide,
        }
    }

    /// The attention of the VAE's middle: one head over all of a picture's points, behind a norm.
    pub fn over_pixels(channels: usize, groups: usize, epsilon: f64, device: &Device) -> Self {
        let shape = AttentionShape { queries: channels, context: channels, heads: 1, bias: Bias::With, scores: Scores::Native };
        let group_norm = Some(GroupNorm::new(groups, channels, epsilon, device));
        Self { group_norm, ..Self::new(shape, device) }
    }

    /// Each of `x`'s tokens looks at each of `context`'s: `[batch, n, queries]` and `[batch, m, context]` to
    /// `[batch, n, queries]`, plus a residual of that shape.
    pub fn forward_plus(&self, x: Tensor<3>, context: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let q = self.to_q.tokens(x);
        let k = self.to_k.tokens(context.clone());
        let v = self.to_v.tokens(context);
        self.to_out._0.tokens_plus(self.attend(q, k, v), Some(residual))
    }

    fn attend(&self, q: Tensor<3>, k: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        let dtype = q.dtype();
        let [q, k, v] = [q, k, v].map(|x| if self.upcast { x.cast(FloatDType::F32) } else { x });
        attention_heads(q, k, v, self.heads, Mask::None).cast(FloatDType::from(dtype))
    }

    /// A picture's points look at each other, around a shortcut: `[batch, channels, height, width]` in and out.
    pub fn picture(&self, x: Tensor<4>) -> Tensor<4> {
        let normal = match &self.group_norm {
            Some(norm) => norm.forward(x.clone()),
            None => x.clone(),
        };
        let q = self.to_q.picture_to_tokens(normal.clone());
        let k = self.to_k.picture_to_tokens(normal.clone());
        let v = self.to_v.picture_to_tokens(normal);
        self.to_out._0.tokens_to_picture_plus(self.attend(q, k, v), x)
    }
}
