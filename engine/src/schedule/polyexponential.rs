//! k-diffusion's polynomial in `ln sigma`.

use super::{AlignedTo, NoiseTable, ramp};

/// The ramp's power that users get: a straight line.
const RHO: f64 = 1.0;

/// As [`between`] over the model's range, with rho = 1.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    between(table.sigma_max(), table.sigma_min(), RHO, steps)
}

/// `ln sigma` follows a ramp from 1 to 0, raised to the power of `rho`, from `max` to `min`.
fn between(max: f64, min: f64, rho: f64, steps: usize) -> Vec<f64> {
    let (first, last) = (max.ln(), min.ln());
    ramp(1.0, 0.0, steps).map(|share| (share.powf(rho) * (first - last) + last).exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rho_bends_the_ramp() {
        // k-diffusion 0.1.1, get_sigmas_polyexponential(4, 0.1, 10, rho)
        let straight = between(10.0, 0.1, 1.0, 4);
        let bent = between(10.0, 0.1, 1.5, 4);
        for (a, e) in straight.iter().zip([10.0, 2.154_434_69, 0.464_158_883, 0.1]) {
            assert!((a - e).abs() < 1e-8, "{a} {e}");
        }
        for (a, share) in bent.iter().zip([1.0_f64, 2.0 / 3.0, 1.0 / 3.0, 0.0]) {
            assert!((a - 0.1 * 100f64.powf(share.powf(1.5))).abs() < 1e-9);
        }
    }
}
