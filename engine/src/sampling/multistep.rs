//! The multistep DPM solvers (Lu et al. 2022, "DPM-Solver" and "DPM-Solver++"), deterministic and stochastic, up to the third
//! order. All of them are one formula; the named samplers are settings of it.
//!
//! With h the step in lambda, eta the share of the noise and D1, D2 the divided differences of the model's last outputs m:
//!
//! `x' = a x + b (phi_1 m0 + phi_2 D1 + phi_3 D2) + c noise`
//!
//! | | z | a | b | c |
//! |---|---|---|---|---|
//! | m is the clean latent | -(1 + eta) h | sigma'/sigma e^(-eta h) | alpha' | sigma' sqrt(1 - e^(-2 eta h)) |
//! | m is the noise | h | alpha'/alpha | (1 + eta) sigma' | sigma' sqrt(eta (e^(2h) - 1)) |
//!
//! where `phi_1 = 1 - e^z`, `phi_2 = phi_1/z + 1` (or half of phi_1: the midpoint's way) and `phi_3 = phi_2/z + 1/2`.

use burn::tensor::Tensor;

use super::build::Setup;
use super::linear::combine;
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::prediction;
use crate::schedule::{FinalSigma, SolverType};

/// Which of the model's two faces is extrapolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Face {
    /// The clean latent (DPM-Solver++).
    Data,
    /// The noise (DPM-Solver).
    Noise,
}

/// How the third-order term of the stochastic solver is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Third {
    /// As the expansion has it (k-diffusion).
    Expanded,
    /// As diffusers has it, with the constant's sign turned: for configurations that name its class.
    Diffusers,
}

/// What makes one multistep DPM solver differ from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) face: Face,
    pub(super) solver: SolverType,
    pub(super) third: Third,
    pub(super) orders: Orders,
    pub(super) eta: f64,
    pub(super) s_noise: f64,
}

/// A sampler of these settings.
pub(super) fn sampler(setup: Setup<'_>, settings: Settings) -> Box<dyn Sampler> {
    Stepwise::boxed(setup.plan, setup.start, None, Multistep { settings, history: History::default() })
}

struct Multistep {
    settings: Settings,
    history: History,
}

impl Integrator for Multistep {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (from, to) = (step.from(), step.to());
        let clean = model.denoise(x.clone(), from);
        if to.sigma == 0.0 {
            return clean;
        }
        let output = match self.settings.face {
            Face::Data => clean,
            Face::Noise => prediction::noise(clean, x.clone(), from),
        };
        self.history.push(from.lambda(), output, self.settings.orders.most);
        let order = self.settings.orders.of(step).min(self.history.usable());
        let update = update(&self.settings, from, to, &self.history.gaps(order));
        let terms: Vec<_> = update.outputs.iter().copied().zip(self.history.outputs()).collect();
        let x = combine((update.x, &x), &terms);
        let spread = update.noise * self.settings.s_noise;
        if spread > 0.0 { x + noise.draw().mul_scalar(spread as f32) } else { x }
    }
}

/// The coefficients of a step.
struct Update {
    x: f64,
    outputs: [f64; 3],
    noise: f64,
}

/// `gaps` are the steps in lambda between the outputs that are used, the latest first: one less than the order.
fn update(settings: &Settings, from: Level, to: Level, gaps: &[f64]) -> Update {
    let h = to.lambda() - from.lambda();
    if h == 0.0 {
        return Update { x: 1.0, outputs: [0.0; 3], noise: 0.0 };
    }
    let eta = settings.eta;
    let (z, x, base, noise) = match settings.face {
        Face::Data => {
            let noise = to.sigma * (-(-2.0 * eta * h).exp_m1()).max(0.0).sqrt();
            (-(1.0 + eta) * h, to.sigma / from.sigma * (-eta * h).exp(), to.alpha, noise)
        }
        Face::Noise => {
            let noise = to.sigma * (eta * (2.0 * h).exp_m1()).max(0.0).sqrt();
            (h, to.alpha / from.alpha, (1.0 + eta) * to.sigma, noise)
        }
    };
    let phi_1 = -z.exp_m1();
    let phi_2 = phi_1 / z + 1.0;
    let mut outputs = [phi_1, 0.0, 0.0];
    match *gaps {
        [] => {}
        [gap] => {
            let second = if settings.solver == SolverType::Heun { phi_2 } else { 0.5 * phi_1 };
            let weight = second * h / gap;
            outputs = [phi_1 + weight, -weight, 0.0];
        }
        [gap, older, ..] => {
            let half = if settings.third == Third::Diffusers { -0.5 } else { 0.5 };
            let phi_3 = phi_2 / z + half;
            let (r0, r1) = (gap / h, older / h);
            // D1 = near + r0 / (r0 + r1) (near - far), D2 = (near - far) / (r0 + r1)
            let bend = (phi_2 * r0 + phi_3) / (r0 + r1);
            let (near, far) = ((phi_2 + bend) / r0, -bend / r1);
            outputs = [phi_1 + near, far - near, -far];
        }
    }
    Update { x, outputs: outputs.map(|weight| weight * base), noise }
}

/// The order of each step of a multistep solver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    /// The order of steps that have enough behind and before them.
    pub(super) most: usize,
    /// Whether runs of few steps end with lower orders.
    pub(super) lower_at_end: bool,
    /// Whether the last step is always of first order.
    pub(super) euler_at_end: bool,
}

/// Runs with fewer steps than this count as short: their last steps are of lower order.
const SHORT: usize = 15;

impl Orders {
    /// What the configuration asks for, `most` being the order where it says nothing.
    pub(super) fn configured(setup: &Setup<'_>, most: usize) -> Self {
        let config = setup.config;
        Self {
            most: setup.options.order.unwrap_or(most).clamp(1, 3),
            lower_at_end: config.lower_order_final.unwrap_or(true),
            euler_at_end: config.euler_at_final.unwrap_or(false)
                || config.final_sigmas_type.unwrap_or_default() == FinalSigma::Zero,
        }
    }

    /// The order of `step`, if there are enough outputs.
    pub(super) fn of(&self, step: Step<'_>) -> usize {
        let steps = step.plan.steps();
        let lower = self.lower_at_end && steps < SHORT;
        match steps - step.index {
            1 if self.euler_at_end || lower => 1,
            2 if lower => self.most.min(2),
            _ => self.most,
        }
    }
}

/// The model's last outputs and where they were made, the latest first.
#[derive(Default)]
pub(super) struct History {
    entries: Vec<(f64, Tensor<4>)>,
}

impl History {
    pub(super) fn push(&mut self, lambda: f64, output: Tensor<4>, most: usize) {
        self.entries.insert(0, (lambda, output));
        self.entries.truncate(most);
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = &Tensor<4>> {
        self.entries.iter().map(|(_, output)| output)
    }

    pub(super) fn lambdas(&self) -> Vec<f64> {
        self.entries.iter().map(|(lambda, _)| *lambda).collect()
    }

    /// How many outputs can be extrapolated from: those at levels that differ from the next.
    pub(super) fn usable(&self) -> usize {
        let same = self.entries.windows(2).position(|pair| pair[0].0 == pair[1].0);
        same.map_or(self.entries.len(), |before| before + 1)
    }

    /// The steps in lambda between the latest `count` outputs.
    fn gaps(&self, count: usize) -> Vec<f64> {
        self.entries.windows(2).take(count.saturating_sub(1)).map(|pair| pair[0].0 - pair[1].0).collect()
    }
}
