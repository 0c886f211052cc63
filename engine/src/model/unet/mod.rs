//! The denoising network: a noisy latent, a time and text vectors to a prediction.
//!
//! Equal to diffusers' `UNet2DConditionModel` in the variants that SD 1, SD 2, SDXL (refiner included), their
//! inpainting and instruct kin and LCM use: plain and cross-attention blocks, linear or convolutional projections,
//! heads and transformer depth per level, `text_time` conditioning, guidance embedding, any number of channels.
//!
//! Places for what comes later: a ControlNet's residuals are an input ([`ControlResiduals`]), and a LoRA merges into
//! the parameters by name ([`crate::weights::ParameterPath`]).

mod block;
mod config;
mod embedding;
mod transformer;

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};

pub use config::UNetConfig;
pub use embedding::{guidance_embedding, time_embedding};

use super::Observer;
use super::activation::Activation;
use super::config::ConfigError;
use super::layer::{Bias, Conv2d, GroupNorm};
use block::{DownBlock, MidBlock, UpBlock};
use embedding::TimeMlp;

/// The denoising network.
#[derive(Module, Debug)]
pub struct UNet {
    conv_in: Conv2d,
    time_embedding: TimeMlp,
    add_embedding: Option<TimeMlp>,
    down_blocks: Vec<DownBlock>,
    mid_block: Option<MidBlock>,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    facts: UNetFacts,
}

/// What a caller and the forward pass need to know of a network besides its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct UNetFacts {
    /// Channels of the input: 4 for text to image, 9 for inpainting (latent, mask, masked latent), 8 for InstructPix2Pix.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Features of the text vectors.
    pub context_features: usize,
    /// For SDXL and its kin: features of the pooled text vector together with the embedded numbers.
    pub added: Option<AddedFacts>,
    /// For networks that are told the guidance (LCM): features of [`guidance_embedding`].
    pub guidance_features: Option<usize>,
    /// How many residuals a ControlNet brings for the way down.
    pub skips: usize,
    /// The smallest height and width of a latent.
    pub least_size: usize,
    /// Numbers per row and latent point of its widest activation: what a transformer's gate lets through.
    pub widest: usize,
    pub(crate) time: embedding::TimeFacts,
    pub(crate) activation: Activation,
    pub(crate) center_input: bool,
}

/// The extra conditioning that `addition_embed_type: text_time` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddedFacts {
    /// Features into which each number is embedded.
    pub per_number: usize,
    /// Features of all, pooled text included.
    pub total: usize,
}

/// One call of the network.
#[derive(Clone, Debug)]
pub struct UNetInput<'a> {
    /// `[batch, in_channels, height, width]`.
    pub sample: Tensor<4>,
    /// The model's time, in training steps, fractions allowed: one for all, or one per picture.
    pub timesteps: &'a [f32],
    /// Text vectors, `[batch, tokens, context_features]`.
    pub context: Tensor<3>,
    /// Where [`UNetFacts::added`] asks for it.
    pub added: Option<AddedConditioning<'a>>,
    /// `[batch, guidance_features]`, from [`guidance_embedding`]; optional even where the network could be told.
    pub guidance: Option<Tensor<2>>,
    /// Residuals of a ControlNet.
    pub control: Option<ControlResiduals>,
}

/// SDXL's micro-conditioning.
#[derive(Clone, Debug)]
pub struct AddedConditioning<'a> {
    /// Pooled text, `[batch, features]`.
    pub text: Tensor<2>,
    /// One row per picture: original height and width, crop top and left, target height and width (the refiner has
    /// an aesthetic score in place of the last two).
    pub numbers: &'a [Vec<f32>],
}

/// What a ControlNet adds.
#[derive(Clone, Debug)]
pub struct ControlResiduals {
    /// One per skip connection, in the order of the way down: [`UNetFacts::skips`] of them.
    pub down: Vec<Tensor<4>>,
    /// To the middle's output.
    pub mid: Tensor<4>,
}

/// Inputs that a network cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unet: {what} has {found}, but this network takes {expected}")]
pub struct InputError {
    /// Which input.
    pub what: &'static str,
    /// What it has.
    pub found: String,
    /// What it must have.
    pub expected: String,
}

impl UNet {
    /// An empty network.
    ///
    /// # Errors
    /// Where the configuration asks for something that is not implemented or makes no sense.
    pub fn new(config: &UNetConfig, device: &Device) -> Result<Self, ConfigError> {
        let plan = config.plan()?;
        let first = plan.down.first().map_or(0, |block| block.outputs);
        let conv = |inputs, outputs, kernel| Conv2d::same(inputs, outputs, kernel, Bias::With, device);
        Ok(Self {
            conv_in: conv(plan.facts.in_channels, first, plan.conv_in_kernel),
            time_embedding: TimeMlp::new(&plan.time, plan.facts.guidance_features, device),
            add_embedding: plan.added.as_ref().map(|added| TimeMlp::new(added, None, device)),
            down_blocks: plan.down.iter().map(|block| DownBlock::new(block, &plan.common, device)).collect(),
            mid_block: plan.mid.as_ref().map(|block| MidBlock::new(block, &plan.common, device)),
            up_blocks: plan.up.iter().map(|block| UpBlock::new(block, &plan.common, device)).collect(),
            conv_norm_out: GroupNorm::new(plan.common.groups, first, plan.common.epsilon, device),
            conv_out: conv(first, plan.facts.out_channels, plan.conv_out_kernel),
            facts: plan.facts,
        })
    }

    /// What the network takes and gives.
    pub fn facts(&self) -> &UNetFacts {
        &self.facts
    }

    /// Checks that [`Self::forward`] can take `input`. Cheap; once per run is enough.
    ///
    /// # Errors
    /// Names the input that does not fit.
    pub fn accepts(&self, input: &UNetInput<'_>) -> Result<(), InputError> {
        let UNetFacts { in_channels, context_features, added, guidance_features, skips, .. } = &self.facts;
        let [batch, channels, height, width] = input.sample.dims();
        let check = |what: &'static str, found: String, expected: String| {
            if found == expected { Ok(()) } else { Err(InputError { what, found, expected }) }
        };
        check("the latent", format!("{channels} channels"), format!("{in_channels} channels"))?;
        let least = self.facts.least_size;
        if height.min(width) < least {
            return Err(InputError {
                what: "the latent",
                found: format!("{width} x {height} points"),
                expected: format!("at least {least} x {least}"),
            });
        }
        if ![1, batch].contains(&input.timesteps.len()) {
            return Err(InputError {
                what: "the list of times",
                found: format!("{} entries", input.timesteps.len()),
                expected: format!("1 or {batch}"),
            });
        }
        let [rows, tokens, features] = input.context.dims();
        check("the text", format!("{rows} rows of {features} features"), format!("{batch} rows of {context_features} features"))?;
        if tokens == 0 {
            return Err(InputError { what: "the text", found: "no tokens".into(), expected: "at least one".into() });
        }
        let shape = |shape: [usize; 2]| format!("{} rows of {} features", shape[0], shape[1]);
        match (added, &input.added) {
            (None, _) => {}
            (Some(_), None) => {
                return Err(InputError {
                    what: "the call",
                    found: "no pooled text and sizes".into(),
                    expected: "them (SDXL's micro-conditioning)".into(),
                });
            }
            (Some(facts), Some(added)) => {
                let [rows, text] = added.text.dims();
                let numbers = added.numbers.first().map_or(0, Vec::len);
                let found = shape([rows, text + numbers * facts.per_number]);
                check("the pooled text with the sizes", found, shape([batch, facts.total]))?;
                let even = added.numbers.len() == batch && added.numbers.iter().all(|row| row.len() == numbers);
                if !even {
                    let found = format!("{} rows, not all of {numbers}", added.numbers.len());
                    return Err(InputError { what: "the list of sizes", found, expected: format!("{batch} equal rows") });
                }
            }
        }
        if let Some(guidance) = &input.guidance {
            let features = guidance_features.unwrap_or(0);
            check("the guidance embedding", shape(guidance.dims()), shape([batch, features]))?;
        }
        if let Some(control) = &input.control {
            check("the list of ControlNet residuals", format!("{} entries", control.down.len()), format!("{skips} entries"))?;
        }
        Ok(())
    }

    /// The prediction, `[batch, out_channels, height, width]` in f32.
    ///
    /// # Panics
    /// Burn panics where shapes disagree: [`Self::accepts`] tells beforehand.
    pub fn forward(&self, input: UNetInput<'_>) -> Tensor<4> {
        self.forward_observed(input, &mut |_, _| ())
    }

    /// [`Self::forward`], showing `observe` what each block gives (`conv_in`, `down_blocks.0`, `mid_block`,
    /// `up_blocks.0`, ..., and `time_embedding` and `add_embedding` as pictures of one point).
    pub fn forward_observed(&self, input: UNetInput<'_>, observe: Observer<'_>) -> Tensor<4> {
        let dtype = self.conv_in.dtype();
        let device = input.sample.device();
        let time = self.embed(&input, dtype, &device, observe);
        let context = input.context.cast(dtype);

        let sample = if self.facts.center_input { input.sample * 2.0 - 1.0 } else { input.sample };
        let mut x = self.conv_in.forward(sample.cast(dtype));
        observe("conv_in", &x);

        let mut skips = vec![x.clone()];
        for (index, block) in self.down_blocks.iter().enumerate() {
            x = block.forward(x, &time, &context, &mut skips);
            observe(&format!("down_blocks.{index}"), &x);
        }
        let (control, control_mid) = match input.control {
            Some(control) => (control.down, Some(control.mid)),
            None => (Vec::new(), None),
        };
        for (skip, residual) in skips.iter_mut().zip(control) {
            *skip = skip.clone() + residual.cast(dtype);
        }
        if let Some(block) = &self.mid_block {
            x = block.forward(x, &time, &context);
            observe("mid_block", &x);
        }
        if let Some(residual) = control_mid {
            x = x + residual.cast(dtype);
        }
        for (index, block) in self.up_blocks.iter().enumerate() {
            x = block.forward(x, &time, &context, &mut skips);
            observe(&format!("up_blocks.{index}"), &x);
        }
        let x = self.conv_norm_out.activated(x, self.facts.activation);
        self.conv_out.forward(x).cast(FloatDType::F32)
    }

    /// The activated embedding of time and all else that is one vector, `[batch or 1, features]`.
    fn embed(&self, input: &UNetInput<'_>, dtype: FloatDType, device: &Device, observe: Observer<'_>) -> Tensor<2> {
        let as_picture = |x: &Tensor<2>| {
            let [rows, features] = x.dims();
            x.clone().reshape([rows, features, 1, 1])
        };
        let facts = &self.facts;
        let sines = time_embedding(input.timesteps, facts.time, device).cast(dtype);
        let guidance = input.guidance.clone().map(|guidance| guidance.cast(dtype));
        let mut embedding = self.time_embedding.forward(sines, guidance);
        observe("time_embedding", &as_picture(&embedding));
        if let (Some(mlp), Some(added), Some(shape)) = (&self.add_embedding, &input.added, facts.added) {
            let numbers: Vec<f32> = added.numbers.iter().flatten().copied().collect();
            let [rows, text] = added.text.dims();
            let time = embedding::TimeFacts { features: shape.per_number, ..facts.time };
            let numbers = time_embedding(&numbers, time, device).reshape([rows, shape.total.saturating_sub(text)]);
            let all = Tensor::cat(vec![added.text.clone().cast(dtype), numbers.cast(dtype)], 1);
            let added = mlp.forward(all, None);
            observe("add_embedding", &as_picture(&added));
            embedding = embedding + added;
        }
        facts.activation.apply(embedding)
    }
}
