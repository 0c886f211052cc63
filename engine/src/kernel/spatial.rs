//! Operations that move pixels and channels about.

use burn::tensor::{
    Tensor,
    module::interpolate,
    ops::{InterpolateMode, InterpolateOptions},
};

/// Twice the height and width, each pixel repeated: `[batch, channels, h, w]` to `[batch, channels, 2 h, 2 w]`.
pub fn upsample_nearest(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * height, 2 * width]);
    interpolate(x, options)
}

/// The channels of `a` followed by those of `b`.
pub fn concat_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::cat(vec![a, b], 1)
}
