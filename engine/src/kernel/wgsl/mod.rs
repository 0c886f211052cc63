//! Kernels of our own for GPUs whose shaders are WGSL: a browser's, and every native one without SPIR-V or CUDA.
//!
//! Burn's operations are many and small where a network repeats the same few patterns, and its tiled matrix product is
//! made for large ones: a layer of a small network, or of a large network's lowest level, fills a handful of its tiles,
//! and leaves most of a GPU idle and most of a tile empty. So the patterns are one kernel each here:
//!
//! - [`product`]: convolution and linear map with bias and residual, without a buffer of patches;
//! - [`norm`]: group norm with its activation, layer norm;
//! - [`attend`]: attention that never writes its scores down, for few tokens or small heads;
//! - [`elementwise`]: gates, and channels put side by side.
//!
//! Pictures lie channels-last in memory whatever their shape says, as on the CPU: a pixel's channels are one row of a
//! matrix then, tokens and pixels are the same thing, and loads take four numbers at a time. What these operations
//! return has the usual `[batch, channels, height, width]` with strides to match; what comes in otherwise is copied once.
//!
//! Sums are in f32 whatever the type of the numbers. Everything here returns `None` for tensors of other devices.

mod attend;
mod elementwise;
mod norm;
mod patches;
mod product;

pub(super) use attend::attention_heads;
pub(super) use elementwise::{concat_channels, geglu};
pub(super) use norm::{group_norm, layer_norm};
pub(super) use product::{conv2d, linear, pixels_to_tokens, tokens_to_pixels};

use burn::backend::Cube;
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::cubecl::ir::{ElemType, FloatKind};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// The most cubes along one axis of a launch that WebGPU promises.
const MOST_CUBES: usize = 65_535;

/// Whether a tensor is of a GPU, and of a type that these kernels know.
pub(super) fn is_here<const D: usize>(x: &Tensor<D>) -> bool {
    element(x.dtype()).is_some() && x.clone().try_into_primitive::<Cube>().is_ok()
}

/// A GPU's tensor, its numbers in row-major order; `None` for another device's, and for numbers that are no floats.
fn rows<const D: usize>(x: &Tensor<D>) -> Option<CubeTensor> {
    element(x.dtype())?;
    x.clone().try_into_primitive::<Cube>().ok().map(into_contiguous)
}

/// The same of a picture `[batch, channels, height, width]`, channels last.
fn pixels(x: &Tensor<4>) -> Option<CubeTensor> {
    rows(&x.clone().permute([0, 2, 3, 1]))
}

/// The tensor of that shape around memory that a kernel has filled.
fn tensor<const D: usize>(x: CubeTensor, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Cube>(CubeTensor::new_contiguous(x.client, x.device, shape.into(), x.handle, x.dtype))
}

/// A picture of that shape, `[batch, channels, height, width]`, around memory with its channels last.
fn picture(x: CubeTensor, [batch, channels, height, width]: [usize; 4]) -> Tensor<4> {
    tensor(x, [batch, height, width, channels]).permute([0, 3, 1, 2])
}

/// Memory for a result, as `like` in device and type.
fn empty(like: &CubeTensor, size: usize) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::new([size]), like.dtype)
}

/// As CubeCL calls it.
fn element(dtype: DType) -> Option<ElemType> {
    match dtype {
        DType::F32 => Some(ElemType::Float(FloatKind::F32)),
        DType::F16 => Some(ElemType::Float(FloatKind::F16)),
        _ => None,
    }
}

/// How many numbers a load can take, where each row has `size` of them.
fn vector(size: usize) -> usize {
    [4, 2].into_iter().find(|width| size.is_multiple_of(*width)).unwrap_or(1)
}

/// The same weight of a convolution `[out, in, height, width]`, in memory as [`conv2d`] reads it: `[out, height, width,
/// in]`.
pub(super) fn stored_weight<const D: usize>(weight: &Tensor<D>) -> Option<Tensor<D>> {
    let [outs, channels, height, width] = weight.dims().as_slice().try_into().ok()?;
    let stored = pixels(&weight.clone().reshape([outs, channels, height, width]))?;
    Some(picture(stored, [outs, channels, height, width]).reshape(weight.dims()))
}
