//! Element-wise operations.

use burn::tensor::{Tensor, activation};

/// `x * sigmoid(x)`, also called swish.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    let x = match super::cpu::silu(x) {
        Ok(y) => return y,
        Err(x) => x,
    };
    activation::silu(x)
}

/// The exact Gaussian error linear unit, `x * Phi(x)`.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    let x = match super::cpu::gelu(x) {
        Ok(y) => return y,
        Err(x) => x,
    };
    activation::gelu(x)
}

/// OpenAI CLIP's approximation of it, `x * sigmoid(1.702 x)`.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    let x = match super::cpu::quick_gelu(x) {
        Ok(y) => return y,
        Err(x) => x,
    };
    activation::sigmoid(x.clone() * 1.702) * x
}

/// A sum, with Burn's broadcasting.
pub fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    #[cfg(all(feature = "flex", not(target_family = "wasm")))]
    let (a, b) = match super::cpu::add(a, b) {
        Ok(y) => return y,
        Err(both) => both,
    };
    a + b
}
