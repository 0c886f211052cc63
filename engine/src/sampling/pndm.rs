//! Pseudo numerical methods (Liu et al. 2022): linear multistep formulas on the model's output and DDIM's transfer. A1111
//! and the original Stable Diffusion call the variant without a Runge-Kutta start PLMS.
//!
//! Like diffusers, it extrapolates the network's raw output (noise or velocity), and where the chosen timesteps are not a
//! stride apart, each transfer still goes down by the stride.

use burn::tensor::Tensor;

use super::build::Setup;
use super::linear::combine;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::prediction::Prediction;

/// The multistep formulas by how many outputs there are, the latest first.
const ADAMS_BASHFORTH: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];
/// How many steps of Runge and Kutta give the multistep formula its first outputs.
const START: usize = 3;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let left = setup.plan.steps() - setup.start;
    // Where a Runge-Kutta start would be all there is, the run begins as PLMS does.
    let wants_runge_kutta = setup.follows_config && !setup.config.skip_prk_steps.unwrap_or(false) && left > START;
    let integrator = Pndm {
        prediction: setup.config.prediction(),
        start: setup.start,
        runge_kutta: if wants_runge_kutta { START } else { 0 },
        outputs: Vec::new(),
    };
    Stepwise::boxed(setup.plan, setup.start, None, integrator)
}

struct Pndm {
    /// What is extrapolated.
    prediction: Prediction,
    /// The run's first step, and how many steps from there are by Runge and Kutta.
    start: usize,
    runge_kutta: usize,
    /// The last outputs, the latest first.
    outputs: Vec<Tensor<4>>,
}

impl Integrator for Pndm {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, _: &mut dyn NoiseSource) -> Tensor<4> {
        let from = step.from();
        let output = self.output(&x, from, model);
        self.outputs.insert(0, output.clone());
        self.outputs.truncate(ADAMS_BASHFORTH.len());
        if step.index < self.start + self.runge_kutta {
            return self.runge_kutta(step, x, output, model);
        }
        if self.outputs.len() == 1 && !step.is_last() {
            return self.first(step, x, output, model);
        }
        let weights = ADAMS_BASHFORTH[self.outputs.len() - 1];
        let terms: Vec<_> = weights.iter().copied().zip(&self.outputs).collect();
        self.transfer(&x, &combine(terms[0], &terms[1..]), from, step.down())
    }
}

impl Pndm {
    fn output(&self, x: &Tensor<4>, at: Level, model: &dyn Denoise) -> Tensor<4> {
        self.prediction.output(model.denoise(x.clone(), at), x.clone(), at)
    }

    /// DDIM's step from `from` to `to` with the network's `output` for `x` (equation 11).
    fn transfer(&self, x: &Tensor<4>, output: &Tensor<4>, from: Level, to: Level) -> Tensor<4> {
        let (of_x, of_output) = match self.prediction {
            Prediction::Epsilon => (to.alpha / from.alpha, to.sigma - from.sigma * to.alpha / from.alpha),
            Prediction::V => (to.alpha * from.alpha + to.sigma * from.sigma, to.sigma * from.alpha - to.alpha * from.sigma),
            Prediction::Sample => (to.sigma / from.sigma, to.alpha - from.alpha * to.sigma / from.sigma),
        };
        combine((of_x, x), &[(of_output, output)])
    }

    /// The first step without older outputs: there, and once more with the mean of the outputs at both ends.
    fn first(&self, step: Step<'_>, x: Tensor<4>, output: Tensor<4>, model: &dyn Denoise) -> Tensor<4> {
        let next = step.to();
        let ahead = self.transfer(&x, &output, step.from(), step.down());
        let output_ahead = self.output(&ahead, next, model);
        let mean = combine((0.5, &output), &[(0.5, &output_ahead)]);
        let from = step.stride().map_or(step.from(), |stride| step.plan.at_time(next.timestep + stride));
        self.transfer(&x, &mean, from, next)
    }

    /// The classical method of fourth order.
    fn runge_kutta(&self, step: Step<'_>, x: Tensor<4>, first: Tensor<4>, model: &dyn Denoise) -> Tensor<4> {
        let (from, to) = (step.from(), step.to());
        let half = step.stride().map_or(0.5 * (from.timestep - to.timestep), |stride| (stride / 2.0).floor());
        // Where the timesteps are not a stride apart, the first half step ends beside the middle that is asked about.
        let middle = step.plan.at_time(to.timestep + half);
        let halfway = self.transfer(&x, &first, from, step.plan.at_time(from.timestep - half));
        let second = self.output(&halfway, middle, model);
        let halfway = self.transfer(&x, &second, from, middle);
        let third = self.output(&halfway, middle, model);
        let ahead = self.transfer(&x, &third, from, to);
        let fourth = self.output(&ahead, to, model);
        let mean = combine((1.0 / 6.0, &first), &[(1.0 / 3.0, &second), (1.0 / 3.0, &third), (1.0 / 6.0, &fourth)]);
        self.transfer(&x, &mean, from, to)
    }
}
