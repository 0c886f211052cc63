//! Sabour et al. 2024, "Align Your Steps: optimizing sampling schedules in diffusion models".

use super::{AlignedTo, NoiseTable, ramp};

/// The published levels for ten steps, with `ln sigma` interpolated for other counts.
pub(super) fn sigmas(_: &NoiseTable, aligned_to: AlignedTo, steps: usize) -> Vec<f64> {
    let published = match aligned_to {
        AlignedTo::Sd => [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029],
        AlignedTo::Sdxl => [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029],
    };
    let intervals = published.len() - 1;
    ramp(0.0, intervals as f64, steps)
        .map(|at| {
            let low = (at as usize).min(intervals - 1);
            let share = at - low as f64;
            ((1.0 - share) * f64::ln(published[low]) + share * f64::ln(published[low + 1])).exp()
        })
        .collect()
}
