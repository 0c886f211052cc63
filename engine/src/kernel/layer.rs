//! Layers with parameters: convolution, linear map, norms.

use burn::nn::{GroupNorm, LayerNorm, Linear, conv::Conv2d};
use burn::tensor::Tensor;

use super::activation::{add, silu};

/// What is applied to a norm's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `x * sigmoid(x)`.
    Silu,
}

/// A convolution: `[batch, in, height, width]` to `[batch, out, height', width']`.
pub fn conv2d(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    conv.forward(x)
}

/// A convolution and a sum: `conv(x) + addend`, with an addend of the output's shape (a residual) or of
/// `[batch, out, 1, 1]` (a time embedding).
pub fn conv2d_add(conv: &Conv2d, x: Tensor<4>, addend: Tensor<4>) -> Tensor<4> {
    add(conv.forward(x), addend)
}

/// A linear map of the last axis.
pub fn linear(linear: &Linear, x: Tensor<3>) -> Tensor<3> {
    linear.forward(x)
}

/// A linear map of the last axis and a sum: `linear(x) + addend`, with an addend of the output's shape (a residual).
pub fn linear_add(linear: &Linear, x: Tensor<3>, addend: Tensor<3>) -> Tensor<3> {
    linear.forward(x) + addend
}

/// Group normalisation of `[batch, channels, height, width]`, followed by `then`.
pub fn group_norm(norm: &GroupNorm, x: Tensor<4>, then: Activation) -> Tensor<4> {
    let x = norm.forward(x);
    match then {
        Activation::Identity => x,
        Activation::Silu => silu(x),
    }
}

/// Layer normalisation of the last axis.
pub fn layer_norm(norm: &LayerNorm, x: Tensor<3>) -> Tensor<3> {
    norm.forward(x)
}
