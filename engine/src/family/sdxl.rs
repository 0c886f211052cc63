//! Stable Diffusion XL: two text encoders side by side, the second one's pooled output and the picture's sizes beside
//! them (Podell et al., <https://arxiv.org/abs/2307.01952>).

use super::sd2::OPENCLIP_PADDING;
use super::{Defaults, Encoder, Family, Heads, Layer, Layout, Naming, Pooled, Role, TextPlace, sd1};
use crate::latent::preview;
use crate::prediction::Prediction;
use crate::schedule::{AlignedTo, SchedulerClass};

pub(super) static FAMILY: Family = Family {
    id: "sdxl",
    label: "Stable Diffusion XL",
    role: Role::TextToImage,
    detect: |model| model.encoders == ["text_encoder", "text_encoder_2"] && model.takes_pooled_text,
    original: Layout {
        pipeline: "StableDiffusionXLPipeline",
        context: 2048,
        heads: Heads::Features(64),
        upcast_attention: false,
        scaling_factor: 0.13025,
        prediction: Prediction::Epsilon,
        named: &["sdxl_base", "stable-diffusion-xl-v1-base"],
        scheduler: SchedulerClass::Euler,
        size: |_| 1024,
    },
    encoders: &[
        Encoder {
            original: TextPlace { prefix: "conditioner.embedders.0.transformer.", naming: Naming::Clip, cut_from: None },
            layer: Layer::Penultimate,
            ..sd1::ENCODER
        },
        OPENCLIP,
    ],
    preview: preview::SDXL,
    aligned_to: AlignedTo::Sdxl,
    // the shapes that it was trained on, but for the narrowest
    sizes: &[
        [1024, 1024],
        [896, 1152],
        [1152, 896],
        [832, 1216],
        [1216, 832],
        [768, 1344],
        [1344, 768],
        [640, 1536],
        [1536, 640],
    ],
    defaults: Defaults { steps: 25, cfg: 5.0 },
};

/// OpenCLIP's ViT-bigG, which the refiner has alone.
pub(super) const OPENCLIP: Encoder = Encoder {
    folder: "text_encoder_2",
    original: TextPlace { prefix: "conditioner.embedders.1.model.", naming: Naming::OpenClip, cut_from: None },
    tokenizer: "tokenizer_2",
    padding: Some(OPENCLIP_PADDING),
    layer: Layer::Penultimate,
    pooled: Pooled::Conditions,
};
