//! What is done to each number by itself, and what only moves them.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{calculate_cube_count_elemwise, client::Client};

use super::{element, empty, picture, pixels, rows, tensor, vector};

/// Threads of a cube.
const UNITS: usize = 64;

fn cubes(client: &Client, threads: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS as u32);
    (calculate_cube_count_elemwise(client, threads, dim), dim)
}

#[cube(launch_unchecked)]
fn geglu_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    threads: usize,
    depth: usize,
    #[define(E)] _dtype: ElemType,
) {
    let thread = ABSOLUTE_POS;
    if thread >= threads {
        terminate!();
    }
    let at = thread / depth * 2 * depth + thread % depth;
    let value = Vector::<f32, N>::cast_from(x[at]);
    let gate = Vector::<f32, N>::cast_from(x[at + depth]);
    let share = (gate * Vector::new(0.70710677f32)).erf() + Vector::new(1.0f32);
    out[thread] = Vector::cast_from(value * gate * share * Vector::new(0.5f32));
}

/// `[rows, 2 n]` to `[rows, n]`: the first half, times the GELU of the second; `None` if it is not for here.
#[expect(unsafe_code, reason = "a launch without bounds checks, whose bounds are checked here")]
pub(in crate::kernel) fn geglu(x: &Tensor<2>) -> Option<Tensor<2>> {
    let [count, width] = x.dims();
    let half = width / 2;
    let x = rows(x)?;
    let dtype = element(x.dtype)?;
    let wide = vector(half);
    let threads = count * half / wide;
    if threads == 0 {
        return None;
    }
    let out = empty(&x, count * half);
    let (count_of_cubes, dim) = cubes(&x.client, threads);
    // SAFETY: threads beyond the result end at once, and the others stay within their row.
    unsafe {
        geglu_kernel::launch_unchecked(
            &x.client.clone(),
            count_of_cubes,
            dim,
            wide,
            x.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            threads,
            half / wide,
            dtype,
        );
    }
    Some(tensor(out, [count, half]))
}

#[cube(launch_unchecked)]
fn concat_kernel<E: Float, N: Size>(
    a: &[Vector<E, N>],
    b: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    threads: usize,
    first: usize,
    second: usize,
    #[define(E)] _dtype: ElemType,
) {
    let thread = ABSOLUTE_POS;
    if thread >= threads {
        terminate!();
    }
    let row = thread / (first + second);
    let column = thread % (first + second);
    if column < first {
        out[thread] = a[row * first + column];
    } else {
        out[thread] = b[row * second + column - first];
    }
}

/// As [`super::super::concat_channels`]; `None` if it is not for here.
#[expect(unsafe_code, reason = "a launch without bounds checks, whose bounds are checked here")]
pub(in crate::kernel) fn concat_channels(a: &Tensor<4>, b: &Tensor<4>) -> Option<Tensor<4>> {
    let [batch, first, height, width] = a.dims();
    let second = b.dims()[1];
    let (a, b) = (pixels(a)?, pixels(b)?);
    let dtype = element(a.dtype)?;
    let wide = vector(first).min(vector(second));
    let threads = batch * height * width * (first + second) / wide;
    if threads == 0 || a.dtype != b.dtype {
        return None;
    }
    let out = empty(&a, threads * wide);
    let (count, dim) = cubes(&a.client, threads);
    // SAFETY: threads beyond the result end at once, and each of the others copies what one of the inputs has.
    unsafe {
        concat_kernel::launch_unchecked(
            &a.client.clone(),
            count,
            dim,
            wide,
            a.into_buffer_arg(),
            b.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            threads,
            first / wide,
            second / wide,
            dtype,
        );
    }
    Some(picture(out, [batch, first + second, height, width]))
}
