//! 3x3 convolution with stride 1 by Winograd's minimal filtering, F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks"): 36 products make 16 results, where the definition takes 144.
//!
//! The picture is cut into 6x6 tiles that overlap by 2; a tile, a filter and a result are each transformed by a small
//! matrix from both sides, and in between stand 36 independent matrix products over the channels. The interpolation
//! points are 0, ±1/sqrt(2), ±sqrt(2), infinity, which lose least: the error of a layer is 2e-6, where ±1, ±2 give 4e-6
//! and direct summation 3e-7.
//!
//! Tensors are channels-last, so that a vector's lanes are channels in all three transforms. Filters are transformed on
//! the fly, some channels at a time, into a buffer that stays in the second-level cache: transformed filters kept for a
//! whole network would take four times its memory.

#![allow(clippy::needless_range_loop, reason = "an index stands for the same row or column in several arrays")]

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrix::{Addend, Filters};
use super::simd::{Aligned, ROWS, dispatch, lanes, load, multiply, store};

/// Results per tile and axis.
const OUT: usize = 4;
/// Inputs per tile and axis.
const IN: usize = OUT + 2;
/// Products per tile.
const POINTS: usize = IN * IN;
/// Vectors of output channels that are worked on together.
const PANEL: usize = 3;
/// Input channels whose filters are transformed at a time.
const DEPTH: usize = 64;
/// Tiles that are worked on together: their sums have to fit the second-level cache.
const TILES: usize = 128;

const A: f32 = std::f32::consts::FRAC_1_SQRT_2;
const B: f32 = std::f32::consts::SQRT_2;

/// `x` is `[batch, height, width, channels]`, the result `[batch, height, width, outs]`; zeros surround the picture.
pub(crate) fn conv3x3(
    x: &[f32],
    [batch, height, width, channels]: [usize; 4],
    filters: Filters<'_>,
    bias: Option<&[f32]>,
    addend: Addend<'_>,
) -> Vec<f32> {
    let outs = filters.shape[0];
    let mut out = vec![0.0; batch * height * width * outs];
    if out.is_empty() {
        return out;
    }
    let down = height.div_ceil(OUT);
    let across = width.div_ceil(OUT);
    // a block is a run of rows of tiles: its results are contiguous, over the border between pictures too
    let lines = batch * down;
    let per_block = (TILES / across).clamp(1, lines);
    let lines_of = |block: usize| block * per_block..lines.min((block + 1) * per_block);
    let row_of = |line: usize| (line / down) * height + ((line % down) * OUT).min(height);
    let blocks: Vec<Block> = (0..lines.div_ceil(per_block))
        .map(|i| {
            let lines = lines_of(i);
            let (first, end) = (row_of(lines.start), if lines.end == batch * down { batch * height } else { row_of(lines.end) });
            Block { first_line: lines.start, tiles: lines.len() * across, first_row: first, rows: end - first }
        })
        .collect();
    let layer = Layer { x, height, width, channels, down, across, filters, bias, addend };
    // so many blocks at a time that all threads have work, and no more: their transformed inputs are 2.25 times x
    let at_once = (2 * rayon::current_num_threads()).div_ceil(outs.div_ceil(PANEL * lanes())).max(1);
    let mut rest = out.as_mut_slice();
    let mut inputs: Vec<Aligned> = Vec::new();
    for blocks in blocks.chunks(at_once) {
        inputs.resize_with(blocks.len(), || Aligned::new(POINTS * (per_block * across).next_multiple_of(ROWS) * channels));
        let mut work = Vec::new();
        for (block, input) in blocks.iter().zip(&mut inputs) {
            layer.transform_input(block, input);
            let (mine, others) = rest.split_at_mut(block.rows * width * outs);
            rest = others;
            work.push((block, &*input, mine));
        }
        let panel = PANEL * lanes();
        let tasks: Vec<Task<'_>> = work
            .into_iter()
            .flat_map(|(block, input, out)| {
                let mut tasks: Vec<Task<'_>> = (0..outs.div_ceil(panel))
                    .map(|p| Task {
                        layer: &layer,
                        block,
                        input,
                        first: p * panel,
                        pixels: Vec::with_capacity(block.rows * width),
                    })
                    .collect();
                for pixel in out.chunks_exact_mut(outs) {
                    for (part, task) in pixel.chunks_mut(panel).zip(&mut tasks) {
                        task.pixels.push(part);
                    }
                }
                tasks
            })
            .collect();
        tasks.into_par_iter().for_each(dispatch);
    }
    out
}

/// A run of rows of tiles.
struct Block {
    /// The first row of tiles, counted through all pictures.
    first_line: usize,
    tiles: usize,
    /// The first row of pixels, counted through all pictures.
    first_row: usize,
    rows: usize,
}

struct Layer<'a> {
    x: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
    /// Tiles per picture, in height and width.
    down: usize,
    across: usize,
    filters: Filters<'a>,
    bias: Option<&'a [f32]>,
    addend: Addend<'a>,
}

impl Layer<'_> {
    /// The block's tiles, transformed: `[point][tile rounded up to 8][channel]`.
    fn transform_input(&self, block: &Block, input: &mut Aligned) {
        let padded = block.tiles.next_multiple_of(ROWS);
        let mut tiles: Vec<Vec<&mut [f32]>> = (0..padded).map(|_| Vec::with_capacity(POINTS)).collect();
        for plane in input.chunks_exact_mut(padded * self.channels).take(POINTS) {
            for (row, tile) in plane.chunks_exact_mut(self.channels).zip(&mut tiles) {
                tile.push(row);
            }
        }
        tiles.into_par_iter().take(block.tiles).enumerate().with_min_len(8).for_each(|(i, rows)| {
            dispatch(InputTile { layer: self, line: block.first_line + i / self.across, column: i % self.across, rows });
        });
    }
}

/// The transform of one input tile, all channels.
struct InputTile<'a, 'b> {
    layer: &'a Layer<'a>,
    /// Which row of tiles, counted through all pictures.
    line: usize,
    column: usize,
    /// Where the 36 results go.
    rows: Vec<&'b mut [f32]>,
}

impl WithSimd for InputTile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let &Layer { x, height, width, channels, down, .. } = self.layer;
        let (picture, line) = (self.line / down, self.line % down);
        let zero = simd.splat_f32s(0.0);
        // the pixel at the tile's place (i, j), unless it lies outside the picture
        let mut pixels: [Option<&[f32]>; POINTS] = [None; POINTS];
        for i in 0..IN {
            let row = (line * OUT + i).wrapping_sub(1);
            for j in 0..IN {
                let column = (self.column * OUT + j).wrapping_sub(1);
                if row < height && column < width {
                    pixels[i * IN + j] = Some(&x[((picture * height + row) * width + column) * channels..][..channels]);
                }
            }
        }
        let mut c = 0;
        while c < channels {
            let n = S::F32_LANES.min(channels - c);
            let mut d = [[zero; IN]; IN];
            for i in 0..IN {
                for j in 0..IN {
                    if let Some(pixel) = pixels[i * IN + j] {
                        d[i][j] = load(simd, &pixel[c..c + n]);
                    }
                }
            }
            let mut t = [[zero; IN]; IN];
            for j in 0..IN {
                let column = input_transform(simd, [d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]]);
                for i in 0..IN {
                    t[i][j] = column[i];
                }
            }
            for i in 0..IN {
                let row = input_transform(simd, t[i]);
                for j in 0..IN {
                    store(simd, &mut self.rows[i * IN + j][c..c + n], row[j]);
                }
            }
            c += n;
        }
    }
}

#[inline(always)]
fn fma<S: Simd>(simd: S, factor: f32, x: S::f32s, y: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y)
}

#[inline(always)]
fn mul<S: Simd>(simd: S, factor: f32, x: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(factor), x)
}

/// A tile's rows or columns times the matrix whose row for a point is the polynomial that vanishes at all others.
#[inline(always)]
fn input_transform<S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5]: [S::f32s; IN]) -> [S::f32s; IN] {
    let even_a = fma(simd, -2.0, d2, d4);
    let odd_a = fma(simd, -2.0, d1, d3);
    let even_b = fma(simd, -0.5, d2, d4);
    let odd_b = fma(simd, -0.5, d1, d3);
    [
        fma(simd, -2.5, d2, simd.add_f32s(d0, d4)),
        fma(simd, A, odd_a, even_a),
        fma(simd, -A, odd_a, even_a),
        fma(simd, B, odd_b, even_b),
        fma(simd, -B, odd_b, even_b),
        fma(simd, -2.5, d3, simd.add_f32s(d1, d5)),
    ]
}

/// A filter's rows or columns, evaluated at the points, divided by what the input's polynomials are there.
#[inline(always)]
fn filter_transform<S: Simd>(simd: S, [g0, g1, g2]: [S::f32s; 3]) -> [S::f32s; IN] {
    let even_a = mul(simd, -2.0 / 3.0, fma(simd, 0.5, g2, g0));
    let even_b = mul(simd, 1.0 / 6.0, fma(simd, 2.0, g2, g0));
    [
        g0,
        fma(simd, -2.0 / 3.0 * A, g1, even_a),
        fma(simd, 2.0 / 3.0 * A, g1, even_a),
        fma(simd, B / 6.0, g1, even_b),
        fma(simd, -B / 6.0, g1, even_b),
        g2,
    ]
}

/// From the values at the points to the four results.
#[inline(always)]
fn output_transform<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5]: [S::f32s; IN]) -> [S::f32s; OUT] {
    let (even_a, odd_a) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
    let (even_b, odd_b) = (simd.add_f32s(m3, m4), simd.sub_f32s(m3, m4));
    [
        simd.add_f32s(m0, simd.add_f32s(even_a, even_b)),
        fma(simd, A, odd_a, mul(simd, B, odd_b)),
        fma(simd, 0.5, even_a, mul(simd, 2.0, even_b)),
        fma(simd, A / 2.0, odd_a, fma(simd, 2.0 * B, odd_b, m5)),
    ]
}

/// A panel of output channels for a block of tiles.
struct Task<'a> {
    layer: &'a Layer<'a>,
    block: &'a Block,
    /// The transformed tiles.
    input: &'a [f32],
    /// The first output channel.
    first: usize,
    /// The panel's part of each pixel of the block.
    pixels: Vec<&'a mut [f32]>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let left = self.layer.filters.shape[0] - self.first;
        match left.div_ceil(S::F32_LANES) {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            _ => self.run::<S, PANEL>(simd),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(mut self, simd: S) {
        let channels = self.layer.channels;
        let tiles = self.block.tiles.next_multiple_of(ROWS);
        let width = N * S::F32_LANES;
        let mut sums = Aligned::new(POINTS * tiles * width);
        let mut filters = Aligned::new(POINTS * DEPTH * width);
        for start in (0..channels).step_by(DEPTH) {
            let depth = DEPTH.min(channels - start);
            self.transform_filters::<S, N>(simd, start, depth, &mut filters);
            let (filters, _) = pulp::as_arrays::<N, _>(S::as_simd_f32s(&filters).0);
            let (sums, _) = pulp::as_arrays_mut::<N, _>(S::as_mut_simd_f32s(&mut sums).0);
            for point in 0..POINTS {
                let plane = &self.input[point * tiles * channels..][..tiles * channels];
                let right = &filters[point * DEPTH..][..depth];
                let sums = &mut sums[point * tiles..][..tiles];
                for (tiles, sums) in plane.chunks_exact(ROWS * channels).zip(sums.chunks_exact_mut(ROWS)) {
                    let rows = std::array::from_fn(|i| &tiles[i * channels + start..][..depth]);
                    multiply::<S, N>(simd, &rows, right, sums);
                }
            }
        }
        self.transform_output::<S, N>(simd, &sums, tiles);
    }

    /// `[point][channel of this stretch][output channel of this panel]`
    #[inline(always)]
    fn transform_filters<S: Simd, const N: usize>(&self, simd: S, start: usize, depth: usize, to: &mut [f32]) {
        let Filters { data, shape, strides } = self.layer.filters;
        let zero = simd.splat_f32s(0.0);
        let (to, _) = pulp::as_arrays_mut::<N, _>(S::as_mut_simd_f32s(to).0);
        for c in 0..depth {
            for n in 0..N {
                let first = self.first + n * S::F32_LANES;
                let count = S::F32_LANES.min(shape[0] - first);
                let from = &data[first * strides[0] + (start + c) * strides[1]..];
                let mut g = [[zero; 3]; 3];
                for (i, g) in g.iter_mut().enumerate() {
                    for (j, g) in g.iter_mut().enumerate() {
                        let from = &from[i * strides[2] + j * strides[3]..];
                        if strides[0] == 1 {
                            *g = load(simd, &from[..count]);
                        } else {
                            let lanes: &mut [f32] = bytemuck::cast_slice_mut(std::slice::from_mut(g));
                            for (o, lane) in lanes[..count].iter_mut().enumerate() {
                                *lane = from[o * strides[0]];
                            }
                        }
                    }
                }
                let mut t = [[zero; 3]; IN];
                for j in 0..3 {
                    let column = filter_transform(simd, [g[0][j], g[1][j], g[2][j]]);
                    for i in 0..IN {
                        t[i][j] = column[i];
                    }
                }
                for i in 0..IN {
                    let row = filter_transform(simd, t[i]);
                    for j in 0..IN {
                        to[(i * IN + j) * DEPTH + c][n] = row[j];
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn transform_output<S: Simd, const N: usize>(&mut self, simd: S, sums: &[f32], tiles: usize) {
        let &Layer { height, width, down, across, bias, addend, filters, .. } = self.layer;
        let outs = filters.shape[0];
        let zero = simd.splat_f32s(0.0);
        let (sums, _) = pulp::as_arrays::<N, _>(S::as_simd_f32s(sums).0);
        for tile in 0..self.block.tiles {
            let (line, column) = (self.block.first_line + tile / across, tile % across * OUT);
            let (picture, row) = (line / down, line % down * OUT);
            for n in 0..N {
                let first = self.first + n * S::F32_LANES;
                let count = S::F32_LANES.min(outs - first);
                let mut t = [[zero; IN]; OUT];
                for j in 0..IN {
                    let mut m = [zero; IN];
                    for (i, m) in m.iter_mut().enumerate() {
                        *m = sums[(i * IN + j) * tiles + tile][n];
                    }
                    let values = output_transform(simd, m);
                    for i in 0..OUT {
                        t[i][j] = values[i];
                    }
                }
                let mut base = match bias {
                    Some(bias) => load(simd, &bias[first..first + count]),
                    None => zero,
                };
                if let Addend::PerPicture { values, .. } = addend {
                    base = simd.add_f32s(base, load(simd, &values[picture * outs + first..][..count]));
                }
                for i in 0..OUT.min(height - row) {
                    let values = output_transform(simd, t[i]);
                    for j in 0..OUT.min(width - column) {
                        let pixel = (picture * height + row + i) * width + column + j;
                        let mut value = simd.add_f32s(values[j], base);
                        if let Addend::PerRow(values) = addend {
                            value = simd.add_f32s(value, load(simd, &values[pixel * outs + first..][..count]));
                        }
                        let here = &mut self.pixels[pixel - self.block.first_row * width];
                        store(simd, &mut here[n * S::F32_LANES..][..count], value);
                    }
                }
            }
        }
    }
}
