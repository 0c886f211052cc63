//! What a run has to tell when it is over: one JSON object for programs, a line for people.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::caption::Caption;
use crate::memory;
use crate::work::Made;

/// A run that is over.
pub struct Report<'a> {
    /// What was made.
    pub made: &'a Made,
    /// What the pictures say about it.
    pub caption: &'a Caption<'a>,
    /// Where they are.
    pub paths: &'a [PathBuf],
    /// Seconds for saving.
    pub save: f64,
    /// Seconds for everything.
    pub total: f64,
}

impl Report<'_> {
    /// The object.
    pub fn to_json(&self) -> Value {
        let Made { settings, compute, seconds, .. } = self.made;
        json!({
            "files": self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
            "seeds": settings.seeds(),
            "prompt": settings.prompts.positive,
            "negative": settings.prompts.negative,
            "model": self.caption.machine.model.name(),
            "model_hash": self.caption.hashes.model.as_ref().map(|hash| hash.short()),
            "family": self.made.family,
            "device": compute.info.name.to_string(),
            "device_label": compute.info.label,
            "dtype": compute.precision.name(),
            "sampler": settings.sampler.info().name,
            "schedule": settings.schedule.info().name,
            "steps": settings.steps,
            "cfg": settings.guidance.scale,
            "width": settings.width,
            "height": settings.height,
            "batch": settings.batch,
            "latents": self.made.dump.as_ref().map(|path| path.display().to_string()),
            "seconds": {
                "device": seconds.device,
                "load": seconds.load,
                "text": seconds.text,
                "denoise": self.denoise(),
                "steps": seconds.steps,
                "vae": seconds.vae,
                "save": self.save,
                "total": self.total,
            },
            "memory": { "host_peak": memory::peak(), "device_peak": self.made.device_peak },
        })
    }

    fn denoise(&self) -> f64 {
        self.made.seconds.steps.iter().sum()
    }
}

/// One line on where the time went.
pub fn summary(report: &Report<'_>) -> String {
    let seconds = &report.made.seconds;
    let steps = seconds.steps.len();
    let memory = memory::peak().map_or_else(String::new, |bytes| format!(", peak memory {:.0} MB", bytes as f64 / 1e6));
    format!(
        "{:.1} s: load {:.1}, text {:.1}, {steps} steps {:.1}, VAE {:.1}, save {:.1}{memory}",
        report.total,
        seconds.device + seconds.load,
        seconds.text,
        report.denoise(),
        seconds.vae,
        report.save,
    )
}
