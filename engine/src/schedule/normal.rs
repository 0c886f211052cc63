//! k-diffusion's `DiscreteSchedule.get_sigmas`; A1111 calls it "Uniform", ComfyUI "normal".

use super::{AlignedTo, NoiseTable, ramp};

/// `sigma` at timesteps evenly spaced from the last to the first.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    ramp((table.timesteps() - 1) as f64, 0.0, steps).map(|timestep| table.sigma_log(timestep)).collect()
}
