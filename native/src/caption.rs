//! What a picture says about how it was made.

use std::thread::{self, JoinHandle};

use encaustic_engine::catalog::catalog;
use encaustic_engine::settings::Settings;
use encaustic_picture::caption::{self, Tools};
use encaustic_picture::infotext::Infotext;

use crate::hash::Sha;
use crate::info;
use crate::library::ModelFiles;
use crate::machine::Machine;

/// The hashes of a run's files, computed while the engine works.
pub struct Hashes {
    model: JoinHandle<Option<Sha>>,
    vae: Option<JoinHandle<Option<Sha>>>,
}

/// The hashes, computed.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Of the model.
    pub model: Option<Sha>,
    /// Of the autoencoder that took the place of the model's own.
    pub vae: Option<Sha>,
}

impl Hashes {
    /// Begins to hash.
    pub fn begin(machine: &Machine) -> Self {
        let spawn = |files: &ModelFiles, component: &'static str| {
            let files = files.clone();
            thread::spawn(move || match info::hash(&files, component) {
                Ok(found) => found.map(|(_, sha)| sha),
                Err(error) => {
                    tracing::warn!("no hash: {error}");
                    None
                }
            })
        };
        Self {
            model: spawn(&machine.model, "unet"),
            vae: machine.vae.as_ref().map(|vae| spawn(vae, info::autoencoder_folder(vae))),
        }
    }

    /// Waits for the hashes.
    pub fn finish(self) -> Known {
        let wait = |thread: JoinHandle<Option<Sha>>| thread.join().ok().flatten();
        Known { model: wait(self.model), vae: self.vae.and_then(wait) }
    }
}

/// What was done, and with what.
pub struct Caption<'a> {
    /// What was done.
    pub settings: &'a Settings,
    /// With what.
    pub machine: &'a Machine,
    /// The hashes of that.
    pub hashes: Known,
}

impl Caption<'_> {
    /// The text for the picture that has this seed.
    pub fn infotext(&self, seed: u64) -> Infotext {
        let vae = self.machine.vae.as_ref().map(ModelFiles::name);
        let tools = Tools {
            model: Some(self.machine.model.name().to_string()),
            model_hash: self.hashes.model.as_ref().map(|hash| hash.short().to_string()),
            vae_hash: self.hashes.vae.as_ref().filter(|_| vae.is_some()).map(|hash| hash.short().to_string()),
            vae: vae.map(|name| name.to_string()),
        };
        caption::infotext(&self.settings.request(), seed, &tools, &catalog())
    }
}
