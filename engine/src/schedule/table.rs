//! The noise levels that a model was trained with, and the way between timesteps and `sigma`.
//!
//! The reference computes variances in f32. Those of the first timesteps are tiny differences from 1, so the rounding shows
//! in their fourth digit; to visit the same levels, the table is made in f32 as well, in torch's order of operations, and
//! widened afterwards.

use super::config::{BetaSchedule, SchedulerConfig};

/// `alpha_bar` at the last timestep of a schedule without signal, for samplers that need a finite `sigma` (4096).
const LEAST_ALPHA_BAR: f64 = 1.0 / (1u32 << 24) as f64;

/// The levels of training, indexed by timestep.
#[derive(Clone, Debug)]
pub struct NoiseTable {
    alphas_cumprod: Vec<f64>,
    sigmas: Vec<f64>,
    log_sigmas: Vec<f64>,
}

/// A training schedule that does not go from picture to noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scheduler configuration: the betas give no noise schedule: at timestep {timestep} the signal does not decrease")]
pub struct TableError {
    /// Where.
    pub timestep: usize,
}

impl NoiseTable {
    /// The levels of `config`.
    pub fn new(config: &SchedulerConfig) -> Result<Self, TableError> {
        let mut betas = betas(config);
        if config.is_zero_snr() {
            rescale_to_zero_snr(&mut betas);
        }
        let alphas_cumprod = cumulative(&betas);
        let mut last = 1.0;
        for (timestep, alpha_bar) in alphas_cumprod.iter().enumerate() {
            let is_last = timestep + 1 == alphas_cumprod.len();
            if !(*alpha_bar <= last && *alpha_bar < 1.0 && (*alpha_bar > 0.0 || is_last)) {
                return Err(TableError { timestep });
            }
            last = *alpha_bar;
        }
        let sigmas: Vec<f64> =
            alphas_cumprod.iter().map(|a| if *a > 0.0 { *a } else { LEAST_ALPHA_BAR }).map(|a| ((1.0 - a) / a).sqrt()).collect();
        let log_sigmas = sigmas.iter().map(|sigma| sigma.ln()).collect();
        Ok(Self { alphas_cumprod, sigmas, log_sigmas })
    }

    /// How many timesteps there are; two at least.
    #[must_use]
    pub fn timesteps(&self) -> usize {
        self.sigmas.len()
    }

    /// `alpha_bar` by timestep, from the cleanest to the noisiest; the last may be zero.
    #[must_use]
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// Noise-to-signal by timestep, rising, all finite.
    #[must_use]
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// The least `sigma`.
    #[must_use]
    pub fn sigma_min(&self) -> f64 {
        self.sigmas[0]
    }

    /// The greatest `sigma`.
    #[must_use]
    pub fn sigma_max(&self) -> f64 {
        self.sigmas[self.sigmas.len() - 1]
    }

    /// `sigma` at a whole timestep (the nearest there is), infinite where there is no signal.
    #[must_use]
    pub fn sigma_exact(&self, timestep: i64) -> f64 {
        let index = usize::try_from(timestep).unwrap_or(0).min(self.sigmas.len() - 1);
        if self.alphas_cumprod[index] > 0.0 { self.sigmas[index] } else { f64::INFINITY }
    }

    /// `sigma` at a timestep, interpolated linearly, as diffusers does.
    #[must_use]
    pub fn sigma_linear(&self, timestep: f64) -> f64 {
        interpolate(&self.sigmas, timestep)
    }

    /// `sigma` at a timestep, interpolated in its logarithm, as k-diffusion does.
    #[must_use]
    pub fn sigma_log(&self, timestep: f64) -> f64 {
        interpolate(&self.log_sigmas, timestep).exp()
    }

    /// The timestep of a `sigma`: the inverse of [`Self::sigma_log`], held to the table's ends.
    #[must_use]
    pub fn timestep(&self, sigma: f64) -> f64 {
        let log = sigma.max(1e-10).ln();
        let after = self.log_sigmas.partition_point(|known| *known <= log);
        let low = after.saturating_sub(1).min(self.log_sigmas.len() - 2);
        let (a, b) = (self.log_sigmas[low], self.log_sigmas[low + 1]);
        let share = if b > a { ((log - a) / (b - a)).clamp(0.0, 1.0) } else { 0.0 };
        low as f64 + share
    }
}

fn interpolate(values: &[f64], at: f64) -> f64 {
    let at = at.clamp(0.0, (values.len() - 1) as f64);
    let low = (at as usize).min(values.len() - 2);
    let share = at - low as f64;
    values[low] + share * (values[low + 1] - values[low])
}

fn betas(config: &SchedulerConfig) -> Vec<f32> {
    let count = config.num_train_timesteps;
    if let Some(betas) = &config.trained_betas {
        return betas.iter().map(|beta| *beta as f32).collect();
    }
    let (start, end, schedule) = config.class.facts().betas;
    let (start, end) = (config.beta_start.unwrap_or(start), config.beta_end.unwrap_or(end));
    match config.beta_schedule.unwrap_or(schedule) {
        BetaSchedule::Linear => linspace(start as f32, end as f32, count),
        BetaSchedule::ScaledLinear => {
            linspace(start.sqrt() as f32, end.sqrt() as f32, count).into_iter().map(|root| root * root).collect()
        }
        BetaSchedule::Sigmoid => linspace(-6.0, 6.0, count)
            .into_iter()
            .map(|x| (1.0 / (1.0 + (-x).exp())) * (end - start) as f32 + start as f32)
            .collect(),
        BetaSchedule::SquaredCosine => of_alpha_bar(count, |t| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2)),
        BetaSchedule::Exp => of_alpha_bar(count, |t| (-12.0 * t).exp()),
    }
}

/// The variances that make `alpha_bar` follow a curve over `0..1`.
fn of_alpha_bar(count: usize, alpha_bar: impl Fn(f64) -> f64) -> Vec<f32> {
    let share = |i: usize| i as f64 / count as f64;
    (0..count).map(|i| (1.0 - alpha_bar(share(i + 1)) / alpha_bar(share(i))).min(0.999) as f32).collect()
}

/// torch's `linspace`: from both ends to the middle, in f32 with fused multiplication and addition.
fn linspace(start: f32, end: f32, count: usize) -> Vec<f32> {
    let step = f64::from((end - start) / (count - 1) as f32);
    let (start, end) = (f64::from(start), f64::from(end));
    let at = |i: usize| if i < count / 2 { start + step * i as f64 } else { end - step * (count - 1 - i) as f64 };
    (0..count).map(|i| at(i) as f32).collect()
}

/// `alpha_bar`: the product is carried in f64 and rounded to f32 at every timestep.
fn cumulative(betas: &[f32]) -> Vec<f64> {
    let mut product = 1.0;
    betas
        .iter()
        .map(|beta| {
            product *= f64::from(1.0 - beta);
            f64::from(product as f32)
        })
        .collect()
}

/// Shifts and scales the signal's amplitude so that none is left at the last timestep (Lin et al. 2023, algorithm 1).
fn rescale_to_zero_snr(betas: &mut [f32]) {
    let amplitudes: Vec<f32> = cumulative(betas).into_iter().map(|a| (a as f32).sqrt()).collect();
    let (first, last) = (amplitudes[0], amplitudes[amplitudes.len() - 1]);
    let scale = first / (first - last);
    let alpha_bars: Vec<f32> = amplitudes.into_iter().map(|a| (a - last) * scale).map(|a| a * a).collect();
    let mut before = 1.0;
    for (beta, alpha_bar) in betas.iter_mut().zip(alpha_bars) {
        *beta = 1.0 - alpha_bar / before;
        before = alpha_bar;
    }
}
