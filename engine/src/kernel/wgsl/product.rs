//! Matrix products with what belongs to them: convolutions, linear maps, biases, residuals.
//!
//! One kernel does all. Each thread computes a tile of rows (pixels) by columns (output channels) in registers, and reads
//! what it needs four numbers at a time; neighbours share what they read through the caches. There is no shared memory
//! and so no barrier: on real GPUs that costs part of what their peak would allow, and gains that small products fill
//! them; where the processor poses as a GPU, a barrier costs more than the arithmetic between two. Large products are
//! left to Burn's tiles ([`is_small`]).

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::{MOST_CUBES, element, empty, picture, pixels, rows, tensor, vector};

/// Results (rows by columns) up to which this kernel is used. With twice as many, Burn's tiles of 64 by 64 make 256 cubes:
/// enough to fill a GPU.
const MOST_RESULTS: usize = 1 << 19;

/// Columns up to which it is used whatever the rows: of a tile of Burn's at least half would be empty.
const MOST_COLUMNS: usize = 32;

/// Rows of a thread's tile; half as many where there are few threads anyway.
const ROWS: usize = 8;

/// Threads from which tiles have all their rows.
const FEW_THREADS: usize = 256;

/// Threads of a cube.
const UNITS: usize = 64;

/// Whether a product of this size is better done here than by Burn.
fn is_small(rows: usize, columns: usize) -> bool {
    columns <= MOST_COLUMNS || rows * columns <= MOST_RESULTS
}

/// What is added to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Addend {
    /// Nothing.
    None,
    /// A number per row and column.
    Full,
    /// A number per picture and column.
    Pictures,
    /// A number per column.
    Columns,
}

/// Where the rows come from. A linear map sees pictures of a single pixel.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Geometry {
    /// Rows of the result: pixels of all pictures.
    rows: usize,
    /// Vectors of columns of the result.
    columns: usize,
    /// Vectors per pixel of the input.
    depth: usize,
    height: usize,
    width: usize,
    out_height: usize,
    out_width: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// `sums += x[from..] * weight[at..]^T`, over `depth` vectors.
#[cube]
fn accumulate<E: Float, N: Size>(
    x: &[Vector<E, N>],
    weight: &[Vector<E, N>],
    from: &Array<usize>,
    inside: &Array<f32>,
    at: usize,
    stride: usize,
    depth: usize,
    sums: &mut Array<f32>,
    #[comptime] rows: usize,
    #[comptime] columns: usize,
    #[comptime] is_windowed: bool,
) {
    for k in 0..depth {
        let mut filters = Array::<Vector<f32, N>>::new(columns);
        #[unroll]
        for j in 0..columns {
            filters[j] = Vector::cast_from(weight[at + j * stride + k]);
        }
        #[unroll]
        for i in 0..rows {
            let mut value = Vector::<f32, N>::cast_from(x[from[i] + k]);
            if is_windowed {
                value *= Vector::new(inside[i]);
            }
            #[unroll]
            for j in 0..columns {
                sums[i * columns + j] += value.dot(filters[j]);
            }
        }
    }
}

#[cube(launch_unchecked)]
fn product_kernel<E: Float, N: Size, M: Size>(
    x: &[Vector<E, N>],
    weight: &[Vector<E, N>],
    bias: &[Vector<E, M>],
    addend: &[Vector<E, M>],
    out: &mut [Vector<E, M>],
    geometry: Geometry,
    #[comptime] tile: usize,
    #[comptime] columns: usize,
    #[comptime] is_windowed: bool,
    #[comptime] has_bias: bool,
    #[comptime] added: Addend,
    #[define(E)] _dtype: ElemType,
) {
    let column = ABSOLUTE_POS_X as usize;
    let first = ABSOLUTE_POS_Y as usize * tile;
    if column >= geometry.columns || first >= geometry.rows {
        terminate!();
    }
    let area = geometry.out_height * geometry.out_width;
    let mut sums = Array::<f32>::new(comptime!(tile * columns));
    #[unroll]
    for i in 0..comptime!(tile * columns) {
        sums[i] = 0.0;
    }
    let mut from = Array::<usize>::new(tile);
    let mut inside = Array::<f32>::new(tile);
    if is_windowed {
        let mut top = Array::<usize>::new(tile);
        let mut left = Array::<usize>::new(tile);
        let mut start = Array::<usize>::new(tile);
        #[unroll]
        for i in 0..tile {
            // A row that does not exist computes what the last one does, and is not written.
            let row = min(first + i, geometry.rows - 1);
            let place = row % area;
            top[i] = place / geometry.out_width * geometry.stride;
            left[i] = place % geometry.out_width * geometry.stride;
            start[i] = row / area * geometry.height * geometry.width;
        }
        let taps = geometry.kernel * geometry.kernel;
        for tap in 0..taps {
            let down = tap / geometry.kernel;
            let right = tap % geometry.kernel;
            #[unroll]
            for i in 0..tile {
                let y = top[i] + down;
                let x = left[i] + right;
                let is_inside = y >= geometry.padding
                    && y < geometry.height + geometry.padding
                    && x >= geometry.padding
                    && x < geometry.width + geometry.padding;
                let pixel = (y - geometry.padding) * geometry.width + (x - geometry.padding);
                from[i] = (start[i] + select(is_inside, pixel, 0usize)) * geometry.depth;
                inside[i] = select(is_inside, 1.0f32, 0.0f32);
            }
            let at = (column * columns * taps + tap) * geometry.depth;
            accumulate::<E, N>(
                x,
                weight,
                &from,
                &inside,
                at,
                taps * geometry.depth,
                geometry.depth,
                &mut sums,
                tile,
                columns,
                is_windowed,
            );
        }
    } else {
        #[unroll]
        for i in 0..tile {
            from[i] = min(first + i, geometry.rows - 1) * geometry.depth;
        }
        let at = column * columns * geometry.depth;
        let depth = geometry.depth;
        accumulate::<E, N>(x, weight, &from, &inside, at, depth, depth, &mut sums, tile, columns, is_windowed);
    }
    #[unroll]
    for i in 0..tile {
        let row = first + i;
        if row < geometry.rows {
            let mut sum = Vector::<f32, M>::new(0.0f32);
            #[unroll]
            for j in 0..columns {
                sum.insert(j, sums[i * columns + j]);
            }
            if has_bias {
                sum += Vector::cast_from(bias[column]);
            }
            match comptime!(added) {
                Addend::None => {}
                Addend::Full => sum += Vector::cast_from(addend[row * geometry.columns + column]),
                Addend::Pictures => sum += Vector::cast_from(addend[row / area * geometry.columns + column]),
                Addend::Columns => sum += Vector::cast_from(addend[column]),
            }
            out[row * geometry.columns + column] = Vector::cast_from(sum);
        }
    }
}

/// What a product is made of.
struct Product {
    x: CubeTensor,
    weight: CubeTensor,
    bias: Option<CubeTensor>,
    addend: Option<(CubeTensor, Addend)>,
    /// Rows of the result.
    rows: usize,
    /// Columns of the result.
    columns: usize,
    /// Numbers per pixel of the input.
    depth: usize,
    window: Option<Window>,
}

/// The window of a convolution.
struct Window {
    size: [usize; 2],
    out: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Product {
    #[expect(unsafe_code, reason = "a launch without bounds checks, whose bounds are checked here")]
    fn launch(self) -> Option<CubeTensor> {
        let Self { x, weight, bias, addend, rows, columns, depth, window } = self;
        let dtype = element(x.dtype)?;
        let is_alike = |other: &CubeTensor| other.dtype == x.dtype;
        let all_alike = bias.as_ref().is_none_or(is_alike) && addend.as_ref().is_none_or(|(addend, _)| is_alike(addend));
        if rows * columns * depth == 0 || !is_alike(&weight) || !all_alike {
            return None;
        }
        let (wide, side) = (vector(depth), vector(columns));
        let across = columns / side;
        let tile = if rows.div_ceil(ROWS) * across < FEW_THREADS { ROWS / 2 } else { ROWS };
        // Few threads make smaller cubes, so that there are some of them; neighbours differ in rows and in columns.
        let units = if rows.div_ceil(tile) * across < 4 * FEW_THREADS { UNITS / 2 } else { UNITS };
        let units_across = [8, 4, 2].into_iter().find(|units| across.is_multiple_of(*units)).unwrap_or(1);
        let units_down = units / units_across;
        let (cubes_across, cubes_down) = (across.div_ceil(units_across), rows.div_ceil(tile).div_ceil(units_down));
        if cubes_across > MOST_CUBES || cubes_down > MOST_CUBES {
            return None;
        }
        let plain = Window { size: [1, 1], out: [1, 1], kernel: 1, stride: 1, padding: 0 };
        let (is_windowed, window) = (window.is_some(), window.unwrap_or(plain));
        let out = empty(&x, rows * columns);
        let (has_bias, added) = (bias.is_some(), addend.as_ref().map_or(Addend::None, |(_, added)| *added));
        let client = x.client.clone();
        // SAFETY: every thread reads and writes within the shapes that the callers below have given: rows are held to the
        // last one, columns are checked, and a pixel outside of the picture is read as its first.
        unsafe {
            product_kernel::launch_unchecked(
                &client,
                CubeCount::Static(cubes_across as u32, cubes_down as u32, 1),
                CubeDim::new_2d(units_across as u32, units_down as u32),
                wide,
                side,
                x.into_buffer_arg(),
                weight.clone().into_buffer_arg(),
                // Where there is none, something is bound that is not read.
                bias.unwrap_or_else(|| weight.clone()).into_buffer_arg(),
                addend.map_or(weight, |(addend, _)| addend).into_buffer_arg(),
                out.clone().into_buffer_arg(),
                GeometryLaunch::new(
                    rows,
                    across,
                    depth / wide,
                    window.size[0],
                    window.size[1],
                    window.out[0],
                    window.out[1],
                    window.kernel,
                    window.stride,
                    window.padding,
                ),
                tile,
                side,
                is_windowed,
                has_bias,
                added,
                dtype,
            );
        }
        Some(out)
    }
}

fn optional<const D: usize>(x: Option<&Tensor<D>>) -> Option<Option<CubeTensor>> {
    x.map_or(Some(None), |x| rows(x).map(Some))
}

/// `x W^T + b + addend`, as [`super::super::linear`]; `None` if it is not for here.
pub(in crate::kernel) fn linear(
    x: &Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    addend: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let ([count, depth], [columns, _]) = (x.dims(), weight.dims());
    if !is_small(count, columns) {
        return None;
    }
    let addend = optional(addend)?.map(|addend| (addend, Addend::Full));
    let (x, weight, bias) = (rows(x)?, rows(weight)?, optional(bias)?);
    let out = Product { x, weight, bias, addend, rows: count, columns, depth, window: None }.launch()?;
    Some(tensor(out, [count, columns]))
}

/// As [`super::super::pixels_to_tokens`]; `None` if it is not for here.
pub(in crate::kernel) fn pixels_to_tokens(x: &Tensor<4>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Option<Tensor<3>> {
    let ([batch, depth, height, width], [columns, _]) = (x.dims(), weight.dims());
    let count = batch * height * width;
    if !is_small(count, columns) {
        return None;
    }
    let (x, weight, bias) = (pixels(x)?, rows(weight)?, optional(bias)?);
    let out = Product { x, weight, bias, addend: None, rows: count, columns, depth, window: None }.launch()?;
    Some(tensor(out, [batch, height * width, columns]))
}

/// As [`super::super::tokens_to_pixels`]; `None` if it is not for here.
pub(in crate::kernel) fn tokens_to_pixels(
    x: &Tensor<3>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    [height, width]: [usize; 2],
    addend: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    let ([batch, tokens, depth], [columns, _]) = (x.dims(), weight.dims());
    if !is_small(batch * tokens, columns) {
        return None;
    }
    let addend = match addend {
        Some(addend) => Some((pixels(addend)?, Addend::Full)),
        None => None,
    };
    let (x, weight, bias) = (rows(x)?, rows(weight)?, optional(bias)?);
    let out = Product { x, weight, bias, addend, rows: batch * tokens, columns, depth, window: None }.launch()?;
    Some(picture(out, [batch, columns, height, width]))
}

/// As [`super::super::conv2d`]; `None` if it is not for here.
pub(in crate::kernel) fn conv2d(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    stride: usize,
    padding: usize,
    addend: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    let ([batch, depth, height, width], [columns, _, kernel, _]) = (x.dims(), weight.dims());
    let [out_height, out_width] = [height, width].map(|size| (size + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1));
    let (out_height, out_width) = (out_height?, out_width?);
    let count = batch * out_height * out_width;
    if !is_small(count, columns) {
        return None;
    }
    let addend = match addend {
        Some(addend) => {
            let added = match addend.dims() {
                [_, _, 1, 1] if out_height * out_width > 1 && addend.dims()[0] == batch => Addend::Pictures,
                [1, _, 1, 1] if count > 1 => Addend::Columns,
                _ => Addend::Full,
            };
            Some((pixels(addend)?, added))
        }
        None => None,
    };
    let is_plain = kernel == 1 && stride == 1 && padding == 0;
    let window = Window { size: [height, width], out: [out_height, out_width], kernel, stride, padding };
    // A single pixel per picture is what the kernel's geometry says of linear maps: `area` must be right for addends.
    let is_windowed = !is_plain || addend.as_ref().is_some_and(|(_, added)| *added == Addend::Pictures);
    let (x, weight, bias) = (pixels(x)?, pixels(weight)?, optional(bias)?);
    let window = is_windowed.then_some(window);
    let out = Product { x, weight, bias, addend, rows: count, columns, depth, window }.launch()?;
    Some(picture(out, [batch, columns, out_height, out_width]))
}
