//! The text encoders in the original layout: CLIP's under transformers' names, OpenCLIP's under its own.
//!
//! OpenCLIP keeps queries, keys and values of an attention in one tensor, one below the other, and multiplies the pooled
//! output with its projection from the other side.

use serde_json::{Value, json};

use super::unet::{indexed, renamed};
use super::{OriginalError, Outline, count};
use crate::family::{Encoder, Pooled};
use crate::model::clip::ClipText;
use crate::weights::{Cut, KeyMap, Parameter, Place};

/// Whose names the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// transformers', for OpenAI's CLIP.
    Clip,
    /// OpenCLIP's.
    OpenClip,
}

/// Features of each head, in all of CLIP's and OpenCLIP's text encoders.
const HEAD: usize = 64;
/// An end mark that means "the largest id of the prompt": that is CLIP's end mark, whatever the vocabulary's size.
const LARGEST: usize = 2;

const LAYERS: &str = "text_model.encoder.layers.";
const PROJECTION: &str = "text_projection.weight";

/// Names of what comes once.
const SINGLE: [(&str, &str); 3] = [
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.final_layer_norm.", "ln_final."),
];

/// Names inside a layer.
const LAYER: [(&str, &str); 5] = [
    ("layer_norm1.", "ln_1."),
    ("layer_norm2.", "ln_2."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
    ("self_attn.out_proj.", "attn.out_proj."),
];

/// The projections that lie in one tensor, in this order.
const STACKED: [&str; 3] = ["self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."];

impl Naming {
    /// Where the file has the encoder's parameters, behind its prefix; `usual` is where diffusers has them.
    pub(super) fn keys(self, usual: KeyMap, parameters: &[Parameter]) -> KeyMap {
        let layers = parameters.iter().filter_map(|parameter| indexed(&parameter.name, LAYERS)).map(|(index, _)| index + 1).max();
        let layers = layers.unwrap_or(0);
        let is_projected = parameters.iter().any(|parameter| parameter.name == PROJECTION);
        let map = match self {
            Self::Clip => usual,
            Self::OpenClip => open_clip(),
        };
        map.among(move |tensor| {
            // What the encoder was trained with and nobody needs: the temperature of its loss, a projection that is not
            // asked for, layers behind the one that is read.
            let is_behind = indexed(tensor, "transformer.resblocks.").is_some_and(|(index, _)| index >= layers);
            let is_spare = tensor == "logit_scale" || tensor.starts_with("text_projection") && !is_projected;
            !is_behind && !is_spare
        })
    }
}

/// Where OpenCLIP has the parameters.
fn open_clip() -> KeyMap {
    let projection =
        |name: &str| (name == PROJECTION).then(|| Place { tensor: "text_projection".to_owned(), cut: Cut::Transposed });
    // Some programs write it as a linear layer, in transformers' order.
    let linear = |name: &str| (name == PROJECTION).then(|| PROJECTION.to_owned());
    KeyMap::default().or(projection).or(linear).or(|name| match indexed(name, LAYERS) {
        Some((index, rest)) => {
            let layer = format!("transformer.resblocks.{index}.");
            let stacked = STACKED.iter().enumerate().find_map(|(third, prefix)| Some((third, rest.strip_prefix(prefix)?)));
            match stacked {
                Some((third, kind)) => Some(Place { tensor: format!("{layer}attn.in_proj_{kind}"), cut: Cut::Third(third) }),
                None => Some(format!("{layer}{}", renamed(rest, &LAYER)?).into()),
            }
        }
        None => renamed(name, &SINGLE).map(Place::from),
    })
}

fn all_keys(encoder: &Encoder) -> KeyMap {
    let map = match encoder.original.naming {
        Naming::Clip => ClipText::keys(),
        Naming::OpenClip => open_clip(),
    };
    map.under(encoder.original.prefix)
}

/// The class in transformers.
pub(super) fn class(encoder: &Encoder) -> &'static str {
    match encoder.pooled {
        Pooled::Unused => "CLIPTextModel",
        Pooled::Conditions => "CLIPTextModelWithProjection",
    }
}

/// Features of the encoder's pooled output, if it conditions the UNet.
pub(super) fn pooled(outline: &Outline<'_>, encoder: &Encoder) -> Option<usize> {
    if encoder.pooled == Pooled::Unused {
        return None;
    }
    outline.parameter(&all_keys(encoder), PROJECTION)?.first().copied()
}

/// The `config.json` that transformers would have.
pub(super) fn config(outline: &Outline<'_>, encoder: &Encoder) -> Result<Value, OriginalError> {
    let keys = all_keys(encoder);
    let part = encoder.folder;
    let dim = |name: &str, index: usize| {
        let shape = outline.parameter(&keys, name);
        let found = shape.as_ref().and_then(|shape| shape.get(index));
        found.copied().ok_or_else(|| OriginalError::Unusual { why: format!("{part}: there is no {name}") })
    };
    let features = dim("text_model.embeddings.token_embedding.weight", 1)?;
    let found = count(|index| outline.parameter(&keys, &format!("{LAYERS}{index}.layer_norm1.weight")).is_some());
    let layers = match encoder.original.cut_from {
        // One that was made from a folder of diffusers has lost its last layer there.
        Some(all) if found + 1 == all => found,
        Some(_) => found.saturating_sub(1),
        None => found,
    };
    Ok(json!({
        "architectures": [class(encoder)],
        "vocab_size": dim("text_model.embeddings.token_embedding.weight", 0)?,
        "hidden_size": features,
        "intermediate_size": dim(&format!("{LAYERS}0.mlp.fc1.weight"), 0)?,
        "num_hidden_layers": layers,
        "num_attention_heads": features / HEAD,
        "max_position_embeddings": dim("text_model.embeddings.position_embedding.weight", 0)?,
        "hidden_act": match encoder.original.naming {
            Naming::Clip => "quick_gelu",
            Naming::OpenClip => "gelu",
        },
        "projection_dim": pooled(outline, encoder),
        "layer_norm_eps": 1e-5,
        "eos_token_id": LARGEST,
    }))
}
