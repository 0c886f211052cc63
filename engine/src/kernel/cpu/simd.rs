//! Vector arithmetic that the kernels share.

use pulp::{Simd, WithSimd};

/// Runs `op` with the widest vectors that this processor has. All that it calls must be `#[inline(always)]`: what is
/// not inlined is compiled without those instructions.
#[inline(always)]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return Simd::vectorize(simd, op);
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return Simd::vectorize(simd, op);
        }
    }
    pulp::Arch::new().dispatch(op)
}

/// How many f32 a vector of [`dispatch`] holds.
pub(crate) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    dispatch(Lanes)
}

/// 2^x with a relative error below 3e-7, for x up to 127; below -126 the result is 2^-126. NaN stays NaN.
///
/// x is split into the nearest integer n, which goes into the exponent's bits, and a rest in [-1/2, 1/2], of which a
/// polynomial (degree 5, least relative error) gives 2^rest.
#[inline(always)]
pub(crate) fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // adding 1.5 * 2^23 leaves no bits for a fraction: the sum is rounded to an integer, held in the low mantissa bits
    let shift = simd.splat_f32s(12_582_912.0);
    // of two operands, one a NaN, `max` gives the second
    let x = simd.max_f32s(simd.splat_f32s(-126.0), x);
    let shifted = simd.add_f32s(x, shift);
    let rest = simd.sub_f32s(x, simd.sub_f32s(shifted, shift));
    let mut p = simd.splat_f32s(0.001_327_647_1);
    for c in [0.009_675_542, 0.055_507_13, 0.240_221_2, 0.693_146_94, 1.0] {
        p = simd.mul_add_e_f32s(p, rest, simd.splat_f32s(c));
    }
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), exponent))
}

/// e^x.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // beyond 2^127 the exponent's bits would run over
    let x = simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E));
    exp2(simd, simd.min_f32s(simd.splat_f32s(127.0), x))
}

/// `x / (1 + e^(-factor x))`: SiLU with factor 1, CLIP's quick GELU with 1.702.
#[inline(always)]
pub(crate) fn swish<S: Simd>(simd: S, x: S::f32s, factor: f32) -> S::f32s {
    let e = exp(simd, simd.mul_f32s(x, simd.splat_f32s(-factor)));
    simd.div_f32s(x, simd.add_f32s(simd.splat_f32s(1.0), e))
}

/// The Gaussian error linear unit, `x Phi(x) = max(x, 0) - |x| erfc(|x| / sqrt(2)) / 2`.
///
/// erfc by formula 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions": off by 1.5e-7 at most.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let abs = simd.abs_f32s(x);
    let z = simd.mul_f32s(abs, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    let one = simd.splat_f32s(1.0);
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(z, simd.splat_f32s(0.327_591_1), one));
    let mut p = simd.splat_f32s(1.061_405_4);
    for c in [-1.453_152_1, 1.421_413_8, -0.284_496_73, 0.254_829_6] {
        p = simd.mul_add_e_f32s(p, t, simd.splat_f32s(c));
    }
    let e = exp2(simd, simd.mul_f32s(simd.mul_f32s(z, z), simd.splat_f32s(-std::f32::consts::LOG2_E)));
    let erfc = simd.mul_f32s(simd.mul_f32s(p, t), e);
    let half = simd.mul_f32s(simd.splat_f32s(0.5), abs);
    simd.sub_f32s(simd.max_f32s(simd.splat_f32s(0.0), x), simd.mul_f32s(half, erfc))
}

/// A vector from the beginning of `from`; lanes beyond its end are zero.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    match S::as_simd_f32s(from).0.first() {
        Some(&v) => v,
        None => simd.partial_load_f32s(from),
    }
}

/// A vector to the beginning of `to`; lanes beyond its end are lost.
#[inline(always)]
pub(crate) fn store<S: Simd>(simd: S, to: &mut [f32], v: S::f32s) {
    match S::as_mut_simd_f32s(to).0.first_mut() {
        Some(slot) => *slot = v,
        None => simd.partial_store_f32s(to, v),
    }
}

/// Rows that [`multiply`] works on.
pub(crate) const ROWS: usize = 8;

/// Adds a matrix product to 8 rows of sums: row i gains the sum over k of `left[i][k] * right[k]`. All of `left` are at
/// least as long as `right`.
#[inline(always)]
pub(crate) fn multiply<S: Simd, const N: usize>(
    simd: S,
    left: &[&[f32]; ROWS],
    right: &[[S::f32s; N]],
    sums: &mut [[S::f32s; N]],
) {
    if ROWS * N + N < S::REGISTER_COUNT {
        multiply_some::<S, N, 0, ROWS>(simd, left, right, sums);
    } else {
        // 16 registers: half of the rows at a time
        multiply_some::<S, N, 0, 4>(simd, left, right, sums);
        multiply_some::<S, N, 4, 4>(simd, left, right, sums);
    }
}

#[inline(always)]
fn multiply_some<S: Simd, const N: usize, const FIRST: usize, const COUNT: usize>(
    simd: S,
    left: &[&[f32]; ROWS],
    right: &[[S::f32s; N]],
    sums: &mut [[S::f32s; N]],
) {
    let sums = &mut sums[FIRST..FIRST + COUNT];
    let mut rows = [&[][..]; COUNT];
    for (row, left) in rows.iter_mut().zip(&left[FIRST..]) {
        *row = &left[..right.len()];
    }
    let mut acc = [[simd.splat_f32s(0.0); N]; COUNT];
    acc.copy_from_slice(sums);
    for (k, right) in right.iter().enumerate() {
        for i in 0..COUNT {
            let factor = simd.splat_f32s(rows[i][k]);
            for n in 0..N {
                acc[i][n] = simd.mul_add_e_f32s(factor, right[n], acc[i][n]);
            }
        }
    }
    sums.copy_from_slice(&acc);
}

/// Scratch memory that begins at a cache line: a vector load that straddles two lines costs twice.
pub(crate) struct Aligned {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

/// The longest cache line in use, in f32.
const LINE: usize = 32;

impl Aligned {
    /// `len` zeros.
    pub(crate) fn new(len: usize) -> Self {
        let data = vec![0.0; len + LINE - 1];
        // `align_offset` may decline, with a number that cannot be used: then it stays unaligned
        let start = data.as_ptr().align_offset(LINE * size_of::<f32>());
        Self { start: if start < LINE { start } else { 0 }, data, len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[self.start..][..self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..][..self.len]
    }
}
