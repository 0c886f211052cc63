//! The singlestep DPM solvers of diffusers (Lu et al. 2022, 2022b), counted as there: every model call is a step, and the
//! steps of second and third order begin anew at the latent that a step of first order began with.

use burn::tensor::Tensor;

use super::build::Setup;
use super::linear::combine;
use super::multistep::{Face, History};
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::prediction;
use crate::schedule::{Algorithm, FinalSigma, SolverType};

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let config = setup.config;
    let algorithm = config.algorithm_type.filter(|_| setup.follows_config).unwrap_or_default();
    let order = setup.options.order.or(config.solver_order.filter(|_| setup.follows_config)).unwrap_or(2).clamp(1, 3);
    let steps = setup.plan.steps();
    let ends_clean = config.final_sigmas_type.unwrap_or_default() == FinalSigma::Zero;
    let lower_at_end = config.lower_order_final.unwrap_or(false) || ends_clean || !steps.is_multiple_of(order);
    let integrator = Singlestep {
        face: if algorithm == Algorithm::DpmSolver { Face::Noise } else { Face::Data },
        solver: setup.options.solver.or(config.solver_type).unwrap_or(SolverType::Midpoint),
        eta: if algorithm == Algorithm::SdeDpmSolverPlusPlus { setup.eta(1.0) } else { 0.0 },
        orders: orders(order, steps, lower_at_end, ends_clean),
        base: None,
        history: History::default(),
    };
    Stepwise::boxed(setup.plan, setup.start, None, integrator)
}

/// The order of each step: 1, 2, ... `order`, over and over, falling at the end.
fn orders(order: usize, steps: usize, lower_at_end: bool, ends_clean: bool) -> Vec<usize> {
    let mut orders: Vec<usize> = (0..steps).map(|i| i % order + 1).collect();
    // A round that the run's end cuts short stays as it is; a whole one loses its highest order.
    let is_whole = steps.is_multiple_of(order);
    if ((lower_at_end && is_whole) || ends_clean)
        && let Some(last) = orders.last_mut()
    {
        *last = 1;
    }
    orders
}

struct Singlestep {
    face: Face,
    solver: SolverType,
    eta: f64,
    orders: Vec<usize>,
    /// Where the round began.
    base: Option<Tensor<4>>,
    history: History,
}

impl Integrator for Singlestep {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let (from, to) = (step.from(), step.to());
        let clean = model.denoise(x.clone(), from);
        if to.sigma == 0.0 {
            return clean;
        }
        let output = match self.face {
            Face::Data => clean,
            Face::Noise => prediction::noise(clean, x.clone(), from),
        };
        self.history.push(from.lambda(), output, 3);
        let order = self.orders.get(step.index).copied().unwrap_or(1).min(self.history.usable());
        let base = match self.base.take() {
            Some(base) if order > 1 => base,
            _ => x,
        };
        self.base = Some(base.clone());
        let start = step.plan.level(step.index + 1 - order);
        let lambdas: Vec<f64> = self.history.lambdas().into_iter().take(order).collect();
        let update = self.update(start, to, &lambdas);
        let terms: Vec<_> = update.outputs.iter().copied().zip(self.history.outputs()).collect();
        let x = combine((update.x, &base), &terms);
        if update.noise > 0.0 { x + noise.draw().mul_scalar(update.noise as f32) } else { x }
    }
}

struct Update {
    x: f64,
    outputs: [f64; 3],
    noise: f64,
}

impl Singlestep {
    /// The step from `start`, where the oldest of the outputs at `lambdas` (the latest first) was made.
    fn update(&self, start: Level, to: Level, lambdas: &[f64]) -> Update {
        let h = to.lambda() - start.lambda();
        if h == 0.0 {
            return Update { x: 1.0, outputs: [0.0; 3], noise: 0.0 };
        }
        // The same phi functions as of the multistep solvers.
        let (z, x, base, noise) = match self.face {
            Face::Data => {
                let noise = to.sigma * (-(-2.0 * self.eta * h).exp_m1()).max(0.0).sqrt();
                (-(1.0 + self.eta) * h, to.sigma / start.sigma * (-self.eta * h).exp(), to.alpha, noise)
            }
            Face::Noise => (h, to.alpha / start.alpha, to.sigma, 0.0),
        };
        let phi_1 = -z.exp_m1();
        let phi_2 = phi_1 / z + 1.0;
        // diffusers turns the sign of the constant in its stochastic solvers; this is its class.
        let phi_3 = phi_2 / z + if self.eta > 0.0 { -0.5 } else { 0.5 };
        let is_heun = self.solver == SolverType::Heun;
        let second = if is_heun { phi_2 } else { 0.5 * phi_1 };
        let share = |lambda: f64| (lambda - start.lambda()) / h;
        let outputs = match *lambdas {
            [latest, _] => {
                let weight = second / share(latest);
                [weight, phi_1 - weight, 0.0]
            }
            [latest, middle, _, ..] => {
                let (r0, r1) = (share(latest), share(middle));
                // Slopes from the base: `far` to the latest, `near` to the middle output.
                let (far, near) = if is_heun {
                    let curve = 2.0 * phi_3 / (r0 - r1);
                    (curve - phi_2 * r1 / (r0 - r1), phi_2 * r0 / (r0 - r1) - curve)
                } else {
                    (phi_2, 0.0)
                };
                [far / r0, near / r1, phi_1 - far / r0 - near / r1]
            }
            _ => [phi_1, 0.0, 0.0],
        };
        Update { x, outputs: outputs.map(|weight| weight * base), noise }
    }
}
