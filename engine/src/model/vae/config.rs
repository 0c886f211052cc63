//! `vae/config.json`, checked.

use serde::Deserialize;

use super::VaeFacts;
use crate::latent::Preview;
use crate::model::activation::Activation;
use crate::model::config::{Check, ConfigError, OneOrMany, parse};

/// The most levels: sixteen-bit compression is more than anyone has built.
const MAX_LEVELS: usize = 16;

/// `vae/config.json` of an `AutoencoderKL`, with diffusers' defaults; fields are documented there.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct VaeConfig {
    pub in_channels: usize,
    pub out_channels: usize,
    pub down_block_types: Vec<String>,
    pub up_block_types: Vec<String>,
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: usize,
    pub act_fn: String,
    pub latent_channels: usize,
    pub norm_num_groups: usize,
    pub sample_size: OneOrMany<usize>,
    pub scaling_factor: f64,
    pub shift_factor: Option<f64>,
    pub latents_mean: Option<Vec<f64>>,
    pub latents_std: Option<Vec<f64>>,
    pub force_upcast: Option<bool>,
    pub use_quant_conv: bool,
    pub use_post_quant_conv: bool,
    pub mid_block_add_attention: bool,
    /// Not diffusers': the share of red, green and blue in each channel of a latent, for previews.
    pub latent_rgb_factors: Option<[[f32; 3]; 4]>,
    /// The colour of a latent of zeros, likewise.
    pub latent_rgb_factors_bias: Option<[f32; 3]>,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            down_block_types: vec!["DownEncoderBlock2D".into()],
            up_block_types: vec!["UpDecoderBlock2D".into()],
            block_out_channels: vec![64],
            layers_per_block: 1,
            act_fn: "silu".into(),
            latent_channels: 4,
            norm_num_groups: 32,
            sample_size: OneOrMany::One(32),
            scaling_factor: 0.18215,
            shift_factor: None,
            latents_mean: None,
            latents_std: None,
            force_upcast: Some(true),
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
            latent_rgb_factors: None,
            latent_rgb_factors_bias: None,
        }
    }
}

/// A checked autoencoder.
pub(super) struct Plan {
    pub(super) facts: VaeFacts,
    pub(super) out_channels: usize,
    /// Channels per level, the picture's end first.
    pub(super) channels: Vec<usize>,
    pub(super) layers: usize,
    pub(super) groups: usize,
    pub(super) activation: Activation,
    pub(super) attention: bool,
}

impl VaeConfig {
    /// Parses a `config.json`.
    ///
    /// # Errors
    /// Where the text is no such configuration. Its values are checked by [`super::Vae::new`].
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        parse("vae", text)
    }

    /// How to guess the colours of its latents, if it says.
    pub fn preview(&self) -> Option<Preview> {
        let rows = self.latent_rgb_factors?;
        Some(Preview { rows, offset: self.latent_rgb_factors_bias.unwrap_or_default() })
    }

    pub(super) fn plan(&self) -> Result<Plan, ConfigError> {
        let check = Check("vae");
        let channels = &self.block_out_channels;
        let levels = check.within("block_out_channels", channels.len(), MAX_LEVELS)?;
        for (field, names, supported) in [
            ("down_block_types", &self.down_block_types, "DownEncoderBlock2D"),
            ("up_block_types", &self.up_block_types, "UpDecoderBlock2D"),
        ] {
            check.per_block(field, names, levels)?;
            if let Some(name) = names.iter().find(|name| *name != supported) {
                return Err(check.unsupported(field, name, format_args!("supported is {supported}")));
            }
        }
        check.size("norm_num_groups", self.norm_num_groups)?;
        for size in channels {
            check.size("block_out_channels", *size)?;
            check.divides("norm_num_groups", self.norm_num_groups, "every block's channels", *size)?;
        }
        check.absent("latents_mean", &self.latents_mean)?;
        check.absent("latents_std", &self.latents_std)?;
        let activation =
            Activation::parse(&self.act_fn).ok_or_else(|| check.unsupported("act_fn", &self.act_fn, Activation::supported()))?;
        let sample_size = match &self.sample_size {
            OneOrMany::One(size) => *size,
            OneOrMany::Many(sizes) => sizes.first().copied().unwrap_or(0),
        };
        let shift = self.shift_factor.unwrap_or(0.0);
        if !shift.is_finite() {
            return Err(check.invalid("shift_factor", shift, "it must be finite"));
        }
        Ok(Plan {
            facts: VaeFacts {
                in_channels: check.size("in_channels", self.in_channels)?,
                latent_channels: check.size("latent_channels", self.latent_channels)?,
                compression: 1 << (levels - 1),
                scaling_factor: check.positive("scaling_factor", self.scaling_factor)?,
                shift_factor: shift,
                force_upcast: self.force_upcast.unwrap_or(true),
                sample_size: check.size("sample_size", sample_size)?,
            },
            out_channels: check.size("out_channels", self.out_channels)?,
            channels: channels.clone(),
            layers: check.layers("layers_per_block", self.layers_per_block)?,
            groups: self.norm_num_groups,
            activation,
            attention: self.mid_block_add_attention,
        })
    }
}
