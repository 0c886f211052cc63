//! The options that say with what to compute, understood.

use encaustic_engine::device::{DeviceName, Precision};

use crate::cli;
use crate::failure::Refusal;
use crate::library::ModelFiles;

/// With what to compute.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The model.
    pub model: ModelFiles,
    /// An autoencoder that takes the place of the model's own.
    pub vae: Option<ModelFiles>,
    /// The device that is wanted.
    pub device: DeviceName,
    /// The precision that is wanted; `None` for the best that the device has.
    pub precision: Option<Precision>,
}

impl Machine {
    /// Understands the options and finds the files. Whether the device is there shows when it is opened.
    ///
    /// # Errors
    /// The first option that is wrong.
    pub fn find(args: &cli::Engine) -> Result<Self, Refusal> {
        let precision = match args.dtype.trim() {
            "auto" => None,
            name => Some(name.parse::<Precision>().map_err(|error| Refusal::new("dtype", error.to_string()))?),
        };
        Ok(Self {
            device: args
                .device
                .parse()
                .map_err(|error: encaustic_engine::device::UnknownDevice| Refusal::new("device", error.to_string()))?,
            precision,
            model: ModelFiles::find(args.model.as_deref())?,
            vae: args.vae.as_deref().map(ModelFiles::autoencoder).transpose()?,
        })
    }
}
