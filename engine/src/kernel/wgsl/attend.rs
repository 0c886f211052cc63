//! Attention for few tokens or small heads: a thread per query and head keeps its sums in registers and never writes a
//! score down (Milakov and Gimelshein, "Online normalizer calculation for softmax").
//!
//! There is one kernel instead of a dozen, and nothing is split, transposed or copied: heads are read where a projection
//! has left them. Keys and values are read again by every query, out of the caches: for many tokens flash attention
//! (`flash`) is better, and is asked first.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::Mask;
use super::{MOST_CUBES, element, empty, rows, tensor};

/// Features of a head up to which it is used: a thread holds twice as many in registers.
const MOST_FEATURES: usize = 64;

/// Features come in vectors of this many.
const VECTOR: usize = 4;

/// Threads of a cube.
const UNITS: usize = 32;

#[cube(launch_unchecked)]
fn attention_kernel<E: Float, N: Size>(
    q: &[Vector<E, N>],
    k: &[Vector<E, N>],
    v: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    threads: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    scale: f32,
    #[comptime] depth: usize,
    #[comptime] is_causal: bool,
    #[define(E)] _dtype: ElemType,
) {
    let thread = ABSOLUTE_POS_X as usize;
    if thread >= threads {
        terminate!();
    }
    // Neighbours have the same head, and read the same keys and values.
    let query = thread % queries;
    let head = thread / queries % heads;
    let batch = thread / queries / heads;
    let stride = heads * depth;
    let at = (batch * queries + query) * stride + head * depth;
    let mut asked = Array::<Vector<f32, N>>::new(depth);
    let mut sums = Array::<Vector<f32, N>>::new(depth);
    #[unroll]
    for i in 0..depth {
        asked[i] = Vector::<f32, N>::cast_from(q[at + i]) * Vector::new(scale);
        sums[i] = Vector::new(0.0f32);
    }
    let mut most = f32::new(-3.0e38);
    let mut weights = 0.0f32;
    let mut visible = keys;
    if is_causal {
        visible = min(keys, query + 1);
    }
    let start = batch * keys * stride + head * depth;
    for key in 0..visible {
        let at = start + key * stride;
        let mut score = 0.0f32;
        #[unroll]
        for i in 0..depth {
            score += asked[i].dot(Vector::cast_from(k[at + i]));
        }
        let next = max(most, score);
        let keep = (most - next).exp();
        let weight = (score - next).exp();
        most = next;
        weights = weights * keep + weight;
        #[unroll]
        for i in 0..depth {
            sums[i] = sums[i] * Vector::new(keep) + Vector::<f32, N>::cast_from(v[at + i]) * Vector::new(weight);
        }
    }
    #[unroll]
    for i in 0..depth {
        out[at + i] = Vector::cast_from(sums[i] / Vector::new(weights));
    }
}

/// As [`super::super::attention_heads`]; `None` if it is not for here.
#[expect(unsafe_code, reason = "a launch without bounds checks, whose bounds are checked here")]
pub(in crate::kernel) fn attention_heads(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    heads: usize,
    mask: Mask,
) -> Option<Tensor<3>> {
    let ([batch, queries, width], keys) = (q.dims(), k.dims()[1]);
    let features = width / heads.max(1);
    let threads = batch * queries * heads;
    let cubes = threads.div_ceil(UNITS);
    let is_empty = [threads, keys, features].contains(&0);
    if features > MOST_FEATURES || !features.is_multiple_of(VECTOR) || is_empty || cubes > MOST_CUBES {
        return None;
    }
    let (q, k, v) = (rows(q)?, rows(k)?, rows(v)?);
    let dtype = element(q.dtype)?;
    if k.dtype != q.dtype || v.dtype != q.dtype {
        return None;
    }
    let out = empty(&q, batch * queries * width);
    // SAFETY: a thread reads and writes its own query, and the keys and values of its picture and head.
    unsafe {
        attention_kernel::launch_unchecked(
            &q.client.clone(),
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(UNITS as u32),
            VECTOR,
            q.into_buffer_arg(),
            k.into_buffer_arg(),
            v.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            threads,
            queries,
            keys,
            heads,
            (1.0 / (features as f64).sqrt()) as f32,
            features / VECTOR,
            mask == Mask::Causal,
            dtype,
        );
    }
    Some(tensor(out, [batch, queries, width]))
}
