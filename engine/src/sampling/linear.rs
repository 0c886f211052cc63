//! Linear combinations of latents: what a step of most solvers comes down to.

use burn::tensor::Tensor;

/// The sum of `coefficient * latent`. Terms with a coefficient of zero do not count, so they may hold anything.
pub(super) fn combine(first: (f64, &Tensor<4>), terms: &[(f64, &Tensor<4>)]) -> Tensor<4> {
    let scaled = |(coefficient, latent): (f64, &Tensor<4>)| {
        if coefficient == 1.0 { latent.clone() } else { latent.clone().mul_scalar(coefficient as f32) }
    };
    let mut counting = std::iter::once(first).chain(terms.iter().copied()).filter(|(coefficient, _)| *coefficient != 0.0);
    let Some(sum) = counting.next().map(scaled) else { return first.1.zeros_like() };
    counting.fold(sum, |sum, term| sum + scaled(term))
}
