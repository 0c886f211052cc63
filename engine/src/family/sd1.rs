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
    encoders: &[ENCODER],
    preview: preview::SD,
    aligned_to: AlignedTo::Sd,
    defaults: Defaults { steps: 25, cfg: 7.0 },
};

/// Stable Diffusion 2's is read in the same way.
pub(super) const ENCODER: Encoder =
    Encoder { folder: "text_encoder", tokenizer: "tokenizer", padding: None, layer: Layer::LastNormed, pooled: Pooled::Unused };
