//! The autoencoder in the original layout, and VAEs that come alone: with the prefix that a whole checkpoint gives them
//! or without, or under diffusers' names.

use serde_json::{Value, json};

use super::unet::{indexed, renamed};
use super::{GROUPS, Layout, OriginalError, Outline, count};
use crate::model::vae::Vae;
use crate::weights::{KeyMap, Parameter};

/// Where a whole checkpoint has it.
pub(super) const PREFIX: &str = "first_stage_model.";

/// The parts of the network. What else is there (the losses of its training) is not looked at.
const PARTS: [&str; 4] = ["encoder.", "decoder.", "quant_conv.", "post_quant_conv."];

/// Where an autoencoder is in a file, and under which names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Original names behind [`PREFIX`].
    Prefixed,
    /// Original names.
    Bare,
    /// Names of diffusers.
    Diffusers,
}

/// Names in the attention of the middle.
const ATTENTION: [(&str, &str); 5] =
    [("group_norm.", "norm."), ("to_q.", "q."), ("to_k.", "k."), ("to_v.", "v."), ("to_out.0.", "proj_out.")];

impl Form {
    /// The autoencoder of a whole checkpoint.
    pub(super) fn among_others(outline: &Outline<'_>) -> Option<Self> {
        outline.has(&format!("{PREFIX}decoder.conv_in.weight")).then_some(Self::Prefixed)
    }

    /// One that comes alone.
    pub(super) fn alone(outline: &Outline<'_>) -> Option<Self> {
        if outline.has_below("decoder.mid_block.") {
            Some(Self::Diffusers)
        } else if outline.has_below("decoder.mid.") {
            Some(Self::Bare)
        } else {
            None
        }
    }

    /// Where the file has the parameters of the autoencoder that has these; `usual` is where diffusers has them.
    pub(super) fn keys(self, usual: KeyMap, parameters: &[Parameter]) -> KeyMap {
        let levels = parameters.iter().filter_map(|parameter| indexed(&parameter.name, "decoder.up_blocks."));
        let levels = levels.map(|(index, _)| index + 1).max().unwrap_or(0);
        self.keys_of(levels, usual)
    }

    fn keys_of(self, levels: usize, usual: KeyMap) -> KeyMap {
        let among = |map: KeyMap| map.among(|tensor| PARTS.iter().any(|part| tensor.starts_with(part)));
        let original = || among(KeyMap::default().or(move |name| rename(name, levels)));
        match self {
            Self::Prefixed => original().under(PREFIX),
            Self::Bare => original(),
            Self::Diffusers => among(usual),
        }
    }

    /// The `config.json` that diffusers would have; `sample_size` is height and width of pictures, in pixels.
    pub(super) fn config(self, outline: &Outline<'_>, layout: &Layout, sample_size: [usize; 2]) -> Result<Value, OriginalError> {
        // The levels on the way up are numbered from the other end, so only names of the way down are asked for.
        let keys = self.keys_of(0, Vae::keys());
        let shape = |name: &str| outline.parameter(&keys, name);
        let dim = |name: &str, index: usize| {
            let found = shape(name).and_then(|shape| shape.get(index).copied());
            found.ok_or_else(|| OriginalError::Unusual { why: format!("vae: there is no {name}, or it has too few dimensions") })
        };
        let conv = |level: usize, layer: usize| format!("encoder.down_blocks.{level}.resnets.{layer}.conv1.weight");
        let levels = count(|level| shape(&conv(level, 0)).is_some());
        let channels = (0..levels).map(|level| dim(&conv(level, 0), 0)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({
            "_class_name": "AutoencoderKL",
            "in_channels": dim("encoder.conv_in.weight", 1)?,
            "out_channels": dim("decoder.conv_out.weight", 0)?,
            "latent_channels": dim("decoder.conv_in.weight", 1)?,
            "down_block_types": vec!["DownEncoderBlock2D"; levels],
            "up_block_types": vec!["UpDecoderBlock2D"; levels],
            "block_out_channels": channels,
            "layers_per_block": count(|layer| shape(&conv(0, layer)).is_some()),
            "norm_num_groups": GROUPS,
            "sample_size": sample_size,
            "scaling_factor": layout.scaling_factor,
            "use_quant_conv": shape("quant_conv.weight").is_some(),
            "use_post_quant_conv": shape("post_quant_conv.weight").is_some(),
            "mid_block_add_attention": shape("encoder.mid_block.attentions.0.group_norm.weight").is_some(),
        }))
    }
}

/// The original name of a parameter; the levels of the decoder, of which there are `levels`, are numbered from the
/// picture's end.
fn rename(name: &str, levels: usize) -> Option<String> {
    let (side, rest) = match name.split_once('.')? {
        (side @ ("encoder" | "decoder"), rest) => (side, rest),
        _ => return Some(name.to_owned()),
    };
    if let Some((level, rest)) = indexed(rest, "down_blocks.") {
        return Some(format!("{side}.down.{level}.{}", level_part(rest)?));
    }
    if let Some((level, rest)) = indexed(rest, "up_blocks.") {
        let level = levels.checked_sub(level + 1)?;
        return Some(format!("{side}.up.{level}.{}", level_part(rest)?));
    }
    if let Some((index, rest)) = indexed(rest, "mid_block.resnets.") {
        return Some(format!("{side}.mid.block_{}.{}", index + 1, residual(rest)));
    }
    if let Some(rest) = rest.strip_prefix("mid_block.attentions.0.") {
        return Some(format!("{side}.mid.attn_1.{}", renamed(rest, &ATTENTION)?));
    }
    Some(match rest.strip_prefix("conv_norm_out.") {
        Some(end) => format!("{side}.norm_out.{end}"),
        None => format!("{side}.{rest}"),
    })
}

/// What is inside a level.
fn level_part(rest: &str) -> Option<String> {
    if let Some((index, rest)) = indexed(rest, "resnets.") {
        return Some(format!("block.{index}.{}", residual(rest)));
    }
    renamed(rest, &[("downsamplers.0.", "downsample."), ("upsamplers.0.", "upsample.")])
}

/// What is inside a residual block.
fn residual(rest: &str) -> String {
    match rest.strip_prefix("conv_shortcut.") {
        Some(end) => format!("nin_shortcut.{end}"),
        None => rest.to_owned(),
    }
}
