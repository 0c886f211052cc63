use burn::tensor::{Tensor, activation::softmax};

/// Scaled dot-product attention: `softmax(q k^T / sqrt(d)) v`.
///
/// `q` is `[batch, heads, queries, d]`, `k` and `v` are `[batch, heads, keys, d]`; the result has the shape of `q`.
/// With `causal`, query `i` sees keys `0..=i` only.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, causal: bool) -> Tensor<4> {
    let [_, _, queries, d] = q.dims();
    let keys = k.dims()[2];
    let mut scores = q.matmul(k.swap_dims(2, 3)) * (1.0 / (d as f64).sqrt());
    if causal {
        let mask = Tensor::<2, burn::tensor::Bool>::tril_mask([queries, keys], 0, &scores.device());
        scores = scores.mask_fill(mask.unsqueeze::<4>(), f32::NEG_INFINITY);
    }
    softmax(scores, 3).matmul(v)
}
