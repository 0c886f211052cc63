//! Diffusion exponential integrator sampler (Zhang and Chen 2022), the multistep variant over log rho.

use burn::tensor::Tensor;

use super::build::Setup;
use super::linear::combine;
use super::multistep::{History, Orders};
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Sampler};
use crate::noise::NoiseSource;
use crate::prediction;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let order = setup.config.solver_order.unwrap_or(2);
    // The class ends at the least noise, so its last step needs no lower order than short runs have.
    let orders = Orders { euler_at_end: false, ..Orders::configured(&setup, order) };
    Stepwise::boxed(setup.plan, setup.start, None, Deis { orders, history: History::default() })
}

struct Deis {
    orders: Orders,
    history: History,
}

impl Integrator for Deis {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, _: &mut dyn NoiseSource) -> Tensor<4> {
        let (from, to) = (step.from(), step.to());
        let clean = model.denoise(x.clone(), from);
        if to.sigma == 0.0 {
            return clean;
        }
        self.history.push(from.lambda(), prediction::noise(clean, x.clone(), from), self.orders.most);
        let order = self.orders.of(step).min(self.history.usable());
        let nodes: Vec<f64> = self.history.lambdas().into_iter().take(order).map(|lambda| -lambda).collect();
        let weights = weights(&nodes, to.ratio());
        let terms: Vec<_> = weights.into_iter().map(|weight| to.alpha * weight).zip(self.history.outputs()).collect();
        combine((to.alpha / from.alpha, &x), &terms)
    }
}

/// The integrals over rho, from the first node to `rho`, of the polynomials in ln rho that are 1 at one of the `nodes`
/// (given as logarithms) and 0 at the others.
fn weights(nodes: &[f64], rho: f64) -> Vec<f64> {
    let difference = |f: &dyn Fn(f64, f64) -> f64| {
        let start = nodes[0];
        f(rho, rho.ln()) - f(start.exp(), start)
    };
    (0..nodes.len())
        .map(|one| {
            let others: Vec<f64> = nodes.iter().enumerate().filter(|(i, _)| *i != one).map(|(_, node)| *node).collect();
            let scale: f64 = others.iter().map(|node| nodes[one] - node).product();
            // With l = ln r: the integrals of 1, l - a and (l - a)(l - b).
            let integral = match *others.as_slice() {
                [] => difference(&|r, _| r),
                [a] => difference(&|r, l| r * (l - 1.0 - a)),
                [a, b, ..] => difference(&|r, l| r * (l * l - 2.0 * l + 2.0 - (a + b) * (l - 1.0) + a * b)),
            };
            integral / scale
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_of_a_constant_add_up_to_the_step() {
        for nodes in [vec![1.0], vec![1.0, 1.7], vec![1.0, 1.7, 2.6]] {
            let sum: f64 = weights(&nodes, 0.4).iter().sum();
            assert!((sum - (0.4 - 1f64.exp())).abs() < 1e-12, "{sum}");
        }
    }
}
