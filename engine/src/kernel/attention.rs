//! Scaled dot-product attention in bounded memory.
//!
//! At 64 x 64 latents SD 1.5 attends from 4096 tokens to 4096 in 8 heads: 512 MiB of scores per image in f32, which
//! neither a browser's buffer limit nor a small GPU takes. Kernels that never write scores down are used where they are
//! right (`cpu`, `flash`); elsewhere the queries are taken in chunks.

use burn::tensor::{Bool, Device, FloatDType, Tensor, activation::softmax};

/// The largest score matrix that is ever held, in bytes: WebGPU's default limit on a storage binding.
const SCORE_BYTES: usize = 128 << 20;

/// Which keys a query may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Every key.
    None,
    /// Query `i` sees keys `0..=i` only, as in a text encoder of GPT's kind.
    Causal,
}

/// Makes ready for attention among up to so many tokens in numbers of this type: tests, once per device, the kernels that it
/// would gain by. Attention is right without, but slower and in more memory.
pub async fn prepare_attention(device: &Device, dtype: FloatDType, tokens: usize) {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    super::flash::trust(device, dtype, tokens).await;
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    let _ = (device, dtype, tokens);
}

/// Scaled dot-product attention: `softmax(q k^T / sqrt(d)) v`.
///
/// `q` is `[batch, heads, queries, d]`, `k` and `v` are `[batch, heads, keys, d]`; the result has the shape of `q`.
/// The inputs may be views (heads split off by a reshape and `swap_dims`): no copy is made where the backend can do
/// without.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Mask) -> Tensor<4> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::attention(&q, &k, &v, mask) {
        return out;
    }
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if let Some(out) = super::flash::attention(&q, &k, &v, mask) {
        return out;
    }
    chunked(q, k, v, mask, SCORE_BYTES)
}

/// Attention over tokens whose heads lie side by side, as a projection leaves them.
///
/// `q` is `[batch, queries, heads * d]`, `k` and `v` are `[batch, keys, heads * d]`; the result has the shape of `q`.
pub fn attention_heads(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize, mask: Mask) -> Tensor<3> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    if let Some(out) = super::cpu::attention_heads(&q, &k, &v, heads, mask) {
        return out;
    }
    #[cfg(all(feature = "wgpu", not(any(feature = "spirv", feature = "cuda"))))]
    if !super::flash::is_worth_it(q.dims()[1], k.dims()[1], q.dims()[2] / heads.max(1), mask)
        && let Some(out) = super::wgsl::attention_heads(&q, &k, &v, heads, mask)
    {
        return out;
    }
    let [batch, queries, width] = q.dims();
    let split = |x: Tensor<3>| {
        let [batch, tokens, width] = x.dims();
        x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
    };
    let out = attention(split(q), split(k), split(v), mask);
    out.swap_dims(1, 2).reshape([batch, queries, width])
}

/// Matrix product, softmax, matrix product, for as many queries at a time as keep the scores within `budget` bytes.
pub(super) fn chunked(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Mask, budget: usize) -> Tensor<4> {
    let [batch, heads, queries, d] = q.dims();
    let keys = k.dims()[2];
    let row = (batch * heads * keys * q.dtype().size()).max(1);
    let chunk = (budget / row).clamp(1, queries.max(1));
    // scaling q instead of the scores touches less memory, and keeps f16 scores in range
    let q = q * (1.0 / (d as f64).sqrt());
    let kt = k.swap_dims(2, 3);
    let rows = |start: usize, end: usize| {
        let part = q.clone().slice([0..batch, 0..heads, start..end, 0..d]);
        let mut scores = part.matmul(kt.clone());
        if mask == Mask::Causal {
            let hidden = Tensor::<2, Bool>::tril_mask([end - start, keys], start as i64, &scores.device());
            scores = scores.mask_fill(hidden.unsqueeze::<4>(), f32::NEG_INFINITY);
        }
        softmax(scores, 3).matmul(v.clone())
    };
    if chunk >= queries {
        return rows(0, queries);
    }
    let parts = (0..queries).step_by(chunk).map(|start| rows(start, (start + chunk).min(queries))).collect();
    Tensor::cat(parts, 2)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    /// The path of the other backends, cut into chunks of one query, some, and all.
    #[test]
    fn chunks_change_nothing() {
        let device = Device::flex();
        let random = |tokens| Tensor::<4>::random([2, 3, tokens, 10], Distribution::Normal(0.0, 1.0), &device);
        let (q, k, v) = (random(37), random(21), random(21));
        for mask in [Mask::None, Mask::Causal] {
            let whole = attention(q.clone(), k.clone(), v.clone(), mask);
            for budget in [1, 2 * 3 * 21 * 4 * 5, usize::MAX] {
                let parts = chunked(q.clone(), k.clone(), v.clone(), mask, budget);
                let off = (parts - whole.clone()).abs().max().into_scalar::<f32>();
                assert!(off < 1e-5, "{mask:?}, {budget} bytes: {off:.1e}");
            }
        }
    }
}
