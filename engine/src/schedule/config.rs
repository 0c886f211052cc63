//! `scheduler_config.json`, as diffusers writes it.
//!
//! Every field may be missing or `null`: then the class that is asked about has its own default, as when diffusers makes
//! a scheduler of one class from the configuration of another. Fields that are not known are ignored, since newer
//! versions add some; values that would change the picture and are not supported are errors.

use serde::{Deserialize, Deserializer, Serialize};

use super::class::{CLASSES, SchedulerClass};
use crate::prediction::Prediction;

/// Why a `scheduler_config.json` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not JSON, or a field of the wrong type.
    #[error("scheduler configuration: {0}")]
    Json(String),
    /// No `_class_name`.
    #[error("scheduler configuration: `_class_name` is missing; known are {}", known_classes())]
    NoClass,
    /// A class that is not known.
    #[error("scheduler configuration: the class {name:?} is not known; known are {known}", name = .0, known = known_classes())]
    UnknownClass(String),
    /// A number outside of what makes sense.
    #[error("scheduler configuration: `{field}` is {value}; it must be {allowed}")]
    Range {
        /// The field.
        field: &'static str,
        /// What the file has.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A known setting that this engine does not do.
    #[error("scheduler configuration: `{field}` = {value} is not supported: {reason}")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// What the file has.
        value: String,
        /// Why.
        reason: &'static str,
    },
}

fn known_classes() -> String {
    CLASSES.iter().map(|facts| facts.name).collect::<Vec<_>>().join(", ")
}

/// How the variances of training were spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// A straight line.
    Linear,
    /// The square of a straight line (latent diffusion).
    ScaledLinear,
    /// The squared cosine of Nichol and Dhariwal (2021).
    #[serde(rename = "squaredcos_cap_v2")]
    SquaredCosine,
    /// `alpha_bar = exp(-12 t)`.
    Exp,
    /// A logistic curve.
    Sigmoid,
}

/// diffusers' `timestep_spacing` (Lin et al. 2023, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// From the first timestep to the last, both included.
    Linspace,
    /// Whole multiples from zero up: never reaches the last timestep.
    Leading,
    /// Whole multiples from the last timestep down.
    Trailing,
}

/// `interpolation_type` of Euler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Sigmas at the chosen timesteps.
    #[default]
    Linear,
    /// Sigmas evenly spaced in their logarithm, whatever the timesteps.
    LogLinear,
}

/// `final_sigmas_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalSigma {
    /// No noise.
    #[default]
    Zero,
    /// The least noise of training.
    SigmaMin,
}

/// `algorithm_type` of the DPM solvers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the documentation: they are the papers'")]
pub enum Algorithm {
    #[serde(rename = "dpmsolver")]
    DpmSolver,
    #[default]
    #[serde(rename = "dpmsolver++")]
    DpmSolverPlusPlus,
    #[serde(rename = "sde-dpmsolver")]
    SdeDpmSolver,
    #[serde(rename = "sde-dpmsolver++")]
    SdeDpmSolverPlusPlus,
    #[serde(rename = "deis")]
    Deis,
}

/// `solver_type` of the DPM solvers, DEIS and UniPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation: they are the papers'")]
pub enum SolverType {
    Midpoint,
    Heun,
    #[serde(rename = "logrho")]
    LogRho,
    Bh1,
    Bh2,
}

/// `variance_type` of DDPM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation: they are diffusers'")]
pub enum Variance {
    #[default]
    FixedSmall,
    FixedSmallLog,
    FixedLarge,
    FixedLargeLog,
    Learned,
    LearnedRange,
}

/// A model's `scheduler_config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are diffusers', and so is their documentation")]
pub struct SchedulerConfig {
    #[serde(rename = "_class_name")]
    pub class: SchedulerClass,
    #[serde(default = "train_timesteps")]
    pub num_train_timesteps: usize,
    pub beta_start: Option<f64>,
    pub beta_end: Option<f64>,
    pub beta_schedule: Option<BetaSchedule>,
    pub trained_betas: Option<Vec<f64>>,
    pub prediction_type: Option<Prediction>,
    pub rescale_betas_zero_snr: Option<bool>,
    pub timestep_spacing: Option<Spacing>,
    pub timestep_type: Option<String>,
    pub steps_offset: Option<i64>,
    pub interpolation_type: Option<Interpolation>,
    pub final_sigmas_type: Option<FinalSigma>,
    pub use_karras_sigmas: Option<bool>,
    pub use_exponential_sigmas: Option<bool>,
    pub use_beta_sigmas: Option<bool>,
    pub use_lu_lambdas: Option<bool>,
    pub use_flow_sigmas: Option<bool>,
    pub sigma_min: Option<f64>,
    pub sigma_max: Option<f64>,
    #[serde(default, deserialize_with = "extended")]
    pub lambda_min_clipped: Option<f64>,
    pub set_alpha_to_one: Option<bool>,
    pub clip_sample: Option<bool>,
    pub clip_sample_range: Option<f64>,
    pub thresholding: Option<bool>,
    pub skip_prk_steps: Option<bool>,
    pub algorithm_type: Option<Algorithm>,
    pub solver_type: Option<SolverType>,
    pub solver_order: Option<usize>,
    pub lower_order_final: Option<bool>,
    pub euler_at_final: Option<bool>,
    pub predict_x0: Option<bool>,
    pub disable_corrector: Option<Vec<usize>>,
    pub solver_p: Option<serde_json::Value>,
    pub variance_type: Option<Variance>,
    pub original_inference_steps: Option<usize>,
    pub timestep_scaling: Option<f64>,
}

fn train_timesteps() -> usize {
    1000
}

/// A number that may also be written `"inf"` or `"-inf"`.
fn extended<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Extended {
        Number(f64),
        Text(String),
    }
    match Option::<Extended>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Extended::Number(number)) => Ok(Some(number)),
        Some(Extended::Text(text)) => {
            text.parse().map(Some).map_err(|_| serde::de::Error::custom(format!("{text:?} is no number")))
        }
    }
}

/// The longest training schedule that is read; every known model has 1000 steps.
const MOST_TIMESTEPS: usize = 100_000;

impl SchedulerConfig {
    /// What Stable Diffusion 1, 2 and XL were trained with: for checkpoints that bring no configuration.
    #[must_use]
    pub fn stable_diffusion(prediction: Prediction) -> Self {
        Self {
            beta_start: Some(0.00085),
            beta_end: Some(0.012),
            beta_schedule: Some(BetaSchedule::ScaledLinear),
            prediction_type: Some(prediction),
            timestep_spacing: Some(Spacing::Leading),
            steps_offset: Some(1),
            set_alpha_to_one: Some(false),
            clip_sample: Some(false),
            ..Self::of_class(SchedulerClass::Euler)
        }
    }

    /// The class with all of its defaults.
    #[must_use]
    pub fn of_class(class: SchedulerClass) -> Self {
        Self {
            class,
            num_train_timesteps: train_timesteps(),
            beta_start: None,
            beta_end: None,
            beta_schedule: None,
            trained_betas: None,
            prediction_type: None,
            rescale_betas_zero_snr: None,
            timestep_spacing: None,
            timestep_type: None,
            steps_offset: None,
            interpolation_type: None,
            final_sigmas_type: None,
            use_karras_sigmas: None,
            use_exponential_sigmas: None,
            use_beta_sigmas: None,
            use_lu_lambdas: None,
            use_flow_sigmas: None,
            sigma_min: None,
            sigma_max: None,
            lambda_min_clipped: None,
            set_alpha_to_one: None,
            clip_sample: None,
            clip_sample_range: None,
            thresholding: None,
            skip_prk_steps: None,
            algorithm_type: None,
            solver_type: None,
            solver_order: None,
            lower_order_final: None,
            euler_at_final: None,
            predict_x0: None,
            disable_corrector: None,
            solver_p: None,
            variance_type: None,
            original_inference_steps: None,
            timestep_scaling: None,
        }
    }

    /// Reads the file's bytes.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let text = std::str::from_utf8(bytes).map_err(|e| ConfigError::Json(e.to_string()))?;
        let text = quote_non_finite(text);
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| ConfigError::Json(e.to_string()))?;
        match json.get("_class_name").and_then(serde_json::Value::as_str) {
            None => return Err(ConfigError::NoClass),
            Some(name) if SchedulerClass::named(name).is_none() => {
                return Err(ConfigError::UnknownClass(name.chars().take(80).collect()));
            }
            Some(_) => {}
        }
        let config: Self = serde_json::from_value(json).map_err(|e| ConfigError::Json(e.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// What the network's output means.
    #[must_use]
    pub fn prediction(&self) -> Prediction {
        self.prediction_type.unwrap_or_default()
    }

    /// Whether the training schedule is rescaled so that its last level is pure noise.
    #[must_use]
    pub fn is_zero_snr(&self) -> bool {
        self.rescale_betas_zero_snr.unwrap_or(false)
    }

    /// How far clean latents are clipped for `class`, if they are. A class that clips by default (DDIM, DDPM) does so only
    /// for its own configurations: what was written for another class never meant to.
    #[must_use]
    pub fn clip(&self, class: SchedulerClass) -> Option<f64> {
        let by_default = class == self.class && class.facts().clip_sample;
        self.clip_sample.unwrap_or(by_default).then(|| self.clip_sample_range.unwrap_or(1.0))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let range =
            |field, value: &dyn std::fmt::Display, allowed| Err(ConfigError::Range { field, value: value.to_string(), allowed });
        if !(2..=MOST_TIMESTEPS).contains(&self.num_train_timesteps) {
            return range("num_train_timesteps", &self.num_train_timesteps, "from 2 to 100000");
        }
        for (field, value) in [("beta_start", self.beta_start), ("beta_end", self.beta_end)] {
            if let Some(value) = value
                && !(value > 0.0 && value < 1.0)
            {
                return range(field, &value, "more than 0 and less than 1");
            }
        }
        if let Some(betas) = &self.trained_betas {
            if betas.len() != self.num_train_timesteps {
                return range("trained_betas", &format!("{} numbers", betas.len()), "as many as `num_train_timesteps`");
            }
            if let Some(beta) = betas.iter().find(|beta| !(**beta > 0.0 && **beta <= 1.0)) {
                return range("trained_betas", beta, "numbers above 0 and up to 1");
            }
        }
        for (field, value) in [("sigma_min", self.sigma_min), ("sigma_max", self.sigma_max)] {
            if let Some(value) = value
                && !(value > 0.0 && value.is_finite())
            {
                return range(field, &value, "a positive number");
            }
        }
        if let Some(value) = self.clip_sample_range
            && !(value > 0.0 && value.is_finite())
        {
            return range("clip_sample_range", &value, "a positive number");
        }
        if let Some(value) = self.timestep_scaling
            && !value.is_finite()
        {
            return range("timestep_scaling", &value, "a number");
        }
        if let Some(value) = self.lambda_min_clipped
            && value.is_nan()
        {
            return range("lambda_min_clipped", &value, "a number or -Infinity");
        }
        if let Some(value) = self.steps_offset
            && !(0..self.num_train_timesteps as i64).contains(&value)
        {
            return range("steps_offset", &value, "at least 0 and less than `num_train_timesteps`");
        }
        if let Some(value) = self.solver_order
            && !(1..=3).contains(&value)
        {
            return range("solver_order", &value, "1, 2 or 3");
        }
        if let Some(value) = self.original_inference_steps
            && !(1..=self.num_train_timesteps).contains(&value)
        {
            return range("original_inference_steps", &value, "from 1 to `num_train_timesteps`");
        }
        let spacings = [self.use_karras_sigmas, self.use_exponential_sigmas, self.use_beta_sigmas];
        if spacings.into_iter().filter(|flag| *flag == Some(true)).count() > 1 {
            let fields = "use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas";
            return range(fields, &"true more than once", "true for one of them at most");
        }
        self.check_supported()
    }

    fn check_supported(&self) -> Result<(), ConfigError> {
        let refuse = |field, value: &str, reason| Err(ConfigError::Unsupported { field, value: value.to_owned(), reason });
        if self.use_flow_sigmas == Some(true) {
            return refuse("use_flow_sigmas", "true", "flow matching models are another family");
        }
        if self.thresholding == Some(true) {
            return refuse("thresholding", "true", "it is meant for models in pixel space, not for latents");
        }
        if let Some(kind) = self.timestep_type.as_deref()
            && kind != "discrete"
        {
            return refuse("timestep_type", kind, "only \"discrete\" is");
        }
        if self.solver_p.is_some() {
            return refuse("solver_p", "a scheduler", "UniPC predicts by itself here");
        }
        if let Some(Variance::Learned | Variance::LearnedRange) = self.variance_type {
            return refuse("variance_type", "learned", "no model of a known family predicts its variance");
        }
        Ok(())
    }
}

/// Python writes non-finite numbers as bare words, which JSON does not have: puts them in quotes.
fn quote_non_finite(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !in_string && rest.starts_with(word));
        let taken = match word {
            Some(word) => {
                out.push_str(match word {
                    "-Infinity" => "\"-inf\"",
                    "Infinity" => "\"inf\"",
                    _ => "\"nan\"",
                });
                word.len()
            }
            None if in_string && c == '\\' => {
                let escape = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..escape]);
                escape
            }
            None => {
                in_string ^= c == '"';
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_s_infinities_are_read_outside_of_strings_only() {
        assert_eq!(quote_non_finite(r#"{"a": -Infinity, "NaN\"": "Infinity"}"#), r#"{"a": "-inf", "NaN\"": "Infinity"}"#);
        let text = br#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#;
        assert_eq!(SchedulerConfig::from_json(text).unwrap().lambda_min_clipped, Some(f64::NEG_INFINITY));
    }

    #[test]
    fn faults_say_what_is_wrong_and_what_is_allowed() {
        for (text, message) in [
            ("", "EOF"),
            ("[]", "`_class_name` is missing"),
            (r#"{"_class_name": 3}"#, "`_class_name` is missing"),
            (r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#, "DDIMScheduler, DDPMScheduler"),
            (r#"{"_class_name": "DDIMScheduler", "beta_start": "x"}"#, "invalid type"),
            (r#"{"_class_name": "DDIMScheduler", "beta_schedule": "x"}"#, "scaled_linear"),
            (r#"{"_class_name": "DDIMScheduler", "beta_end": 1.5}"#, "`beta_end` is 1.5"),
            (r#"{"_class_name": "DDIMScheduler", "num_train_timesteps": 4000000000}"#, "from 2 to 100000"),
            (r#"{"_class_name": "DDIMScheduler", "trained_betas": [0.1]}"#, "as many as"),
            (r#"{"_class_name": "DDIMScheduler", "steps_offset": -1}"#, "`steps_offset` is -1"),
            (r#"{"_class_name": "DDIMScheduler", "thresholding": true}"#, "not supported"),
            (r#"{"_class_name": "UniPCMultistepScheduler", "solver_order": 4}"#, "1, 2 or 3"),
            (r#"{"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true}"#, "flow matching"),
            (r#"{"_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": true, "use_karras_sigmas": true}"#, "one of them"),
            (r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": NaN}"#, "-Infinity"),
        ] {
            let fault = SchedulerConfig::from_json(text.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains(message), "{text}: {fault}");
        }
        assert!(SchedulerConfig::from_json(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn what_is_missing_null_or_unknown_is_the_class_s_own() {
        let text = br#"{"_class_name": "DDIMScheduler", "trained_betas": null, "clip_sample": null, "from_the_future": {}}"#;
        let config = SchedulerConfig::from_json(text).unwrap();
        assert_eq!(config, SchedulerConfig::of_class(SchedulerClass::Ddim));
        assert_eq!(config.clip(SchedulerClass::Ddim), Some(1.0));
        assert_eq!(config.clip(SchedulerClass::Lcm), None);
    }
}
