//! Stable Diffusion 2.x: as 1.x, with OpenCLIP's text encoder.
//!
//! The UNet was trained on the encoder's last layer but one. Its diffusers folders come without the last layer, so
//! what is left is read as in 1.x.

use super::{Defaults, Family, sd1};
use crate::latent::preview;
use crate::schedule::AlignedTo;

/// OpenCLIP's activation tells it from CLIP's.
const ACTIVATION: &str = "gelu";

pub(super) static FAMILY: Family = Family {
    id: "sd2",
    label: "Stable Diffusion 2",
    detect: |model| (sd1::FAMILY.detect)(model) && model.activation == ACTIVATION,
    encoders: &sd1::ENCODERS,
    preview: preview::SD,
    aligned_to: AlignedTo::Sd,
    defaults: Defaults { steps: 25, cfg: 7.0 },
};
