//! Stable Diffusion XL's refiner, which takes the last steps of a picture that the base model has begun. It is recognised,
//! so that a user is told what it is; by itself it makes no pictures from text.

use super::{Encoder, Family, Layout, Role, TextPlace, sdxl};

/// Only what differs from the base model: one text encoder, and its UNet's width.
pub(super) static FAMILY: Family = Family {
    id: "sdxl-refiner",
    label: "Stable Diffusion XL refiner",
    role: Role::Refines,
    detect: |model| model.encoders == ["text_encoder_2"] && model.takes_pooled_text,
    original: Layout {
        pipeline: "StableDiffusionXLImg2ImgPipeline",
        context: 1280,
        named: &["sdxl_refiner", "stable-diffusion-xl-v1-refiner"],
        ..sdxl::FAMILY.original
    },
    encoders: &[Encoder {
        original: TextPlace { prefix: "conditioner.embedders.0.model.", ..sdxl::OPENCLIP.original },
        ..sdxl::OPENCLIP
    }],
    preview: sdxl::FAMILY.preview,
    aligned_to: sdxl::FAMILY.aligned_to,
    sizes: sdxl::FAMILY.sizes,
    defaults: sdxl::FAMILY.defaults,
};
