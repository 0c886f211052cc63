//! From a model's configuration and a user's wishes to a sampler that is ready to run.

use super::plan::{Plan, Space};
use super::{Sampler, SamplerKind, SamplerOptions};
use crate::prediction::Prediction;
use crate::schedule::{
    self, AlignedTo, Basis, Grid, NoiseTable, Schedule, ScheduleError, ScheduleKind, SchedulerConfig, TableError, diffusers,
};

/// Why a run cannot be planned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// No sampler has that name.
    #[error("sampler: there is no {name:?}{}", did_you_mean(.nearest))]
    UnknownSampler {
        /// The name.
        name: String,
        /// The id of the sampler that was probably meant, or empty.
        nearest: String,
    },
    /// An option outside of its range.
    #[error("{field}: {value} is not allowed; use {allowed}")]
    Option {
        /// The option.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The schedule cannot be made.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The model's configuration gives no noise levels.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A run that starts after its end.
    #[error("start: {start} is not allowed; use a number less than the {steps} steps")]
    Start {
        /// How many steps were to be left out.
        start: usize,
        /// How many there are.
        steps: usize,
    },
    /// A noise-predicting model at a level without signal.
    #[error(
        "the schedule begins at zero signal-to-noise (timestep {timestep}), where a model that predicts noise says nothing: \
         use another sampler or schedule, or set `prediction_type` to \"v_prediction\" if that is what the model was trained for"
    )]
    NoSignal {
        /// The timestep of the level.
        timestep: f64,
    },
    /// Levels that do not fall.
    #[error("schedule: noise levels must be positive and fall, with zero only at the end; level {index} is {sigma}")]
    Levels {
        /// Which.
        index: usize,
        /// Its value.
        sigma: f64,
    },
}

fn did_you_mean(nearest: &str) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean {nearest:?}?") }
}

/// What a run shall be.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The model's configuration, which decides wherever nobody else does.
    pub config: &'a SchedulerConfig,
    /// The sampler, if not the model's own.
    pub sampler: Option<SamplerKind>,
    /// The schedule, if not the model's own.
    pub schedule: Option<ScheduleKind>,
    /// How many steps the whole schedule has.
    pub steps: usize,
    /// How many of them are left out at the beginning, because the run begins from a picture.
    pub start: usize,
    /// Which table of "Align Your Steps" fits the model.
    pub aligned_to: AlignedTo,
    /// Everything else.
    pub options: &'a SamplerOptions,
}

/// A sampler that is ready to run, and what it is.
pub struct Run {
    /// The sampler.
    pub sampler: Box<dyn Sampler>,
    /// Which it is.
    pub kind: SamplerKind,
    /// The schedule, by the name that comes closest.
    pub schedule: ScheduleKind,
}

/// What a sampler's constructor gets.
pub(super) struct Setup<'a> {
    pub(super) plan: Plan,
    pub(super) start: usize,
    pub(super) config: &'a SchedulerConfig,
    pub(super) options: &'a SamplerOptions,
    /// Whether the sampler is the one that the model's configuration means, so that its details hold as well.
    pub(super) follows_config: bool,
}

impl Setup<'_> {
    /// The user's `eta`, or the sampler's own.
    pub(super) fn eta(&self, own: f64) -> f64 {
        self.options.eta.unwrap_or(own)
    }
}

/// Plans a run.
pub fn build(request: &Request<'_>) -> Result<Run, SamplingError> {
    let kind = request.sampler.unwrap_or_else(|| SamplerKind::of(request.config));
    let info = kind.info();
    let table = NoiseTable::new(request.config)?;
    let basis = Basis { config: request.config, table: &table, class: info.class, aligned_to: request.aligned_to };
    let is_distilled = info.usual == ScheduleKind::Lcm;
    let schedule = match request.schedule {
        Some(named) => schedule::build(named, info.usual, request.steps, basis)?,
        None if is_distilled => schedule::build(ScheduleKind::Lcm, info.usual, request.steps, basis)?,
        None => diffusers::configured(request.steps, basis)?,
    };
    let mut run = build_on(&schedule, request)?;
    run.schedule = match request.schedule {
        Some(ScheduleKind::Automatic) => info.usual,
        Some(named) => named,
        None if is_distilled => ScheduleKind::Lcm,
        None => diffusers::name(basis),
    };
    Ok(run)
}

/// Plans a run over levels of one's own; `request.schedule` and `request.steps` do not count.
pub fn build_on(schedule: &Schedule, request: &Request<'_>) -> Result<Run, SamplingError> {
    request.options.check()?;
    let config = request.config;
    let kind = request.sampler.unwrap_or_else(|| SamplerKind::of(config));
    let info = kind.info();
    let space = if info.class.facts().grid == Grid::Fractional { Space::Exploding } else { Space::Preserving };
    check_levels(schedule, config.prediction())?;
    let plan = Plan::new(schedule, space, NoiseTable::new(config)?);
    if request.start >= plan.steps() {
        return Err(SamplingError::Start { start: request.start, steps: plan.steps() });
    }
    let follows_config = kind == SamplerKind::of(config);
    let sampler = (info.build)(Setup { plan, start: request.start, config, options: request.options, follows_config });
    Ok(Run { sampler, kind, schedule: request.schedule.unwrap_or(info.usual) })
}

fn check_levels(schedule: &Schedule, prediction: Prediction) -> Result<(), SamplingError> {
    let end = schedule.points.len().saturating_sub(1);
    let mut above = f64::INFINITY;
    for (index, point) in schedule.points.iter().enumerate() {
        let sigma = point.sigma;
        if sigma.is_infinite() && sigma > 0.0 && prediction == Prediction::Epsilon {
            return Err(SamplingError::NoSignal { timestep: point.timestep });
        }
        if !(sigma <= above && (sigma > 0.0 || (index == end && sigma == 0.0))) {
            return Err(SamplingError::Levels { index, sigma });
        }
        above = sigma;
    }
    Ok(())
}
