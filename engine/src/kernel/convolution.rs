//! Convolution as a matrix product, for GPUs whose shaders are WGSL.
//!
//! Burn's fast convolutions need matrix units, which WGSL cannot reach; what is left there computes one output value per
//! thread, and sums in the type of its input: in f16 a layer of 64 channels is then off by several percent. Burn's
//! matrix product is tiled on every GPU, and sums in f32. So the patches that the filters see are written out, one
//! behind the other ("im2col"; Chellapilla et al. 2006), for as many rows of the picture at a time as a buffer holds.

use burn::tensor::{Tensor, ops::PadMode, s};

/// The largest buffer of patches, in bytes: WebGPU's default limit on a storage binding.
const PATCH_BYTES: usize = 128 << 20;

/// A convolution of `[batch, in, height, width]` with `weight` `[out, in, kernel, kernel]`, the same stride and padding
/// (zeros on all sides) along both axes.
pub(super) fn by_matmul(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    in_bands(x, weight, stride, padding, PATCH_BYTES)
}

fn in_bands(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize, budget: usize) -> Tensor<4> {
    let [outs, channels, kernel, _] = weight.dims();
    let x = if padding == 0 { x } else { x.pad([(padding, padding), (padding, padding)], PadMode::Constant(0.0)) };
    let [batch, _, padded_height, padded_width] = x.dims();
    let [height, width] = [padded_height, padded_width].map(|size| (size - kernel) / stride + 1);
    let filters = weight.reshape([1, outs, channels * kernel * kernel]);
    let row_bytes = batch * channels * kernel * kernel * width * x.dtype().size();
    let rows = (budget / row_bytes.max(1)).clamp(1, height);
    let band = |start: usize| {
        let count = rows.min(height - start);
        let mut patches = Vec::with_capacity(kernel * kernel);
        for (i, j) in (0..kernel).flat_map(|i| (0..kernel).map(move |j| (i, j))) {
            let top = start * stride + i;
            // the last row and column that are taken, and no further: a step may overshoot the picture
            let (bottom, right) = (top + (count - 1) * stride + 1, j + (width - 1) * stride + 1);
            let step = stride as isize;
            patches.push(x.clone().slice(s![.., .., top..bottom;step, j..right;step]).unsqueeze_dim::<5>(2));
        }
        let patches = Tensor::cat(patches, 2).reshape([batch, channels * kernel * kernel, count * width]);
        filters.clone().matmul(patches).reshape([batch, outs, count, width])
    };
    if rows == height {
        return band(0);
    }
    Tensor::cat((0..height).step_by(rows).map(band).collect(), 2)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Distribution, module::conv2d, ops::ConvOptions};

    use super::*;

    /// The path of GPUs, in bands of one row, some, and all.
    #[test]
    fn bands_change_nothing() {
        let device = Device::flex();
        let random = |shape| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        for (size, kernel, stride, padding) in
            [([7, 9], 3, 1, 1), ([8, 6], 3, 2, 1), ([9, 9], 3, 2, 0), ([5, 12], 5, 1, 2), ([6, 6], 1, 2, 0), ([3, 3], 3, 1, 0)]
        {
            let x = random([2, 3, size[0], size[1]]);
            let weight = random([4, 3, kernel, kernel]);
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            let whole = conv2d(x.clone(), weight.clone(), None, options);
            let row = 2 * 3 * kernel * kernel * whole.dims()[3] * 4;
            for budget in [1, 3 * row, usize::MAX] {
                let parts = in_bands(x.clone(), weight.clone(), stride, padding, budget);
                assert_eq!(parts.dims(), whole.dims());
                let off = (parts - whole.clone()).abs().max().into_scalar::<f32>();
                assert!(off < 1e-4, "{size:?}, kernel {kernel}, stride {stride}, {budget} bytes: {off:.1e}");
            }
        }
    }
}
