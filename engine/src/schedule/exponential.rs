//! k-diffusion's exponential schedule.

use super::{AlignedTo, NoiseTable, ramp};

/// Evenly spaced in `ln sigma` over the model's range.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    between(table.sigma_max(), table.sigma_min(), steps)
}

/// Evenly spaced in `ln sigma` from `max` to `min`.
pub(super) fn between(max: f64, min: f64, steps: usize) -> Vec<f64> {
    ramp(max.ln(), min.ln(), steps).map(f64::exp).collect()
}
