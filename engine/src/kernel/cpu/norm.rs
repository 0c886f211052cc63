//! Group and layer normalisation.
//!
//! Variances are sums of squared distances from a mean, not differences of large sums: each stretch of rows has its
//! own mean, and stretches are combined in f64 (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm
//! for computing sample variances").

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{Aligned, dispatch, load, store, swish};

/// Rows of a stretch: few enough to be in the cache when they are read a second time.
const STRETCH: usize = 32;

/// What follows a norm.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing.
    Nothing,
    /// `x * sigmoid(x)`.
    Silu,
}

/// A group norm's parameters.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    /// Per channel.
    pub weight: &'a [f32],
    /// Per channel.
    pub bias: &'a [f32],
    /// How many groups; it divides the channels.
    pub groups: usize,
    /// What keeps the division finite.
    pub epsilon: f64,
    /// What follows.
    pub then: Then,
}

/// How many numbers there were, their mean, and the sum of the squares of their distances from it.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn and(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let step = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + step * other.count / count,
            squares: self.squares + other.squares + step * step * self.count * other.count / count,
        }
    }
}

/// Group normalisation of `[batch, pixels, channels]`.
pub(crate) fn group_norm(x: &[f32], [batch, pixels, channels]: [usize; 3], norm: Group<'_>) -> Vec<f32> {
    let mut out = vec![0.0; batch * pixels * channels];
    if out.is_empty() {
        return out;
    }
    let per_group = channels / norm.groups;
    let picture = pixels * channels;
    let stretch = STRETCH * channels;
    out.par_chunks_exact_mut(picture).zip(x.par_chunks_exact(picture)).for_each(|(out, x)| {
        let moments = x
            .par_chunks(stretch)
            .map(|rows| {
                let mut moments = vec![Moments::default(); norm.groups];
                dispatch(Measure { rows, channels, moments: &mut moments });
                moments
            })
            .reduce_with(|a, b| a.iter().zip(&b).map(|(&a, &b)| a.and(b)).collect())
            .unwrap_or_default();
        let mut factors = vec![0.0; channels];
        let mut shifts = vec![0.0; channels];
        for (c, (factor, shift)) in factors.iter_mut().zip(&mut shifts).enumerate() {
            let moments = moments[c / per_group];
            let scale = f64::from(norm.weight[c]) / (moments.squares / moments.count + norm.epsilon).sqrt();
            *factor = scale as f32;
            *shift = (f64::from(norm.bias[c]) - moments.mean * scale) as f32;
        }
        out.par_chunks_mut(stretch).zip(x.par_chunks(stretch)).for_each(|(out, x)| {
            dispatch(Apply { out, x, factors: &factors, shifts: &shifts, then: norm.then });
        });
    });
    out
}

/// The moments of each group over some rows.
struct Measure<'a> {
    rows: &'a [f32],
    channels: usize,
    moments: &'a mut [Moments],
}

impl WithSimd for Measure<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let per_group = self.channels / self.moments.len();
        let count = (self.rows.len() / self.channels * per_group) as f64;
        let mut sums = Aligned::new(self.channels);
        for row in self.rows.chunks_exact(self.channels) {
            add_row(simd, &mut sums, row);
        }
        let mut means = Aligned::new(self.channels);
        let groups = sums.chunks_exact(per_group).zip(means.chunks_exact_mut(per_group));
        for ((sums, means), moments) in groups.zip(self.moments.iter_mut()) {
            let mean = sums.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
            means.fill(mean as f32);
            *moments = Moments { count, mean, squares: 0.0 };
        }
        sums.fill(0.0);
        for row in self.rows.chunks_exact(self.channels) {
            add_squares(simd, &mut sums, row, &means);
        }
        for (sums, moments) in sums.chunks_exact(per_group).zip(self.moments.iter_mut()) {
            moments.squares = sums.iter().map(|&x| f64::from(x)).sum();
        }
    }
}

#[inline(always)]
fn add_row<S: Simd>(simd: S, sums: &mut [f32], row: &[f32]) {
    let (sums, sums_end) = S::as_mut_simd_f32s(sums);
    let (row, row_end) = S::as_simd_f32s(row);
    for (sum, &x) in sums.iter_mut().zip(row) {
        *sum = simd.add_f32s(*sum, x);
    }
    for (sum, x) in sums_end.iter_mut().zip(row_end) {
        *sum += x;
    }
}

#[inline(always)]
fn add_squares<S: Simd>(simd: S, sums: &mut [f32], row: &[f32], means: &[f32]) {
    let (sums, sums_end) = S::as_mut_simd_f32s(sums);
    let (row, row_end) = S::as_simd_f32s(row);
    let (means, means_end) = S::as_simd_f32s(means);
    for ((sum, &x), &mean) in sums.iter_mut().zip(row).zip(means) {
        let distance = simd.sub_f32s(x, mean);
        *sum = simd.mul_add_e_f32s(distance, distance, *sum);
    }
    for ((sum, x), mean) in sums_end.iter_mut().zip(row_end).zip(means_end) {
        *sum += (x - mean) * (x - mean);
    }
}

/// `x * factor + shift`, per channel.
struct Apply<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    factors: &'a [f32],
    shifts: &'a [f32],
    then: Then,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.factors.len();
        for (out, x) in self.out.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels)) {
            let mut c = 0;
            while c < channels {
                let end = channels.min(c + S::F32_LANES);
                let (factor, shift) = (load(simd, &self.factors[c..end]), load(simd, &self.shifts[c..end]));
                let mut y = simd.mul_add_e_f32s(load(simd, &x[c..end]), factor, shift);
                if self.then == Then::Silu {
                    y = swish(simd, y, 1.0);
                }
                store(simd, &mut out[c..end], y);
                c = end;
            }
        }
    }
}

/// Layer normalisation of `[rows, channels]`.
pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, epsilon: f64) -> Vec<f32> {
    let channels = weight.len();
    let mut out = vec![0.0; x.len()];
    if out.is_empty() {
        return out;
    }
    let stretch = STRETCH * channels;
    out.par_chunks_mut(stretch).zip(x.par_chunks(stretch)).for_each(|(out, x)| {
        dispatch(Layer { out, x, weight, bias, epsilon });
    });
    out
}

struct Layer<'a> {
    out: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    epsilon: f64,
}

impl WithSimd for Layer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.weight.len();
        let zero = simd.splat_f32s(0.0);
        for (out, x) in self.out.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels)) {
            let (vectors, rest) = S::as_simd_f32s(x);
            let mut sum = zero;
            for &v in vectors {
                sum = simd.add_f32s(sum, v);
            }
            let mean = (simd.reduce_sum_f32s(sum) + rest.iter().sum::<f32>()) / channels as f32;
            let means = simd.splat_f32s(mean);
            let mut squares = zero;
            for &v in vectors {
                let distance = simd.sub_f32s(v, means);
                squares = simd.mul_add_e_f32s(distance, distance, squares);
            }
            let squares = simd.reduce_sum_f32s(squares) + rest.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>();
            let scale = 1.0 / (f64::from(squares) / channels as f64 + self.epsilon).sqrt();
            let scales = simd.splat_f32s(scale as f32);
            let mut c = 0;
            while c < channels {
                let end = channels.min(c + S::F32_LANES);
                let normal = simd.mul_f32s(simd.sub_f32s(load(simd, &x[c..end]), means), scales);
                let shift = match self.bias {
                    Some(bias) => load(simd, &bias[c..end]),
                    None => zero,
                };
                let weight = load(simd, &self.weight[c..end]);
                store(simd, &mut out[c..end], simd.mul_add_e_f32s(normal, weight, shift));
                c = end;
            }
        }
    }
}
