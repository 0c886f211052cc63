//! Levels as the scheduler classes of diffusers pick them.
//!
//! Three kinds of classes ([`Grid`]) make three lists of one spacing, and the switches `use_karras_sigmas` and its kin mean
//! the range of the chosen timesteps for some classes and the range of training for the others. All of that is followed, so
//! that a model's configuration gives the levels, and with them the pictures, that it gives there.

use super::{
    Basis, End, FinalSigma, Grid, Interpolation, NoiseTable, Point, Schedule, ScheduleError, ScheduleKind, Spacing, beta,
    check_steps, exponential, karras, leading, linspace, ramp, trailing,
};

/// What the model's configuration asks for, run by `basis.class`.
pub fn configured(steps: usize, basis: Basis<'_>) -> Result<Schedule, ScheduleError> {
    spaced(spacing(basis), steps, basis)
}

/// The schedule whose name comes closest to what [`configured`] gives.
#[must_use]
pub fn name(basis: Basis<'_>) -> ScheduleKind {
    let config = basis.config;
    let is_whole = basis.class.facts().grid == Grid::Whole;
    match spacing(basis) {
        _ if !is_whole && config.use_karras_sigmas == Some(true) => ScheduleKind::Karras,
        _ if !is_whole && config.use_exponential_sigmas == Some(true) => ScheduleKind::Exponential,
        _ if !is_whole && config.use_beta_sigmas == Some(true) => ScheduleKind::Beta,
        Spacing::Leading => ScheduleKind::Leading,
        Spacing::Linspace => ScheduleKind::Linspace,
        Spacing::Trailing => ScheduleKind::Trailing,
    }
}

fn spacing(basis: Basis<'_>) -> Spacing {
    let facts = basis.class.facts();
    match basis.config.timestep_spacing {
        Some(spacing) if facts.spacing_is_open => spacing,
        _ => facts.spacing,
    }
}

/// Timesteps of `spacing`, and what the configuration's other switches make of them.
pub(super) fn spaced(spacing: Spacing, steps: usize, basis: Basis<'_>) -> Result<Schedule, ScheduleError> {
    let mut timesteps = timesteps(spacing, steps, basis)?;
    // With an offset, a run over all of training would begin beyond it.
    let last = (basis.table.timesteps() - 1) as f64;
    timesteps.iter_mut().for_each(|timestep| *timestep = timestep.min(last));
    let mut schedule = match basis.class.facts().grid {
        Grid::Fractional => fractional(&timesteps, basis),
        Grid::Intervals => intervals(&timesteps, basis),
        Grid::Whole => whole(&timesteps, basis),
    };
    schedule.counts_signal = spacing == Spacing::Leading;
    Ok(schedule)
}

fn timesteps(spacing: Spacing, steps: usize, basis: Basis<'_>) -> Result<Vec<f64>, ScheduleError> {
    let train = basis.table.timesteps();
    let offset = basis.config.steps_offset.unwrap_or(0);
    let grid = basis.class.facts().grid;
    // The multistep solvers can leave out the noisiest levels.
    let end = if grid == Grid::Intervals { train - clipped(basis) } else { train };
    let intervals = if grid == Grid::Intervals { steps.saturating_add(1) } else { steps };
    Ok(match spacing {
        Spacing::Leading => {
            check_steps(steps, "leading", if grid == Grid::Intervals { end - 1 } else { end })?;
            let mut timesteps = leading::timesteps(end / intervals, offset, intervals);
            timesteps.truncate(steps);
            timesteps
        }
        Spacing::Linspace => {
            check_steps(steps, "linspace", train)?;
            match grid {
                // in the reference these are f32, and fractions show it
                Grid::Fractional => {
                    linspace::timesteps((train - 1) as f64, steps).into_iter().map(|t| f64::from(t as f32)).collect()
                }
                Grid::Whole => round(linspace::timesteps((train - 1) as f64, steps)),
                Grid::Intervals => round(linspace::intervals((end - 1) as f64, steps)),
            }
        }
        Spacing::Trailing => {
            check_steps(steps, "trailing", train)?;
            trailing::timesteps(end, train, steps)
        }
    })
}

fn round(timesteps: Vec<f64>) -> Vec<f64> {
    timesteps.into_iter().map(f64::round_ties_even).collect()
}

/// The whole timestep below, where a value that only rounding keeps below the next one counts as that.
pub(super) fn truncate(timestep: f64) -> f64 {
    (timestep + 1e-6).floor()
}

/// How many of the noisiest timesteps `lambda_min_clipped` leaves out; at least two remain.
fn clipped(basis: Basis<'_>) -> usize {
    let least = basis.config.lambda_min_clipped.unwrap_or(f64::NEG_INFINITY);
    let count = basis.table.sigmas().iter().rev().take_while(|sigma| -sigma.ln() < least).count();
    count.min(basis.table.timesteps() - 2)
}

/// Which switch of the configuration, if any, replaces the sigmas of the timesteps.
fn replaced(max: f64, min: f64, steps: usize, basis: Basis<'_>) -> Option<(Vec<f64>, Replaced)> {
    let config = basis.config;
    let is_on = |switch: Option<bool>| switch == Some(true);
    if is_on(config.use_karras_sigmas) {
        Some((karras::between(max, min, steps), Replaced::Rounded))
    } else if is_on(config.use_lu_lambdas) && basis.class == super::SchedulerClass::DpmSolverMultistep {
        // Lu et al. 2022 space evenly in lambda, which is `-ln sigma`.
        Some((exponential::between(max, min, steps), Replaced::Rounded))
    } else if is_on(config.use_exponential_sigmas) {
        Some((exponential::between(max, min, steps), Replaced::Truncated))
    } else if is_on(config.use_beta_sigmas) {
        Some((beta::between(max, min, steps), Replaced::Truncated))
    } else {
        None
    }
}

/// What classes that ask their models at whole timesteps do to the timesteps of replaced sigmas.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replaced {
    Rounded,
    Truncated,
}

fn fractional(timesteps: &[f64], basis: Basis<'_>) -> Schedule {
    let (config, table, facts) = (basis.config, basis.table, basis.class.facts());
    let is_euler = basis.class == super::SchedulerClass::Euler;
    let steps = timesteps.len();
    let mut end = 0.0;
    let mut sigmas: Vec<f64> = timesteps.iter().map(|timestep| table.sigma_linear(*timestep)).collect();
    if is_euler && config.interpolation_type == Some(Interpolation::LogLinear) {
        sigmas = ramp(table.sigma_max().ln(), table.sigma_min().ln(), steps + 1).map(f64::exp).collect();
    }
    let limit = |limit: Option<f64>| limit.filter(|_| is_euler);
    let max = limit(config.sigma_max).unwrap_or(sigmas[0]);
    let min = limit(config.sigma_min).unwrap_or(sigmas[sigmas.len() - 1]);
    let mut points: Vec<Point> = match replaced(max, min, steps, basis) {
        None => {
            // an interpolation in the logarithm brings its own end
            end = sigmas.get(steps).copied().unwrap_or(end);
            sigmas.iter().zip(timesteps).map(|(sigma, timestep)| Point { sigma: *sigma, timestep: *timestep }).collect()
        }
        Some((sigmas, how)) => {
            let is_rounded = how == Replaced::Rounded && facts.rounds_karras;
            let time = |sigma| if is_rounded { table.timestep(sigma).round_ties_even() } else { table.timestep(sigma) };
            sigmas.into_iter().map(|sigma| Point { sigma, timestep: time(sigma) }).collect()
        }
    };
    if facts.end == End::FinalSigmas && config.final_sigmas_type == Some(FinalSigma::SigmaMin) {
        end = table.sigma_min();
    }
    points.push(ending(&points, end));
    Schedule { points, stride: None, counts_signal: false }
}

fn intervals(timesteps: &[f64], basis: Basis<'_>) -> Schedule {
    let (config, table) = (basis.config, basis.table);
    let keeps_fractions = basis.class == super::SchedulerClass::DpmSolverMultistep
        && config.beta_schedule == Some(super::BetaSchedule::SquaredCosine);
    let mut points: Vec<Point> = match replaced(table.sigma_max(), table.sigma_min(), timesteps.len(), basis) {
        None => timesteps.iter().map(|t| Point { sigma: table.sigma_linear(*t), timestep: *t }).collect(),
        Some((sigmas, how)) => {
            let time = |sigma| match how {
                Replaced::Rounded if !keeps_fractions => table.timestep(sigma).round_ties_even(),
                _ => truncate(table.timestep(sigma)),
            };
            sigmas.into_iter().map(|sigma| Point { sigma, timestep: time(sigma) }).collect()
        }
    };
    let at_least_noise = match basis.class.facts().end {
        End::LeastNoise => true,
        End::FinalSigmas => config.final_sigmas_type == Some(FinalSigma::SigmaMin),
        End::Zero | End::AlphaToOne => false,
    };
    let end = if at_least_noise { table.sigma_min() } else { 0.0 };
    points.push(ending(&points, end));
    Schedule { points, stride: None, counts_signal: false }
}

/// The end of a run, not above its last level, which may have come out a rounding error below the least noise.
fn ending(points: &[Point], sigma: f64) -> Point {
    let sigma = points.last().map_or(sigma, |last| sigma.min(last.sigma));
    Point { sigma, timestep: 0.0 }
}

fn whole(timesteps: &[f64], basis: Basis<'_>) -> Schedule {
    let table = basis.table;
    let mut points: Vec<Point> = timesteps.iter().map(|t| Point { sigma: table.sigma_exact(*t as i64), timestep: *t }).collect();
    points.push(Point { sigma: whole_end(table, basis), timestep: 0.0 });
    Schedule { points, stride: Some(table.timesteps() / timesteps.len()), counts_signal: false }
}

/// The `sigma` where DDIM's kin ends.
fn whole_end(table: &NoiseTable, basis: Basis<'_>) -> f64 {
    let facts = basis.class.facts();
    match facts.end {
        End::AlphaToOne if !basis.config.set_alpha_to_one.unwrap_or(facts.set_alpha_to_one) => table.sigma_min(),
        End::LeastNoise => table.sigma_min(),
        End::Zero | End::FinalSigmas | End::AlphaToOne => 0.0,
    }
}
