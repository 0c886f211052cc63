//! Schedules: which noise levels a run visits.
//!
//! Two schools exist, and both are here. k-diffusion (and A1111, ComfyUI) spaces *sigmas* between the least and the greatest
//! of training, or timesteps with `sigma` interpolated in its logarithm. diffusers spaces *timesteps* and interpolates `sigma`
//! linearly, each class in its own way ([`diffusers`]). A schedule that a user names is of the first school, except for
//! diffusers' own three spacings; a model's `scheduler_config.json` asks for the second.
//!
//! To add a schedule, write its file and give it a line in [`SCHEDULES`].

mod align_your_steps;
mod beta;
mod class;
mod config;
mod ddim;
pub mod diffusers;
mod exponential;
mod karras;
mod kl_optimal;
mod lcm;
mod leading;
mod linspace;
mod normal;
mod polyexponential;
mod sgm_uniform;
mod simple;
mod table;
mod trailing;

use encaustic_protocol::{Entry, nearest};

pub use self::class::{CLASSES, ClassFacts, End, Grid, SchedulerClass};
pub use self::config::{
    Algorithm, BetaSchedule, ConfigError, FinalSigma, Interpolation, SchedulerConfig, SolverType, Spacing, Variance,
};
pub(crate) use self::karras::between as karras_between;
pub use self::table::{NoiseTable, TableError};

/// The most steps of a run. No sampler gains from more than the thousand of training; this bounds what a request costs.
pub const MAX_STEPS: usize = 10_000;

/// A level that a run visits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Noise-to-signal. Zero at the end of most schedules, infinite where there is no signal.
    pub sigma: f64,
    /// The model's time for it.
    pub timestep: f64,
}

/// The levels of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// One more than there are steps: step i goes from point i to point i + 1.
    pub points: Vec<Point>,
    /// On the whole timesteps of DDIM's kin, a step goes down by this much, whatever the next point is (on `linspace` and
    /// `trailing` that is not the same).
    pub stride: Option<usize>,
    /// Whether a run begins with noise of variance `sigma^2 + 1`, as if there were a picture under it.
    pub counts_signal: bool,
}

/// The schedules that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "`SCHEDULES` documents each")]
pub enum ScheduleKind {
    Automatic,
    Normal,
    Karras,
    Exponential,
    Polyexponential,
    SgmUniform,
    Simple,
    Ddim,
    Beta,
    KlOptimal,
    AlignYourSteps,
    Leading,
    Linspace,
    Trailing,
    Lcm,
}

/// Which of the tables of "Align Your Steps" fits the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlignedTo {
    /// Stable Diffusion 1 and 2.
    #[default]
    Sd,
    /// Stable Diffusion XL.
    Sdxl,
}

/// How a schedule gets its levels.
#[derive(Clone, Copy)]
enum Rule {
    /// The sampler's usual one.
    Automatic,
    /// So many sigmas for this model, falling; the end at zero is added.
    Sigmas(fn(&NoiseTable, AlignedTo, usize) -> Vec<f64>),
    /// diffusers' spacing of timesteps.
    Spaced(Spacing),
    /// A choice of the timesteps that a model was distilled for.
    Distilled,
}

/// What there is to know about a schedule.
#[derive(Clone, Copy)]
pub struct ScheduleInfo {
    /// The schedule.
    pub kind: ScheduleKind,
    /// Its name on a command line.
    pub name: &'static str,
    /// Its name in A1111's menus and metadata, where it has one.
    pub label: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// One line of help.
    pub help: &'static str,
    rule: Rule,
}

macro_rules! schedules {
    ($( $kind:ident $name:literal $label:literal [$($alias:literal),*] $rule:expr, $help:literal; )+) => {
        /// Every schedule, in the order of menus.
        pub const SCHEDULES: &[ScheduleInfo] = &[$( ScheduleInfo {
            kind: ScheduleKind::$kind, name: $name, label: $label, aliases: &[$($alias),*], help: $help, rule: $rule,
        }, )+];
    };
}

schedules! {
    Automatic "automatic" "Automatic" ["auto"] Rule::Automatic, "what the sampler is usually run with";
    Normal "normal" "Uniform" ["uniform"] Rule::Sigmas(normal::sigmas), "even steps in the model's time, first and last included";
    Karras "karras" "Karras" ["ka"] Rule::Sigmas(karras::sigmas), "more of the steps at little noise (Karras et al. 2022)";
    Exponential "exponential" "Exponential" ["exp"] Rule::Sigmas(exponential::sigmas), "even steps in the logarithm of the noise";
    Polyexponential "polyexponential" "Polyexponential" ["poly exponential"] Rule::Sigmas(polyexponential::sigmas),
        "exponential with a bent ramp; straight unless asked otherwise";
    SgmUniform "sgm-uniform" "SGM Uniform" ["sgm"] Rule::Sigmas(sgm_uniform::sigmas),
        "even steps in the model's time, without the last (Stability's own)";
    Simple "simple" "Simple" [] Rule::Sigmas(simple::sigmas), "every n-th level of training, from the noisiest";
    Ddim "ddim" "DDIM" ["ddim uniform"] Rule::Sigmas(ddim::sigmas), "every n-th level of training, from the second cleanest up";
    Beta "beta" "Beta" ["beta 0.6"] Rule::Sigmas(beta::sigmas), "more of the steps at both ends (Lee et al. 2024)";
    KlOptimal "kl-optimal" "KL Optimal" [] Rule::Sigmas(kl_optimal::sigmas), "even steps in the angle of the noise (Align Your Steps, theorem 3.1)";
    AlignYourSteps "align-your-steps" "Align Your Steps" ["ays"] Rule::Sigmas(align_your_steps::sigmas),
        "levels tuned for few steps (Sabour et al. 2024)";
    Leading "leading" "Leading" [] Rule::Spaced(Spacing::Leading), "diffusers: whole multiples from zero up";
    Linspace "linspace" "Linspace" [] Rule::Spaced(Spacing::Linspace), "diffusers: first and last timestep included";
    Trailing "trailing" "Trailing" [] Rule::Spaced(Spacing::Trailing), "diffusers: whole multiples from the end down; for turbo and lightning models";
    Lcm "lcm" "LCM" ["tcd", "distilled"] Rule::Distilled, "the timesteps that LCM and TCD models were distilled for";
}

impl ScheduleKind {
    /// What there is to know about it.
    #[must_use]
    pub fn info(self) -> &'static ScheduleInfo {
        // Every kind has a line (a test looks), so the fallback is never taken.
        SCHEDULES.iter().find(|info| info.kind == self).unwrap_or(&SCHEDULES[0])
    }
}

/// Why there is no such schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// No schedule has that name.
    #[error("schedule: there is no {name:?}{}", if nearest.is_empty() { String::new() } else { format!("; did you mean {nearest:?}?") })]
    Unknown {
        /// The name.
        name: String,
        /// The id of the schedule that was probably meant, or empty.
        nearest: String,
    },
    /// Fewer than one step, or more than the schedule has levels for.
    #[error("steps: {steps} is not allowed with the schedule {schedule:?}; use a whole number from 1 to {most}")]
    Steps {
        /// What was asked for.
        steps: usize,
        /// The schedule's name.
        schedule: &'static str,
        /// The most that it can do.
        most: usize,
    },
}

/// The schedules as a catalog shows them.
#[must_use]
pub fn entries() -> Vec<Entry> {
    SCHEDULES
        .iter()
        .map(|info| Entry {
            id: info.name.to_owned(),
            label: info.label.to_owned(),
            aliases: info.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            help: info.help.to_owned(),
        })
        .collect()
}

/// The schedule called `name`, by its name, A1111's or another alias, whatever the case and the separators.
pub fn parse(name: &str) -> Result<ScheduleKind, ScheduleError> {
    let entries = entries();
    let found = SCHEDULES.iter().zip(&entries).find(|(_, entry)| entry.is_called(name));
    found.map(|(info, _)| info.kind).ok_or_else(|| ScheduleError::Unknown {
        name: name.chars().take(64).collect(),
        nearest: nearest(name, &entries).unwrap_or_default().to_owned(),
    })
}

/// What a schedule depends on.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// The model's configuration.
    pub config: &'a SchedulerConfig,
    /// The model's levels, made from `config`.
    pub table: &'a NoiseTable,
    /// The class whose way of picking timesteps the sampler follows.
    pub class: SchedulerClass,
    /// Which table of "Align Your Steps" fits the model.
    pub aligned_to: AlignedTo,
}

/// The levels of `kind` for `steps` steps; `usual` stands in for [`ScheduleKind::Automatic`].
pub fn build(kind: ScheduleKind, usual: ScheduleKind, steps: usize, basis: Basis<'_>) -> Result<Schedule, ScheduleError> {
    let kind = if kind == ScheduleKind::Automatic { usual } else { kind };
    let info = kind.info();
    check_steps(steps, info.name, MAX_STEPS)?;
    match info.rule {
        Rule::Automatic => build(ScheduleKind::Normal, ScheduleKind::Normal, steps, basis),
        Rule::Sigmas(sigmas) => {
            let sigmas = sigmas(basis.table, basis.aligned_to, steps);
            Ok(of_sigmas(&sigmas, kind, basis))
        }
        Rule::Spaced(spacing) => diffusers::spaced(spacing, steps, basis),
        Rule::Distilled => lcm::schedule(steps, basis),
    }
}

fn check_steps(steps: usize, schedule: &'static str, most: usize) -> Result<(), ScheduleError> {
    if (1..=most).contains(&steps) { Ok(()) } else { Err(ScheduleError::Steps { steps, schedule, most }) }
}

/// The multistep solvers of diffusers ask their models at whole timesteps on the spacings that diffusers knows.
fn of_sigmas(sigmas: &[f64], kind: ScheduleKind, basis: Basis<'_>) -> Schedule {
    let whole = basis.class.facts().grid == Grid::Intervals;
    let timestep = |sigma: f64| {
        let timestep = basis.table.timestep(sigma);
        match kind {
            ScheduleKind::Karras if whole => timestep.round_ties_even(),
            ScheduleKind::Exponential | ScheduleKind::Beta if whole => diffusers::truncate(timestep),
            _ => timestep,
        }
    };
    let mut points: Vec<Point> = sigmas.iter().map(|sigma| Point { sigma: *sigma, timestep: timestep(*sigma) }).collect();
    points.push(Point { sigma: 0.0, timestep: 0.0 });
    Schedule { points, stride: None, counts_signal: false }
}

/// `count` numbers from `start` to `end`, both included; only `start` if there is but one.
fn ramp(start: f64, end: f64, count: usize) -> impl DoubleEndedIterator<Item = f64> + ExactSizeIterator {
    let step = (end - start) / count.saturating_sub(1).max(1) as f64;
    (0..count).map(move |i| if i > 0 && i + 1 == count { end } else { start + step * i as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_line() {
        assert_eq!(SCHEDULES.len(), ScheduleKind::Lcm as usize + 1);
        for info in SCHEDULES {
            assert_eq!(info.kind.info().name, info.name);
        }
    }

    #[test]
    fn a_ramp_has_both_ends() {
        assert_eq!(ramp(1.0, 0.0, 3).collect::<Vec<_>>(), [1.0, 0.5, 0.0]);
        assert_eq!(ramp(999.0, 0.0, 1).collect::<Vec<_>>(), [999.0]);
        assert_eq!(ramp(0.1, 0.7, 7).next_back(), Some(0.7));
    }
}
