//! Element-wise operations.

use burn::tensor::{Tensor, activation};

/// `x * sigmoid(x)`, also called swish.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}

/// The exact Gaussian error linear unit, `x * Phi(x)`.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// OpenAI CLIP's approximation of it, `x * sigmoid(1.702 x)`.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x * 1.702)
}

/// The gated unit of diffusion transformers (Shazeer, "GLU Variants Improve Transformer"): the last axis is cut into
/// a value and a gate, and the result is `value * gelu(gate)`: `[batch, tokens, 2 n]` to `[batch, tokens, n]`.
pub fn geglu(x: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, width] = x.dims();
    let half = width / 2;
    let value = x.clone().slice([0..batch, 0..tokens, 0..half]);
    let gate = x.slice([0..batch, 0..tokens, half..2 * half]);
    value * gelu(gate)
}

/// A sum, with Burn's broadcasting.
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    a + b
}
