//! Stable Diffusion 1.x, and small models of one's own that are built like it: one text encoder, read behind its last
//! layer's norm.

use super::{Defaults, Encoder, Family, Heads, Layer, Layout, Naming, Pooled, Role, TextPlace};
use crate::latent::preview;
use crate::prediction::Prediction;
use crate::schedule::{AlignedTo, SchedulerClass};

/// Read as diffusers' `StableDiffusionPipeline` reads it.
pub(super) static FAMILY: Family = Family {
    id: "sd1",
    label: "Stable Diffusion 1",
    role: Role::TextToImage,
    detect: |model| model.encoders == ["text_encoder"] && !model.takes_pooled_text,
    original: Layout {
        pipeline: "StableDiffusionPipeline",
        context: 768,
        heads: Heads::Count(8),
        upcast_attention: false,
        scaling_factor: 0.18215,
        prediction: Prediction::Epsilon,
        named: &["sd_v1", "stable-diffusion-v1"],
        scheduler: SchedulerClass::Pndm,
        size: |_| 512,
    },
    encoders: &[ENCODER],
    preview: preview::SD,
    aligned_to: AlignedTo::Sd,
    sizes: &[[512, 512], [512, 640], [640, 512], [512, 768], [768, 512]],
    defaults: Defaults { steps: 25, cfg: 7.0 },
};

/// Stable Diffusion 2's is read in the same way.
pub(super) const ENCODER: Encoder = Encoder {
    folder: "text_encoder",
    original: TextPlace { prefix: "cond_stage_model.transformer.", naming: Naming::Clip, cut_from: None },
    tokenizer: "tokenizer",
    padding: None,
    layer: Layer::LastNormed,
    pooled: Pooled::Unused,
};
