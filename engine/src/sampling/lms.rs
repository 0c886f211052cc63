//! The linear multistep method of Katherine Crowson: the slopes of up to four levels, a polynomial in `sigma` through them.

use burn::tensor::Tensor;

use super::build::Setup;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Sampler};
use crate::noise::NoiseSource;

const ORDER: usize = 4;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let order = setup.options.order.unwrap_or(ORDER).min(ORDER);
    Stepwise::boxed(setup.plan, setup.start, None, Lms { order, slopes: Vec::new() })
}

struct Lms {
    order: usize,
    /// Levels and slopes, the latest first.
    slopes: Vec<(f64, Tensor<4>)>,
}

impl Integrator for Lms {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, _: &mut dyn NoiseSource) -> Tensor<4> {
        let from = step.from();
        let clean = model.denoise(x.clone(), from);
        let slope = (x.clone() - clean).mul_scalar((1.0 / from.sigma) as f32);
        // A level that is visited twice would have two slopes: the newer one counts.
        self.slopes.retain(|(sigma, _)| *sigma != from.sigma);
        self.slopes.insert(0, (from.sigma, slope));
        self.slopes.truncate(self.order);
        let sigmas: Vec<f64> = self.slopes.iter().map(|(sigma, _)| *sigma).collect();
        let weights = weights(&sigmas, from.sigma, step.to().sigma);
        self.slopes.iter().zip(weights).fold(x, |x, ((_, slope), weight)| x + slope.clone().mul_scalar(weight as f32))
    }
}

/// The integrals from `from` to `to` of the polynomials that are 1 at one of the `nodes` and 0 at the others.
fn weights(nodes: &[f64], from: f64, to: f64) -> Vec<f64> {
    // Gauss-Legendre with two points is exact up to the third degree.
    let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
    let points = [middle - half / 3f64.sqrt(), middle + half / 3f64.sqrt()];
    let basis = |one: usize, at: f64| -> f64 {
        let others = nodes.iter().enumerate().filter(|(i, _)| *i != one);
        others.map(|(_, node)| (at - node) / (nodes[one] - node)).product()
    };
    (0..nodes.len()).map(|one| half * points.iter().map(|at| basis(one, *at)).sum::<f64>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_integrated_exactly() {
        let nodes = [4.0, 5.5, 7.0, 10.0];
        let cubic = |t: f64| 0.3 * t.powi(3) - t * t + 2.0;
        let integral = |t: f64| 0.075 * t.powi(4) - t.powi(3) / 3.0 + 2.0 * t;
        let sum: f64 = weights(&nodes, 4.0, 2.5).iter().zip(nodes).map(|(weight, node)| weight * cubic(node)).sum();
        assert!((sum - (integral(2.5) - integral(4.0))).abs() < 1e-9, "{sum}");
        assert_eq!(weights(&[4.0], 4.0, 3.0), [-1.0]);
    }
}
