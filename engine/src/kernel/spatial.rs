//! Operations that move pixels and channels about.

use burn::tensor::{
    Tensor,
    module::interpolate,
    ops::{InterpolateMode, InterpolateOptions},
};

/// Repeats (or leaves out) pixels until the picture has `size` (height, width), as PyTorch's `nearest`.
pub fn nearest(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::nearest(&x, size) {
        return out;
    }
    interpolate(x, InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size).with_align_corners(false))
}

/// The channels of `a` followed by those of `b`, pictures `[batch, channels, height, width]` of one size.
pub fn concat_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::concat_channels(&a, &b) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if let Some(out) = super::wgsl::concat_channels(&a, &b) {
        return out;
    }
    Tensor::cat(vec![a, b], 1)
}
