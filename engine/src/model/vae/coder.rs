//! The two halves of the autoencoder.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};

use super::config::Plan;
use crate::model::Observer;
use crate::model::activation::Activation;
use crate::model::attention::Attention;
use crate::model::layer::{Bias, Conv2d, GroupNorm};
use crate::model::residual::{Downsample, DownsamplePadding, Resnet, ResnetShape, Upsample};

/// The norms' epsilon, which no configuration changes.
const EPSILON: f64 = 1e-6;

/// Picture to moments.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    conv_in: Conv2d,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// Latent to picture.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    conv_in: Conv2d,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

#[derive(Module, Debug)]
struct DownBlock {
    resnets: Vec<Resnet>,
    downsamplers: Vec<Downsample>,
}

#[derive(Module, Debug)]
struct UpBlock {
    resnets: Vec<Resnet>,
    upsamplers: Vec<Upsample>,
}

#[derive(Module, Debug)]
struct MidBlock {
    resnets: Vec<Resnet>,
    attentions: Vec<Attention>,
}

fn resnet(plan: &Plan, inputs: usize, outputs: usize, device: &Device) -> Resnet {
    let shape = ResnetShape {
        inputs,
        outputs,
        time: None,
        groups: plan.groups,
        epsilon: EPSILON,
        activation: plan.activation,
        scale: 1.0,
    };
    Resnet::new(shape, device)
}

impl MidBlock {
    fn new(plan: &Plan, device: &Device) -> Self {
        let channels = plan.channels.last().copied().unwrap_or(0);
        let resnet = || resnet(plan, channels, channels, device);
        let attention = || Attention::over_pixels(channels, plan.groups, EPSILON, device);
        Self { resnets: vec![resnet(), resnet()], attentions: plan.attention.then(attention).into_iter().collect() }
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            // The attention stands between the two residual blocks.
            if let Some(attention) = index.checked_sub(1).and_then(|index| self.attentions.get(index)) {
                x = attention.picture(x);
            }
            x = resnet.forward(x, None);
        }
        x
    }
}

/// Channels into each residual block of a level.
fn chain(first: usize, outputs: usize, layers: usize) -> impl Iterator<Item = usize> {
    (0..layers).map(move |layer| if layer == 0 { first } else { outputs })
}

impl Encoder {
    pub(super) fn new(plan: &Plan, device: &Device) -> Self {
        let conv = |inputs, outputs| Conv2d::same(inputs, outputs, 3, Bias::With, device);
        let first = plan.channels.first().copied().unwrap_or(0);
        let last = plan.channels.last().copied().unwrap_or(0);
        let mut inputs = first;
        let down_blocks = plan.channels.iter().enumerate().map(|(level, outputs)| {
            let resnets = chain(inputs, *outputs, plan.layers).map(|inputs| resnet(plan, inputs, *outputs, device));
            let halve = || Downsample::new(*outputs, DownsamplePadding::After, device);
            let downsamplers = (level + 1 < plan.channels.len()).then(halve).into_iter().collect();
            let block = DownBlock { resnets: resnets.collect(), downsamplers };
            inputs = *outputs;
            block
        });
        Self {
            conv_in: conv(plan.facts.in_channels, first),
            down_blocks: down_blocks.collect(),
            mid_block: MidBlock::new(plan, device),
            conv_norm_out: GroupNorm::new(plan.groups, last, EPSILON, device),
            conv_out: conv(last, 2 * plan.facts.latent_channels),
        }
    }

    pub(super) fn dtype(&self) -> FloatDType {
        self.conv_in.dtype()
    }

    pub(super) fn forward(&self, x: Tensor<4>, observe: Observer<'_>) -> Tensor<4> {
        let mut x = self.conv_in.forward(x);
        for (index, block) in self.down_blocks.iter().enumerate() {
            x = block.resnets.iter().fold(x, |x, resnet| resnet.forward(x, None));
            x = block.downsamplers.iter().fold(x, |x, downsample| downsample.forward(x));
            observe(&format!("encoder.down_blocks.{index}"), &x);
        }
        x = self.mid_block.forward(x);
        observe("encoder.mid_block", &x);
        // The last activation is SiLU whatever the blocks use.
        let x = self.conv_out.forward(self.conv_norm_out.activated(x, Activation::Silu));
        observe("encoder", &x);
        x
    }
}

impl Decoder {
    pub(super) fn new(plan: &Plan, device: &Device) -> Self {
        let conv = |inputs, outputs| Conv2d::same(inputs, outputs, 3, Bias::With, device);
        let first = plan.channels.first().copied().unwrap_or(0);
        let last = plan.channels.last().copied().unwrap_or(0);
        let mut inputs = last;
        let up_blocks = plan.channels.iter().rev().enumerate().map(|(level, outputs)| {
            let resnets = chain(inputs, *outputs, plan.layers + 1).map(|inputs| resnet(plan, inputs, *outputs, device));
            let double = || Upsample::new(*outputs, device);
            let upsamplers = (level + 1 < plan.channels.len()).then(double).into_iter().collect();
            let block = UpBlock { resnets: resnets.collect(), upsamplers };
            inputs = *outputs;
            block
        });
        Self {
            conv_in: conv(plan.facts.latent_channels, last),
            mid_block: MidBlock::new(plan, device),
            up_blocks: up_blocks.collect(),
            conv_norm_out: GroupNorm::new(plan.groups, first, EPSILON, device),
            conv_out: conv(first, plan.out_channels),
        }
    }

    pub(super) fn dtype(&self) -> FloatDType {
        self.conv_in.dtype()
    }

    pub(super) fn forward(&self, x: Tensor<4>, observe: Observer<'_>) -> Tensor<4> {
        let mut x = self.conv_in.forward(x);
        observe("decoder.conv_in", &x);
        x = self.mid_block.forward(x);
        observe("decoder.mid_block", &x);
        for (index, block) in self.up_blocks.iter().enumerate() {
            x = block.resnets.iter().fold(x, |x, resnet| resnet.forward(x, None));
            x = block.upsamplers.iter().fold(x, |x, upsample| upsample.double(x));
            observe(&format!("decoder.up_blocks.{index}"), &x);
        }
        self.conv_out.forward(self.conv_norm_out.activated(x, Activation::Silu))
    }
}
