//! Sabour et al. 2024, "Align Your Steps", theorem 3.1: optimal for a Gaussian.

use super::{AlignedTo, NoiseTable};

/// Evenly spaced in `atan sigma` over the model's range; the least `sigma` itself gives way to the end at zero.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    let (first, last) = (table.sigma_max().atan(), table.sigma_min().atan());
    (0..steps).map(|i| i as f64 / steps as f64).map(|share| (share * last + (1.0 - share) * first).tan()).collect()
}
