//! The layers that every network here is made of.
//!
//! They differ from Burn's own in three ways. Parameters carry PyTorch's names and layout (`weight`, `bias`; a linear
//! weight is `[out, in]`), so that a module's parameter list is the checkpoint's and a LoRA merges as it stands. Parameters are born empty: no random numbers are
//! drawn for weights that a file will bring, and a network is described before it is loaded. And the work is done by
//! [`kernel`], which takes along what follows a layer in these networks: a residual, an activation, a gate.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, FloatDType, Int, Tensor};

use super::activation::Activation;
use crate::kernel::{self, Then};

/// A parameter of the given shape that has no value yet. Used before it is loaded it is zero.
pub(crate) fn empty<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::uninitialized(ParamId::new(), move |device, _| Tensor::zeros(shape, device), device.clone(), false, shape.into())
}

/// A weight that, once loaded, lies in memory as the kernels like it best.
fn weight<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    empty(shape, device).load_mapper(kernel::stored_weight)
}

/// Whether a layer adds a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// It does.
    With,
    /// It does not.
    Without,
}

impl Bias {
    fn of(self, size: usize, device: &Device) -> Option<Param<Tensor<1>>> {
        (self == Self::With).then(|| empty([size], device))
    }
}

/// `y = x W^T + b`.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Param<Tensor<2>>,
    bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A layer from `inputs` to `outputs` features.
    pub fn new(inputs: usize, outputs: usize, bias: Bias, device: &Device) -> Self {
        Self { weight: weight([outputs, inputs], device), bias: bias.of(outputs, device) }
    }

    fn bias(&self) -> Option<Tensor<1>> {
        self.bias.as_ref().map(|bias| bias.val())
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn rows(&self, x: Tensor<2>) -> Tensor<2> {
        kernel::linear(x, self.weight.val(), self.bias(), None)
    }

    /// A gated linear unit, `[rows, in]` to `[rows, out / 2]`: the outputs' second half, through a GELU, gates the
    /// first.
    pub fn gated(&self, x: Tensor<2>) -> Tensor<2> {
        kernel::linear_geglu(x, self.weight.val(), self.bias())
    }

    /// `[batch, tokens, in]` to `[batch, tokens, out]`.
    pub fn tokens(&self, x: Tensor<3>) -> Tensor<3> {
        self.tokens_plus(x, None)
    }

    /// `[batch, tokens, in]` to `[batch, tokens, out]`, plus a residual of the result's shape.
    pub fn tokens_plus(&self, x: Tensor<3>, residual: Option<Tensor<3>>) -> Tensor<3> {
        let [batch, tokens, inputs] = x.dims();
        let weight = self.weight.val();
        let outputs = weight.dims()[0];
        // One product with all rows: the weight is read once, not once per picture.
        let residual = residual.map(|residual| residual.reshape([batch * tokens, outputs]));
        let y = kernel::linear(x.reshape([batch * tokens, inputs]), weight, self.bias(), residual);
        y.reshape([batch, tokens, outputs])
    }

    /// A picture `[batch, in, height, width]` to tokens `[batch, height * width, out]`, row by row.
    pub fn picture_to_tokens(&self, x: Tensor<4>) -> Tensor<3> {
        kernel::pixels_to_tokens(x, self.weight.val(), self.bias())
    }

    /// Tokens `[batch, height * width, in]` to a picture `[batch, out, height, width]`, plus a residual of that shape.
    pub fn tokens_to_picture_plus(&self, x: Tensor<3>, residual: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = residual.dims();
        kernel::tokens_to_pixels(x, self.weight.val(), self.bias(), [height, width], Some(residual))
    }

    /// The type that the layer computes in.
    pub fn dtype(&self) -> FloatDType {
        self.weight.val().dtype().into()
    }
}

/// A convolution over pictures `[batch, channels, height, width]`.
#[derive(Module, Debug)]
pub struct Conv2d {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// A square kernel with stride 1 that keeps the picture's size; `kernel` is odd.
    pub fn same(inputs: usize, outputs: usize, kernel: usize, bias: Bias, device: &Device) -> Self {
        Self::strided(inputs, outputs, kernel, 1, kernel / 2, bias, device)
    }

    /// A square kernel with a stride, and `padding` zeros on all sides.
    pub fn strided(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        bias: Bias,
        device: &Device,
    ) -> Self {
        let weight = weight([outputs, inputs, kernel, kernel], device);
        Self { weight, bias: bias.of(outputs, device), stride, padding }
    }

    /// Applies the convolution.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_plus(x, None)
    }

    /// Applies the convolution and adds a residual of the result's shape, or a number per picture and channel,
    /// `[batch or 1, channels, 1, 1]`.
    pub fn forward_plus(&self, x: Tensor<4>, addend: Option<Tensor<4>>) -> Tensor<4> {
        let bias = self.bias.as_ref().map(|bias| bias.val());
        kernel::conv2d(x, self.weight.val(), bias, self.stride, self.padding, addend)
    }

    /// The type that the layer computes in.
    pub fn dtype(&self) -> FloatDType {
        self.weight.val().dtype().into()
    }
}

/// Group normalisation (Wu and He 2018) over pictures, statistics in f32.
#[derive(Module, Debug)]
pub struct GroupNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    groups: usize,
    epsilon: f64,
}

impl GroupNorm {
    /// `channels` in `groups` of equal size; the caller has checked that one divides the other.
    pub fn new(groups: usize, channels: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: empty([channels], device), bias: empty([channels], device), groups, epsilon }
    }

    /// Normalises `[batch, channels, height, width]` and applies `activation`.
    pub fn activated(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        match activation {
            Activation::Silu => self.normalised(x, Then::Silu),
            other => other.apply(self.forward(x)),
        }
    }

    /// Normalises `[batch, channels, height, width]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.normalised(x, Then::Nothing)
    }

    fn normalised(&self, x: Tensor<4>, then: Then) -> Tensor<4> {
        kernel::group_norm(x, self.weight.val(), self.bias.val(), self.groups, self.epsilon, then)
    }
}

/// Layer normalisation over the last dimension, statistics in f32.
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    /// A norm over `size` features.
    pub fn new(size: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: empty([size], device), bias: empty([size], device), epsilon }
    }

    /// Normalises the last dimension.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        kernel::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}

/// A table of vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    weight: Param<Tensor<2>>,
}

impl Embedding {
    /// `entries` vectors of `size` numbers.
    pub fn new(entries: usize, size: usize, device: &Device) -> Self {
        Self { weight: empty([entries, size], device) }
    }

    /// The vectors of `ids`, `[batch, tokens]` to `[batch, tokens, size]`. The caller has checked the ids.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        burn::tensor::module::embedding(self.weight.val(), ids)
    }

    /// The first `count` vectors, `[count, size]`.
    pub fn first(&self, count: usize) -> Tensor<2> {
        self.weight.val().narrow(0, 0, count)
    }

    /// The type that the table is kept in.
    pub fn dtype(&self) -> FloatDType {
        self.weight.val().dtype().into()
    }
}
