//! What a picture says about how it was made.

use std::thread::{self, JoinHandle};

use encaustic_engine::settings::Settings;
use encaustic_protocol::Rng;

use crate::hash::Sha;
use crate::info;
use crate::infotext::Infotext;
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
    /// The text for the picture that has this seed, in A1111's names and order.
    pub fn infotext(&self, seed: u64) -> Infotext {
        let settings = self.settings;
        let prompts = &settings.prompts;
        let mut info = Infotext { prompt: prompts.positive.clone(), negative: prompts.negative.clone(), settings: Vec::new() };
        info.push("Steps", settings.steps);
        info.push("Sampler", settings.sampler.info().label);
        info.push("Schedule type", settings.schedule.info().label);
        info.push("CFG scale", settings.guidance.scale);
        info.push("Seed", seed);
        info.push("Size", format_args!("{}x{}", settings.width, settings.height));
        if let Some(hash) = &self.hashes.model {
            info.push("Model hash", hash.short());
        }
        info.push("Model", self.machine.model.name());
        if let Some(vae) = &self.machine.vae {
            if let Some(hash) = &self.hashes.vae {
                info.push("VAE hash", hash.short());
            }
            info.push("VAE", vae.name());
        }
        if prompts.clip_skip > 1 {
            info.push("Clip skip", prompts.clip_skip);
        }
        // "The default" is another one in every program: A1111's is the GPU's.
        info.push(
            "RNG",
            match settings.rng {
                Rng::Cpu => "CPU",
                Rng::Nv => "NV",
            },
        );
        if let Some(eta) = settings.eta {
            info.push("Eta", eta);
        }
        if settings.guidance.rescale > 0.0 {
            info.push("Guidance rescale", settings.guidance.rescale);
        }
        for (name, text) in [("Prompt 2", &prompts.positive_2), ("Negative prompt 2", &prompts.negative_2)] {
            if let Some(text) = text {
                info.push(name, text);
            }
        }
        info.push("Version", format_args!("encaustic {}", env!("CARGO_PKG_VERSION")));
        info
    }
}
