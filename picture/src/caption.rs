//! What is written into a picture: the settings of the run that made it, in A1111's names and order.

use encaustic_protocol::{Catalog, Entry, Request, Rng};

use crate::infotext::Infotext;

/// With what a picture was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// What the model is called.
    pub model: Option<String>,
    /// The first ten hexadecimal digits of its file's SHA-256.
    pub model_hash: Option<String>,
    /// What the autoencoder is called that took the place of the model's own.
    pub vae: Option<String>,
    /// The beginning of its SHA-256.
    pub vae_hash: Option<String>,
}

/// The text for the picture of a run that has this seed.
///
/// `request` is what was done, with everything filled in; what it leaves open is not told. `catalog` knows the names
/// that people read for those in the request.
pub fn infotext(request: &Request, seed: u64, tools: &Tools, catalog: &Catalog) -> Infotext {
    let mut info = Infotext { prompt: request.prompt.clone(), negative: request.negative.clone(), settings: Vec::new() };
    let mut tell = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            info.push(name, value);
        }
    };
    tell("Steps", request.steps.map(|steps| steps.to_string()));
    tell("Sampler", request.sampler.as_deref().map(|name| label(name, &catalog.samplers)));
    tell("Schedule type", request.schedule.as_deref().map(|name| label(name, &catalog.schedules)));
    tell("CFG scale", request.cfg.map(|cfg| cfg.to_string()));
    tell("Seed", Some(seed.to_string()));
    tell("Size", request.width.zip(request.height).map(|(width, height)| format!("{width}x{height}")));
    tell("Model hash", tools.model_hash.clone());
    tell("Model", tools.model.clone());
    tell("VAE hash", tools.vae_hash.clone());
    tell("VAE", tools.vae.clone());
    tell("Clip skip", request.clip_skip.filter(|skip| *skip > 1).map(|skip| skip.to_string()));
    // "The default" is another one in every program: A1111's is the GPU's.
    let rng = match request.rng {
        Rng::Cpu => "CPU",
        Rng::Nv => "NV",
    };
    tell("RNG", Some(rng.to_owned()));
    tell("Eta", request.eta.map(|eta| eta.to_string()));
    tell("Guidance rescale", request.guidance_rescale.filter(|rescale| *rescale > 0.0).map(|rescale| rescale.to_string()));
    tell("Prompt 2", request.prompt_2.clone());
    tell("Negative prompt 2", request.negative_2.clone());
    tell("Version", Some(concat!("encaustic ", env!("CARGO_PKG_VERSION")).to_owned()));
    info
}

/// The name that people read for the entry that a request means.
fn label(name: &str, entries: &[Entry]) -> String {
    entries.iter().find(|entry| entry.is_called(name)).map_or(name, |entry| &entry.label).to_owned()
}
