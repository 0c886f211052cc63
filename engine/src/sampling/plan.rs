//! A run's levels, and the loop over them that most samplers share.

use burn::tensor::Tensor;

use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::schedule::{NoiseTable, Schedule};

/// The parameterisation that a sampler works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// `x0 + sigma * eps`: variance exploding.
    Exploding,
    /// `alpha * x0 + sigma * eps` of constant variance.
    Preserving,
}

/// The levels of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// One more than there are steps.
    pub(super) levels: Vec<Level>,
    /// See [`Schedule::stride`].
    stride: Option<usize>,
    space: Space,
    table: NoiseTable,
    initial_scale: f64,
}

impl Plan {
    pub(super) fn new(schedule: &Schedule, space: Space, table: NoiseTable) -> Self {
        let level = |point: &crate::schedule::Point| match space {
            Space::Exploding => Level::exploding(point.sigma, point.timestep),
            Space::Preserving => Level::preserving(point.sigma, point.timestep),
        };
        let levels: Vec<Level> = schedule.points.iter().map(level).collect();
        let initial_scale = match (space, levels.first()) {
            (Space::Exploding, Some(first)) if schedule.counts_signal => first.sigma.hypot(1.0),
            (Space::Exploding, Some(first)) => first.sigma,
            (Space::Preserving, _) | (_, None) => 1.0,
        };
        Self { levels, stride: schedule.stride, space, table, initial_scale }
    }

    pub(super) fn steps(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    pub(super) fn initial_scale(&self) -> f64 {
        self.initial_scale
    }

    /// Level `index`; beyond the end, the end.
    pub(super) fn level(&self, index: usize) -> Level {
        let index = index.min(self.steps());
        self.levels.get(index).copied().unwrap_or(Level { alpha: 1.0, sigma: 0.0, timestep: 0.0 })
    }

    /// The level with a noise-to-signal ratio that is not on the plan.
    pub(super) fn at(&self, ratio: f64) -> Level {
        self.place(ratio, self.table.timestep(ratio))
    }

    /// The level of the least noise that the model was trained with.
    pub(super) fn least(&self) -> Level {
        self.place(self.table.sigma_min(), 0.0)
    }

    /// The level at a timestep that is not on the plan. Below the first there is only the plan's end.
    pub(super) fn at_time(&self, timestep: f64) -> Level {
        if timestep < 0.0 {
            return self.level(self.steps());
        }
        let ratio =
            if timestep.fract() == 0.0 { self.table.sigma_exact(timestep as i64) } else { self.table.sigma_log(timestep) };
        self.place(ratio, timestep)
    }

    fn place(&self, ratio: f64, timestep: f64) -> Level {
        match self.space {
            Space::Exploding => Level::exploding(ratio, timestep),
            Space::Preserving => Level::preserving(ratio, timestep),
        }
    }
}

/// One step of a plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) plan: &'a Plan,
    /// Counted from the plan's beginning, also in runs that start late.
    pub(super) index: usize,
}

impl Step<'_> {
    /// Where the step begins.
    pub(super) fn from(&self) -> Level {
        self.plan.level(self.index)
    }

    /// The plan's next level.
    pub(super) fn to(&self) -> Level {
        self.plan.level(self.index + 1)
    }

    /// Where a step of DDIM's kin goes: down by the stride where there is one, else to the next level.
    pub(super) fn down(&self) -> Level {
        match self.stride() {
            Some(stride) => self.plan.at_time(self.from().timestep - stride),
            None => self.to(),
        }
    }

    /// See [`Schedule::stride`].
    pub(super) fn stride(&self) -> Option<f64> {
        self.plan.stride.map(|stride| stride as f64)
    }

    pub(super) fn is_last(&self) -> bool {
        self.index + 1 == self.plan.steps()
    }
}

/// A sampler that takes the steps of its plan one after another.
pub(super) trait Integrator {
    /// The latent after `step`, `x` being the one before it.
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4>;
}

/// The loop over a plan.
pub(super) struct Stepwise<I> {
    plan: Plan,
    start: usize,
    next: usize,
    clip: Option<f64>,
    integrator: I,
}

impl<I: Integrator + 'static> Stepwise<I> {
    /// Takes the steps of `plan` from `start` on; clean latents are clipped to `-clip..clip` before the integrator sees them.
    pub(super) fn boxed(plan: Plan, start: usize, clip: Option<f64>, integrator: I) -> Box<dyn Sampler> {
        Box::new(Self { plan, start, next: start, clip, integrator })
    }
}

impl<I: Integrator> Sampler for Stepwise<I> {
    fn steps(&self) -> usize {
        self.plan.steps().saturating_sub(self.start)
    }

    fn finished(&self) -> bool {
        self.next >= self.plan.steps()
    }

    fn level(&self) -> Level {
        self.plan.level(self.next)
    }

    fn initial_scale(&self) -> f64 {
        self.plan.initial_scale()
    }

    fn step(&mut self, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        if self.finished() {
            return x;
        }
        let step = Step { plan: &self.plan, index: self.next };
        let x = match self.clip {
            None => self.integrator.advance(step, x, model, noise),
            Some(range) => self.integrator.advance(step, x, &Clipped { model, range }, noise),
        };
        self.next += 1;
        x
    }
}

/// A model whose clean latents are held to a range.
struct Clipped<'a> {
    model: &'a dyn Denoise,
    range: f64,
}

impl Denoise for Clipped<'_> {
    fn denoise(&self, x: Tensor<4>, at: Level) -> Tensor<4> {
        self.model.denoise(x, at).clamp(-self.range, self.range)
    }
}
