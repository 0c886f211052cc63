//! Layers with parameters: linear map, convolution, norms; with what precedes or follows them in a network.

use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, FloatDType, Tensor};

use super::convolution;
use super::pointwise::{add, gelu, silu};

/// The largest buffer that values and gates share, in bytes: WebGPU's default limit on a storage binding.
#[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
const GATED_BYTES: usize = 128 << 20;

/// Whether convolutions are computed as matrix products: where Burn has no better one. With SPIR-V and CUDA it uses
/// matrix units, which it finds by tuning.
const PATCHES: bool = !cfg!(any(feature = "spirv", feature = "cuda"));

/// The same weight of a linear map `[out, in]` or a convolution `[out, in, height, width]`, in the order in memory in
/// which [`linear`] or [`conv2d`] read it fastest. Any order gives the same results; this one spares them a
/// transposition at every call.
pub fn stored_weight<const D: usize>(weight: Tensor<D>) -> Tensor<D> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(stored) = super::cpu::stored_weight(&weight) {
        return stored;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if let Some(stored) = super::wgsl::stored_weight(&weight) {
        return stored;
    }
    weight
}

/// `x W^T + b + addend`: `x` is `[rows, in]`, `weight` `[out, in]`, `addend` (a residual) `[rows, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, addend: Option<Tensor<2>>) -> Tensor<2> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::linear(&x, &weight, bias.as_ref(), addend.as_ref()) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if let Some(out) = super::wgsl::linear(&x, &weight, bias.as_ref(), addend.as_ref()) {
        return out;
    }
    let mut y = x.matmul(weight.transpose());
    if let Some(bias) = bias {
        y = y + bias.unsqueeze();
    }
    match addend {
        Some(addend) => y + addend,
        None => y,
    }
}

/// The gated linear unit of diffusion transformers (Shazeer, "GLU Variants Improve Transformer"): the outputs of
/// `x W^T + b` are cut into values and gates, and the result is `value * gelu(gate)`.
///
/// `x` is `[rows, in]`, `weight` `[2 n, in]`, the result `[rows, n]`.
pub fn linear_geglu(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::linear_geglu(&x, &weight, bias.as_ref()) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if super::wgsl::is_here(&x) && fits_together(x.dims()[0], weight.dims()[0], x.dtype().size()) {
        let both = linear(x.clone(), weight.clone(), bias.clone(), None);
        if let Some(out) = super::wgsl::geglu(&both) {
            return out;
        }
    }
    // two products instead of one, whose result would have to be cut and copied
    let half = weight.dims()[0] / 2;
    let [value, gate] = [0, half].map(|start| {
        let bias = bias.clone().map(|bias| bias.narrow(0, start, half));
        linear(x.clone(), weight.clone().narrow(0, start, half), bias, None)
    });
    value * gelu(gate)
}

/// Whether values and gates of so many rows go into one buffer.
#[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
fn fits_together(rows: usize, columns: usize, bytes: usize) -> bool {
    rows.saturating_mul(columns).saturating_mul(bytes) <= GATED_BYTES
}

/// A linear map of a picture's pixels, which become tokens: `[batch, in, height, width]` to
/// `[batch, height * width, out]`, row by row. `weight` is `[out, in]`.
pub fn pixels_to_tokens(x: Tensor<4>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::pixels_to_tokens(&x, &weight, bias.as_ref()) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if let Some(out) = super::wgsl::pixels_to_tokens(&x, &weight, bias.as_ref()) {
        return out;
    }
    let [batch, channels, height, width] = x.dims();
    let tokens = x.reshape([batch, channels, height * width]).swap_dims(1, 2);
    let y = tokens.matmul(weight.transpose().unsqueeze());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

/// A linear map of tokens, which become a picture's pixels, plus a picture: `[batch, height * width, in]` to
/// `[batch, out, height, width]`. `weight` is `[out, in]`, `addend` (a residual) has the result's shape.
pub fn tokens_to_pixels(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    [height, width]: [usize; 2],
    addend: Option<Tensor<4>>,
) -> Tensor<4> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::tokens_to_pixels(&x, &weight, bias.as_ref(), [height, width], addend.as_ref()) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if let Some(out) = super::wgsl::tokens_to_pixels(&x, &weight, bias.as_ref(), [height, width], addend.as_ref()) {
        return out;
    }
    let batch = x.dims()[0];
    let outs = weight.dims()[0];
    let y = weight.unsqueeze::<3>().matmul(x.swap_dims(1, 2));
    let y = match bias {
        Some(bias) => y + bias.reshape([1, outs, 1]),
        None => y,
    };
    let y = y.reshape([batch, outs, height, width]);
    match addend {
        Some(addend) => y + addend,
        None => y,
    }
}

/// A convolution of `[batch, in, height, width]` with `weight` `[out, in, kernel, kernel]`, the same stride and padding
/// (zeros on all sides) along both axes, plus `bias`, plus `addend`.
///
/// The addend has the result's shape (a residual), or is `[batch or 1, out, 1, 1]` (a time embedding).
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
    addend: Option<Tensor<4>>,
) -> Tensor<4> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::conv2d(&x, &weight, bias.as_ref(), stride, padding, addend.as_ref()) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if let Some(out) = super::wgsl::conv2d(&x, &weight, bias.as_ref(), stride, padding, addend.as_ref()) {
        return out;
    }
    let [outs, channels, kernel, _] = weight.dims();
    let is_pointwise = kernel == 1 && stride == 1 && padding == 0;
    let y = if is_pointwise || PATCHES {
        let y = if is_pointwise {
            let [batch, _, height, width] = x.dims();
            let y = weight.reshape([1, outs, channels]).matmul(x.reshape([batch, channels, height * width]));
            y.reshape([batch, outs, height, width])
        } else {
            convolution::by_matmul(x, weight, stride, padding)
        };
        match bias {
            Some(bias) => y + bias.reshape([1, outs, 1, 1]),
            None => y,
        }
    } else {
        burn_conv2d(x, weight, bias, ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1))
    };
    match addend {
        Some(addend) => add(y, addend),
        None => y,
    }
}

/// What follows a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// `x * sigmoid(x)`.
    Silu,
}

/// Group normalisation (Wu and He 2018) of `[batch, channels, height, width]`, statistics in f32, then `then`.
/// `groups` divides the channels.
pub fn group_norm(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, groups: usize, epsilon: f64, then: Then) -> Tensor<4> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::group_norm(&x, &weight, &bias, groups, epsilon, then) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if let Some(out) = super::wgsl::group_norm(&x, &weight, &bias, groups, epsilon, then) {
        return out;
    }
    let [batch, channels, height, width] = x.dims();
    let dtype = x.dtype();
    let x = widen(x.reshape([batch, groups, channels / groups * height * width]));
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let normal = centred / (variance + epsilon).sqrt();
    let normal = normal.cast(FloatDType::from(dtype)).reshape([batch, channels, height, width]);
    let y = normal * weight.reshape([1, channels, 1, 1]) + bias.reshape([1, channels, 1, 1]);
    match then {
        Then::Nothing => y,
        Then::Silu => silu(y),
    }
}

/// Layer normalisation over the last axis, statistics in f32.
pub fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<D> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::layer_norm(&x, &weight, &bias, epsilon) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if let Some(out) = super::wgsl::layer_norm(&x, &weight, &bias, epsilon) {
        return out;
    }
    let dtype = FloatDType::from(x.dtype());
    burn::tensor::module::layer_norm(widen(x), widen(weight), Some(widen(bias)), epsilon).cast(dtype)
}

/// f16 cannot hold the sums of squares that a norm takes: it is widened to f32, everything else is left as it is.
fn widen<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match x.dtype() {
        DType::F16 => x.cast(FloatDType::F32),
        _ => x,
    }
}

#[cfg(all(test, feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
mod tests {
    use super::*;

    /// The first transformers of Stable Diffusion 1 in f32, with more and more rows of 64 x 64 points.
    #[test]
    fn values_and_gates_share_a_buffer_that_devices_have() {
        let fits = |rows| fits_together(rows * 64 * 64, 8 * 320, 4);
        assert_eq!([1, 3, 4, usize::MAX / 4096].map(fits), [true, true, false, false]);
    }
}
