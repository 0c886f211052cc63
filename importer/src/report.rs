//! All that a header tells, put together.

use std::collections::BTreeMap;

use encaustic_engine::family::{FAMILIES, Family, Outline, Role, Use};
use encaustic_engine::weights::Header;
use serde::Serialize;

use crate::adapter::{self, Adapter};
use crate::component::{Component, Naming, embedding_vectors, embedding_widths, recognise, upscaler};
use crate::metadata::Training;
use crate::parts::{Missing, Part, dtypes, missing, parts};

/// What a file is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The kind of file.
    pub component: Component,
    /// Whose names its tensors have.
    pub naming: Option<Naming>,
    /// The id of the family that it is, belongs to or was made for, if that is known.
    pub family: Option<&'static str>,
    /// The family's name for people.
    pub family_label: Option<&'static str>,
    /// What a UNet is for, if it is not for text to image.
    pub purpose: Option<String>,
    /// What a UNet predicts.
    pub prediction: Option<Predicts>,
    /// How a model was made to need few steps, if there are signs of it.
    pub distilled: Option<Distilled>,
    /// How changes to a model are written.
    pub adapter: Option<Adapter>,
    /// How many numbers it has.
    pub parameters: u64,
    /// How many of them are of which type.
    pub dtypes: BTreeMap<&'static str, u64>,
    /// The parts of a checkpoint.
    pub parts: Vec<Part>,
    /// What a checkpoint lacks.
    pub missing: Vec<Missing>,
    /// What the trainer noted.
    pub training: Training,
    /// All metadata.
    pub metadata: BTreeMap<String, String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    #[serde(skip)]
    role: Option<Role>,
    #[serde(skip)]
    has_all_text: bool,
    #[serde(skip)]
    has_unet: bool,
    #[serde(skip)]
    is_edm: bool,
}

/// What a UNet predicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Predicts {
    /// `epsilon` or `v_prediction`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The tensor or the entry of the metadata that says so; nothing if it is only what the family's models usually do.
    pub told_by: Option<&'static str>,
    /// Whether it was trained down to a signal of zero.
    pub zero_snr: bool,
}

/// How a model was made to need few steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Distilled {
    /// `LCM`, `Turbo`, `Lightning` or `Hyper`.
    pub kind: &'static str,
    /// A tensor, or an entry of the metadata, where a name is only a hint.
    pub told_by: &'static str,
}

/// Says what a file is, by its header.
pub fn inspect(header: &Header) -> Report {
    let file = Outline::new(header);
    let (component, naming) = recognise(&file);
    let family = family(&file, component);
    let has_parts = component == Component::Checkpoint || component == Component::Unet && file.has_unet();
    let is_unet = matches!(component, Component::Checkpoint | Component::Unet);
    let purpose = unet_use(&file).filter(|purpose| is_unet && *purpose != Use::TextToImage);
    let prediction = family.filter(|family| is_unet && family.role == Role::TextToImage).map(|family| {
        let told = file.predicted(family);
        Predicts { kind: told.prediction.name(), told_by: told.told_by, zero_snr: told.zero_snr }
    });
    let dtypes = dtypes(header.tensors().values());
    Report {
        component,
        naming,
        family: family.map(|family| family.id),
        family_label: family.map(|family| family.label),
        purpose: purpose.map(Use::words),
        prediction,
        distilled: if is_unet || component == Component::Lora { distilled(&file) } else { None },
        adapter: (component == Component::Lora).then(|| adapter::describe(&file)),
        parameters: dtypes.values().sum(),
        dtypes,
        parts: if has_parts { parts(&file, family) } else { Vec::new() },
        missing: if has_parts { missing(&file, family) } else { Vec::new() },
        training: Training::read(header.metadata()),
        metadata: header.metadata().clone(),
        notes: notes(&file, component, family),
        role: family.map(|family| family.role),
        has_all_text: family.is_some_and(|family| file.has_encoders(family)),
        has_unet: file.has_unet(),
        is_edm: file.is_edm(),
    }
}

/// The families that text vectors of this width may belong to.
fn by_width(width: usize) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.role == Role::TextToImage && family.original.context == width).copied()
}

fn family(file: &Outline<'_>, component: Component) -> Option<&'static Family> {
    match component {
        // SD 1, 2 and XL have autoencoders of one shape, and one tiny one; an upscaler is for any picture.
        Component::Vae | Component::Taesd | Component::Upscaler | Component::Unknown => None,
        Component::TextualInversion => match embedding_widths(file).as_slice() {
            [width] => by_width(*width),
            // One for each encoder of XL, whose UNet reads both side by side.
            widths => by_width(widths.iter().sum()),
        },
        Component::Lora => file.family().or_else(|| {
            // Only XL has a second text encoder.
            let has_second = ["lora_te2_", "text_encoder_2."].iter().any(|prefix| file.has_below(prefix));
            FAMILIES.iter().find(|family| has_second && family.encoders.len() == 2).copied()
        }),
        Component::Checkpoint | Component::Unet | Component::TextEncoder | Component::ControlNet => file.family(),
    }
}

/// What the UNet is for, under any names.
fn unet_use(file: &Outline<'_>) -> Option<Use> {
    let channels = |input: &str, output: &str| Some(Use::of(*file.shape(input)?.get(1)?, *file.shape(output)?.first()?));
    file.purpose()
        .or_else(|| channels("input_blocks.0.0.weight", "out.2.weight"))
        .or_else(|| channels("conv_in.weight", "conv_out.weight"))
}

/// Signs of distillation, and what they are called.
const FEW_STEPS: [(&str, &str); 4] = [("lcm", "LCM"), ("turbo", "Turbo"), ("lightning", "Lightning"), ("hyper", "Hyper")];
/// Where such words may stand.
const TITLES: [&str; 4] = ["modelspec.title", "modelspec.architecture", "ss_output_name", "modelspec.tags"];
/// What has a UNet alone that takes the guidance as an input, under either names.
const GUIDED: [&str; 2] = ["time_embed.cond_proj.weight", "time_embedding.cond_proj.weight"];

fn distilled(file: &Outline<'_>) -> Option<Distilled> {
    let whole = file.takes_guidance().then_some("time_embed.cond_proj.weight");
    if let Some(tensor) = whole.or_else(|| GUIDED.into_iter().find(|tensor| file.has(tensor))) {
        return Some(Distilled { kind: "LCM", told_by: tensor });
    }
    let metadata = file.header().metadata();
    TITLES.into_iter().find_map(|told_by| {
        let text = metadata.get(told_by)?.to_lowercase();
        let is_word = |word: &str| text.split(|c: char| !c.is_alphanumeric()).any(|part| part.starts_with(word));
        FEW_STEPS.iter().find(|(word, _)| is_word(word)).map(|(_, kind)| Distilled { kind, told_by })
    })
}

/// Networks of other families, by what their tensors' names contain: to be named, not used.
const STRANGERS: [(&str, &str); 3] =
    [("joint_blocks.", "Stable Diffusion 3"), ("double_blocks.", "Flux"), ("cap_embedder.", "Lumina")];

fn notes(file: &Outline<'_>, component: Component, family: Option<&Family>) -> Vec<String> {
    let mut notes = Vec::new();
    if file.has_below("model_ema.") {
        notes.push("it has averages of training (EMA) beside the weights, which are not used".to_owned());
    }
    if file.is_edm() {
        notes.push("it was trained on other noise levels (EDM), which are not known here".to_owned());
    }
    match component {
        Component::Vae => {
            notes.push("VAEs of Stable Diffusion 1, 2 and XL have one shape: only its source tells which it is for".to_owned());
        }
        Component::Upscaler => notes.extend(upscaler(file).map(|(kind, scale)| match scale {
            Some(scale) => format!("{kind}, enlarges {scale} times"),
            None => kind.to_owned(),
        })),
        Component::TextualInversion => {
            let count = embedding_vectors(file);
            let vectors = if count == 1 { "vector" } else { "vectors" };
            notes.push(format!("{count} {vectors}; it is called up by the file's name"));
        }
        _ => {}
    }
    let stranger = STRANGERS.iter().find(|(part, _)| file.header().tensors().keys().any(|name| name.contains(part)));
    if let Some((_, label)) = stranger.filter(|_| family.is_none()) {
        notes.push(format!("it looks like {label}, which is not among the families here"));
    }
    notes
}

impl Report {
    /// One line on what it is, as in "LoRA (LoCon, kohya) for Stable Diffusion 1".
    pub fn what(&self) -> String {
        let mut text = self.component.label().to_owned();
        let mut details = Vec::new();
        if let Some(adapter) = &self.adapter {
            let kinds = [adapter.kind, if adapter.dora { "DoRA" } else { "" }];
            details.extend(kinds.into_iter().filter(|kind| !["", text.as_str()].contains(kind)).map(str::to_owned));
        }
        let is_usual = self.naming == Some(Naming::Original) || self.component == Component::TextualInversion;
        details.extend(self.naming.filter(|_| !is_usual).map(|naming| naming.label().to_owned()));
        if !details.is_empty() {
            text += &format!(" ({})", details.join(", "));
        }
        if let Some(label) = self.family_label {
            text += if matches!(self.component, Component::Checkpoint | Component::Unet) { " of " } else { " for " };
            text += label;
        }
        if let Some(purpose) = &self.purpose {
            text += &format!(", {purpose}");
        }
        text
    }

    /// Why no pictures can be made from text with this file as the model; `None` if they can. A missing autoencoder does
    /// not count: it can be added.
    pub fn unfit(&self) -> Option<String> {
        let what = self.what();
        let why = match self.component {
            Component::Lora => "it changes a model and is none: give the model itself",
            Component::ControlNet => "it leads a model and is none: give the model itself",
            Component::TextualInversion => "it is a word for a model's prompts and no model: give the model itself",
            Component::Vae | Component::Taesd => "it is one part of a model; a VAE is given with --vae",
            Component::Unet | Component::TextEncoder => {
                "it is one part of a model: give the whole checkpoint, or a folder in the layout of diffusers"
            }
            Component::Upscaler => "it enlarges pictures and makes none",
            Component::Unknown => "it is no checkpoint of a family that is known here",
            Component::Checkpoint if self.role == Some(Role::Refines) => {
                "it finishes what another model has begun: give the base model"
            }
            Component::Checkpoint if self.family.is_none() => "its family is not known here",
            Component::Checkpoint if !self.has_unet => "it has no UNet: get the whole checkpoint",
            Component::Checkpoint if self.is_edm => "it was trained on other noise levels (EDM), which are not known here",
            Component::Checkpoint if self.purpose.is_some() => "text to image needs a model whose UNet takes latents alone",
            Component::Checkpoint if !self.has_all_text => "it has no text encoder, or not all of them: get the whole checkpoint",
            Component::Checkpoint => return None,
        };
        let stranger = self.notes.iter().find(|note| note.starts_with("it looks like"));
        let stranger = stranger.map_or_else(String::new, |note| format!(" ({note})"));
        let article = if self.component == Component::Upscaler { "an" } else { "a" };
        Some(format!("this is {article} {what}{stranger}; {why}"))
    }

    /// Whether it has an autoencoder that can be given to another model.
    pub fn has_autoencoder(&self) -> bool {
        self.component == Component::Vae || self.parts.iter().any(|part| part.name == "vae")
    }
}
