//! `encaustic info`: what a model folder holds, told from its configurations and the headers of its weights; no
//! tensor is read. A single file is told about in [`info_file`], a packed model by [`info_packed`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use encaustic_engine::family::{Family, Files as _, Sketch, detect};
use encaustic_engine::weights::{Checkpoint, FileSet, FilesError, Precision, Source as Origin, choose_files};
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, Refusal};
use crate::hash::{self, Sha};
use crate::info_packed::{self, Packed};
use crate::library::{ModelFiles, Source};
use crate::models::size;
use crate::{info_file, pull, terminal};

/// The component whose file gives the model its hash: it is what distinguishes one model from another.
pub(crate) const HASHED: &str = "unet";

/// What the command reports.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The id of the family that it belongs to, if that is known.
    pub family: Option<&'static str>,
    /// The family's name for people.
    pub family_label: Option<&'static str>,
    /// The model's name.
    pub model: String,
    /// Where it is.
    pub place: String,
    /// Its parts, as `model_index.json` lists them.
    pub components: Vec<Part>,
    /// The parameters of all parts.
    pub parameters: u64,
    /// `epsilon`, `v_prediction` or `sample`, from the scheduler's configuration.
    pub prediction_type: Option<String>,
    /// The first ten digits of the hash, as A1111 shows it.
    pub hash: Option<String>,
    /// The whole hash.
    pub sha256: Option<String>,
    /// Which file the hash is of.
    pub hashed_file: Option<String>,
    /// What a packed model says beside that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
}

/// A part of a model.
#[derive(Debug, Serialize)]
pub struct Part {
    /// Its folder.
    pub name: String,
    /// Its class in diffusers or transformers.
    pub class: String,
    /// Its file or files of weights; empty for parts that have none (a scheduler, a tokenizer).
    pub files: Vec<String>,
    /// How many parameters it has.
    pub parameters: u64,
    /// How many of them are of which type.
    pub dtypes: BTreeMap<String, u64>,
}

/// Prints what a model holds.
///
/// # Errors
/// If there is no such model, or its configurations or headers are malformed.
pub fn run(model: &str, json: bool) -> Result<(), Failure> {
    let files = pull::find_here(model)?;
    if let ModelFiles::Single(single) = &files {
        return info_file::run(single, json);
    }
    let report = examine(&files)?;
    if json {
        terminal::tell(serde_json::to_string(&report).map_err(Failure::report)?)
    } else {
        terminal::tell(terminal::harmless(describe(&report).trim_end()))
    }
}

/// The weights of a component, opened: the names of its files, and their table of contents.
///
/// # Errors
/// If they are malformed. A component without weights is `None`.
pub fn weights(
    files: &ModelFiles,
    component: &str,
    precision: Precision,
) -> Result<Option<(Vec<String>, Checkpoint<'static>)>, Failure> {
    let wrong = |problem: String| Failure::Refused(Refusal::new("model", format!("{}: {component}: {problem}", files.place())));
    let open = |name: &str| -> Result<Source, String> { files.source(name).map_err(|error| error.to_string()) };
    let inside = |name: &str| if component.is_empty() { name.to_owned() } else { format!("{component}/{name}") };
    match choose_files(&files.list(component), precision) {
        Ok(FileSet::Single(name)) => {
            let name = inside(&name);
            let source = open(&name).map_err(|error| wrong(format!("{name}: {error}")))?;
            let checkpoint = Checkpoint::single(&name, source).map_err(|error| wrong(error.to_string()))?;
            Ok(Some((vec![name], checkpoint)))
        }
        Ok(FileSet::Sharded(index)) => {
            let index = inside(&index);
            let text = files.read(&index).map_err(|error| wrong(error.to_string()))?.unwrap_or_default();
            let checkpoint =
                Checkpoint::sharded(&index, &text, |shard| open(&inside(shard))).map_err(|error| wrong(error.to_string()))?;
            let shards = checkpoint.headers().map(|(shard, _)| inside(shard)).collect();
            Ok(Some((shards, checkpoint)))
        }
        Err(FilesError::None) => Ok(None),
        Err(error @ FilesError::Pickle(_)) => Err(wrong(error.to_string())),
    }
}

/// The hash of a component (`""` is the folder itself): that of its file. `None` if its weights are in several files.
///
/// # Errors
/// If the file cannot be read.
pub fn hash(files: &ModelFiles, component: &str) -> Result<Option<(String, Sha)>, Failure> {
    if let Some(manifest) = files.manifest()? {
        return Ok(info_packed::hash(&manifest, component));
    }
    let Some(name) = hashed(files, component) else { return Ok(None) };
    let failed = |error| Failure::hashing(&format!("{}: {name}", files.place()), error);
    let sha = match files.path(&name) {
        Some(path) => hash::of_file(&path).map_err(failed)?,
        None => hash::of_bytes(files.source(&name).map_err(failed)?.bytes()),
    };
    Ok(Some((name, sha)))
}

/// The file whose hash is that of a component; `None` if its weights are in several files.
pub(crate) fn hashed(files: &ModelFiles, component: &str) -> Option<String> {
    match (files, choose_files(&files.list(component), Precision::Full)) {
        // All parts are in one file, which is known by its hash.
        (ModelFiles::Single(single), _) => Some(single.offer().path.to_owned()),
        (_, Ok(FileSet::Single(name))) if component.is_empty() => Some(name),
        (_, Ok(FileSet::Single(name))) => Some(format!("{component}/{name}")),
        _ => None,
    }
}

/// Where an autoencoder is in a folder that was given for one: the folder itself, or `vae` in that of a model.
pub fn autoencoder_folder(files: &ModelFiles) -> &'static str {
    if files.list("").iter().any(|name| name == "config.json") { "" } else { "vae" }
}

fn examine(files: &ModelFiles) -> Result<Report, Failure> {
    let report = outline(files)?;
    if report.packed.is_some() {
        return Ok(report);
    }
    Ok(report.with_hash(hash(files, HASHED)?))
}

/// What a model holds, by its configurations and headers: without the hash, for which a file would be read in whole (a packed
/// model's manifest has it).
///
/// # Errors
/// If its configurations or headers are malformed.
pub(crate) fn outline(files: &ModelFiles) -> Result<Report, Failure> {
    if let Some(manifest) = files.manifest()? {
        return Ok(info_packed::outline(files, manifest));
    }
    let mut components = Vec::new();
    for (name, class) in listed(&json(files, "model_index.json")?.unwrap_or_default()) {
        let weights = weights(files, &name, Precision::Full)?;
        let (names, dtypes) = match &weights {
            Some((names, checkpoint)) => (names.clone(), checkpoint.dtypes()),
            None => (Vec::new(), Vec::new()),
        };
        let parameters = dtypes.iter().map(|(_, count)| count).sum();
        let dtypes = dtypes.into_iter().map(|(dtype, count)| (dtype.to_string(), count)).collect();
        components.push(Part { name, class, files: names, parameters, dtypes });
    }
    let scheduler = json(files, "scheduler/scheduler_config.json")?;
    let sketch = Sketch::read(files).map_err(|error| Refusal::new("model", format!("{}: {error}", files.place())))?;
    let family = detect(&sketch);
    Ok(Report::of(files, family, components, scheduler.as_ref()))
}

impl Report {
    /// What is known of a model by its family, its parts and its scheduler's configuration.
    pub(crate) fn of(
        files: &ModelFiles,
        family: Option<&'static Family>,
        components: Vec<Part>,
        scheduler: Option<&Value>,
    ) -> Self {
        let prediction = scheduler.and_then(|config| config.get("prediction_type")?.as_str());
        Self {
            family: family.map(|family| family.id),
            family_label: family.map(|family| family.label),
            model: files.name(),
            place: files.place(),
            parameters: components.iter().map(|part| part.parameters).sum(),
            components,
            prediction_type: prediction.map(str::to_owned),
            hash: None,
            sha256: None,
            hashed_file: None,
            packed: None,
        }
    }

    /// The same with a hash, and the file that it is of.
    pub(crate) fn with_hash(self, hash: Option<(String, Sha)>) -> Self {
        Self {
            hash: hash.as_ref().map(|(_, sha)| sha.short().to_owned()),
            sha256: hash.as_ref().map(|(_, sha)| sha.full().to_owned()),
            hashed_file: hash.map(|(file, _)| file),
            ..self
        }
    }
}

/// Folder and class of every part that `model_index.json` names.
pub(crate) fn listed(index: &Value) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    for (name, value) in index.as_object().into_iter().flatten() {
        // `["library", "Class"]`; `[null, null]` for a part that was left out; other values are settings.
        if let Some([Value::String(_), Value::String(class)]) = value.as_array().map(Vec::as_slice) {
            parts.push((name.clone(), class.clone()));
        }
    }
    parts
}

fn json(files: &ModelFiles, name: &str) -> Result<Option<Value>, Failure> {
    let wrong = |problem: String| Refusal::new("model", format!("{}: {name}: {problem}", files.place()));
    let Some(text) = files.read(name).map_err(|error| wrong(error.to_string()))? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&text).map_err(|error| wrong(format!("not valid JSON: {error}")))?))
}

fn describe(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:14} {value}");
    };
    line("model", &report.model);
    line("place", &report.place);
    line("family", report.family_label.unwrap_or("none that is known"));
    line("prediction", report.prediction_type.as_deref().unwrap_or("not said (epsilon)"));
    line("parameters", &millions(report.parameters));
    if let Some(packed) = &report.packed {
        line("packed", &format!("{} in {}, by {}", size(packed.bytes), info_packed::shards(packed.shards), packed.packed_by));
        for (name, value) in [("title", &packed.title), ("license", &packed.license)] {
            if let Some(value) = value {
                line(name, value);
            }
        }
        for Origin { file, bytes, .. } in &packed.sources {
            line("made from", &format!("{file} ({})", size(*bytes)));
        }
    }
    match (&report.hash, &report.sha256, &report.hashed_file) {
        (Some(hash), Some(sha), Some(file)) => line("hash", &format!("{hash} (SHA-256 of {file}: {sha})")),
        _ => line("hash", "none (the UNet is not in one file)"),
    }
    for part in &report.components {
        let dtypes: Vec<_> = part.dtypes.keys().map(String::as_str).collect();
        let shown = match part.files.as_slice() {
            [first, .., last] if report.packed.is_some() => format!("{first} to {last}"),
            files => files.join(" "),
        };
        let weights = if part.files.is_empty() {
            String::new()
        } else {
            format!(", {} in {}, {}", millions(part.parameters), dtypes.join(" and "), shown)
        };
        line(&part.name, &format!("{}{weights}", part.class));
    }
    text
}

/// `859.5 M`
pub(crate) fn millions(count: u64) -> String {
    if count < 100_000 { count.to_string() } else { format!("{:.1} M", count as f64 / 1e6) }
}
