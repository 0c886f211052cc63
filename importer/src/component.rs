//! The kinds of files, and how each is recognised.

use encaustic_engine::family::{FAMILIES, Outline};
use serde::Serialize;

use crate::adapter;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// A model: a UNet, an autoencoder and text encoders, or two of the three.
    Checkpoint,
    /// A UNet alone.
    Unet,
    /// An autoencoder alone.
    Vae,
    /// A text encoder alone, or several.
    TextEncoder,
    /// Changes to a model's weights: LoRA and the kinds of LyCORIS.
    Lora,
    /// Vectors for words that a text encoder does not know.
    TextualInversion,
    /// A network that leads a UNet by a picture.
    ControlNet,
    /// The tiny autoencoder that stands in for a real one, or half of it.
    Taesd,
    /// A network that enlarges pictures (ESRGAN and its kin).
    Upscaler,
    /// None of these.
    Unknown,
}

/// Whose names the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Naming {
    /// Those of the model's authors.
    Original,
    /// diffusers'.
    Diffusers,
    /// transformers'.
    Transformers,
    /// OpenCLIP's.
    OpenClip,
    /// Those of kohya's trainer and of LyCORIS: the path of a layer with underscores.
    Kohya,
    /// PEFT's.
    Peft,
}

impl Component {
    /// Its name for people, after "a" or "an".
    pub fn label(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Unet => "UNet",
            Self::Vae => "VAE",
            Self::TextEncoder => "text encoder",
            Self::Lora => "LoRA",
            Self::TextualInversion => "textual inversion",
            Self::ControlNet => "ControlNet",
            Self::Taesd => "tiny autoencoder (TAESD)",
            Self::Upscaler => "upscaler",
            Self::Unknown => "file of another kind",
        }
    }
}

impl Naming {
    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Original => "the original layout",
            Self::Diffusers => "diffusers",
            Self::Transformers => "transformers",
            Self::OpenClip => "OpenCLIP",
            Self::Kohya => "kohya",
            Self::Peft => "PEFT",
        }
    }
}

/// A kind of file under one set of names.
struct Rule {
    component: Component,
    naming: Naming,
    is: fn(&Outline<'_>) -> bool,
}

const fn rule(component: Component, naming: Naming, is: fn(&Outline<'_>) -> bool) -> Rule {
    Rule { component, naming, is }
}

/// Whether there are tensors below any of these prefixes.
fn any(file: &Outline<'_>, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| file.has_below(prefix))
}

/// Whether there are all of these tensors.
fn all(file: &Outline<'_>, tensors: &[&str]) -> bool {
    tensors.iter().all(|tensor| file.has(tensor))
}

/// The first that says yes has it: additions to a model come before models, for they have its names in theirs, and what
/// consists of several parts before what is one of them.
const RULES: &[Rule] = &[
    rule(Component::ControlNet, Naming::Original, |file| {
        any(file, &["control_model.", "lllite_unet_"])
            || any(file, &["zero_convs."]) && any(file, &["input_hint_block."])
            || file.has("lora_controlnet")
    }),
    rule(Component::ControlNet, Naming::Diffusers, |file| any(file, &["controlnet_cond_embedding.", "controlnet_down_blocks."])),
    rule(Component::Lora, Naming::Kohya, |file| adapter::is_adapter(file, Naming::Kohya)),
    rule(Component::Lora, Naming::Peft, |file| adapter::is_adapter(file, Naming::Peft)),
    rule(Component::Lora, Naming::Diffusers, |file| adapter::is_adapter(file, Naming::Diffusers)),
    rule(Component::Checkpoint, Naming::Original, |file| {
        [file.has_unet(), file.has_autoencoder(), has_text(file)].into_iter().filter(|part| *part).count() >= 2
    }),
    rule(Component::Unet, Naming::Original, |file| {
        file.has_unet() || all(file, &["input_blocks.0.0.weight", "time_embed.0.weight", "out.2.weight"])
    }),
    rule(Component::Unet, Naming::Diffusers, |file| {
        all(file, &["conv_in.weight", "time_embedding.linear_1.weight"]) && any(file, &["down_blocks."])
    }),
    rule(Component::Vae, Naming::Original, |file| file.has_autoencoder() || any(file, &["decoder.mid.", "encoder.mid."])),
    rule(Component::Vae, Naming::Diffusers, |file| any(file, &["decoder.mid_block.", "encoder.mid_block."])),
    rule(Component::TextEncoder, Naming::OpenClip, |file| {
        FAMILIES.iter().any(|family| family.encoders.iter().any(|encoder| open_clip(file, encoder.original.prefix)))
            || open_clip(file, "")
    }),
    rule(Component::TextEncoder, Naming::Transformers, |file| {
        has_text(file)
            || any(file, &["text_model.encoder.layers."])
            || any(file, &["embeddings.token_embedding."]) && any(file, &["encoder.layers.0.self_attn."])
    }),
    rule(Component::Taesd, Naming::Diffusers, |file| any(file, &["decoder.layers.", "encoder.layers."]) && is_tiny(file)),
    rule(Component::Taesd, Naming::Original, |file| is_numbered(file) || any(file, &["taesd_decoder.", "taesd_encoder."])),
    rule(Component::Upscaler, Naming::Original, |file| upscaler(file).is_some()),
    rule(Component::TextualInversion, Naming::Original, is_embedding),
];

/// What a file is, and whose names it has.
pub(crate) fn recognise(file: &Outline<'_>) -> (Component, Option<Naming>) {
    let found = RULES.iter().find(|rule| (rule.is)(file));
    found.map_or((Component::Unknown, None), |rule| (rule.component, Some(rule.naming)))
}

/// Whether there is any text encoder of any family's checkpoints.
fn has_text(file: &Outline<'_>) -> bool {
    FAMILIES.iter().any(|family| family.encoders.iter().any(|encoder| file.has_below(encoder.original.prefix)))
}

fn open_clip(file: &Outline<'_>, prefix: &str) -> bool {
    file.has_below(&format!("{prefix}transformer.resblocks.")) && file.has(&format!("{prefix}token_embedding.weight"))
}

/// Whether residual blocks of TAESD are in it: three convolutions each.
fn is_tiny(file: &Outline<'_>) -> bool {
    file.header().tensors().keys().any(|name| name.ends_with(".conv.4.weight"))
}

/// TAESD's author numbers all layers of one half from 0.
fn is_numbered(file: &Outline<'_>) -> bool {
    let is_number = |name: &String| name.split('.').next().is_some_and(|first| first.parse::<u32>().is_ok());
    is_tiny(file) && file.header().tensors().keys().all(is_number)
}

/// What kind of upscaler it is, and by how much it enlarges, if its shapes tell.
pub(crate) fn upscaler(file: &Outline<'_>) -> Option<(&'static str, Option<usize>)> {
    let tensors = file.header().tensors();
    let named = |name: &str| ["", "params_ema.", "params."].into_iter().find_map(|prefix| file.shape(&format!("{prefix}{name}")));
    if named("body.0.rdb1.conv1.weight").is_some() {
        // Smaller factors come from pixels that are first folded into channels: 12 for twice, 48 for none.
        let scale = named("conv_first.weight").and_then(|shape| match shape.get(1)? {
            3 => Some(4),
            12 => Some(2),
            48 => Some(1),
            _ => None,
        });
        return Some(("RRDB (ESRGAN)", scale));
    }
    if file.has("model.1.sub.0.RDB1.conv1.0.weight") {
        // Between trunk and end there is one convolution for each doubling.
        let doublings = tensors.iter().filter(|(name, info)| {
            info.shape.len() == 4
                && name
                    .strip_prefix("model.")
                    .and_then(|rest| rest.strip_suffix(".weight"))
                    .is_some_and(|rest| rest.parse::<u32>().is_ok())
        });
        let scale = doublings.count().checked_sub(3).and_then(|count| 1usize.checked_shl(u32::try_from(count).ok()?));
        return Some(("RRDB (ESRGAN), old names", scale));
    }
    // Convolutions and, between them, one number per channel (PReLU).
    let is_compact = matches!(named("body.0.weight"), Some([_, 3, _, _])) && matches!(named("body.1.weight"), Some([_]));
    if is_compact {
        let is_body = |name: &str| name.split("body.").nth(1).and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        let last = tensors.iter().filter(|(_, info)| info.shape.len() == 4).max_by_key(|(name, _)| is_body(name));
        let pixels = last.and_then(|(_, info)| info.shape.first()).map(|channels| channels / 3);
        return Some(("SRVGG (Real-ESRGAN compact)", pixels.map(usize::isqrt).filter(|side| Some(side * side) == pixels)));
    }
    None
}

/// Whether it holds nothing but a few vectors.
fn is_embedding(file: &Outline<'_>) -> bool {
    let tensors = file.header().tensors();
    let is_vector = |shape: &[usize]| matches!(shape, [_] | [_, _]);
    // The three ways: A1111's, SDXL's two, and diffusers', where the name is the word.
    let is_known = all(file, &["emb_params"]) || all(file, &["clip_l", "clip_g"]);
    let is_word = tensors.len() == 1 && tensors.keys().all(|name| !name.contains('.'));
    (is_known || is_word) && tensors.len() <= 8 && tensors.values().all(|info| is_vector(&info.shape))
}

/// Features of a textual inversion's vectors, by tensor.
pub(crate) fn embedding_widths(file: &Outline<'_>) -> Vec<usize> {
    file.header().tensors().values().filter_map(|info| info.shape.last().copied()).collect()
}

/// How many tokens a textual inversion stands for.
pub(crate) fn embedding_vectors(file: &Outline<'_>) -> usize {
    let rows = |shape: &[usize]| match shape {
        [rows, _] => *rows,
        _ => 1,
    };
    file.header().tensors().values().map(|info| rows(&info.shape)).max().unwrap_or(0)
}
