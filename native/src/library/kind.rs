//! The kinds of things that lie among models, as a list of them is sorted and picked from.

use clap::ValueEnum;
use encaustic_importer::Component;
use serde::Serialize;

/// What something in the library is. The order is that of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A whole model, in one file or in a folder.
    #[value(alias = "model")]
    Checkpoint,
    /// A UNet alone.
    Unet,
    /// An autoencoder.
    Vae,
    /// A tiny autoencoder.
    Taesd,
    /// One or more text encoders.
    TextEncoder,
    /// Changes to a model: LoRA and its kin.
    #[value(aliases = ["locon", "loha", "lokr", "lycoris"])]
    Lora,
    /// Vectors for a word of a prompt.
    #[value(alias = "embedding")]
    TextualInversion,
    /// A network that leads a UNet by a picture.
    #[serde(rename = "controlnet")]
    #[value(name = "controlnet", alias = "control-net")]
    ControlNet,
    /// A network that enlarges pictures.
    Upscaler,
    /// Weights that are none of these.
    #[value(alias = "other")]
    Unknown,
    /// A Python pickle, which is never opened.
    Pickle,
    /// A file or folder that cannot be read as what it is called.
    Damaged,
}

impl Kind {
    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Unet => "UNet",
            Self::Vae => "VAE",
            Self::Taesd => "TAESD",
            Self::TextEncoder => "text encoder",
            Self::Lora => "LoRA",
            Self::TextualInversion => "embedding",
            Self::ControlNet => "ControlNet",
            Self::Upscaler => "upscaler",
            Self::Unknown => "unknown",
            Self::Pickle => "pickle",
            Self::Damaged => "damaged",
        }
    }

    /// The label for several.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoints",
            Self::Unet => "UNets",
            Self::Vae => "VAEs",
            Self::Taesd => "TAESDs",
            Self::TextEncoder => "text encoders",
            Self::Lora => "LoRAs",
            Self::TextualInversion => "embeddings",
            Self::ControlNet => "ControlNets",
            Self::Upscaler => "upscalers",
            Self::Unknown => "unknown",
            Self::Pickle => "pickles",
            Self::Damaged => "damaged",
        }
    }
}

impl From<Component> for Kind {
    fn from(component: Component) -> Self {
        match component {
            Component::Checkpoint => Self::Checkpoint,
            Component::Unet => Self::Unet,
            Component::Vae => Self::Vae,
            Component::TextEncoder => Self::TextEncoder,
            Component::Lora => Self::Lora,
            Component::TextualInversion => Self::TextualInversion,
            Component::ControlNet => Self::ControlNet,
            Component::Taesd => Self::Taesd,
            Component::Upscaler => Self::Upscaler,
            Component::Unknown => Self::Unknown,
        }
    }
}
