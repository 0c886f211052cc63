//! Stable Diffusion 2.x: as 1.x, with OpenCLIP's text encoder.
//!
//! The UNet was trained on the encoder's last layer but one. Its diffusers folders come without the last layer, so
//! what is left is read as in 1.x; its checkpoints in one file have it, and there it is left aside.

use super::{Defaults, Encoder, Family, Heads, Layout, Naming, Role, TextPlace, sd1};
use crate::latent::preview;
use crate::prediction::Prediction;
use crate::schedule::{AlignedTo, SchedulerClass};

/// OpenCLIP's activation tells it from CLIP's.
const ACTIVATION: &str = "gelu";

/// OpenCLIP pads with the token of id 0.
pub(super) const OPENCLIP_PADDING: &str = "!";

/// Layers of OpenCLIP's ViT-H.
const LAYERS: usize = 24;

pub(super) static FAMILY: Family = Family {
    id: "sd2",
    label: "Stable Diffusion 2",
    role: Role::TextToImage,
    detect: |model| (sd1::FAMILY.detect)(model) && model.activation == ACTIVATION,
    // the models for 768 pixels predict v, those for 512 noise
    original: Layout {
        pipeline: "StableDiffusionPipeline",
        context: 1024,
        heads: Heads::Features(64),
        upcast_attention: true,
        scaling_factor: 0.18215,
        prediction: Prediction::V,
        named: &["sd_v2", "stable-diffusion-v2"],
        scheduler: SchedulerClass::Ddim,
        size: |prediction| match prediction {
            Prediction::V => 768,
            Prediction::Epsilon | Prediction::Sample => 512,
        },
    },
    encoders: &[Encoder {
        original: TextPlace { prefix: "cond_stage_model.model.", naming: Naming::OpenClip, cut_from: Some(LAYERS) },
        padding: Some(OPENCLIP_PADDING),
        ..sd1::ENCODER
    }],
    preview: preview::SD,
    aligned_to: AlignedTo::Sd,
    sizes: &[[768, 768], [640, 896], [896, 640], [576, 1024], [1024, 576]],
    defaults: Defaults { steps: 25, cfg: 7.0 },
};
