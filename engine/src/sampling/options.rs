//! What can be set about a sampler, beyond its name.

use super::SamplingError;
use crate::schedule::SolverType;

/// Settings of samplers. A sampler ignores what it does not know, as everywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerOptions {
    /// How much of the noise that a step could add it does add, from 0 to 1. `None` is the sampler's own: 0 for DDIM and
    /// DPM adaptive, 0.3 for TCD, 1 for the ancestral and stochastic ones.
    pub eta: Option<f64>,
    /// A factor on the noise that the samplers from k-diffusion add, from 0 to 10.
    pub s_noise: f64,
    /// Karras et al. 2022, algorithm 2: how much noise to stir in over the whole run (Euler, Heun, DPM2), from 0 to 1000.
    pub s_churn: f64,
    /// The least `sigma` at which noise is stirred in.
    pub s_tmin: f64,
    /// The greatest `sigma` at which noise is stirred in; may be infinite.
    pub s_tmax: f64,
    /// The order of the multistep solvers (1 to 3; LMS up to 4). `None` is the sampler's or the model's own.
    pub order: Option<usize>,
    /// The variant of the DPM solvers (midpoint, Heun) or of UniPC (bh1, bh2). `None` is the sampler's or the model's own.
    pub solver: Option<SolverType>,
    /// DPM adaptive: the error that a step may make, relative to the latent.
    pub rtol: f64,
    /// DPM adaptive: the error that a step may make in any case.
    pub atol: f64,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            eta: None,
            s_noise: 1.0,
            s_churn: 0.0,
            s_tmin: 0.0,
            s_tmax: f64::INFINITY,
            order: None,
            solver: None,
            rtol: 0.05,
            atol: 0.0078,
        }
    }
}

impl SamplerOptions {
    /// Refuses what no sampler can work with, NaN included.
    pub fn check(&self) -> Result<(), SamplingError> {
        let hold = |field, value: f64, least: f64, most: f64, allowed| {
            let fits = (least..=most).contains(&value);
            if fits { Ok(()) } else { Err(SamplingError::Option { field, value: value.to_string(), allowed }) }
        };
        hold("eta", self.eta.unwrap_or(0.0), 0.0, 1.0, "a number from 0 to 1")?;
        hold("s_noise", self.s_noise, 0.0, 10.0, "a number from 0 to 10")?;
        hold("s_churn", self.s_churn, 0.0, 1000.0, "a number from 0 to 1000")?;
        hold("s_tmin", self.s_tmin, 0.0, f64::MAX, "a number from 0 up")?;
        hold("s_tmax", self.s_tmax, 0.0, f64::INFINITY, "a number from 0 up, or infinity")?;
        hold("order", self.order.unwrap_or(1) as f64, 1.0, 4.0, "a whole number from 1 to 4")?;
        hold("rtol", self.rtol, 1e-6, 1.0, "a number from 0.000001 to 1")?;
        hold("atol", self.atol, 1e-6, 1.0, "a number from 0.000001 to 1")
    }
}
