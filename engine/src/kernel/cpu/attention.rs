//! Blocked attention with a running softmax (Milakov and Gimelshein, "Online normalizer calculation for softmax"; Dao
//! et al., "FlashAttention").
//!
//! All is held transposed: a vector's lanes are queries, so that the maximum and the sum over the keys are
//! element-wise, and no head width wastes lanes. For a group of queries (three vectors' worth) and a block of keys
//!
//! ```text
//! scores [key][query] = K [key][d] * Q^T [d][query]      8 keys at a time stay in registers
//! weights             = 2^(scores - maximum)
//! out^T [d][query]   += V^T [d][key] * weights           8 rows of d at a time
//! ```
//!
//! where Q carries the factor log2(e) / sqrt(d). A block's scores fit the first-level cache. K and V are packed once
//! per head into panels of 8, in the order in which they are read.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{Aligned, dispatch, exp2, lanes};

/// Rows of a packed panel: keys of K, columns of V.
const PANEL: usize = 8;
/// Keys whose scores are held at a time.
const BLOCK: usize = 128;
/// Vectors of queries that are worked on together.
const GROUP: usize = 3;

/// A `[batch, heads, tokens, d]` view of a slice.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The storage, from the view's first element on.
    pub data: &'a [f32],
    /// Sizes of batch, heads, tokens, d.
    pub shape: [usize; 4],
    /// Steps between neighbours along each axis, in elements.
    pub strides: [usize; 4],
}

impl View<'_> {
    fn at(&self, batch: usize, head: usize, token: usize, column: usize) -> usize {
        batch * self.strides[0] + head * self.strides[1] + token * self.strides[2] + column * self.strides[3]
    }
}

/// `softmax(q k^T / sqrt(d)) v`. Returns it as `[batch, queries, heads, d]`; with `causal`, query `i` sees keys `0..=i`.
///
/// The shapes have been checked: batch, heads and d agree, k and v have the same tokens.
pub(crate) fn attention(q: View<'_>, k: View<'_>, v: View<'_>, causal: bool) -> Vec<f32> {
    let [batch, heads, queries, d] = q.shape;
    let mut out = vec![0.0; batch * heads * queries * d];
    if out.is_empty() {
        return out;
    }
    let packed = Packed::new(k, v);
    // a task is a stretch of queries with all its heads: its results are contiguous. Long stretches use a head's keys
    // again while they are in the cache; short ones keep all threads busy
    let group = GROUP * lanes();
    let groups = batch * queries.div_ceil(group);
    let per_task = (groups / (4 * rayon::current_num_threads())).clamp(1, 8);
    let stretch = per_task * group;
    let scale = std::f32::consts::LOG2_E / (d as f32).sqrt();
    out.par_chunks_mut(queries * heads * d).enumerate().for_each(|(b, out)| {
        out.par_chunks_mut(stretch * heads * d).enumerate().for_each(|(i, out)| {
            dispatch(Stretch { q, packed: &packed, scale, causal, batch: b, first: i * stretch, out });
        });
    });
    out
}

/// K and V of every head in panels, padded with zeros.
struct Packed {
    /// Per batch and head: `[keys / 8][d][8]`.
    k: Vec<f32>,
    /// Per batch and head: `[d / 8][keys rounded up to 8][8]`.
    v: Vec<f32>,
    heads: usize,
    keys: usize,
    /// Keys rounded up to whole panels.
    padded: usize,
    d: usize,
}

impl Packed {
    fn new(k: View<'_>, v: View<'_>) -> Self {
        let [batch, heads, keys, d] = k.shape;
        let padded = keys.next_multiple_of(PANEL);
        let mut out = Self {
            k: vec![0.0; batch * heads * padded * d],
            v: vec![0.0; batch * heads * padded * d.next_multiple_of(PANEL)],
            heads,
            keys,
            padded,
            d,
        };
        if out.k.is_empty() {
            return out;
        }
        let head_k = padded * d;
        out.k.par_chunks_mut(head_k).enumerate().for_each(|(i, panels)| {
            let (b, h) = (i / heads, i % heads);
            for (p, panel) in panels.chunks_exact_mut(PANEL * d).enumerate() {
                for key in p * PANEL..keys.min((p + 1) * PANEL) {
                    let row = &k.data[k.at(b, h, key, 0)..];
                    for (j, slot) in panel.chunks_exact_mut(PANEL).enumerate() {
                        slot[key % PANEL] = row[j * k.strides[3]];
                    }
                }
            }
        });
        let head_v = padded * d.next_multiple_of(PANEL);
        out.v.par_chunks_mut(head_v).enumerate().for_each(|(i, panels)| {
            let (b, h) = (i / heads, i % heads);
            for (p, panel) in panels.chunks_exact_mut(PANEL * padded).enumerate() {
                let width = PANEL.min(d - p * PANEL);
                for (key, slot) in panel.chunks_exact_mut(PANEL).take(keys).enumerate() {
                    let row = &v.data[v.at(b, h, key, p * PANEL)..];
                    for (j, x) in slot[..width].iter_mut().enumerate() {
                        *x = row[j * v.strides[3]];
                    }
                }
            }
        });
        out
    }

    fn head(&self, batch: usize, head: usize) -> (&[f32], &[f32]) {
        let i = batch * self.heads + head;
        let (k, v) = (self.padded * self.d, self.padded * self.d.next_multiple_of(PANEL));
        (&self.k[i * k..][..k], &self.v[i * v..][..v])
    }
}

/// A stretch of queries of one picture, all heads.
struct Stretch<'a> {
    q: View<'a>,
    packed: &'a Packed,
    scale: f32,
    causal: bool,
    batch: usize,
    /// The first query.
    first: usize,
    /// `[queries of this stretch][heads][d]`.
    out: &'a mut [f32],
}

impl WithSimd for Stretch<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [_, heads, _, d] = self.q.shape;
        let queries = self.out.len() / (heads * d);
        let mut work = Work::new(d, S::F32_LANES);
        for h in 0..heads {
            let (k, v) = self.packed.head(self.batch, h);
            let mut start = 0;
            while start < queries {
                // the last vectors may be few: take no more of them than there are queries for
                let vectors = (queries - start).div_ceil(S::F32_LANES).min(GROUP);
                let count = (vectors * S::F32_LANES).min(queries - start);
                let position = self.first + start;
                work.load(&self.q, self.scale, [self.batch, h, position], count, vectors * S::F32_LANES);
                let visible = if self.causal { self.packed.keys.min(position + count) } else { self.packed.keys };
                let keys = Keys { visible, padded: self.packed.padded, diagonal: self.causal.then_some(position) };
                match vectors {
                    1 => group::<S, 1>(simd, &mut work, k, v, keys),
                    2 => group::<S, 2>(simd, &mut work, k, v, keys),
                    _ => group::<S, GROUP>(simd, &mut work, k, v, keys),
                }
                work.store(&mut self.out[(start * heads + h) * d..], heads * d, count, vectors * S::F32_LANES);
                start += count;
            }
        }
    }
}

/// Which keys a group of queries sees.
#[derive(Clone, Copy)]
struct Keys {
    /// How many keys some query of the group sees.
    visible: usize,
    /// How many rows V's panels have.
    padded: usize,
    /// For causal attention, the first query's position.
    diagonal: Option<usize>,
}

/// What a thread needs for a group of queries.
struct Work {
    d: usize,
    /// `[d][query]`
    q: Aligned,
    /// `[d rounded up to 8][query]`
    out: Aligned,
    /// `[BLOCK][query]`
    scores: Aligned,
}

impl Work {
    fn new(d: usize, lanes: usize) -> Self {
        let row = GROUP * lanes;
        Self {
            d,
            q: Aligned::new(d * row),
            out: Aligned::new(d.next_multiple_of(PANEL) * row),
            scores: Aligned::new(BLOCK * row),
        }
    }

    /// Transposes `count` queries into `lanes` lanes and scales them; lanes without a query are zero.
    #[inline(always)]
    fn load(&mut self, q: &View<'_>, scale: f32, [batch, head, first]: [usize; 3], count: usize, lanes: usize) {
        let flat = &mut self.q[..self.d * lanes];
        flat.fill(0.0);
        for i in 0..count {
            let row = &q.data[q.at(batch, head, first + i, 0)..];
            for (j, slot) in flat.chunks_exact_mut(lanes).enumerate() {
                slot[i] = row[j * q.strides[3]] * scale;
            }
        }
    }

    /// Transposes the result back into rows of d at steps of `stride`.
    #[inline(always)]
    fn store(&self, out: &mut [f32], stride: usize, count: usize, lanes: usize) {
        let flat = &self.out[..self.d * lanes];
        for (i, row) in out.chunks_mut(stride).take(count).enumerate() {
            for (x, column) in row[..self.d].iter_mut().zip(flat.chunks_exact(lanes)) {
                *x = column[i];
            }
        }
    }
}

/// One head's attention for a group of queries, `N` vectors of them.
#[inline(always)]
fn group<S: Simd, const N: usize>(simd: S, work: &mut Work, k: &[f32], v: &[f32], keys: Keys) {
    let d = work.d;
    let row = N * S::F32_LANES;
    let (q, _) = pulp::as_arrays::<N, _>(S::as_simd_f32s(&work.q[..d * row]).0);
    let (out, _) = pulp::as_arrays_mut::<N, _>(S::as_mut_simd_f32s(&mut work.out[..d.next_multiple_of(PANEL) * row]).0);
    let (scores, _) = pulp::as_arrays_mut::<N, _>(S::as_mut_simd_f32s(&mut work.scores[..BLOCK * row]).0);
    let mut max = [simd.splat_f32s(f32::NEG_INFINITY); N];
    let mut sum = [simd.splat_f32s(0.0); N];
    out.fill(sum);
    let mut start = 0;
    while start < keys.visible {
        let count = BLOCK.min(keys.visible - start);
        let panels = count.div_ceil(PANEL);
        let before = max;
        for p in 0..panels {
            let panel = &k[(start + p * PANEL) * d..][..PANEL * d];
            let rows = &mut scores[p * PANEL..][..PANEL];
            score(simd, panel, q, rows);
            hide(simd, rows, start + p * PANEL, keys);
            for row in rows.iter() {
                for (m, &s) in max.iter_mut().zip(row) {
                    *m = simd.max_f32s(*m, s);
                }
            }
        }
        for n in 0..N {
            let shrink = exp2(simd, simd.sub_f32s(before[n], max[n]));
            sum[n] = simd.mul_f32s(sum[n], shrink);
            if start > 0 {
                for row in out.iter_mut() {
                    row[n] = simd.mul_f32s(row[n], shrink);
                }
            }
        }
        for row in scores[..panels * PANEL].iter_mut() {
            for n in 0..N {
                row[n] = exp2(simd, simd.sub_f32s(row[n], max[n]));
                sum[n] = simd.add_f32s(sum[n], row[n]);
            }
        }
        for (panel, rows) in v.chunks_exact(keys.padded * PANEL).zip(out.chunks_exact_mut(PANEL)) {
            mix(simd, &panel[start * PANEL..][..panels * PANEL * PANEL], &scores[..panels * PANEL], rows);
        }
        start += count;
    }
    for row in out.iter_mut() {
        for n in 0..N {
            row[n] = simd.div_f32s(row[n], sum[n]);
        }
    }
}

/// Sets the scores of keys that are padding, or that lie after their query, to minus infinity.
#[inline(always)]
fn hide<S: Simd, const N: usize>(simd: S, rows: &mut [[S::f32s; N]], first: usize, keys: Keys) {
    let lowest = simd.splat_f32s(f32::NEG_INFINITY);
    for (i, row) in rows.iter_mut().enumerate() {
        let key = first + i;
        if key >= keys.visible {
            row.fill(lowest);
        } else if let Some(position) = keys.diagonal
            && key > position
        {
            let lanes: &mut [f32] = bytemuck::cast_slice_mut(row);
            let hidden = (key - position).min(lanes.len());
            lanes[..hidden].fill(f32::NEG_INFINITY);
        }
    }
}

/// A panel's scores: 8 keys times all queries of the group.
#[inline(always)]
fn score<S: Simd, const N: usize>(simd: S, panel: &[f32], q: &[[S::f32s; N]], rows: &mut [[S::f32s; N]]) {
    let (panel, _) = pulp::as_arrays::<PANEL, _>(panel);
    product::<S, N>(simd, panel, q, rows, [[simd.splat_f32s(0.0); N]; PANEL]);
}

/// Adds a block of weighted values to 8 rows of the result.
#[inline(always)]
fn mix<S: Simd, const N: usize>(simd: S, panel: &[f32], weights: &[[S::f32s; N]], rows: &mut [[S::f32s; N]]) {
    let (panel, _) = pulp::as_arrays::<PANEL, _>(panel);
    let mut sums = [[simd.splat_f32s(0.0); N]; PANEL];
    sums.copy_from_slice(rows);
    product::<S, N>(simd, panel, weights, rows, sums);
}

/// `rows = sums + left^T right`: the sums stay in registers, a step takes 8 numbers of `left` and a row of `right`.
#[inline(always)]
fn product<S: Simd, const N: usize>(
    simd: S,
    left: &[[f32; PANEL]],
    right: &[[S::f32s; N]],
    rows: &mut [[S::f32s; N]],
    sums: [[S::f32s; N]; PANEL],
) {
    if PANEL * N + N < S::REGISTER_COUNT {
        tile::<S, N, PANEL, 0>(simd, left, right, rows, &sums);
    } else {
        // 16 registers: half of the rows at a time
        tile::<S, N, 4, 0>(simd, left, right, rows, &sums);
        tile::<S, N, 4, 4>(simd, left, right, rows, &sums);
    }
}

#[inline(always)]
fn tile<S: Simd, const N: usize, const R: usize, const FIRST: usize>(
    simd: S,
    left: &[[f32; PANEL]],
    right: &[[S::f32s; N]],
    rows: &mut [[S::f32s; N]],
    sums: &[[S::f32s; N]; PANEL],
) {
    let mut acc = [[simd.splat_f32s(0.0); N]; R];
    acc.copy_from_slice(&sums[FIRST..FIRST + R]);
    for (l, r) in left.iter().zip(right) {
        for i in 0..R {
            let factor = simd.splat_f32s(l[FIRST + i]);
            for n in 0..N {
                acc[i][n] = simd.mul_add_e_f32s(factor, r[n], acc[i][n]);
            }
        }
    }
    rows[FIRST..FIRST + R].copy_from_slice(&acc);
}
