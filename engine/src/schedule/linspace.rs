//! diffusers' `linspace`: evenly spaced, first and last timestep included.

use super::ramp;

/// `steps` falling timesteps from `last` to 0.
pub(super) fn timesteps(last: f64, steps: usize) -> Vec<f64> {
    ramp(0.0, last, steps).rev().collect()
}

/// The upper ends of `steps` intervals between 0 and `last`.
pub(super) fn intervals(last: f64, steps: usize) -> Vec<f64> {
    ramp(0.0, last, steps + 1).rev().take(steps).collect()
}
