//! The transformer between the residual blocks: pixels look at each other and at the text.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::config::{Common, TransformerPlan};
use crate::model::attention::{Attention, AttentionShape};
use crate::model::layer::{Bias, GroupNorm, LayerNorm, Linear};

/// What transformers 2D models in diffusers use, whatever the network's own epsilon.
const GROUP_EPSILON: f64 = 1e-6;
const LAYER_EPSILON: f64 = 1e-5;

/// diffusers' `Transformer2DModel` over pictures.
///
/// The projections on both sides are linear layers for some networks and 1 x 1 convolutions for others
/// (`use_linear_projection`): the same product either way, and the weights load from both forms.
#[derive(Module, Debug)]
pub(super) struct Transformer {
    norm: GroupNorm,
    proj_in: Linear,
    transformer_blocks: Vec<TransformerBlock>,
    proj_out: Linear,
}

impl Transformer {
    pub(super) fn new(channels: usize, depth: usize, plan: &TransformerPlan, common: &Common, device: &Device) -> Self {
        let linear = || Linear::new(channels, channels, Bias::With, device);
        Self {
            norm: GroupNorm::new(common.groups, channels, GROUP_EPSILON, device),
            proj_in: linear(),
            transformer_blocks: (0..depth).map(|_| TransformerBlock::new(channels, plan, device)).collect(),
            proj_out: linear(),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>, context: &Tensor<3>) -> Tensor<4> {
        let tokens = self.proj_in.picture_to_tokens(self.norm.forward(x.clone()));
        let tokens = self.transformer_blocks.iter().fold(tokens, |tokens, block| block.forward(tokens, context));
        self.proj_out.tokens_to_picture_plus(tokens, x)
    }
}

/// Self-attention, cross-attention and a feed-forward network, each behind a norm and around a shortcut.
#[derive(Module, Debug)]
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: Attention,
    norm2: LayerNorm,
    attn2: Attention,
    norm3: LayerNorm,
    ff: FeedForward,
    only_cross: bool,
}

impl TransformerBlock {
    fn new(channels: usize, plan: &TransformerPlan, device: &Device) -> Self {
        let norm = || LayerNorm::new(channels, LAYER_EPSILON, device);
        let attention = |context| {
            let shape =
                AttentionShape { queries: channels, context, heads: plan.heads, bias: Bias::Without, scores: plan.scores };
            Attention::new(shape, device)
        };
        Self {
            norm1: norm(),
            attn1: attention(if plan.only_cross { plan.context } else { channels }),
            norm2: norm(),
            attn2: attention(plan.context),
            norm3: norm(),
            ff: FeedForward::new(channels, device),
            only_cross: plan.only_cross,
        }
    }

    fn forward(&self, x: Tensor<3>, context: &Tensor<3>) -> Tensor<3> {
        let normal = self.norm1.forward(x.clone());
        let seen = if self.only_cross { context.clone() } else { normal.clone() };
        let x = self.attn1.forward_plus(normal, seen, x);
        let x = self.attn2.forward_plus(self.norm2.forward(x.clone()), context.clone(), x);
        self.ff.forward_plus(self.norm3.forward(x.clone()), x)
    }
}

/// A gated feed-forward network (GEGLU, Shazeer 2020) of four times the width.
#[derive(Module, Debug)]
struct FeedForward {
    net: Net,
}

/// Entries 0 and 2 of diffusers' list; 1 is a dropout.
#[derive(Module, Debug)]
struct Net {
    _0: Gated,
    _2: Linear,
}

#[derive(Module, Debug)]
struct Gated {
    proj: Linear,
}

impl FeedForward {
    fn new(channels: usize, device: &Device) -> Self {
        let inner = 4 * channels;
        Self {
            net: Net {
                _0: Gated { proj: Linear::new(channels, 2 * inner, Bias::With, device) },
                _2: Linear::new(inner, channels, Bias::With, device),
            },
        }
    }

    fn forward_plus(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, channels] = x.dims();
        let inner = self.net._0.proj.gated(x.reshape([batch * tokens, channels]));
        let width = inner.dims()[1];
        self.net._2.tokens_plus(inner.reshape([batch, tokens, width]), Some(residual))
    }
}
