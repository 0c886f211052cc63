//! The levels of the network: down, middle, up. With transformers or without is one kind of block here: without, the
//! list of them is empty.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::config::{BlockPlan, Common, MidPlan};
use super::transformer::Transformer;
use crate::kernel::concat_channels;
use crate::model::residual::{Downsample, Resnet, ResnetShape, Upsample};

/// diffusers' `DownBlock2D` and `CrossAttnDownBlock2D`.
#[derive(Module, Debug)]
pub(super) struct DownBlock {
    resnets: Vec<Resnet>,
    attentions: Vec<Transformer>,
    downsamplers: Vec<Downsample>,
}

/// diffusers' `UNetMidBlock2DCrossAttn`, and `UNetMidBlock2D` as `UNet2DConditionModel` makes it: one residual block.
#[derive(Module, Debug)]
pub(super) struct MidBlock {
    resnets: Vec<Resnet>,
    attentions: Vec<Transformer>,
}

/// diffusers' `UpBlock2D` and `CrossAttnUpBlock2D`.
#[derive(Module, Debug)]
pub(super) struct UpBlock {
    resnets: Vec<Resnet>,
    attentions: Vec<Transformer>,
    upsamplers: Vec<Upsample>,
}

fn resnet(common: &Common, inputs: usize, outputs: usize, scale: f64, device: &Device) -> Resnet {
    let shape = ResnetShape {
        inputs,
        outputs,
        time: Some(common.time),
        groups: common.groups,
        epsilon: common.epsilon,
        activation: common.activation,
        scale,
    };
    Resnet::new(shape, device)
}

fn layers(plan: &BlockPlan, common: &Common, device: &Device) -> (Vec<Resnet>, Vec<Transformer>) {
    let resnets = plan.resnet_inputs.iter().map(|inputs| resnet(common, *inputs, plan.outputs, 1.0, device));
    let attentions = plan.transformer.iter().flat_map(|transformer| {
        let make = move |depth: &usize| Transformer::new(plan.outputs, *depth, transformer, common, device);
        transformer.depths.iter().map(make)
    });
    (resnets.collect(), attentions.collect())
}

impl DownBlock {
    pub(super) fn new(plan: &BlockPlan, common: &Common, device: &Device) -> Self {
        let (resnets, attentions) = layers(plan, common, device);
        let downsample = || Downsample::new(plan.outputs, common.downsample_padding, device);
        Self { resnets, attentions, downsamplers: plan.resample.then(downsample).into_iter().collect() }
    }

    /// Pushes onto `skips` what the way up will need.
    pub(super) fn forward(
        &self,
        mut x: Tensor<4>,
        time: &Tensor<2>,
        context: &Tensor<3>,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(x, Some(time));
            if let Some(transformer) = self.attentions.get(index) {
                x = transformer.forward(x, context);
            }
            skips.push(x.clone());
        }
        for downsample in &self.downsamplers {
            x = downsample.forward(x);
            skips.push(x.clone());
        }
        x
    }
}

impl MidBlock {
    pub(super) fn new(plan: &MidPlan, common: &Common, device: &Device) -> Self {
        let resnet = || resnet(common, plan.channels, plan.channels, plan.scale, device);
        let transformers = plan.transformer.iter().flat_map(|transformer| {
            let make = move |depth: &usize| Transformer::new(plan.channels, *depth, transformer, common, device);
            transformer.depths.iter().map(make)
        });
        let attentions: Vec<_> = transformers.collect();
        Self { resnets: (0..=attentions.len()).map(|_| resnet()).collect(), attentions }
    }

    pub(super) fn forward(&self, mut x: Tensor<4>, time: &Tensor<2>, context: &Tensor<3>) -> Tensor<4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            // The first residual block comes before the first transformer.
            if let Some(transformer) = index.checked_sub(1).and_then(|index| self.attentions.get(index)) {
                x = transformer.forward(x, context);
            }
            x = resnet.forward(x, Some(time));
        }
        x
    }
}

impl UpBlock {
    pub(super) fn new(plan: &BlockPlan, common: &Common, device: &Device) -> Self {
        let (resnets, attentions) = layers(plan, common, device);
        let upsample = || Upsample::new(plan.outputs, device);
        Self { resnets, attentions, upsamplers: plan.resample.then(upsample).into_iter().collect() }
    }

    /// Pops from `skips` what the way down left.
    pub(super) fn forward(
        &self,
        mut x: Tensor<4>,
        time: &Tensor<2>,
        context: &Tensor<3>,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            if let Some(skip) = skips.pop() {
                x = concat_channels(x, skip);
            }
            x = resnet.forward(x, Some(time));
            if let Some(transformer) = self.attentions.get(index) {
                x = transformer.forward(x, context);
            }
        }
        for upsample in &self.upsamplers {
            // An odd size was halved upwards: the next skip knows what it was.
            x = match skips.last() {
                Some(skip) => {
                    let [_, _, height, width] = skip.dims();
                    upsample.forward(x, [height, width])
                }
                None => upsample.double(x),
            };
        }
        x
    }
}
