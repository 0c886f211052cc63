//! Matrix products with what comes before and after them: a linear map, a 1x1 convolution, any convolution without a
//! shorter way, a gated linear map; bias, residual and gate are applied while the results are in registers.
//!
//! Rows are pixels or tokens, their channels contiguous in memory. A task is a block of rows times some panels of
//! output channels. It packs a panel's weights, as many input channels at a time as the first-level cache holds, and
//! runs over its rows, 8 at a time, whose sums stay in registers. Nothing else is copied: a convolution's rows, for
//! each tap of the kernel, are slices of the picture, or of zeros beyond its border.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{Aligned, ROWS, dispatch, gelu, lanes, load, multiply, store};

/// Vectors of output channels in a panel.
const PANEL: usize = 3;
/// Panels of a task.
const PANELS: usize = 4;
/// Rows of a task: enough that packing the weights costs little.
const BLOCK: usize = 512;
/// Input channels that are worked on between two visits of a row's sums.
const DEPTH: usize = 128;

/// A filter bank in any order in memory: `[outs, channels, kernel height, kernel width]`. A linear map's weight is one
/// with a 1x1 kernel.
#[derive(Clone, Copy)]
pub(crate) struct Filters<'a> {
    /// The storage, from the first element on.
    pub data: &'a [f32],
    /// Sizes.
    pub shape: [usize; 4],
    /// Steps between neighbours along each axis, in elements.
    pub strides: [usize; 4],
}

/// What is added to a row's results.
#[derive(Clone, Copy)]
pub(crate) enum Addend<'a> {
    /// Nothing.
    None,
    /// The same numbers for all rows of a picture: `[batch, outs]`.
    PerPicture {
        /// The numbers.
        values: &'a [f32],
        /// How many rows a picture has.
        rows: usize,
    },
    /// Numbers for each row: `[rows, outs]`.
    PerRow(&'a [f32]),
}

/// What is done with a row's results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// They are stored.
    Plain,
    /// The second half of the outputs gates the first: `value * gelu(gate)`.
    Gated,
}

/// Where the rows come from.
pub(crate) trait Rows: Sync {
    /// The channels of output row `row` under a tap of the kernel; none if they lie outside the picture.
    fn row(&self, row: usize, tap: usize) -> Option<&[f32]>;
}

/// The rows of a matrix.
pub(crate) struct Matrix<'a> {
    /// The storage, from the first element on.
    pub data: &'a [f32],
    /// Length of a row.
    pub columns: usize,
    /// Step from row to row.
    pub stride: usize,
}

impl Rows for Matrix<'_> {
    #[inline(always)]
    fn row(&self, row: usize, _: usize) -> Option<&[f32]> {
        self.data.get(row * self.stride..)?.get(..self.columns)
    }
}

/// The pixels of a channels-last picture that a convolution's results look at.
pub(crate) struct Pixels<'a> {
    /// `[batch, height, width, channels]`
    pub data: &'a [f32],
    /// Sizes.
    pub shape: [usize; 4],
    /// Height and width of the result.
    pub out: [usize; 2],
    /// Size of the kernel.
    pub kernel: [usize; 2],
    /// Steps between results.
    pub stride: [usize; 2],
    /// Zeros above and to the left.
    pub padding: [usize; 2],
}

impl Rows for Pixels<'_> {
    #[inline(always)]
    fn row(&self, row: usize, tap: usize) -> Option<&[f32]> {
        let [_, height, width, channels] = self.shape;
        let (line, x) = (row / self.out[1], row % self.out[1]);
        let (picture, y) = (line / self.out[0], line % self.out[0]);
        let (ky, kx) = (tap / self.kernel[1], tap % self.kernel[1]);
        // a place before the first wraps round and lies beyond the last
        let y = (y * self.stride[0] + ky).wrapping_sub(self.padding[0]);
        let x = (x * self.stride[1] + kx).wrapping_sub(self.padding[1]);
        if y >= height || x >= width {
            return None;
        }
        self.data.get(((picture * height + y) * width + x) * channels..)?.get(..channels)
    }
}

/// `rows` times the transposed filters, plus bias and addend: `[count, outs]`, or half as many outs where they gate
/// each other.
pub(crate) fn product(
    rows: &impl Rows,
    count: usize,
    filters: Filters<'_>,
    bias: Option<&[f32]>,
    addend: Addend<'_>,
    finish: Finish,
) -> Vec<f32> {
    let outs = match finish {
        Finish::Plain => filters.shape[0],
        Finish::Gated => filters.shape[0] / 2,
    };
    let mut out = vec![0.0; count * outs];
    if out.is_empty() {
        return out;
    }
    let panel = PANEL * lanes();
    // fewer panels to a task, and then fewer rows, if there would not be a few tasks for each thread
    let wanted = 3 * rayon::current_num_threads();
    let mut block = BLOCK.min(count.next_multiple_of(ROWS));
    let panels_of = |block: usize| (count.div_ceil(block) * outs.div_ceil(panel) / wanted).clamp(1, PANELS);
    while block > 64 && count.div_ceil(block) * outs.div_ceil(panel * panels_of(block)) < wanted {
        block = (block / 2).next_multiple_of(ROWS);
    }
    let width = panels_of(block) * panel;
    let mut tasks: Vec<Task<'_, _>> = Vec::new();
    for (i, out) in out.chunks_mut(block * outs).enumerate() {
        let start = tasks.len();
        let lines = out.len() / outs;
        tasks.extend((0..outs).step_by(width).map(|first| Task {
            rows,
            filters,
            bias,
            addend,
            finish,
            outs,
            first,
            first_row: i * block,
            out: Vec::with_capacity(lines),
        }));
        for line in out.chunks_exact_mut(outs) {
            for (part, task) in line.chunks_mut(width).zip(&mut tasks[start..]) {
                task.out.push(part);
            }
        }
    }
    tasks.into_par_iter().for_each(dispatch);
    out
}

/// A block of rows times some panels of outputs.
struct Task<'a, R> {
    rows: &'a R,
    filters: Filters<'a>,
    bias: Option<&'a [f32]>,
    addend: Addend<'a>,
    finish: Finish,
    /// Outputs of a row.
    outs: usize,
    /// The first output.
    first: usize,
    first_row: usize,
    /// This task's part of each row.
    out: Vec<&'a mut [f32]>,
}

impl<R: Rows> WithSimd for Task<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = self.out.first().map_or(0, |row| row.len());
        let panel = PANEL * S::F32_LANES;
        let mut work = Work::new::<S>(self.out.len(), self.filters.shape[1]);
        for start in (0..width).step_by(panel) {
            match (self.finish, (width - start).div_ceil(S::F32_LANES)) {
                (Finish::Plain, 1) => self.panel::<S, 1>(simd, &mut work, start),
                (Finish::Plain, 2) => self.panel::<S, 2>(simd, &mut work, start),
                (Finish::Plain, _) => self.panel::<S, PANEL>(simd, &mut work, start),
                (Finish::Gated, 1) => self.gated::<S, 1>(simd, &mut work, start),
                (Finish::Gated, 2) => self.gated::<S, 2>(simd, &mut work, start),
                (Finish::Gated, _) => self.gated::<S, PANEL>(simd, &mut work, start),
            }
        }
    }
}

/// What a task needs beside its inputs and outputs.
struct Work {
    /// A panel's weights, `[channel][output]`.
    weights: Aligned,
    /// Sums of all rows, `[row][output]`; for gates, a second time.
    sums: [Aligned; 2],
    /// What lies outside a picture.
    zeros: Vec<f32>,
}

impl Work {
    fn new<S: Simd>(rows: usize, channels: usize) -> Self {
        let panel = PANEL * S::F32_LANES;
        let sums = || Aligned::new(rows.next_multiple_of(ROWS) * panel);
        Self { weights: Aligned::new(DEPTH.min(channels) * panel), sums: [sums(), sums()], zeros: vec![0.0; channels] }
    }
}

impl<R: Rows> Task<'_, R> {
    #[inline(always)]
    fn panel<S: Simd, const N: usize>(&mut self, simd: S, work: &mut Work, start: usize) {
        let Work { weights, sums: [sums, _], zeros } = work;
        self.sum::<S, N>(simd, self.first + start, weights, sums, zeros);
        let (sums, _) = pulp::as_arrays::<N, _>(S::as_simd_f32s(sums).0);
        for (i, (out, sums)) in self.out.iter_mut().zip(sums).enumerate() {
            let row = self.first_row + i;
            for (n, &sum) in sums.iter().enumerate() {
                let first = self.first + start + n * S::F32_LANES;
                let Some(out) = out.get_mut(start + n * S::F32_LANES..) else { continue };
                let count = S::F32_LANES.min(out.len());
                let mut value = sum;
                if let Some(bias) = self.bias {
                    value = simd.add_f32s(value, load(simd, &bias[first..][..count]));
                }
                match self.addend {
                    Addend::None => {}
                    Addend::PerPicture { values, rows } => {
                        value = simd.add_f32s(value, load(simd, &values[row / rows * self.outs + first..][..count]));
                    }
                    Addend::PerRow(values) => {
                        value = simd.add_f32s(value, load(simd, &values[row * self.outs + first..][..count]));
                    }
                }
                store(simd, &mut out[..count], value);
            }
        }
    }

    #[inline(always)]
    fn gated<S: Simd, const N: usize>(&mut self, simd: S, work: &mut Work, start: usize) {
        let Work { weights, sums: [values, gates], zeros } = work;
        let gate = self.outs;
        self.sum::<S, N>(simd, self.first + start, weights, values, zeros);
        self.sum::<S, N>(simd, gate + self.first + start, weights, gates, zeros);
        let (values, _) = pulp::as_arrays::<N, _>(S::as_simd_f32s(values).0);
        let (gates, _) = pulp::as_arrays::<N, _>(S::as_simd_f32s(gates).0);
        for (out, (values, gates)) in self.out.iter_mut().zip(values.iter().zip(gates)) {
            for n in 0..N {
                let first = self.first + start + n * S::F32_LANES;
                let Some(out) = out.get_mut(start + n * S::F32_LANES..) else { continue };
                let count = S::F32_LANES.min(out.len());
                let (mut v, mut g) = (values[n], gates[n]);
                if let Some(bias) = self.bias {
                    v = simd.add_f32s(v, load(simd, &bias[first..][..count]));
                    g = simd.add_f32s(g, load(simd, &bias[gate + first..][..count]));
                }
                store(simd, &mut out[..count], simd.mul_f32s(v, gelu(simd, g)));
            }
        }
    }

    /// The sums over all taps and channels for `N` vectors of outputs, from output `first` on.
    #[inline(always)]
    fn sum<S: Simd, const N: usize>(&self, simd: S, first: usize, weights: &mut Aligned, sums: &mut Aligned, zeros: &[f32]) {
        let [_, channels, height, width] = self.filters.shape;
        let (sums, _) = pulp::as_arrays_mut::<N, _>(S::as_mut_simd_f32s(sums).0);
        let sums = &mut sums[..self.out.len().next_multiple_of(ROWS)];
        sums.fill([simd.splat_f32s(0.0); N]);
        for tap in 0..height * width {
            for start in (0..channels).step_by(DEPTH) {
                let depth = DEPTH.min(channels - start);
                let (weights, _) = pulp::as_arrays_mut::<N, _>(S::as_mut_simd_f32s(weights).0);
                let weights = &mut weights[..depth];
                self.filters.pack::<S, N>(simd, first, [start, tap / width, tap % width], weights);
                for (i, sums) in sums.chunks_exact_mut(ROWS).enumerate() {
                    let mut rows = [zeros; ROWS];
                    for (j, row) in rows.iter_mut().enumerate() {
                        if i * ROWS + j < self.out.len()
                            && let Some(pixel) = self.rows.row(self.first_row + i * ROWS + j, tap)
                        {
                            *row = pixel;
                        }
                        *row = &row[start..start + depth];
                    }
                    multiply::<S, N>(simd, &rows, weights, sums);
                }
            }
        }
    }
}

impl Filters<'_> {
    /// The weights in the order that these kernels read them in, `[channel][kernel row][kernel column][output]`.
    pub(crate) fn arranged(&self) -> Vec<f32> {
        let [outs, channels, height, width] = self.shape;
        let [per_out, per_channel, per_row, per_column] = self.strides;
        let mut all = vec![0.0; outs * channels * height * width];
        if all.is_empty() {
            return all;
        }
        // an input channel at a time; its neighbours lie in the same cache lines, so a thread takes some of them
        all.par_chunks_mut(height * width * outs).with_min_len(16).enumerate().for_each(|(channel, to)| {
            for (tap, to) in to.chunks_exact_mut(outs).enumerate() {
                let from = &self.data[channel * per_channel + tap / width * per_row + tap % width * per_column..];
                for (out, to) in to.iter_mut().enumerate() {
                    *to = from[out * per_out];
                }
            }
        });
        all
    }

    /// The weights from some channels of a tap, `[channel][output]`, `N` vectors of outputs from `first` on.
    #[inline(always)]
    fn pack<S: Simd, const N: usize>(&self, simd: S, first: usize, [start, y, x]: [usize; 3], to: &mut [[S::f32s; N]]) {
        let [per_out, per_channel, per_row, per_column] = self.strides;
        let from = &self.data[first * per_out + start * per_channel + y * per_row + x * per_column..];
        let outs = (N * S::F32_LANES).min(self.shape[0] - first);
        if per_out == 1 {
            for (c, to) in to.iter_mut().enumerate() {
                let from = &from[c * per_channel..][..outs];
                for (n, to) in to.iter_mut().enumerate() {
                    let from = &from[(n * S::F32_LANES).min(outs)..];
                    *to = load(simd, &from[..S::F32_LANES.min(from.len())]);
                }
            }
        } else {
            let width = N * S::F32_LANES;
            let to: &mut [f32] = bytemuck::cast_slice_mut(to);
            for out in 0..width {
                if out >= outs {
                    to.iter_mut().skip(out).step_by(width).for_each(|to| *to = 0.0);
                    continue;
                }
                let from = &from[out * per_out..];
                for (c, to) in to.iter_mut().skip(out).step_by(width).enumerate() {
                    *to = from[c * per_channel];
                }
            }
        }
    }
}
