//! The spacing of DDIM in the original latent diffusion code, as A1111 and ComfyUI offer it to every sampler.

use super::{AlignedTo, NoiseTable};

/// Every n-th `sigma` of training, from the second cleanest up. Where the steps do not divide training, the others make a
/// step or more too many and reach further; here there are as many as were asked for.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    let known = table.sigmas();
    let stride = (known.len() / steps).max(1);
    (0..steps).rev().map(|i| known[(1 + i * stride).min(known.len() - 1)]).collect()
}
