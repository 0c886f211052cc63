//! The patches that the filters of a convolution see, one per row of a matrix ("im2col"; Chellapilla et al. 2006), for
//! convolutions that are left to Burn's matrix product.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::product::{Window, Windowed, corner, pixel};
use super::{element, empty, vector};

/// Threads of a cube.
const UNITS: u32 = 64;

#[cube(launch_unchecked)]
fn patches_kernel<E: Float, N: Size>(
    x: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    threads: usize,
    first: usize,
    depth: usize,
    window: Windowed,
    #[define(E)] _dtype: ElemType,
) {
    let thread = ABSOLUTE_POS;
    if thread >= threads {
        terminate!();
    }
    let taps = window.kernel * window.kernel;
    let place = thread / depth;
    let tap = place % taps;
    let (top, left, start) = corner(first + place / taps, &window);
    let (from, is_inside) = pixel(top + tap / window.kernel, left + tap % window.kernel, start, &window);
    let zero = Vector::new(E::from_int(0));
    out[thread] = select(is_inside, x[from * depth + thread % depth], zero);
}

/// `count` patches from `first` on, each `[kernel, kernel, depth]`, of pictures with their channels last.
#[expect(unsafe_code, reason = "a launch without bounds checks, whose bounds are checked here")]
pub(super) fn patches(x: &CubeTensor, first: usize, count: usize, depth: usize, window: &Window) -> Option<CubeTensor> {
    let dtype = element(x.dtype)?;
    let wide = vector(depth);
    let size = count * window.kernel * window.kernel * depth;
    let out = empty(x, size);
    let dim = CubeDim::new_1d(UNITS);
    // SAFETY: threads beyond the result end at once; the others see pixels of the pictures, or their first.
    unsafe {
        patches_kernel::launch_unchecked(
            &x.client,
            calculate_cube_count_elemwise(&x.client, size / wide, dim),
            dim,
            wide,
            x.clone().into_buffer_arg(),
            out.clone().into_buffer_arg(),
            size / wide,
            first,
            depth / wide,
            window.launch(),
            dtype,
        );
    }
    Some(out)
}
