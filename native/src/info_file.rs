//! `encaustic info` of a single file: what it is, told from its header; beside that its hash.

use std::fmt::Write as _;

use encaustic_engine::prediction::Prediction;
use encaustic_importer::{Report, Training};
use serde::Serialize;

use crate::failure::Failure;
use crate::hash::{self, Sha};
use crate::info::millions;
use crate::single::Single;
use crate::terminal;

/// What the command reports.
#[derive(Debug, Serialize)]
struct FileReport<'a> {
    /// What the header tells.
    #[serde(flatten)]
    found: &'a Report,
    /// The file's name without its ending.
    model: String,
    /// Where it is.
    place: String,
    /// What it is, in one line.
    what: String,
    /// `epsilon` or `v_prediction`, as for a folder.
    prediction_type: Option<&'static str>,
    /// The first ten digits of the hash, as A1111 shows it.
    hash: &'a str,
    /// The whole hash.
    sha256: &'a str,
    /// Which file the hash is of.
    hashed_file: String,
    /// The VAE that lies beside it.
    vae_beside: Option<String>,
}

/// Prints what a file is.
///
/// # Errors
/// If it cannot be read, or is malformed.
pub fn run(single: &Single, json: bool) -> Result<(), Failure> {
    let found = single.inspect("model")?;
    let place = single.path().display().to_string();
    let sha = hash::of_file_shown(single.path()).map_err(|error| Failure::System(format!("{place}: {error}")))?;
    if !json {
        return terminal::tell(terminal::harmless(describe(single, &found, &sha).trim_end()));
    }
    let report = FileReport {
        model: single.stem(),
        what: found.what(),
        prediction_type: found.prediction.as_ref().map(|told| told.kind),
        hash: sha.short(),
        sha256: sha.full(),
        hashed_file: single.offer().path.to_owned(),
        vae_beside: beside(single),
        place,
        found: &found,
    };
    terminal::tell(serde_json::to_string(&report).map_err(Failure::report)?)
}

fn beside(single: &Single) -> Option<String> {
    single.sibling().map(|path| path.display().to_string())
}

fn describe(single: &Single, found: &Report, sha: &Sha) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:14} {value}");
    };
    line("model", &single.stem());
    line("place", &single.path().display().to_string());
    line("what", &found.what());
    line("family", found.family_label.unwrap_or("none that is known"));
    if let Some(told) = &found.prediction {
        let noise = if told.zero_snr { ", down to a signal of zero" } else { "" };
        match told.told_by {
            Some(by) => line("prediction", &format!("{}{noise} (told by {by})", told.kind)),
            None => {
                let other = if told.kind == Prediction::V.name() { "epsilon" } else { "v" };
                let kind = told.kind;
                line("prediction", &format!("{kind}{noise} (assumed: usual in the family; `--prediction {other}` if it is not)"));
            }
        }
    }
    if let Some(distilled) = &found.distilled {
        line("few steps", &format!("{} (told by {})", distilled.kind, distilled.told_by));
    }
    if let Some(adapter) = &found.adapter {
        let rank = adapter.rank.map_or_else(String::new, |rank| format!(", rank {rank}"));
        let text = if adapter.text { ", text encoders as well" } else { "" };
        line("adapter", &format!("{}{}{rank}{text}", adapter.kind, if adapter.dora { " with DoRA" } else { "" }));
    }
    let dtypes: Vec<_> = found.dtypes.keys().copied().collect();
    line("parameters", &format!("{} in {}", millions(found.parameters), dtypes.join(" and ")));
    line("hash", &format!("{} (SHA-256: {})", sha.short(), sha.full()));
    for part in &found.parts {
        let dtypes: Vec<_> = part.dtypes.keys().copied().collect();
        line(part.name, &format!("{} in {}", millions(part.parameters), dtypes.join(" and ")));
    }
    let sibling = beside(single);
    for missing in &found.missing {
        match (&sibling, missing.part) {
            (Some(path), "vae") => line("vae", &format!("none in the file; {path} is used")),
            _ => line("missing", &format!("{}: {}", missing.part, missing.add)),
        }
    }
    for (name, value) in training(&found.training) {
        line(name, &value);
    }
    for note in &found.notes {
        line("note", note);
    }
    text
}

fn training(training: &Training) -> Vec<(&'static str, String)> {
    let entries = [
        ("title", &training.title),
        ("author", &training.author),
        ("license", &training.license),
        ("about", &training.description),
        ("date", &training.date),
        ("trigger", &training.trigger),
        ("resolution", &training.resolution),
        ("trained on", &training.base_model),
        ("network", &training.network),
        ("training", &training.effort),
    ];
    let told = entries.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let tags: Vec<_> = training.tags.iter().map(|(tag, count)| format!("{tag} {count}")).collect();
    told.chain((!tags.is_empty()).then(|| ("words", tags.join(", ")))).collect()
}
