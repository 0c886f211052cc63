//! The spacing of Stability's own sampling code ("generative models").

use super::{AlignedTo, NoiseTable, ramp};

/// `sigma` at timesteps evenly spaced from the last to the first, the first left out.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    ramp((table.timesteps() - 1) as f64, 0.0, steps + 1).take(steps).map(|timestep| table.sigma_log(timestep)).collect()
}
