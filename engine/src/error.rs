//! Why a run came to nothing.

use encaustic_protocol::{Failure, FailureKind, Invalid};

use crate::device::Precision;
use crate::family::{LoadError, PromptError};
use crate::model::unet::InputError;
use crate::readback::ReadbackError;
use crate::sampling::SamplingError;

/// Why pictures could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Settings that are not allowed, at least one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Invalid>),
    /// A prompt that cannot be read.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A part of the model that could not be read when its turn came.
    #[error(transparent)]
    Load(#[from] Box<LoadError>),
    /// A picture that the UNet cannot make.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A sampler that cannot run as asked.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] ReadbackError),
    /// Step `step`, counted from 1, left the range of the numbers that the UNet computes in.
    #[error("step {step} gave numbers beyond the range of {precision}; {}", remedy(*.precision, "another sampler or less guidance"))]
    UNetOverflow {
        /// Which step.
        step: usize,
        /// The precision that the UNet computes in.
        precision: Precision,
    },
    /// The autoencoder left the range of numbers, in f32 as well.
    #[error("the VAE gave numbers beyond the range of f32; its weights are damaged or belong to another model")]
    VaeOverflow,
}

fn remedy(precision: Precision, otherwise: &'static str) -> String {
    match precision {
        Precision::F16 => "compute in f32 (`--dtype f32`)".to_owned(),
        Precision::F32 => format!("try {otherwise}"),
    }
}

/// What drivers and the layers above them say where memory is short.
const SHORT: &[&str] = &[
    "out of memory",
    "out of device memory",
    "out_of_memory",
    "outofmemory",
    "out_of_device_memory",
    "out_of_host_memory",
    "not enough memory",
    "can't allocate buffer",
    "memory allocation of",
];

/// Whether a failure's text, also a panic's, says that a device has too little memory.
pub fn is_short_of_memory(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SHORT.iter().any(|words| text.contains(words))
}

impl GenerateError {
    /// The same for whoever submitted the job.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            Self::Invalid(_) | Self::Prompt(_) | Self::Input(_) | Self::Sampling(_) => FailureKind::Invalid,
            Self::Load(_) => FailureKind::Model,
            Self::Device(_) | Self::UNetOverflow { .. } | Self::VaeOverflow => FailureKind::Device,
        };
        Failure { kind, message: self.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_too_little_memory() {
        for (text, is_short) in [
            ("the device gave up: out of device memory allocating 1099511627776 bytes", true),
            ("can't allocate buffer of size: 4294967296", true),
            ("CUDA_ERROR_OUT_OF_MEMORY", true),
            ("wgpu error: Out of Memory", true),
            ("ERROR_OUT_OF_DEVICE_MEMORY", true),
            ("Not enough memory left.", true),
            ("the device gave up: device lost; smaller or fewer pictures need less memory", false),
            ("step 3 gave numbers beyond the range of f16", false),
        ] {
            assert_eq!(is_short_of_memory(text), is_short, "{text}");
        }
    }
}
