//! Element-wise operations in place, in parallel.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{dispatch, gelu, load, store, swish};

/// Elements that a thread takes at a time.
const STRETCH: usize = 1 << 14;

/// A function of one number.
#[derive(Clone, Copy)]
pub(crate) enum Unary {
    /// `x * sigmoid(factor * x)`
    Swish(f32),
    /// `x * Phi(x)`
    Gelu,
}

/// `x = f(x)`
pub(crate) fn unary(x: &mut [f32], f: Unary) {
    x.par_chunks_mut(STRETCH).for_each(|x| dispatch(One { x, f }));
}

/// `x += y`
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    x.par_chunks_mut(STRETCH).zip(y.par_chunks(STRETCH)).for_each(|(x, y)| dispatch(Sum { x, y }));
}

struct One<'a> {
    x: &'a mut [f32],
    f: Unary,
}

impl WithSimd for One<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for x in self.x.chunks_mut(S::F32_LANES) {
            let v = load(simd, x);
            let v = match self.f {
                Unary::Swish(factor) => swish(simd, v, factor),
                Unary::Gelu => gelu(simd, v),
            };
            store(simd, x, v);
        }
    }
}

struct Sum<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (x, y) in self.x.chunks_mut(S::F32_LANES).zip(self.y.chunks(S::F32_LANES)) {
            store(simd, x, simd.add_f32s(load(simd, x), load(simd, y)));
        }
    }
}
