//! The UNet in the original layout: blocks are numbered through, from `input_blocks.0`, the first convolution, to the last
//! of `output_blocks`, and a block's layers are entries of a list (0 the residual one, 1 the transformer, then what
//! changes the size).

use serde_json::{Value, json};

use super::{GROUPS, Heads, OriginalError, Outline, UNET, count};
use crate::family::Family;
use crate::model::config::MAX_LAYERS;
use crate::weights::{KeyMap, Parameter};

/// Where the file has the parameters of the UNet that has these.
pub(super) fn keys(parameters: &[Parameter]) -> KeyMap {
    let blocks = Blocks::of(parameters);
    KeyMap::default().or(move |name| blocks.rename(name))
}

/// How the levels of a network fall into numbered blocks.
#[derive(Debug, Default)]
struct Blocks {
    /// Residual blocks of each level on the way down.
    down: Vec<usize>,
    /// The same on the way up, and whether there are transformers beside them.
    up: Vec<(usize, bool)>,
}

/// Names of what comes once.
const SINGLE: [(&str, &str); 8] = [
    ("conv_in.", "input_blocks.0.0."),
    ("time_embedding.linear_1.", "time_embed.0."),
    ("time_embedding.linear_2.", "time_embed.2."),
    ("time_embedding.cond_proj.", "time_embed.cond_proj."),
    ("add_embedding.linear_1.", "label_emb.0.0."),
    ("add_embedding.linear_2.", "label_emb.0.2."),
    ("conv_norm_out.", "out.0."),
    ("conv_out.", "out.2."),
];

/// Names inside a residual block.
const RESIDUAL: [(&str, &str); 6] = [
    ("norm1.", "in_layers.0."),
    ("conv1.", "in_layers.2."),
    ("time_emb_proj.", "emb_layers.1."),
    ("norm2.", "out_layers.0."),
    ("conv2.", "out_layers.3."),
    ("conv_shortcut.", "skip_connection."),
];

impl Blocks {
    fn of(parameters: &[Parameter]) -> Self {
        let mut blocks = Self::default();
        for Parameter { name, .. } in parameters {
            if let Some((level, rest)) = indexed(name, "down_blocks.")
                && let Some((layer, _)) = indexed(rest, "resnets.")
            {
                blocks.down.resize(blocks.down.len().max(level + 1), 0);
                if let Some(layers) = blocks.down.get_mut(level) {
                    *layers = (*layers).max(layer + 1);
                }
            }
            if let Some((level, rest)) = indexed(name, "up_blocks.") {
                blocks.up.resize(blocks.up.len().max(level + 1), (0, false));
                if let Some((layers, has_transformers)) = blocks.up.get_mut(level) {
                    *layers = indexed(rest, "resnets.").map_or(*layers, |(layer, _)| (*layers).max(layer + 1));
                    *has_transformers |= rest.starts_with("attentions.");
                }
            }
        }
        blocks
    }

    fn rename(&self, name: &str) -> Option<String> {
        if let Some((level, rest)) = indexed(name, "down_blocks.") {
            // Behind the first convolution; each level before this one ends in a halving.
            let first = 1 + self.down.get(..level)?.iter().map(|layers| layers + 1).sum::<usize>();
            let layers = *self.down.get(level)?;
            return match rest.strip_prefix("downsamplers.0.conv.") {
                Some(end) => Some(format!("input_blocks.{}.0.op.{end}", first + layers)),
                None => layer("input_blocks", first, rest),
            };
        }
        if let Some((level, rest)) = indexed(name, "up_blocks.") {
            let first = self.up.get(..level)?.iter().map(|(layers, _)| layers).sum::<usize>();
            let (layers, has_transformers) = *self.up.get(level)?;
            return match rest.strip_prefix("upsamplers.0.conv.") {
                // A doubling belongs to the level's last block.
                Some(end) => {
                    let last = (first + layers).checked_sub(1)?;
                    Some(format!("output_blocks.{last}.{}.conv.{end}", 1 + usize::from(has_transformers)))
                }
                None => layer("output_blocks", first, rest),
            };
        }
        if let Some(rest) = name.strip_prefix("mid_block.") {
            // Residual, transformer, residual.
            return match indexed(rest, "resnets.") {
                Some((index, rest)) => Some(format!("middle_block.{}.{}", 2 * index, renamed(rest, &RESIDUAL)?)),
                None => Some(format!("middle_block.1.{}", rest.strip_prefix("attentions.0.")?)),
            };
        }
        renamed(name, &SINGLE)
    }
}

/// A residual block or a transformer, in the numbering of its side of the network.
fn layer(side: &str, first: usize, rest: &str) -> Option<String> {
    if let Some((index, rest)) = indexed(rest, "resnets.") {
        return Some(format!("{side}.{}.0.{}", first + index, renamed(rest, &RESIDUAL)?));
    }
    // Inside a transformer the names are the same.
    let (index, rest) = indexed(rest, "attentions.")?;
    Some(format!("{side}.{}.1.{rest}", first + index))
}

/// `prefix`, a number, a point and a rest.
pub(super) fn indexed<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (number, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// A name with another beginning.
pub(super) fn renamed(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(new, original)| Some(format!("{original}{}", name.strip_prefix(new)?)))
}

/// A level of the network, found in the file.
#[derive(Default)]
struct Level {
    channels: usize,
    /// For each of its residual blocks on the way down, how many layers the transformer behind it has.
    depths: Vec<usize>,
}

/// More blocks than any network may have, so that the network's own check refuses it.
const MAX_BLOCKS: usize = 4 * MAX_LAYERS;

/// The `config.json` that diffusers would have; `sample_size` is height and width, in latents.
pub(super) fn config(outline: &Outline<'_>, family: &Family, sample_size: [usize; 2]) -> Result<Value, OriginalError> {
    let shape = |name: &str| outline.shape(&format!("{UNET}{name}"));
    let dim = |name: &str, index: usize| {
        let found = shape(name).and_then(|shape| shape.get(index));
        found.copied().ok_or_else(|| unusual(format!("there is no {UNET}{name}, or it has too few dimensions")))
    };
    let depth = |block: &str| count(|index| shape(&format!("{block}.transformer_blocks.{index}.attn1.to_q.weight")).is_some());

    let mut levels = vec![Level::default()];
    for block in 1..=MAX_BLOCKS {
        let Some(level) = levels.last_mut() else { break };
        if shape(&format!("input_blocks.{block}.0.op.weight")).is_some() {
            levels.push(Level::default());
        } else if let Some(conv) = shape(&format!("input_blocks.{block}.0.out_layers.3.weight")) {
            level.channels = conv.first().copied().unwrap_or(0);
            level.depths.push(depth(&format!("input_blocks.{block}.1")));
        } else {
            break;
        }
    }
    let middle = depth("middle_block.1");
    if middle == 0 {
        return Err(unusual("it has no transformer in the middle".to_owned()));
    }
    let mut up = Vec::new();
    let mut block = 0;
    for level in levels.iter().rev() {
        let last = block + level.depths.len() + 1;
        up.push((block..last).map(|block| depth(&format!("output_blocks.{block}.1"))).collect::<Vec<_>>());
        block = last;
    }

    let has_transformers = |depths: &[usize]| match depths.iter().filter(|depth| **depth > 0).count() {
        0 => Ok(false),
        some if some == depths.len() => Ok(true),
        _ => Err(unusual("some of a level's blocks have transformers and some have none".to_owned())),
    };
    let types = |levels: &mut dyn Iterator<Item = &[usize]>, plain: &str, cross: &str| {
        levels.map(|depths| Ok(if has_transformers(depths)? { cross } else { plain }.to_owned())).collect::<Result<Vec<_>, _>>()
    };
    let down_types = types(&mut levels.iter().map(|level| level.depths.as_slice()), "DownBlock2D", "CrossAttnDownBlock2D")?;
    let up_types = types(&mut up.iter().map(Vec::as_slice), "UpBlock2D", "CrossAttnUpBlock2D")?;

    // The middle has the depth of the last level, which is free to choose where that has no transformers.
    let last = levels.len() - 1;
    let depths = levels.iter().enumerate().map(|(index, level)| match level.depths.as_slice() {
        [0, ..] if index == last => Ok(vec![middle; level.depths.len()]),
        [0, ..] | [] => Ok(vec![1; level.depths.len()]),
        [first, ..] if index == last && *first != middle => {
            Err(unusual(format!("the transformer in the middle has {middle} layers, those beside it {first}")))
        }
        depths => Ok(depths.to_vec()),
    });
    let depths = depths.collect::<Result<Vec<_>, _>>()?;
    let up_depths: Vec<Vec<usize>> =
        up.into_iter().map(|depths| depths.into_iter().map(|depth| depth.max(1)).collect()).collect();

    let heads = levels.iter().map(|level| match family.original.heads {
        Heads::Count(count) => count,
        Heads::Features(features) => level.channels / features,
    });
    let mut config = json!({
        "_class_name": "UNet2DConditionModel",
        "in_channels": dim("input_blocks.0.0.weight", 1)?,
        "out_channels": dim("out.2.weight", 0)?,
        "sample_size": sample_size,
        "block_out_channels": levels.iter().map(|level| level.channels).collect::<Vec<_>>(),
        "layers_per_block": levels.iter().map(|level| level.depths.len()).collect::<Vec<_>>(),
        "down_block_types": down_types,
        "up_block_types": up_types,
        "transformer_layers_per_block": depths,
        "reverse_transformer_layers_per_block": up_depths,
        "attention_head_dim": heads.collect::<Vec<_>>(),
        "cross_attention_dim": outline.context().unwrap_or(family.original.context),
        "norm_num_groups": GROUPS,
        "use_linear_projection": shape("middle_block.1.proj_in.weight").is_some_and(|shape| shape.len() == 2),
        "upcast_attention": family.original.upcast_attention,
    });
    if let Some(features) = shape("time_embed.cond_proj.weight").and_then(|shape| shape.get(1)) {
        config["time_cond_proj_dim"] = json!(features);
    }
    if shape("label_emb.0.0.weight").is_some() {
        let total = dim("label_emb.0.0.weight", 1)?;
        let Some(numbers) = per_number(outline, family, total) else {
            return Err(unusual(format!("it takes a vector of {total} features that is not pooled text with sizes")));
        };
        config["addition_embed_type"] = json!("text_time");
        config["addition_time_embed_dim"] = json!(numbers);
        config["projection_class_embeddings_input_dim"] = json!(total);
    }
    Ok(config)
}

/// Height and width as it was, what was cut off, and as it is.
const NUMBERS: usize = 6;

/// Into how many features each of the numbers beside the pooled text is embedded.
fn per_number(outline: &Outline<'_>, family: &Family, total: usize) -> Option<usize> {
    let pooled = family.encoders.iter().filter_map(|encoder| super::text::pooled(outline, encoder)).sum();
    let numbers = total.checked_sub(pooled)?;
    (pooled > 0 && numbers > 0 && numbers.is_multiple_of(NUMBERS)).then_some(numbers / NUMBERS)
}

fn unusual(why: String) -> OriginalError {
    OriginalError::Unusual { why: format!("unet: {why}") }
}
