//! The layers that every network here is made of.
//!
//! They differ from Burn's own in three ways. Parameters carry PyTorch's names and layout (`weight`, `bias`; a linear
//! weight is `[out, in]`), so that a module's parameter list is the checkpoint's and a LoRA merges as it stands;
//! matrix products read the transposed view, which costs nothing. Parameters are born empty: no random numbers are
//! drawn for weights that a file will bring, and a network is described before it is loaded. And the shapes that the
//! networks use are taken the short way: a 1 x 1 convolution is a matrix product, in either direction between
//! pictures and tokens.

use burn::module::{Module, Param, ParamId};
use burn::tensor::module::{conv2d, interpolate, layer_norm};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{DType, Device, FloatDType, Int, Tensor};

use super::activation::Activation;

/// A parameter of the given shape that has no value yet. Used before it is loaded it is zero.
pub(crate) fn empty<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::uninitialized(ParamId::new(), move |device, _| Tensor::zeros(shape, device), device.clone(), false, shape.into())
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
        Self { weight: empty([outputs, inputs], device), bias: bias.of(outputs, device) }
    }

    /// `[rows, in]` to `[rows, out]`.
    pub fn rows(&self, x: Tensor<2>) -> Tensor<2> {
        let y = x.matmul(self.weight.val().transpose());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }

    /// The two halves of the outputs apart, each `[rows, out / 2]`: two products instead of one whose result would
    /// have to be cut and copied.
    pub fn halves(&self, x: Tensor<2>) -> [Tensor<2>; 2] {
        let weight = self.weight.val();
        let half = weight.dims()[0] / 2;
        [0, half].map(|start| {
            let y = x.clone().matmul(weight.clone().narrow(0, start, half).transpose());
            match &self.bias {
                Some(bias) => y + bias.val().narrow(0, start, half).unsqueeze(),
                None => y,
            }
        })
    }

    /// `[batch, tokens, in]` to `[batch, tokens, out]`.
    pub fn tokens(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, inputs] = x.dims();
        // One product with all rows: the weight is read once, not once per picture.
        let y = self.rows(x.reshape([batch * tokens, inputs]));
        let outputs = y.dims()[1];
        y.reshape([batch, tokens, outputs])
    }

    /// A picture `[batch, in, height, width]` to tokens `[batch, height * width, out]`, row by row.
    pub fn picture_to_tokens(&self, x: Tensor<4>) -> Tensor<3> {
        let [batch, channels, height, width] = x.dims();
        let tokens = x.reshape([batch, channels, height * width]).swap_dims(1, 2);
        let y = tokens.matmul(self.weight.val().transpose().unsqueeze());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }

    /// Tokens `[batch, height * width, in]` to a picture `[batch, out, height, width]`.
    pub fn tokens_to_picture(&self, x: Tensor<3>, [height, width]: [usize; 2]) -> Tensor<4> {
        let [batch, _, _] = x.dims();
        let weight = self.weight.val();
        let [outputs, _] = weight.dims();
        let y = weight.unsqueeze::<3>().matmul(x.swap_dims(1, 2));
        let y = match &self.bias {
            Some(bias) => y + bias.val().reshape([1, outputs, 1]),
            None => y,
        };
        y.reshape([batch, outputs, height, width])
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
        let weight = empty([outputs, inputs, kernel, kernel], device);
        Self { weight, bias: bias.of(outputs, device), stride, padding }
    }

    /// Applies the convolution.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let [outputs, inputs, kernel, _] = weight.dims();
        if kernel == 1 && self.stride == 1 && self.padding == 0 {
            return self.pointwise(x, weight.reshape([1, outputs, inputs]));
        }
        let options = ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], 1);
        conv2d(x, weight, self.bias.as_ref().map(|bias| bias.val()), options)
    }

    fn pointwise(&self, x: Tensor<4>, weight: Tensor<3>) -> Tensor<4> {
        let [batch, inputs, height, width] = x.dims();
        let outputs = weight.dims()[1];
        let y = weight.matmul(x.reshape([batch, inputs, height * width]));
        let y = match &self.bias {
            Some(bias) => y + bias.val().reshape([1, outputs, 1]),
            None => y,
        };
        y.reshape([batch, outputs, height, width])
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
        activation.apply(self.forward(x))
    }

    /// Normalises `[batch, channels, height, width]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let dtype = x.dtype();
        let x = widen(x.reshape([batch, self.groups, channels / self.groups * height * width]));
        let centred = x.clone() - x.mean_dim(2);
        let variance = centred.clone().square().mean_dim(2);
        let normal = centred / (variance + self.epsilon).sqrt();
        let normal = normal.cast(FloatDType::from(dtype)).reshape([batch, channels, height, width]);
        normal * self.weight.val().reshape([1, channels, 1, 1]) + self.bias.val().reshape([1, channels, 1, 1])
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
        let dtype = FloatDType::from(x.dtype());
        let (weight, bias) = (widen(self.weight.val()), widen(self.bias.val()));
        layer_norm(widen(x), weight, Some(bias), self.epsilon).cast(dtype)
    }
}

/// f16 cannot hold the sums of squares that a norm takes: it is widened to f32, everything else is left as it is.
fn widen<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match x.dtype() {
        DType::F16 => x.cast(FloatDType::F32),
        _ => x,
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

/// Repeats pixels until the picture has `size` (height, width), as PyTorch's `nearest`.
pub fn nearest(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size).with_align_corners(false);
    interpolate(x, options)
}
