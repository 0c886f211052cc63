//! Changes to a model's weights: LoRA (Hu et al. 2021) and its relatives in LyCORIS.

use encaustic_engine::family::Outline;
use serde::Serialize;

use crate::component::Naming;

/// How the changes are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adapter {
    /// `LoRA`, `LoCon` (convolutions of more than a point as well), `LoHa`, `LoKr`, `OFT`, `IA3` or `full`.
    pub kind: &'static str,
    /// Whether the weights' sizes are changed beside their directions (Liu et al. 2024), which any kind can have.
    pub dora: bool,
    /// The rank of its products: the commonest one.
    pub rank: Option<usize>,
    /// Whether it changes text encoders as well.
    pub text: bool,
}

/// What tensors of a kind end in, the more particular first.
const KINDS: &[(&str, &[&str])] = &[
    ("LoHa", &[".hada_w1_a", ".hada_w2_a"]),
    ("LoKr", &[".lokr_w1", ".lokr_w1_a", ".lokr_w2", ".lokr_w2_a"]),
    ("OFT", &[".oft_blocks", ".oft_diag"]),
    ("IA3", &[".on_input"]),
];

/// The first factor of a product, whose first dimension is the rank.
const DOWN: [&str; 6] = [
    ".lora_down.weight",
    ".lora_A.weight",
    "_lora.down.weight",
    ".lora_linear_layer.down.weight",
    ".hada_w1_b",
    ".lora.down.weight",
];
/// The middle factor of a product for convolutions.
const MIDDLE: &str = ".lora_mid.weight";
/// Whole differences.
const FULL: [&str; 2] = [".diff", ".diff_b"];

const KOHYA: [&str; 5] = ["lora_unet_", "lora_te_", "lora_te1_", "lora_te2_", "lycoris_"];

/// Whether a file changes a model, under the names of a program.
pub(crate) fn is_adapter(file: &Outline<'_>, naming: Naming) -> bool {
    let any = |is: &dyn Fn(&str) -> bool| file.header().tensors().keys().any(|name| is(name));
    match naming {
        Naming::Kohya => {
            KOHYA.iter().any(|prefix| file.has_below(prefix)) || any(&|name| KINDS.iter().any(|(_, ends)| ends_in(name, ends)))
        }
        Naming::Peft => any(&|name| name.ends_with(".lora_A.weight") || name.ends_with(".lora_A.default.weight")),
        _ => any(&|name| {
            name.ends_with("_lora.down.weight")
                || name.ends_with(".lora_linear_layer.down.weight")
                || name.ends_with(".lora.down.weight")
        }),
    }
}

fn ends_in(name: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| name.ends_with(end))
}

/// What a file that changes a model is like.
pub(crate) fn describe(file: &Outline<'_>) -> Adapter {
    let tensors = file.header().tensors();
    let any = |ends: &[&str]| tensors.keys().any(|name| ends_in(name, ends));
    let downs = || tensors.iter().filter(|(name, _)| ends_in(name, &DOWN));
    // A product for a convolution of one point is a matrix with two dimensions more.
    let is_convolution = |shape: &[usize]| matches!(shape, [_, _, height, width] if height * width > 1);
    let particular = KINDS.iter().find(|(_, ends)| any(ends)).map(|(kind, _)| *kind);
    let kind = match particular {
        Some(kind) => kind,
        None if any(&[MIDDLE]) || downs().any(|(_, info)| is_convolution(&info.shape)) => "LoCon",
        None if downs().next().is_none() && any(&FULL) => "full",
        None => "LoRA",
    };
    let mut ranks = std::collections::BTreeMap::new();
    for (_, info) in downs() {
        if let Some(rank) = info.shape.first() {
            *ranks.entry(*rank).or_insert(0usize) += 1;
        }
    }
    let text = ["lora_te", "text_encoder", "lycoris_te"].iter().any(|prefix| file.has_below(prefix));
    let rank = ranks.into_iter().max_by_key(|(_, count)| *count).map(|(rank, _)| rank);
    Adapter { kind, dora: any(&[".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight"]), rank, text }
}
