//! diffusers' `leading`: whole multiples of the stride from zero up, plus `steps_offset`.

/// Falling timesteps of `steps` multiples of `stride`.
pub(super) fn timesteps(stride: usize, offset: i64, steps: usize) -> Vec<f64> {
    (0..steps).rev().map(|i| (i * stride) as f64 + offset as f64).collect()
}
