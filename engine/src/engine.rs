//! An engine: a device and the model that is loaded on it.

use std::rc::Rc;

use encaustic_protocol::Request;

use crate::device::Compute;
use crate::error::GenerateError;
use crate::family::{Files, Keep, LatentDiffusion, LoadError, load};
use crate::pipeline::{Observer, Outcome, generate};
use crate::settings::{Settings, resolve};

/// A device with a model.
///
/// It lives on one thread: Burn orders a device's work by the thread that asks for it.
#[derive(Debug)]
pub struct Engine {
    compute: Compute,
    model: LatentDiffusion,
}

impl Engine {
    /// Loads a model on a device that [`crate::device::open`] gave; `vae` is the folder of an autoencoder that takes the place of the model's own; `keep` tells whether weights stay between runs.
    pub fn load(compute: Compute, files: &Rc<dyn Files>, vae: Option<&Rc<dyn Files>>, keep: Keep) -> Result<Self, LoadError> {
        let model = load(files, vae, &compute, keep)?;
        Ok(Self { compute, model })
    }

    /// The model.
    pub fn model(&self) -> &LatentDiffusion {
        &self.model
    }

    /// The device.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }

    /// Has the autoencoder decode in smaller tiles than it must, or no longer: for devices that have little memory left.
    pub fn spare(&mut self, is_sparing: bool) {
        self.model.spare(is_sparing);
    }

    /// What a request means to this model: every setting filled in. `seed` is taken if the request names none.
    pub fn resolve(&self, request: &Request, seed: u64) -> Result<Settings, GenerateError> {
        resolve(request, &self.model, seed)
    }

    /// Makes the pictures that `settings` describe.
    pub async fn generate(&mut self, settings: &Settings, observer: &mut dyn Observer) -> Result<Outcome, GenerateError> {
        generate(&mut self.model, settings, observer).await
    }
}
