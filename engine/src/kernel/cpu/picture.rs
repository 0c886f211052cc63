//! Pictures in memory: the kernels work channels-last, `[batch, height, width, channels]`.

use std::borrow::Cow;

use rayon::prelude::*;

/// Elements that a thread copies at a time, at least.
const STRETCH: usize = 1 << 14;

/// A picture in any order in memory: `[batch, channels, height, width]`.
#[derive(Clone, Copy)]
pub(crate) struct Picture<'a> {
    /// The storage, from the first element on.
    pub data: &'a [f32],
    /// Sizes.
    pub shape: [usize; 4],
    /// Steps between neighbours along each axis, in elements.
    pub strides: [usize; 4],
}

impl<'a> Picture<'a> {
    /// Its pixels with their channels side by side: as they lie, or copied.
    pub(crate) fn channels_last(&self) -> Cow<'a, [f32]> {
        let [batch, channels, height, width] = self.shape;
        let [per_picture, per_channel, per_row, per_pixel] = self.strides;
        let count = batch * channels * height * width;
        let lies = |size: usize, stride: usize, wanted: usize| size <= 1 || stride == wanted;
        if lies(channels, per_channel, 1)
            && lies(width, per_pixel, channels)
            && lies(height, per_row, width * channels)
            && lies(batch, per_picture, height * width * channels)
            && count <= self.data.len()
        {
            return Cow::Borrowed(&self.data[..count]);
        }
        let mut out = vec![0.0; count];
        if count == 0 {
            return Cow::Owned(out);
        }
        // rows of pixels are copied in squares, so that either side's cache lines are used while they are there
        const SQUARE: usize = 16;
        let line = width * channels;
        out.par_chunks_mut(line).with_min_len((STRETCH / line).max(1)).enumerate().for_each(|(i, out)| {
            let from = &self.data[i / height * per_picture + i % height * per_row..];
            for x in (0..width).step_by(SQUARE) {
                for c in (0..channels).step_by(SQUARE) {
                    for x in x..width.min(x + SQUARE) {
                        for c in c..channels.min(c + SQUARE) {
                            out[x * channels + c] = from[c * per_channel + x * per_pixel];
                        }
                    }
                }
            }
        });
        Cow::Owned(out)
    }
}

/// Resizes by repeating or leaving out pixels: result pixel i is input pixel `floor(i * size / new size)`.
pub(crate) fn nearest(x: &[f32], [batch, height, width, channels]: [usize; 4], size: [usize; 2]) -> Vec<f32> {
    let mut out = vec![0.0; batch * size[0] * size[1] * channels];
    if out.is_empty() || x.is_empty() {
        return out;
    }
    let line = size[1] * channels;
    out.par_chunks_mut(line).with_min_len((STRETCH / line).max(1)).enumerate().for_each(|(i, out)| {
        let row = i / size[0] * height + i % size[0] * height / size[0];
        let from = &x[row * width * channels..][..width * channels];
        for (j, pixel) in out.chunks_exact_mut(channels).enumerate() {
            pixel.copy_from_slice(&from[j * width / size[1] * channels..][..channels]);
        }
    });
    out
}

/// Pixels with the channels of `a` before those of `b`.
pub(crate) fn concat(a: &[f32], a_channels: usize, b: &[f32], b_channels: usize) -> Vec<f32> {
    let channels = a_channels + b_channels;
    let mut out = vec![0.0; a.len() + b.len()];
    if a_channels == 0 || b_channels == 0 {
        out.copy_from_slice(if a_channels == 0 { b } else { a });
        return out;
    }
    out.par_chunks_exact_mut(channels)
        .zip(a.par_chunks_exact(a_channels).zip(b.par_chunks_exact(b_channels)))
        .with_min_len((STRETCH / channels).max(1))
        .for_each(|(out, (a, b))| {
            let (first, second) = out.split_at_mut(a_channels);
            first.copy_from_slice(a);
            second.copy_from_slice(b);
        });
    out
}
