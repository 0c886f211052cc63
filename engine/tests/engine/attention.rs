//! Attention against its formula, in f64, over shapes that a network has and shapes that it has not.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use encaustic_engine::kernel::{Mask, attention, attention_heads, prepare_attention};

use crate::common;

/// The device, ready for as many tokens as there are below.
fn device() -> Device {
    let device = common::device();
    futures_lite::future::block_on(prepare_attention(&device, FloatDType::F32, 1 << 12));
    device
}

/// `[batch, heads, tokens, d]` numbers, about normal times `scale`.
fn numbers(seed: u64, count: usize, scale: f64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    };
    (0..count).map(|_| ((0..4).map(|_| uniform()).sum::<f64>() * 1.7 * scale) as f32).collect()
}

struct Case {
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    d: usize,
    mask: Mask,
    /// The queries' standard deviation: large ones give logits that overflow a naive exponential.
    scale: f64,
}

impl Case {
    fn inputs(&self) -> [Vec<f32>; 3] {
        let per_token = self.heads * self.d;
        [
            numbers(1, self.batch * self.queries * per_token, self.scale),
            numbers(2, self.batch * self.keys * per_token, 1.0),
            numbers(3, self.batch * self.keys * per_token, 1.0),
        ]
    }

    /// The formula. Inputs and output are `[batch, tokens, heads, d]`.
    fn expected(&self, [q, k, v]: &[Vec<f32>; 3]) -> Vec<f64> {
        let &Case { batch, heads, queries, keys, d, mask, .. } = self;
        let row = |x: &[f32], b: usize, tokens: usize, token: usize, head: usize| -> Vec<f64> {
            let start = ((b * tokens + token) * heads + head) * d;
            x[start..start + d].iter().map(|&x| f64::from(x)).collect()
        };
        let mut out = Vec::new();
        for b in 0..batch {
            for i in 0..queries {
                for h in 0..heads {
                    let visible = if mask == Mask::Causal { keys.min(i + 1) } else { keys };
                    let query = row(q, b, queries, i, h);
                    let logits: Vec<f64> = (0..visible)
                        .map(|j| row(k, b, keys, j, h).iter().zip(&query).map(|(a, b)| a * b).sum::<f64>() / (d as f64).sqrt())
                        .collect();
                    let max = logits.iter().copied().fold(f64::MIN, f64::max);
                    let weights: Vec<f64> = logits.iter().map(|x| (x - max).exp()).collect();
                    let sum: f64 = weights.iter().sum();
                    let mut mixed = vec![0.0; d];
                    for (j, w) in weights.iter().enumerate() {
                        for (m, x) in mixed.iter_mut().zip(row(v, b, keys, j, h)) {
                            *m += w / sum * x;
                        }
                    }
                    out.extend(mixed);
                }
            }
        }
        out
    }
}

fn relative_error(out: Tensor<3>, expected: &[f64]) -> f64 {
    let out: Vec<f32> = out.into_data().try_to_vec().unwrap();
    assert_eq!(out.len(), expected.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let off = norm(&mut out.iter().zip(expected).map(|(&a, b)| f64::from(a) - b));
    off / norm(&mut expected.iter().copied())
}

fn check(case: &Case) {
    let device = device();
    let &Case { batch, heads, queries, keys, d, mask, .. } = case;
    let inputs = case.inputs();
    let expected = case.expected(&inputs);
    let tensor =
        |i: usize, tokens| Tensor::<3>::from_data(TensorData::new(inputs[i].clone(), [batch, tokens, heads * d]), &device);
    let label = format!("{batch} x {heads} heads, {queries} x {keys} tokens, d {d}, {mask:?}");
    // rounding of the logits is what counts: they grow with the scale
    let limit = 1e-5 * case.scale.max(1.0);

    let out = attention_heads(tensor(0, queries), tensor(1, keys), tensor(2, keys), heads, mask);
    assert_eq!(out.dims(), [batch, queries, heads * d]);
    let error = relative_error(out, &expected);
    assert!(error < limit, "heads side by side, {label}: {error:.1e}");

    let split = |x: Tensor<3>, tokens| x.reshape([batch, tokens, heads, d]).swap_dims(1, 2);
    let merge = |x: Tensor<4>| {
        assert_eq!(x.dims(), [batch, heads, queries, d]);
        x.swap_dims(1, 2).reshape([batch, queries, heads * d])
    };
    let views = [split(tensor(0, queries), queries), split(tensor(1, keys), keys), split(tensor(2, keys), keys)];
    // the same values with each head's tokens next to each other, and d in the middle of memory
    let packed = views.clone().map(|x| Tensor::cat(vec![x], 0) + 0.0);
    let across = views.clone().map(|x| (x.swap_dims(2, 3) + 0.0).swap_dims(2, 3));
    for (kind, [q, k, v]) in [("views", views), ("packed", packed), ("transposed", across)] {
        let error = relative_error(merge(attention(q, k, v, mask)), &expected);
        assert!(error < limit, "{kind}, {label}: {error:.1e}");
    }
}

#[test]
fn equals_the_formula() {
    let shapes = [
        // a network's, small: self attention at several widths, and to 77 tokens of text
        (2, 8, 64, 64, 40),
        (2, 8, 64, 77, 40),
        (1, 8, 256, 256, 80),
        (2, 8, 16, 77, 160),
        (1, 5, 100, 77, 64),
        (1, 1, 1000, 1000, 8),
        // large enough for the kernels that GPUs have
        (1, 2, 1024, 1024, 40),
        (1, 1, 1100, 1000, 64),
        // odd ones
        (1, 1, 1, 1, 1),
        (1, 2, 1, 300, 7),
        (3, 1, 300, 1, 3),
        (1, 3, 49, 129, 33),
        (1, 1, 97, 127, 65),
    ];
    for (batch, heads, queries, keys, d) in shapes {
        for mask in [Mask::None, Mask::Causal] {
            check(&Case { batch, heads, queries, keys, d, mask, scale: 1.0 });
        }
    }
}

#[test]
fn survives_large_logits() {
    for scale in [30.0, 1000.0] {
        for mask in [Mask::None, Mask::Causal] {
            check(&Case { batch: 1, heads: 2, queries: 70, keys: 140, d: 16, mask, scale });
        }
    }
}

#[test]
fn does_not_hide_nan() {
    let device = device();
    let good = || Tensor::<3>::ones([1, 40, 16], &device);
    for bad in 0..3 {
        let mut inputs = [good(), good(), good()];
        inputs[bad] = inputs[bad].clone() * f32::NAN;
        let [q, k, v] = inputs;
        let out: Vec<f32> = attention_heads(q, k, v, 2, Mask::None).into_data().try_to_vec().unwrap();
        assert!(out.iter().all(|x| x.is_nan()), "NaN in input {bad} was lost");
    }
}
