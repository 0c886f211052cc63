//! Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", equation 5, with rho = 7.

use super::{AlignedTo, NoiseTable, ramp};

const RHO: f64 = 7.0;

/// Evenly spaced in `sigma^(1/rho)` over the model's range.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    between(table.sigma_max(), table.sigma_min(), steps)
}

/// Evenly spaced in `sigma^(1/rho)` from `max` to `min`.
pub(crate) fn between(max: f64, min: f64, steps: usize) -> Vec<f64> {
    let (first, last) = (max.powf(1.0 / RHO), min.powf(1.0 / RHO));
    ramp(0.0, 1.0, steps).map(|share| (first + share * (last - first)).powf(RHO)).collect()
}
