//! ComfyUI's "simple": no interpolation at all.

use super::{AlignedTo, NoiseTable};

/// Every n-th `sigma` of training, counted from the noisiest.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    let known = table.sigmas();
    let stride = known.len() as f64 / steps as f64;
    (0..steps).map(|i| known[known.len() - 1 - ((i as f64 * stride) as usize).min(known.len() - 1)]).collect()
}
