//! Residual convolution blocks and the changes of size between them, shared by the UNet and the VAE.

use burn::module::Module;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};

use super::activation::Activation;
use super::layer::{Bias, Conv2d, GroupNorm, Linear};
use crate::kernel::nearest;

/// Norm, activation, convolution, twice, around a shortcut: diffusers' `ResnetBlock2D`.
#[derive(Module, Debug)]
pub struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    #[module(skip)]
    activation: Activation,
    scale: f64,
}

/// The dimensions of a [`Resnet`].
#[derive(Clone, Copy, Debug)]
pub struct ResnetShape {
    /// Channels that come in.
    pub inputs: usize,
    /// Channels that go out.
    pub outputs: usize,
    /// Features of the time embedding, where the block is told the time.
    pub time: Option<usize>,
    /// Groups of the norms; they divide both numbers of channels.
    pub groups: usize,
    /// The norms' epsilon.
    pub epsilon: f64,
    /// The non-linearity.
    pub activation: Activation,
    /// What the sum is divided by.
    pub scale: f64,
}

impl Resnet {
    /// A block of the given shape.
    pub fn new(shape: ResnetShape, device: &Device) -> Self {
        let ResnetShape { inputs, outputs, time, groups, epsilon, activation, scale } = shape;
        let conv = |inputs, kernel| Conv2d::same(inputs, outputs, kernel, Bias::With, device);
        Self {
            norm1: GroupNorm::new(groups, inputs, epsilon, device),
            conv1: conv(inputs, 3),
            time_emb_proj: time.map(|time| Linear::new(time, outputs, Bias::With, device)),
            norm2: GroupNorm::new(groups, outputs, epsilon, device),
            conv2: conv(outputs, 3),
            conv_shortcut: (inputs != outputs).then(|| conv(inputs, 1)),
            activation,
            scale,
        }
    }

    /// `[batch, in, height, width]` to `[batch, out, height, width]`. `time` is the *activated* time embedding,
    /// `[batch or 1, features]`: every block of a network activates the same one, so that is done once.
    pub fn forward(&self, x: Tensor<4>, time: Option<&Tensor<2>>) -> Tensor<4> {
        let shift = match (&self.time_emb_proj, time) {
            (Some(projection), Some(time)) => {
                let shift = projection.rows(time.clone());
                let [rows, channels] = shift.dims();
                Some(shift.reshape([rows, channels, 1, 1]))
            }
            _ => None,
        };
        let h = self.conv1.forward_plus(self.norm1.activated(x.clone(), self.activation), shift);
        let shortcut = match &self.conv_shortcut {
            Some(conv) => conv.forward(x),
            None => x,
        };
        let sum = self.conv2.forward_plus(self.norm2.activated(h, self.activation), Some(shortcut));
        if self.scale == 1.0 { sum } else { sum / self.scale }
    }
}

/// Where the zeros go that a convolution with stride 2 needs at a picture's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownsamplePadding {
    /// This many on all sides (the UNet's 1).
    Even(usize),
    /// One row below and one column to the right (the VAE's).
    After,
}

/// Halves a picture with a convolution.
#[derive(Module, Debug)]
pub struct Downsample {
    conv: Conv2d,
    #[module(skip)]
    padding: DownsamplePadding,
}

impl Downsample {
    /// Keeps `channels`.
    pub fn new(channels: usize, padding: DownsamplePadding, device: &Device) -> Self {
        let zeros = match padding {
            DownsamplePadding::Even(zeros) => zeros,
            DownsamplePadding::After => 0,
        };
        Self { conv: Conv2d::strided(channels, channels, 3, 2, zeros, Bias::With, device), padding }
    }

    /// `[batch, channels, height, width]` to about half of both.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match self.padding {
            DownsamplePadding::Even(_) => x,
            DownsamplePadding::After => x.pad((0, 1, 0, 1), PadMode::Constant(0.0)),
        };
        self.conv.forward(x)
    }
}

/// Repeats pixels and smooths them with a convolution.
#[derive(Module, Debug)]
pub struct Upsample {
    conv: Conv2d,
}

impl Upsample {
    /// Keeps `channels`.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self { conv: Conv2d::same(channels, channels, 3, Bias::With, device) }
    }

    /// To `size` (height, width), which is twice the input's except where a halving had rounded up.
    pub fn forward(&self, x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        self.conv.forward(nearest(x, size))
    }

    /// To twice the input's size.
    pub fn double(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        self.forward(x, [2 * height, 2 * width])
    }
}
