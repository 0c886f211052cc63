//! Norms: one pass for the statistics, one for the result, in one kernel.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::Then;
use super::{MOST_CUBES, element, empty, picture, pixels, rows, tensor, vector};

/// Threads of a cube.
const UNITS: usize = 64;

/// Threads of a cube that normalises a large group.
const MANY_UNITS: usize = 256;

/// Numbers of a group from which it is large.
const LARGE_GROUP: usize = 1 << 14;

/// The sums of the vectors' parts.
#[cube]
fn total<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut sum = 0.0f32;
    #[unroll]
    for i in 0..N::value() {
        sum += vector.extract(i);
    }
    sum
}

/// Mean and inverse deviation from the sums of what `shared` holds: for each of `count` threads from `first` on a sum and
/// a sum of squares, of numbers from which `shift` has been taken.
#[cube]
fn moments(shared: &[f32], first: usize, count: usize, shift: f32, size: usize, epsilon: f32) -> (f32, f32) {
    let mut sum = 0.0f32;
    let mut squares = 0.0f32;
    for i in 0..count {
        sum += shared[2 * (first + i)];
        squares += shared[2 * (first + i) + 1];
    }
    let size = f32::cast_from(size);
    let mean = sum / size;
    let variance = max(squares / size - mean * mean, 0.0f32);
    (shift + mean, 1.0f32 / (variance + epsilon).sqrt())
}

/// One cube per picture and group.
#[cube(launch_unchecked)]
fn group_norm_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    weight: &[Vector<E, N>],
    bias: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    area: usize,
    depth: usize,
    groups: usize,
    epsilon: f32,
    #[comptime] units: usize,
    #[comptime] has_silu: bool,
    #[define(E)] _dtype: ElemType,
) {
    let unit = UNIT_POS as usize;
    let group = CUBE_POS_X as usize % groups;
    let width = depth / groups;
    let channel = group * width;
    let start = CUBE_POS_X as usize / groups * area * depth + channel;
    // Numbers far from zero lose less to rounding when one of them is taken from all.
    let shift = f32::cast_from(x[start].extract(0usize));
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    for pixel in range_stepped(unit, area, units) {
        for i in 0..width {
            let value = Vector::<f32, N>::cast_from(x[start + pixel * depth + i]) - Vector::new(shift);
            sum += value;
            squares += value * value;
        }
    }
    let mut shared = Shared::<[f32]>::new_slice(comptime!(2 * units));
    shared[2 * unit] = total::<N>(sum);
    shared[2 * unit + 1] = total::<N>(squares);
    sync_cube();
    let (mean, scale) = moments(&shared, 0usize, units, shift, area * width * N::value(), epsilon);
    for pixel in range_stepped(unit, area, units) {
        for i in 0..width {
            let at = start + pixel * depth + i;
            let normal = (Vector::<f32, N>::cast_from(x[at]) - Vector::new(mean)) * Vector::new(scale);
            let mut value =
                normal * Vector::<f32, N>::cast_from(weight[channel + i]) + Vector::<f32, N>::cast_from(bias[channel + i]);
            if has_silu {
                value = value / (Vector::new(1.0f32) + (-value).exp());
            }
            out[at] = Vector::cast_from(value);
        }
    }
}

/// Some threads per row, some rows per cube.
#[cube(launch_unchecked)]
fn layer_norm_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    weight: &[Vector<E, N>],
    bias: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    count: usize,
    depth: usize,
    epsilon: f32,
    #[comptime] together: usize,
    #[define(E)] _dtype: ElemType,
) {
    let unit = UNIT_POS_X as usize;
    let row = ABSOLUTE_POS_Y as usize;
    // All threads must reach the barrier: those without a row look at the last one, and write nothing.
    let start = min(row, count - 1) * depth;
    let shift = f32::cast_from(x[start].extract(0usize));
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    for i in range_stepped(unit, depth, together) {
        let value = Vector::<f32, N>::cast_from(x[start + i]) - Vector::new(shift);
        sum += value;
        squares += value * value;
    }
    let mut shared = Shared::<[f32]>::new_slice(comptime!(2 * UNITS));
    let place = UNIT_POS as usize;
    shared[2 * place] = total::<N>(sum);
    shared[2 * place + 1] = total::<N>(squares);
    sync_cube();
    let (mean, scale) = moments(&shared, place - unit, together, shift, depth * N::value(), epsilon);
    if row < count {
        for i in range_stepped(unit, depth, together) {
            let normal = (Vector::<f32, N>::cast_from(x[start + i]) - Vector::new(mean)) * Vector::new(scale);
            let value = normal * Vector::<f32, N>::cast_from(weight[i]) + Vector::<f32, N>::cast_from(bias[i]);
            out[start + i] = Vector::cast_from(value);
        }
    }
}

/// As [`super::super::group_norm`]; `None` if it is not for here.
#[expect(unsafe_code, reason = "a launch without bounds checks, whose bounds are checked here")]
pub(in crate::kernel) fn group_norm(
    x: &Tensor<4>,
    weight: &Tensor<1>,
    bias: &Tensor<1>,
    groups: usize,
    epsilon: f64,
    then: Then,
) -> Option<Tensor<4>> {
    let shape = x.dims();
    let [batch, channels, height, width] = shape;
    let (x, weight, bias) = (pixels(x)?, rows(weight)?, rows(bias)?);
    let dtype = element(x.dtype)?;
    let (area, per_group) = (height * width, channels / groups.max(1));
    let is_empty = [batch, area, per_group].contains(&0);
    if is_empty || batch * groups > MOST_CUBES || weight.dtype != x.dtype || bias.dtype != x.dtype {
        return None;
    }
    let wide = vector(per_group);
    let units = if area * per_group >= LARGE_GROUP { MANY_UNITS } else { UNITS };
    let out = empty(&x, batch * area * channels);
    // SAFETY: a cube reads and writes the pixels and channels of its own group and picture, of which there is one each.
    unsafe {
        group_norm_kernel::launch_unchecked(
            &x.client.clone(),
            CubeCount::Static((batch * groups) as u32, 1, 1),
            CubeDim::new_1d(units as u32),
            wide,
            x.into_buffer_arg(),
            weight.into_buffer_arg(),
            bias.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            area,
            channels / wide,
            groups,
            epsilon as f32,
            units,
            then == Then::Silu,
            dtype,
        );
    }
    Some(picture(out, shape))
}

/// As [`super::super::layer_norm`]; `None` if it is not for here.
#[expect(unsafe_code, reason = "a launch without bounds checks, whose bounds are checked here")]
pub(in crate::kernel) fn layer_norm<const D: usize>(
    x: &Tensor<D>,
    weight: &Tensor<1>,
    bias: &Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<D>> {
    let shape = x.dims();
    let size = *shape.last()?;
    let count = shape.iter().product::<usize>() / size.max(1);
    let (x, weight, bias) = (rows(x)?, rows(weight)?, rows(bias)?);
    let dtype = element(x.dtype)?;
    let wide = vector(size);
    // As many threads per row as have four vectors each, or a few more.
    let together = (size / wide / 4).next_power_of_two().clamp(4, 32);
    let cubes = count.div_ceil(UNITS / together);
    if [size, count].contains(&0) || cubes > MOST_CUBES || weight.dtype != x.dtype || bias.dtype != x.dtype {
        return None;
    }
    let out = empty(&x, count * size);
    // SAFETY: rows are held to the last one, and a thread stays within its row.
    unsafe {
        layer_norm_kernel::launch_unchecked(
            &x.client.clone(),
            CubeCount::Static(1, cubes as u32, 1),
            CubeDim::new_2d(together as u32, (UNITS / together) as u32),
            wide,
            x.into_buffer_arg(),
            weight.into_buffer_arg(),
            bias.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            count,
            size / wide,
            epsilon as f32,
            together,
            dtype,
        );
    }
    Some(tensor(out, shape))
}
