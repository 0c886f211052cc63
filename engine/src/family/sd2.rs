//! Stable Diffusion 2.x: as 1.x, with OpenCLIP's text encoder.
//!
//! The UNet was trained on the encoder's last layer but one. Its diffusers folders come without the last layer, so
//! what is left is read as in 1.x.

use super::{Defaults, Encoder, Family, sd1};
use crate::latent::preview;
use crate::schedule::AlignedTo;

/// OpenCLIP's activation tells it from CLIP's.
const ACTIVATION: &str = "gelu";

/// OpenCLIP pads with the token of id 0.
pub(super) const OPENCLIP_PADDING: &str = "!";

pub(super) static FAMILY: Family = Family {
    id: "sd2",
    label: "Stable Diffusion 2",
    detect: |model| (sd1::FAMILY.detect)(model) && model.activation == ACTIVATION,
    encoders: &[Encoder { padding: Some(OPENCLIP_PADDING), ..sd1::ENCODER }],
    preview: preview::SD,
    aligned_to: AlignedTo::Sd,
    defaults: Defaults { steps: 25, cfg: 7.0 },
};
