//! Stable Diffusion 1.x, and small models of one's own that are built like it: one text encoder, read behind its last
//! layer's norm.

use super::{Defaults, Encoder, Family, Layer, Pooled};
use crate::latent::preview;
use crate::schedule::AlignedTo;

/// Read as diffusers' `StableDiffusionPipeline` reads it.
pub(super) static FAMILY: Family = Family {
    id: "sd1",
    label: "Stable Diffusion 1",
    detect: |model| model.encoders == ["text_encoder"] && !model.takes_pooled_text,
    encoders: &ENCODERS,
    preview: preview::SD,
    aligned_to: AlignedTo::Sd,
    defaults: Defaults { steps: 25, cfg: 7.0 },
};

/// Shared with Stable Diffusion 2.
pub(super) const ENCODERS: [Encoder; 1] =
    [Encoder { folder: "text_encoder", tokenizer: "tokenizer", layer: Layer::LastNormed, pooled: Pooled::Unused }];
