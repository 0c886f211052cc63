//! Model families: which networks a model has, how its prompts are read, and what it does best.
//!
//! A model comes as the folder that diffusers writes, packed, or as one file in the layout of its authors ([`Files`] shows
//! any of them to the engine). Its configurations, or the file's names and shapes, tell the family ([`detect`], [`Outline`]); the
//! family tells how text becomes conditioning, where a file has which network, and what to assume where nobody says
//! anything.
//! All families here are latent diffusion with a UNet and CLIP text encoders, so one implementation loads and runs
//! them ([`latent_diffusion`]), and a family is a table of facts with a rule to recognise it by.
//!
//! To add one of that kind, write its file and give it a line in [`FAMILIES`].

mod autoencoder;
mod contents;
mod files;
pub mod latent_diffusion;
mod original;
mod package;
mod part;
mod probe;
mod sd1;
mod sd2;
mod sdxl;
mod sdxl_refiner;
mod sketch;
mod survey;
mod text;

use crate::latent::Preview;
use crate::schedule::AlignedTo;
use crate::weights::{KeyMap, Parameter};

pub use autoencoder::{Autoencoder, Decoder};
pub use contents::{Component, Contents};
pub use files::{Files, FilesError, LoadError};
pub use latent_diffusion::{LatentDiffusion, load};
pub use original::{Heads, Layout, Naming, OriginalError, Outline, Predicted, SingleFile, TextPlace, Use};
pub use package::configuration;
pub use part::Keep;
pub use sketch::Sketch;
pub use survey::{Amount, Needs, PartSize, Survey, survey};
pub use text::{Conditioning, Lead, MicroConditioning, PromptError, Prompts};

/// All families, the more particular first: the first that recognises a model has it.
pub static FAMILIES: &[&Family] = &[&sdxl::FAMILY, &sdxl_refiner::FAMILY, &sd2::FAMILY, &sd1::FAMILY];

/// What there is to know about a family.
#[derive(Debug)]
pub struct Family {
    /// Its name in files and messages.
    pub id: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// What its models do.
    pub role: Role,
    /// Whether a model with these configurations belongs to it.
    pub detect: fn(&Sketch) -> bool,
    /// How its checkpoints lie in one file, and what they leave out.
    pub original: Layout,
    /// Its text encoders, in the order in which their features are joined.
    pub encoders: &'static [Encoder],
    /// How to guess the colours of its latents.
    pub preview: Preview,
    /// Which table of the schedule "Align Your Steps" was made for it.
    pub aligned_to: AlignedTo,
    /// Sizes of pictures that suit its models, as width and height; the first is the size that most were trained on.
    pub sizes: &'static [[u32; 2]],
    /// What to do where neither the user nor the model says.
    pub defaults: Defaults,
}

impl Family {
    /// Where a checkpoint in one file has the parameters of a part: `unet`, `vae`, or a text encoder's folder; `None` for
    /// another name. `parameters` are all that the part's network has.
    pub fn keys(&self, part: &str, parameters: &[Parameter]) -> Option<KeyMap> {
        original::keys(self, part, parameters)
    }
}

/// What the models of a family do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// They make pictures from text.
    TextToImage,
    /// They finish latents that another model has begun.
    Refines,
}

/// How a text encoder is read.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// Its folder.
    pub folder: &'static str,
    /// Where a checkpoint in one file has it.
    pub original: TextPlace,
    /// The folder of its tokenizer.
    pub tokenizer: &'static str,
    /// What fills up its windows if the model brings no tokenizer; the end mark if nothing is named.
    pub padding: Option<&'static str>,
    /// Which of its layers' output the UNet was trained on.
    pub layer: Layer,
    /// What its pooled output is for.
    pub pooled: Pooled,
}

/// A place in a text encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Behind the last layer and the norm that follows it.
    LastNormed,
    /// Behind the last but one, as it stands.
    Penultimate,
}

/// The use of a text encoder's pooled output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooled {
    /// None.
    Unused,
    /// It conditions the UNet.
    Conditions,
}

/// What to do where nobody says.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Denoising steps.
    pub steps: u32,
    /// Guidance.
    pub cfg: f64,
}

/// The families whose models make pictures from text.
pub fn loadable() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().filter(|family| family.role == Role::TextToImage).copied()
}

/// The family of a model.
pub fn detect(sketch: &Sketch) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| (family.detect)(sketch)).copied()
}
