//! Matrix products with what belongs to them: convolutions, linear maps, biases, residuals.
//!
//! One kernel does all. Each thread computes a tile of rows (pixels) by columns (output channels) in registers, and reads
//! what it needs four numbers at a time; neighbours share what they read through the caches. There is no shared memory
//! and so no barrier: on real GPUs that costs part of what their peak would allow, and gains that small products fill
//! them; where the processor poses as a GPU, a barrier costs more than the arithmetic between two. Large products are
//! left to Burn's tiles ([`is_small`]), for which a convolution writes its patches out.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::patches::patches;
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

/// The largest buffer of patches, in bytes: WebGPU's default limit on a storage binding.
const PATCH_BYTES: usize = 128 << 20;

/// Whether a product of this size is better done here than by Burn.
fn is_small(rows: usize, columns: usize) -> bool {
    columns <= MOST_COLUMNS || rows.saturating_mul(columns) <= MOST_RESULTS
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
    window: Windowed,
}

/// The window of a convolution, and the pictures that it moves over.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
pub(super) struct Windowed {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

/// Where the window of a row of the result begins: its row and column, counted from the padding's, and its picture's first
/// pixel.
#[cube]
pub(super) fn corner(row: usize, window: &Windowed) -> (usize, usize, usize) {
    let area = window.out_height * window.out_width;
    let place = row % area;
    let top = place / window.out_width * window.stride;
    let left = place % window.out_width * window.stride;
    (top, left, row / area * window.height * window.width)
}

/// The pixel there, and whether it is inside of the picture; if not, it is the picture's first.
#[cube]
pub(super) fn pixel(y: usize, x: usize, start: usize, window: &Windowed) -> (usize, bool) {
    let is_inside =
        y >= window.padding && y < window.height + window.padding && x >= window.padding && x < window.width + window.padding;
    let place = (y - window.padding) * window.width + (x - window.padding);
    (start + select(is_inside, place, 0usize), is_inside)
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
    let area = geometry.window.out_height * geometry.window.out_width;
    let mut sums = Array::<f32>::new(comptime!(tile * columns));
    #[unroll]
    for i in 0..comptime!(tile * columns) {
        sums[i] = 0.0;
    }
    let mut from = Array::<usize>::new(tile);
    let mut inside = Array::<f32>::new(tile);
    if is_windowed {
        let mut tops = Array::<usize>::new(tile);
        let mut lefts = Array::<usize>::new(tile);
        let mut starts = Array::<usize>::new(tile);
        #[unroll]
        for i in 0..tile {
            // A row that does not exist computes what the last one does, and is not written.
            let (top, left, start) = corner(min(first + i, geometry.rows - 1), &geometry.window);
            tops[i] = top;
            lefts[i] = left;
            starts[i] = start;
        }
        let kernel = geometry.window.kernel;
        let taps = kernel * kernel;
        for tap in 0..taps {
            let (down, right) = (tap / kernel, tap % kernel);
            #[unroll]
            for i in 0..tile {
                let (place, is_inside) = pixel(tops[i] + down, lefts[i] + right, starts[i], &geometry.window);
                from[i] = place * geometry.depth;
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

/// The window of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) size: [usize; 2],
    pub(super) out: [usize; 2],
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl Window {
    /// That of a linear map: each picture is a pixel.
    const PLAIN: Self = Self { size: [1, 1], out: [1, 1], kernel: 1, stride: 1, padding: 0 };

    /// Whether each pixel of the result sees only the one below it.
    fn is_plain(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.padding == 0
    }

    pub(super) fn launch(&self) -> WindowedLaunch {
        let Self { size, out, kernel, stride, padding } = *self;
        WindowedLaunch::new(size[0], size[1], out[0], out[1], kernel, stride, padding)
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
    window: Window,
}

impl Product {
    /// Memory with the rows of the result; `None` if the parts differ in type, or there is nothing to do.
    fn compute(self) -> Option<CubeTensor> {
        let is_alike = |other: &CubeTensor| other.dtype == self.x.dtype;
        let all_alike = is_alike(&self.weight)
            && self.bias.as_ref().is_none_or(is_alike)
            && self.addend.as_ref().is_none_or(|(addend, _)| is_alike(addend));
        // Each by itself: a product of all is 2^32 for a usual autoencoder, which is nothing where addresses have 32 bits.
        if [self.rows, self.columns, self.depth].contains(&0) || !all_alike {
            return None;
        }
        if is_small(self.rows, self.columns) { self.launch() } else { rows(&self.by_burn()?) }
    }

    /// By Burn's matrix product, for as many rows at a time as their patches fit a buffer.
    fn by_burn(self) -> Option<Tensor<2>> {
        let Self { x, weight, bias, addend, rows, columns, depth, window } = self;
        let size = window.kernel * window.kernel * depth;
        let weight = tensor(weight, [columns, size]).transpose();
        let mut y = if window.is_plain() {
            tensor(x, [rows, depth]).matmul(weight)
        } else {
            let band = (PATCH_BYTES / (size * x.dtype.size())).clamp(1, rows);
            let part = |first: usize| {
                let count = band.min(rows - first);
                let seen = patches(&x, first, count, depth, &window)?;
                Some(tensor(seen, [count, size]).matmul(weight.clone()))
            };
            let mut parts: Vec<_> = (0..rows).step_by(band).map(part).collect::<Option<_>>()?;
            if parts.len() == 1 { parts.pop()? } else { Tensor::cat(parts, 0) }
        };
        if let Some(bias) = bias {
            y = y + tensor(bias, [1, columns]);
        }
        let area = window.out[0] * window.out[1];
        Some(match addend {
            None | Some((_, Addend::None)) => y,
            Some((addend, Addend::Full)) => y + tensor(addend, [rows, columns]),
            Some((addend, Addend::Columns)) => y + tensor(addend, [1, columns]),
            Some((addend, Addend::Pictures)) => {
                let pictures = y.reshape([rows / area, area, columns]) + tensor(addend, [rows / area, 1, columns]);
                pictures.reshape([rows, columns])
            }
        })
    }

    #[expect(unsafe_code, reason = "a launch without bounds checks, whose bounds are checked here")]
    fn launch(self) -> Option<CubeTensor> {
        let Self { x, weight, bias, addend, rows, columns, depth, window } = self;
        let dtype = element(x.dtype)?;
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
                GeometryLaunch::new(rows, across, depth / wide, window.launch()),
                tile,
                side,
                !window.is_plain(),
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
    let addend = optional(addend)?.map(|addend| (addend, Addend::Full));
    let (x, weight, bias) = (rows(x)?, rows(weight)?, optional(bias)?);
    let out = Product { x, weight, bias, addend, rows: count, columns, depth, window: Window::PLAIN }.compute()?;
    Some(tensor(out, [count, columns]))
}

/// As [`super::super::pixels_to_tokens`]; `None` if it is not for here.
pub(in crate::kernel) fn pixels_to_tokens(x: &Tensor<4>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Option<Tensor<3>> {
    let ([batch, depth, height, width], [columns, _]) = (x.dims(), weight.dims());
    let count = batch * height * width;
    let (x, weight, bias) = (pixels(x)?, rows(weight)?, optional(bias)?);
    let out = Product { x, weight, bias, addend: None, rows: count, columns, depth, window: Window::PLAIN }.compute()?;
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
    let addend = match addend {
        Some(addend) => Some((pixels(addend)?, Addend::Full)),
        None => None,
    };
    let (x, weight, bias) = (rows(x)?, rows(weight)?, optional(bias)?);
    let out = Product { x, weight, bias, addend, rows: batch * tokens, columns, depth, window: Window::PLAIN }.compute()?;
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
    let room = |size: usize| (size + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1);
    let out = [room(height)?, room(width)?];
    let addend = match addend {
        Some(addend) => {
            let added = match addend.dims() {
                [pictures, _, 1, 1] if pictures == batch => Addend::Pictures,
                [1, _, 1, 1] => Addend::Columns,
                _ => Addend::Full,
            };
            Some((pixels(addend)?, added))
        }
        None => None,
    };
    let window = Window { size: [height, width], out, kernel, stride, padding };
    let (x, weight, bias) = (pixels(x)?, pixels(weight)?, optional(bias)?);
    let rows = batch * out[0] * out[1];
    let found = Product { x, weight, bias, addend, rows, columns, depth, window }.compute()?;
    Some(picture(found, [batch, columns, out[0], out[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where addresses have 32 bits, as in a browser, the first of these is 2^32 results.
    #[test]
    fn large_products_are_not_small() {
        assert!(!is_small(1 << (usize::BITS / 2), 1 << (usize::BITS / 2)));
        assert!(!is_small(512 * 512, 128));
        assert!(is_small(512 * 512, 4));
        assert!(is_small(64, 1280));
    }
}
