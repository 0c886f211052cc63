//! DPM-Solver-12/23 with adaptive steps (Lu et al. 2022, algorithm 3; k-diffusion's `sample_dpm_adaptive`, third order).
//!
//! A step is an attempt. It makes a solution of second and one of third order; how far they are apart decides whether
//! the attempt counts and how long the next one is. That number is on the device, and only the host may wait for
//! it: [`Sampler::probe`] hands it out and [`Sampler::observe`] takes it back.

use burn::tensor::Tensor;

use super::ancestral::split;
use super::build::Setup;
use super::linear::combine;
use super::plan::Plan;
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::prediction;

/// The first step's length in lambda, and how an attempt's error sets the next one's.
const FIRST_STEP: f64 = 0.05;
const ACCEPT_SAFETY: f64 = 0.81;
/// An end of the run that is this close in lambda is reached.
const CLOSE: f64 = 1e-5;
/// Where the steps shrink to nothing (a model that gives no numbers) the run ends instead of going on for ever.
const MOST_ATTEMPTS: usize = 1000;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let start = setup.plan.level(setup.start);
    let eta = setup.eta(0.0);
    Box::new(Adaptive {
        rtol: setup.options.rtol,
        atol: setup.options.atol,
        eta,
        s_noise: setup.options.s_noise,
        here: start.lambda(),
        // The solver cannot reach a lambda of infinity: it ends at the least noise of training, whatever the schedule's steps.
        end: setup.plan.least().lambda(),
        step: FIRST_STEP,
        order: if eta > 0.0 { 1.5 } else { 3.0 },
        attempts: 0,
        previous: None,
        attempt: None,
        rejected: None,
        plan: setup.plan,
    })
}

struct Adaptive {
    plan: Plan,
    rtol: f64,
    atol: f64,
    eta: f64,
    s_noise: f64,
    /// Lambda now, and at the end of the run.
    here: f64,
    end: f64,
    /// The next attempt's length in lambda.
    step: f64,
    /// The error's order in the step.
    order: f64,
    attempts: usize,
    /// The last accepted solution of lower order: half of the scale that errors are measured by.
    previous: Option<Tensor<4>>,
    attempt: Option<Attempt>,
    /// The latent that a rejected attempt began with.
    rejected: Option<Tensor<4>>,
}

/// An attempt whose error is not known yet.
struct Attempt {
    before: Tensor<4>,
    lower: Tensor<4>,
    error: Tensor<1>,
    to: f64,
}

impl Adaptive {
    fn at(&self, lambda: f64) -> Level {
        self.plan.at((-lambda).exp())
    }

    fn noise(&self, x: &Tensor<4>, lambda: f64, model: &dyn Denoise) -> Tensor<4> {
        let at = self.at(lambda);
        prediction::noise(model.denoise(x.clone(), at), x.clone(), at)
    }

    /// The solutions of second and third order from lambda `from` to `to`.
    fn solve(&self, x: &Tensor<4>, from: f64, to: f64, model: &dyn Denoise) -> (Tensor<4>, Tensor<4>) {
        const R1: f64 = 1.0 / 3.0;
        const R2: f64 = 2.0 / 3.0;
        let h = to - from;
        let sigma = |lambda: f64| (-lambda).exp();
        let eps = self.noise(x, from, model);
        let at_1 = from + R1 * h;
        let x_1 = combine((1.0, x), &[(-sigma(at_1) * (R1 * h).exp_m1(), &eps)]);
        let change_1 = self.noise(&x_1, at_1, model) - eps.clone();
        let base = -sigma(to) * h.exp_m1();
        let lower = combine((1.0, x), &[(base, &eps), (base / (2.0 * R1), &change_1)]);
        let at_2 = from + R2 * h;
        let bend = |h: f64| h.exp_m1() / h - 1.0;
        let x_2 =
            combine((1.0, x), &[(-sigma(at_2) * (R2 * h).exp_m1(), &eps), (-sigma(at_2) * R2 / R1 * bend(R2 * h), &change_1)]);
        let change_2 = self.noise(&x_2, at_2, model) - eps.clone();
        let higher = combine((1.0, x), &[(base, &eps), (-sigma(to) / R2 * bend(h), &change_2)]);
        (lower, higher)
    }

    /// The root of the mean square of the error in units of what is tolerated; of the worst image in a batch.
    fn error(&self, lower: &Tensor<4>, higher: &Tensor<4>) -> Tensor<1> {
        let previous = self.previous.as_ref().unwrap_or(lower);
        let size = lower.clone().abs().max_pair(previous.clone().abs());
        let tolerated = size.mul_scalar(self.rtol as f32).clamp_min(self.atol as f32);
        let error = (lower.clone() - higher.clone()) / tolerated;
        let squares: Tensor<2> = error.square().flatten(1, 3);
        squares.mean_dim(1).sqrt().max()
    }
}

impl Sampler for Adaptive {
    fn steps(&self) -> usize {
        // What is left, if the steps stay as long as the next one. They tend to grow.
        let left = ((self.end - self.here) / self.step).ceil().max(0.0);
        self.attempts + left.min(MOST_ATTEMPTS as f64) as usize
    }

    fn finished(&self) -> bool {
        self.here >= self.end - CLOSE || self.attempts >= MOST_ATTEMPTS
    }

    fn level(&self) -> Level {
        self.at(self.here)
    }

    fn initial_scale(&self) -> f64 {
        self.plan.initial_scale()
    }

    fn step(&mut self, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        if self.finished() {
            return x;
        }
        let x = self.rejected.take().unwrap_or(x);
        let to = (self.here + self.step).min(self.end);
        let (sigma, sigma_to) = ((-self.here).exp(), (-to).exp());
        // The deterministic part goes below the level, by what fresh noise then adds.
        let (down, _) = split(sigma, sigma_to, self.eta);
        let target = (-down.ln()).min(self.end);
        let added = (sigma_to * sigma_to - (-2.0 * target).exp()).max(0.0).sqrt() * self.s_noise;
        let (lower, higher) = self.solve(&x, self.here, target, model);
        if self.previous.is_none() {
            self.previous = Some(x.clone());
        }
        let error = self.error(&lower, &higher);
        self.attempt = Some(Attempt { before: x, lower, error, to });
        self.attempts += 1;
        // A repeated attempt asks about the same path again, so its noise fits what was seen before.
        if self.eta > 0.0 && added > 0.0 { higher + noise.increment(sigma, sigma_to).mul_scalar(added as f32) } else { higher }
    }

    fn probe(&self) -> Option<Tensor<1>> {
        self.attempt.as_ref().map(|attempt| attempt.error.clone())
    }

    fn observe(&mut self, value: f32) {
        let Some(attempt) = self.attempt.take() else { return };
        let inverse = 1.0 / (f64::from(value) + 1e-8);
        // k-diffusion's controller with its coefficients (0, 1, 0) and its limiter.
        let factor = 1.0 + (inverse.powf(1.0 / self.order) - 1.0).atan();
        if !factor.is_finite() {
            self.attempts = MOST_ATTEMPTS;
            return;
        }
        if factor >= ACCEPT_SAFETY {
            self.here = attempt.to;
            self.previous = Some(attempt.lower);
        } else {
            self.rejected = Some(attempt.before);
        }
        self.step *= factor;
    }
}
