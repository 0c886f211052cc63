//! The networks, as Burn modules named as in the papers and in diffusers and transformers.
//!
//! | network | what it does | paper |
//! |---|---|---|
//! | [`clip`] | text to vectors | CLIP, Radford et al. 2021 |
//! | [`unet`] | a noisy latent, a time and text vectors to a prediction | latent diffusion, Rombach et al. 2022; SDXL, Podell et al. 2023 |
//! | [`vae`] | pictures to latents and back | latent diffusion |
//! | [`taesd`] | the same in a hundredth of the work | TAESD, Boer Bohan 2023 |
//!
//! Each is built from the `config.json` that diffusers or transformers wrote ([`config`]), empty, and filled by
//! [`crate::weights::load_into`]. A network computes in the type of its own weights: what goes in is cast on entry,
//! and what comes out is f32. So an f32 VAE and an f16 UNet live on one device.

use burn::tensor::Tensor;

pub mod activation;
pub mod attention;
pub mod clip;
pub mod config;
pub mod layer;
pub mod residual;
pub mod taesd;
pub mod unet;
pub mod vae;

/// Sees intermediate pictures by the name of the part that made them.
pub type Observer<'a> = &'a mut dyn FnMut(&str, &Tensor<4>);
