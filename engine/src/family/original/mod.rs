//! A model in one file, in the layout that its authors' programs write (CompVis, Stability AI) and that most of those
//! who share checkpoints keep.
//!
//! Three things set it apart from a folder of diffusers. All networks are in one file, told apart by a prefix. Their
//! parameters have other names, now and then another form: [`Original::keys`] finds each one, forward from the name that
//! the network itself has for it. And there are no configurations: [`Original::config`] makes them, from the shapes of
//! the tensors as far as these tell, and from the family where they do not (heads, groups, activations, noise levels).
//! After that the model is one like any other.
//!
//! What a header alone tells, and what a user can be told before anything is loaded, is [`Outline`].

mod outline;
mod text;
mod unet;
mod vae;

use serde_json::{Value, json};

use super::files::{Files, FilesError, LoadError};
use super::{Encoder, FAMILIES, Family, Role};
use crate::model::clip::ClipText;
use crate::model::config::MAX_LAYERS;
use crate::model::vae::Vae;
use crate::prediction::Prediction;
use crate::schedule::{SchedulerClass, SchedulerConfig};
use crate::weights::{Checkpoint, Header, KeyMap, Parameter};

pub use outline::{Outline, Predicted};
pub use text::Naming;

/// Where the UNet's tensors are.
const UNET: &str = "model.diffusion_model.";
/// Groups of all normalisations over channels.
const GROUPS: usize = 32;
/// Pixels along one side of what becomes one latent.
const FACTOR: usize = 8;

/// What a family's checkpoints have in common and do not say, because diffusers keeps it in configurations.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The class of pipeline in diffusers.
    pub pipeline: &'static str,
    /// Features of the text vectors that the UNet reads.
    pub context: usize,
    /// The heads of the UNet's attention.
    pub heads: Heads,
    /// Whether its scores are computed in f32, because they overflow in f16.
    pub upcast_attention: bool,
    /// What the autoencoder's latents are multiplied with for the UNet.
    pub scaling_factor: f64,
    /// What the UNet predicts if nothing in the file says so.
    pub prediction: Prediction,
    /// How the family is called in the metadata of its checkpoints and of what is made for them: what such names begin
    /// with.
    pub named: &'static [&'static str],
    /// The scheduler that diffusers gives to such models.
    pub scheduler: SchedulerClass,
    /// The size of the pictures that it was trained on, in pixels, if nothing in the file says so.
    pub size: fn(Prediction) -> usize,
}

/// How the channels of an attention are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Into so many heads.
    Count(usize),
    /// Into heads of so many features.
    Features(usize),
}

/// Where a text encoder is in the file, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct TextPlace {
    /// What its tensors' names begin with.
    pub prefix: &'static str,
    /// How they go on.
    pub naming: Naming,
    /// How many layers the encoder has here; `None` if that does not matter. One layer fewer is read where the UNet was
    /// trained on the last but one and diffusers leaves the last out.
    pub cut_from: Option<usize>,
}

/// What a UNet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Pictures from text: it takes latents alone.
    TextToImage,
    /// Filling in what a mask hides: it also takes the mask and the rest of the picture.
    Inpainting,
    /// Changing a picture as told (Brooks et al. 2023): it also takes that picture.
    InstructPix2Pix,
    /// Pictures of a given depth: it also takes a map of it.
    Depth,
    /// Enlarging a picture: it also takes that picture, small.
    Upscaling,
    /// It takes so many channels.
    Other(usize),
}

impl Use {
    /// By the channels that go into the UNet, where latents have `latents`.
    pub fn of(channels: usize, latents: usize) -> Self {
        match channels.checked_sub(latents) {
            Some(0) => Self::TextToImage,
            Some(5) => Self::Inpainting,
            Some(4) => Self::InstructPix2Pix,
            Some(1) => Self::Depth,
            Some(3) => Self::Upscaling,
            _ => Self::Other(channels),
        }
    }

    /// The same in words, after "a model".
    pub fn words(self) -> String {
        match self {
            Self::TextToImage => "for text to image".to_owned(),
            Self::Inpainting => "for inpainting".to_owned(),
            Self::InstructPix2Pix => "for editing pictures (InstructPix2Pix)".to_owned(),
            Self::Depth => "for pictures of a given depth".to_owned(),
            Self::Upscaling => "for enlarging pictures".to_owned(),
            Self::Other(channels) => format!("whose UNet takes {channels} channels"),
        }
    }
}

/// A model that is one file, as the launcher (or a browser) offers it.
#[derive(Clone, Copy, Debug)]
pub struct SingleFile<'a> {
    /// The file's path among [`Files`].
    pub path: &'a str,
    /// What its UNet predicts, if somebody knows better than the file.
    pub prediction: Option<Prediction>,
}

/// Why a file in the original layout cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginalError {
    /// No family knows it.
    #[error("no family here has checkpoints like this file; known are {known}")]
    Unknown {
        /// The families.
        known: String,
    },
    /// It is for something else.
    #[error("this is a model {0}; text to image needs one whose UNet takes latents alone")]
    Purpose(String),
    /// It works on what another model has begun.
    #[error(
        "this is {0}, which finishes what another model has begun and makes no pictures from text alone; give that other model"
    )]
    Refiner(&'static str),
    /// It knows other noise than the families here.
    #[error("this model was trained on other noise levels (EDM), which are not known here")]
    Edm,
    /// A part is not in the file.
    #[error("the file has no {part}; {remedy}")]
    Lacks {
        /// Which part.
        part: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A network that is built in another way than the family's usually are, in what shapes do not tell.
    #[error(
        "{why}; the file has no configuration, and its family's does not fit: give those that came with it, in a folder of \
         diffusers' layout (--config)"
    )]
    Unusual {
        /// What is unusual.
        why: String,
    },
}

/// A file in the original layout.
#[derive(Debug)]
pub(super) struct Original {
    path: String,
    header: Header,
    family: &'static Family,
    /// Which autoencoder it has, if any.
    vae: Option<vae::Form>,
    prediction: Option<Prediction>,
}

impl Original {
    /// A whole model.
    pub(super) fn model(files: &dyn Files, file: SingleFile<'_>) -> Result<Self, LoadError> {
        let header = header(files, file.path)?;
        let outline = Outline::new(&header);
        let known = || FAMILIES.iter().map(|family| family.label).collect::<Vec<_>>().join(", ");
        let family = outline.family().ok_or_else(|| OriginalError::Unknown { known: known() })?;
        if family.role == Role::Refines {
            return Err(OriginalError::Refiner(family.label).into());
        }
        let lacks = |part, remedy| Err(LoadError::Original(OriginalError::Lacks { part, remedy }));
        if !outline.has_unet() {
            return lacks("UNet", "give a whole checkpoint");
        }
        if let Some(purpose) = outline.purpose().filter(|purpose| *purpose != Use::TextToImage) {
            return Err(OriginalError::Purpose(purpose.words()).into());
        }
        if outline.is_edm() {
            return Err(OriginalError::Edm.into());
        }
        if !outline.has_encoders(family) {
            return lacks("text encoder, or not all of them", "give a whole checkpoint");
        }
        let vae = vae::Form::among_others(&outline);
        Ok(Self { path: file.path.to_owned(), family, vae, prediction: file.prediction, header })
    }

    /// An autoencoder alone, or that of a whole model, for a model of a family.
    pub(super) fn autoencoder(files: &dyn Files, path: &str, family: &'static Family) -> Result<Self, LoadError> {
        let header = header(files, path)?;
        let outline = Outline::new(&header);
        let form = vae::Form::among_others(&outline).or_else(|| vae::Form::alone(&outline));
        let lacks = || OriginalError::Lacks { part: "VAE", remedy: "give the file of a VAE, or of a model that has one" };
        let vae = Some(form.ok_or_else(lacks)?);
        Ok(Self { path: path.to_owned(), header, family, vae, prediction: None })
    }

    /// Refuses a file without an autoencoder.
    pub(super) fn has_autoencoder(&self) -> Result<(), OriginalError> {
        let remedy = "give one (--vae), or put it beside the file, called the same with `.vae.safetensors` at the end";
        self.vae.map(drop).ok_or(OriginalError::Lacks { part: "VAE", remedy })
    }

    /// The file, opened.
    pub(super) fn checkpoint<'a>(&self, files: &'a dyn Files) -> Result<Checkpoint<'a>, LoadError> {
        open(files, &self.path)
    }

    /// A file of diffusers' folder that is made, not read; `None` for one that there is none for.
    pub(super) fn config(&self, path: &str) -> Result<Option<Value>, OriginalError> {
        let outline = Outline::new(&self.header);
        let part = path.strip_suffix("/config.json");
        let encoder = self.family.encoders.iter().find(|encoder| part == Some(encoder.folder));
        Ok(Some(match (path, encoder) {
            (_, Some(encoder)) => text::config(&outline, encoder)?,
            ("model_index.json", _) => self.index(),
            ("scheduler/scheduler_config.json", _) => {
                let config = serde_json::to_value(self.scheduler());
                config.map_err(|error| OriginalError::Unusual { why: format!("the scheduler: {error}") })?
            }
            ("unet/config.json", _) => unet::config(&outline, self.family, self.sample_size())?,
            ("vae/config.json" | "config.json", _) => match self.vae {
                Some(form) => form.config(&outline, &self.family.original, self.sample_size().map(|side| side * FACTOR))?,
                None => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    /// Where the file has the parameters of a network; `parameters` are all that it has, `usual` is where diffusers has
    /// them.
    pub(super) fn keys(&self, part: &str, usual: KeyMap, parameters: &[Parameter]) -> KeyMap {
        match self.vae {
            // What comes alone is the part `""`.
            Some(form) if part.is_empty() || part == "vae" => form.keys(usual, parameters),
            _ => keys(self.family, part, parameters).unwrap_or(usual),
        }
    }

    fn predicted(&self) -> Predicted {
        let found = Outline::new(&self.header).predicted(self.family);
        match self.prediction {
            Some(prediction) => Predicted { prediction, ..found },
            None => found,
        }
    }

    /// Height and width of the pictures that it was trained on, in latents.
    fn sample_size(&self) -> [usize; 2] {
        let usual = (self.family.original.size)(self.predicted().prediction);
        let [width, height] = Outline::new(&self.header).resolution().unwrap_or([usual; 2]);
        [height / FACTOR, width / FACTOR]
    }

    fn index(&self) -> Value {
        let part = |class: &str| json!(["diffusers", class]);
        let scheduler = self.scheduler().class.facts().name;
        let mut index = json!({
            "_class_name": self.family.original.pipeline,
            "scheduler": part(scheduler),
            "unet": part("UNet2DConditionModel"),
            "vae": part("AutoencoderKL"),
        });
        for encoder in self.family.encoders {
            index[encoder.folder] = json!(["transformers", text::class(encoder)]);
        }
        index
    }

    fn scheduler(&self) -> SchedulerConfig {
        let Predicted { prediction, zero_snr, .. } = self.predicted();
        // A UNet that takes the guidance as an input was distilled for few steps.
        let is_distilled = Outline::new(&self.header).takes_guidance();
        let class = if is_distilled { SchedulerClass::Lcm } else { self.family.original.scheduler };
        let skip_prk_steps = (class == SchedulerClass::Pndm).then_some(true);
        let rescale_betas_zero_snr = zero_snr.then_some(true);
        SchedulerConfig { class, skip_prk_steps, rescale_betas_zero_snr, ..SchedulerConfig::stable_diffusion(prediction) }
    }
}

/// Where a checkpoint of a family has the parameters of one of its parts: `unet`, `vae` or a text encoder's folder. All
/// that the network has are given: some are numbered from the other end.
pub(super) fn keys(family: &Family, part: &str, parameters: &[Parameter]) -> Option<KeyMap> {
    let encoder = family.encoders.iter().find(|encoder| part == encoder.folder);
    match (part, encoder) {
        (_, Some(Encoder { original, .. })) => Some(original.naming.keys(ClipText::keys(), parameters).under(original.prefix)),
        ("unet", _) => Some(unet::keys(parameters).under(UNET)),
        ("vae", _) => Some(vae::Form::Prefixed.keys(Vae::keys(), parameters)),
        _ => None,
    }
}

fn open<'a>(files: &'a dyn Files, path: &str) -> Result<Checkpoint<'a>, LoadError> {
    let source = files.open(path)?;
    Checkpoint::single(path, source).map_err(|error| LoadError::Single { error })
}

fn header(files: &dyn Files, path: &str) -> Result<Header, LoadError> {
    let checkpoint = open(files, path)?;
    let header = checkpoint.headers().next().map(|(_, header)| header.clone());
    header.ok_or_else(|| FilesError { path: path.to_owned(), why: "it is empty".to_owned() }.into())
}

/// How many there are from 0 on for which `has` says yes.
fn count(has: impl Fn(usize) -> bool) -> usize {
    // More than any network may have, so that the network's own check refuses it.
    (0..=MAX_LAYERS).take_while(|index| has(*index)).count()
}
