//! Which parameter is written in which type.

use std::fmt;
use std::str::FromStr;

use encaustic_engine::weights::{Dtype, Encoding, InFile, Parameter, Precision, Quant, SourceError};

use super::Options;

/// The type that a model is packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Single precision.
    F32,
    /// Half precision: what most models are shared in.
    F16,
    /// The upper half of an f32.
    BF16,
    /// 8 bits in blocks; small and sensitive parameters in f16.
    Q8,
    /// 4 bits in blocks, likewise.
    Q4,
}

/// The types and their names on a command line.
const TARGETS: [(Target, &str); 5] =
    [(Target::F32, "f32"), (Target::F16, "f16"), (Target::BF16, "bf16"), (Target::Q8, "q8"), (Target::Q4, "q4")];

/// A type that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no type to pack in; use f32, f16, bf16, q8 or q4")]
pub struct UnknownTarget(pub String);

impl Target {
    /// The encoding of large parameters.
    fn large(self) -> Encoding {
        match self {
            Self::F32 => Encoding::Plain(Dtype::F32),
            Self::F16 => Encoding::Plain(Dtype::F16),
            Self::BF16 => Encoding::Plain(Dtype::BF16),
            Self::Q8 => Encoding::Quantised(Quant::Q8),
            Self::Q4 => Encoding::Quantised(Quant::Q4),
        }
    }

    /// The encoding of parameters that are not worth quantising, or do not bear it.
    fn small(self) -> Encoding {
        match self.large() {
            Encoding::Quantised(_) => Encoding::Plain(Dtype::F16),
            plain => plain,
        }
    }

    /// Which copy of a source serves it best: what is rounded is rounded once.
    pub fn files(self) -> Precision {
        match self {
            Self::F16 => Precision::Half,
            Self::F32 | Self::BF16 | Self::Q8 | Self::Q4 => Precision::Full,
        }
    }
}

/// The type of the autoencoder where nobody asks for another: it is small, and pictures show what is done to it.
pub fn default_vae(dtype: Target) -> Target {
    match dtype {
        Target::Q8 | Target::Q4 => Target::F16,
        plain => plain,
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TARGETS.iter().find(|(target, _)| target == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let known = TARGETS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text.trim()));
        known.map(|(target, _)| *target).ok_or_else(|| UnknownTarget(text.chars().take(40).collect()))
    }
}

/// Fewer numbers than this are not worth the error: together they are some thousandths of a model.
const SMALL: u64 = 1 << 14;

/// The least magnitude of a tensor's largest number for which it is quantised: below, scales are so small that f16 has few
/// bits left for them.
const FAINT: f32 = 1e-3;
/// How many numbers are looked at together for that.
const GLANCE: usize = 1 << 16;

/// The encoding of a parameter.
pub(super) fn encoding(
    options: &Options,
    component: &str,
    parameter: &Parameter,
    numbers: &InFile<'_>,
) -> Result<Encoding, SourceError> {
    let target = if component == "vae" { options.vae } else { options.dtype };
    let elements: u64 = parameter.shape.iter().map(|dim| *dim as u64).product();
    // Norms and biases have one dimension. Positions, times and sizes reach everything that comes after them.
    let is_embedding = parameter.name.contains("embedding") && !parameter.name.contains("token_embedding");
    let is_small = parameter.shape.len() < 2 || elements < SMALL || is_embedding;
    let is_quantised = matches!(target.large(), Encoding::Quantised(_));
    let is_small = is_small || is_quantised && is_faint(elements, numbers)?;
    Ok(if is_small { target.small() } else { target.large() })
}

/// Whether all numbers are next to nothing. Nearly always the first glance says no. (What is not finite is not faint: it is
/// refused when it is quantised.)
fn is_faint(elements: u64, numbers: &InFile<'_>) -> Result<bool, SourceError> {
    let all = usize::try_from(elements).unwrap_or(usize::MAX);
    for start in (0..all).step_by(GLANCE) {
        let values = numbers.part(start..start.saturating_add(GLANCE))?.values().unwrap_or_default();
        if values.iter().any(|value| value.is_nan() || value.abs() >= FAINT) {
            return Ok(false);
        }
    }
    Ok(true)
}
