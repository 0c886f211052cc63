//! Stable Diffusion XL: two text encoders side by side, the second one's pooled output and the picture's sizes beside
//! them (Podell et al., <https://arxiv.org/abs/2307.01952>).

use super::sd2::OPENCLIP_PADDING;
use super::{Defaults, Encoder, Family, Layer, Pooled, sd1};
use crate::latent::preview;
use crate::schedule::AlignedTo;

pub(super) static FAMILY: Family = Family {
    id: "sdxl",
    label: "Stable Diffusion XL",
    detect: |model| model.encoders == ["text_encoder", "text_encoder_2"] && model.takes_pooled_text,
    encoders: &[
        Encoder { layer: Layer::Penultimate, ..sd1::ENCODER },
        Encoder {
            folder: "text_encoder_2",
            tokenizer: "tokenizer_2",
            padding: Some(OPENCLIP_PADDING),
            layer: Layer::Penultimate,
            pooled: Pooled::Conditions,
        },
    ],
    preview: preview::SDXL,
    aligned_to: AlignedTo::Sdxl,
    defaults: Defaults { steps: 25, cfg: 5.0 },
};
