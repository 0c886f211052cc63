//! The timesteps of consistency distillation (Luo et al. 2023, "Latent consistency models"; Zheng et al. 2024, "TCD").
//!
//! A distilled model knows `original_inference_steps` timesteps (50); a run visits some of them, from the noisiest down.

use super::{Basis, End, Point, Schedule, ScheduleError, check_steps};

/// A schedule of `steps` of the timesteps that the model was distilled for.
pub(super) fn schedule(steps: usize, basis: Basis<'_>) -> Result<Schedule, ScheduleError> {
    let train = basis.table.timesteps();
    let known = basis.config.original_inference_steps.unwrap_or(50).min(train);
    check_steps(steps, "lcm", known)?;
    let stride = train / known;
    let skip = known as f64 / steps as f64;
    let mut points: Vec<Point> = (0..steps)
        .map(|i| (known - (i as f64 * skip) as usize) * stride - 1)
        .map(|timestep| Point { sigma: basis.table.sigma_exact(timestep as i64), timestep: timestep as f64 })
        .collect();
    let end = if basis.class.facts().end == End::LeastNoise { basis.table.sigma_min() } else { 0.0 };
    points.push(Point { sigma: end, timestep: 0.0 });
    Ok(Schedule { points, stride: None, counts_signal: false })
}
