//! Lee et al. 2024, "Beta sampling is all you need": `sigma` follows the quantiles of a beta distribution.

use super::{AlignedTo, NoiseTable, ramp};

/// Both parameters of the distribution, as A1111, ComfyUI and diffusers have them.
const SHAPE: f64 = 0.6;

/// Quantiles over the model's range.
pub(super) fn sigmas(table: &NoiseTable, _: AlignedTo, steps: usize) -> Vec<f64> {
    between(table.sigma_max(), table.sigma_min(), steps)
}

/// Quantiles from `max` to `min`.
pub(super) fn between(max: f64, min: f64, steps: usize) -> Vec<f64> {
    ramp(1.0, 0.0, steps).map(|share| min + quantile(share) * (max - min)).collect()
}

/// The x below which the share `p` of the symmetric beta distribution lies.
fn quantile(p: f64) -> f64 {
    if p > 0.5 {
        return 1.0 - quantile(1.0 - p);
    }
    if p <= 0.0 {
        return 0.0;
    }
    // By bisection in ln x: the density is infinite at 0, where the least quantiles are.
    let (mut low, mut high) = (-200.0, 0.5f64.ln());
    for _ in 0..100 {
        let middle: f64 = 0.5 * (low + high);
        if cumulative(middle.exp()) < p { low = middle } else { high = middle }
    }
    (0.5f64 * (low + high)).exp()
}

/// The regularised incomplete beta function at x <= 1/2, by its power series
/// (x^a / (a B) * (1 + sum of a (1-b)...(n-b) x^n / (n! (a+n)))), which converges like 2^-n there.
fn cumulative(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..200 {
        let n = f64::from(n);
        term *= (n - SHAPE) / n * x;
        sum += SHAPE * term / (SHAPE + n);
        if term < 1e-18 {
            break;
        }
    }
    x.powf(SHAPE) / (SHAPE * BETA) * sum
}

/// B(0.6, 0.6) = Gamma(0.6)^2 / Gamma(1.2).
const BETA: f64 = 2.415_344_208_002_47;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert!((cumulative(0.5) - 0.5).abs() < 1e-12, "{}", cumulative(0.5));
        // mpmath's betainc, inverted
        for (p, expected) in [
            (0.0, 0.0),
            (0.001, 1.8558738517452e-5),
            (0.1, 0.03958440558878085),
            (0.25, 0.175680378652695),
            (0.5, 0.5),
            (0.9, 0.9604155944112191),
            (1.0, 1.0),
        ] {
            assert!((quantile(p) - expected).abs() < 1e-12, "{p}: {}", quantile(p));
        }
    }
}
