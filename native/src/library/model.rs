//! One thing in the library, told from its header or its configurations: no weight is read, so a list of a thousand files
//! takes seconds.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use encaustic_engine::prediction::Prediction;
use encaustic_engine::weights::{Header, HeaderError};
use encaustic_importer::{Component, Naming, Report, inspect};
use serde::Serialize;

use crate::hash::{Cache, Sha};
use crate::info_packed::{self, Packed};
use crate::library::find::Wanted;
use crate::library::kind::Kind;
use crate::library::model_files::ModelFiles;
use crate::library::places::Place;
use crate::library::scan::{Found, Layout};
use crate::mapped::MappedFile;
use crate::pull::Cached;
use crate::{demo, info};

/// How deep and how many files are looked at to tell a folder's size.
const DEPTH: usize = 4;
const FILES: usize = 10_000;

/// What something in the library is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    /// The name by which it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// `file`, `diffusers`, `packed`, or `built-in`.
    pub layout: &'static str,
    /// What it is, in one line.
    pub what: String,
    /// The same for a table: what its kind and family leave open.
    #[serde(skip)]
    pub detail: String,
    /// The id of the family that it is, belongs to or was made for.
    pub family: Option<String>,
    /// The family's name for people.
    pub family_label: Option<String>,
    /// What a UNet predicts: `epsilon` or `v_prediction`.
    pub prediction: Option<String>,
    /// How many numbers it has.
    pub parameters: Option<u64>,
    /// How many of them are of which type.
    pub dtypes: BTreeMap<String, u64>,
    /// Its size on the disk.
    pub bytes: u64,
    /// The beginning of the hash, as A1111 shows it, if it is known.
    pub hash: Option<String>,
    /// The whole hash.
    pub sha256: Option<String>,
    /// Why it cannot be used at all.
    pub problem: Option<String>,
    /// The parts that a checkpoint lacks.
    pub missing: Vec<&'static str>,
    /// The checkpoint that a VAE lies beside under its name, and is used with.
    pub vae_of: Option<String>,
    /// Where it is; nothing for the model in the box.
    pub path: Option<String>,
    /// The label of the place that it lies in.
    pub place: String,
    /// Whether it is somebody else's: it is used and never changed.
    pub read_only: bool,
    /// The file that the hash is of.
    #[serde(skip)]
    pub hashed_file: Option<PathBuf>,
}

impl Model {
    fn new(name: &str, place: &str, layout: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Damaged,
            layout,
            what: String::new(),
            detail: String::new(),
            family: None,
            family_label: None,
            prediction: None,
            parameters: None,
            dtypes: BTreeMap::new(),
            bytes: 0,
            hash: None,
            sha256: None,
            problem: None,
            missing: Vec::new(),
            vae_of: None,
            path: None,
            place: place.to_owned(),
            read_only: true,
            hashed_file: None,
        }
    }

    /// Takes over a hash.
    pub fn set_hash(&mut self, sha: &Sha) {
        self.hash = Some(sha.short().to_owned());
        self.sha256 = Some(sha.full().to_owned());
    }

    fn fault(&mut self, kind: Kind, problem: String) {
        self.kind = kind;
        self.what = kind.label().to_owned();
        self.problem = Some(problem);
    }
}

/// Says what something is.
pub fn tell(found: &Found, name: &str, place: Option<&Place>, cache: &Cache) -> Model {
    let layout = match found.layout {
        Layout::File | Layout::Pickle => "file",
        Layout::Folder => "diffusers",
        Layout::Packed => "packed",
    };
    let mut model = Model::new(name, place.map_or("", |place| place.label.as_str()), layout);
    model.path = Some(found.path.to_string_lossy().into_owned());
    model.read_only = !found.is_own;
    match found.layout {
        Layout::File => file(&mut model, &found.path),
        Layout::Pickle => {
            model.bytes = size(&found.path);
            model.fault(Kind::Pickle, PICKLE.to_owned());
        }
        Layout::Folder | Layout::Packed => folder(&mut model, &ModelFiles::Folder(found.path.clone()), weigh(&found.path)),
    }
    model.hashed_file = if model.problem.is_none() { hashed_file(found) } else { None };
    if let Some(sha) = model.hashed_file.as_ref().and_then(|file| cache.known(file)) {
        model.set_hash(&sha);
    }
    model
}

/// A model in the cache of the hub.
pub fn of_hub(cached: &Cached, cache: &Cache) -> Model {
    let layout = if cached.path.is_dir() { Layout::Folder } else { Layout::File };
    let path = cached.path.clone();
    let found = Found { real: path.clone(), path, relative: String::new(), place: usize::MAX, layout, is_own: false };
    Model { place: "hub".to_owned(), ..tell(&found, &cached.name, None, cache) }
}

/// Why a pickle is not read.
pub(crate) const PICKLE: &str = "a Python pickle can run programs when it is opened, so it is not read at all: use the model's \
                      `.safetensors` file, or convert it with a tool that you trust";

/// The model in the box; `None` if this build has none.
pub fn demo() -> Option<Model> {
    if demo::FILES.is_empty() {
        return None;
    }
    let mut model = Model::new(demo::NAME, "in the box", "built-in");
    let bytes = demo::FILES.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    folder(&mut model, &ModelFiles::Demo, bytes);
    Some(model)
}

/// The file whose hash is that of the model.
pub fn hashed_file(found: &Found) -> Option<PathBuf> {
    match found.layout {
        Layout::File => Some(found.path.clone()),
        Layout::Folder => {
            let files = ModelFiles::Folder(found.path.clone());
            files.path(&info::hashed(&files, info::HASHED)?)
        }
        Layout::Packed | Layout::Pickle => None,
    }
}

/// The hash of a model as far as it is known without reading weights.
pub(crate) fn known_hash(found: &Found, cache: &Cache) -> Option<Sha> {
    if found.layout != Layout::Packed {
        return cache.known(&hashed_file(found)?);
    }
    let manifest = ModelFiles::Folder(found.path.clone()).manifest().ok()??;
    info_packed::hash(&manifest, info::HASHED).map(|(_, sha)| sha)
}

/// Whether something is of the kind that is wanted.
pub(crate) fn is_wanted(found: &Found, wanted: Wanted) -> bool {
    match (wanted, found.layout) {
        (Wanted::Any | Wanted::Exactly, _) => true,
        (_, Layout::Pickle) => false,
        (Wanted::Model, Layout::Folder | Layout::Packed) => true,
        (Wanted::Vae, Layout::Folder | Layout::Packed) => false,
        (_, Layout::File) => read(&found.path).is_ok_and(|report| match wanted {
            Wanted::Any | Wanted::Exactly => true,
            Wanted::Model => report.component == Component::Checkpoint,
            Wanted::Vae => report.component == Component::Vae,
        }),
    }
}

/// Why a file cannot be read.
enum Fault {
    Pickle(String),
    Other(String),
}

fn read(path: &Path) -> Result<Report, Fault> {
    let other = |error: io::Error| Fault::Other(error.to_string());
    // Before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(other)?.is_file() {
        return Err(Fault::Other("not a regular file".to_owned()));
    }
    let file = MappedFile::open(path).map_err(other)?;
    let header = Header::read(&file).map_err(|error| match &error {
        HeaderError::Foreign { found, .. } if ["pickle", "PyTorch"].iter().any(|word| found.contains(word)) => {
            Fault::Pickle(error.to_string())
        }
        _ => Fault::Other(error.to_string()),
    })?;
    Ok(inspect(&header))
}

fn file(model: &mut Model, path: &Path) {
    model.bytes = size(path);
    let report = match read(path) {
        Ok(report) => report,
        Err(Fault::Pickle(problem)) => return model.fault(Kind::Pickle, problem),
        Err(Fault::Other(problem)) => return model.fault(Kind::Damaged, problem),
    };
    model.kind = report.component.into();
    model.what = report.what();
    model.detail = detail(&report);
    model.family = report.family.map(str::to_owned);
    model.family_label = report.family_label.map(str::to_owned);
    model.prediction = report.prediction.as_ref().map(|told| told.kind.to_owned());
    model.parameters = Some(report.parameters);
    model.dtypes = report.dtypes.iter().map(|(dtype, count)| ((*dtype).to_owned(), *count)).collect();
    model.missing = report.missing.iter().map(|missing| missing.part).collect();
    if report.component == Component::Vae {
        model.vae_of = beside(path);
        if let Some(checkpoint) = &model.vae_of {
            model.detail = format!("of {checkpoint}");
        }
    }
}

/// What a table says of a file beside its kind and family.
fn detail(report: &Report) -> String {
    let mut words: Vec<String> = Vec::new();
    if let Some(adapter) = &report.adapter {
        words.extend((adapter.kind != "LoRA").then(|| adapter.kind.to_owned()));
        words.extend(adapter.dora.then(|| "DoRA".to_owned()));
        words.extend(adapter.rank.map(|rank| format!("rank {rank}")));
    }
    words.extend(report.purpose.clone());
    words.extend(report.distilled.as_ref().map(|distilled| distilled.kind.to_owned()));
    // A single network's layout decides who can use it; that of the others hardly anybody asks.
    let is_single = matches!(report.component, Component::Unet | Component::Vae | Component::TextEncoder);
    let naming = report.naming.filter(|naming| is_single && *naming != Naming::Original);
    words.extend(naming.map(|naming| naming.label().to_owned()));
    match report.component {
        Component::Checkpoint => words.extend(report.missing.iter().map(|missing| format!("no {}", part(missing.part)))),
        Component::Upscaler | Component::TextualInversion => words.extend(report.notes.first().map(|note| {
            // "RRDB (ESRGAN), enlarges 4 times" and "2 vectors; it is called up by the file's name"
            note.split(';').next().unwrap_or(note).to_owned()
        })),
        _ => {}
    }
    words.join(", ")
}

fn part(name: &str) -> &str {
    match name {
        "vae" => "VAE",
        "unet" => "UNet",
        "text_encoder" => "text encoder",
        "text_encoder_2" => "second text encoder",
        other => other,
    }
}

/// The checkpoint that a file called as its VAE lies beside.
fn beside(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let (checkpoint, vae) = stem.rsplit_once('.')?;
    let is_vae = vae.eq_ignore_ascii_case("vae");
    (is_vae && path.with_file_name(format!("{checkpoint}.safetensors")).is_file()).then(|| checkpoint.to_owned())
}

fn folder(model: &mut Model, files: &ModelFiles, bytes: u64) {
    model.bytes = bytes;
    let report = match info::outline(files) {
        Ok(report) => report,
        Err(error) => return model.fault(Kind::Damaged, strip(&error.to_string(), &files.place())),
    };
    model.kind = Kind::Checkpoint;
    let (what, detail) = match &report.packed {
        Some(Packed { title: Some(title), .. }) => (format!("packed model, {title}"), "packed"),
        Some(_) => ("packed model".to_owned(), "packed"),
        None => ("model in the layout of diffusers".to_owned(), "diffusers"),
    };
    model.what = what;
    model.detail = if model.path.is_some() { detail.to_owned() } else { String::new() };
    // (Of a folder's hash nothing is known here.)
    (model.hash, model.sha256) = (report.hash, report.sha256);
    if let Some(label) = report.family_label {
        model.what += &format!(", {label}");
    }
    model.family = report.family.map(str::to_owned);
    model.family_label = report.family_label.map(str::to_owned);
    // Diffusers' own default, where the scheduler does not say.
    model.prediction = Some(report.prediction_type.unwrap_or_else(|| Prediction::Epsilon.name().to_owned()));
    model.parameters = Some(report.parameters);
    for part in report.components {
        for (dtype, count) in part.dtypes {
            *model.dtypes.entry(dtype).or_default() += count;
        }
    }
}

/// A message without the option and the path that a list shows anyway.
fn strip(message: &str, place: &str) -> String {
    let rest = message.strip_prefix("model: ").unwrap_or(message);
    rest.strip_prefix(place).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(rest).to_owned()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}

/// The sizes of all files in a folder.
pub(crate) fn weigh(folder: &Path) -> u64 {
    fn below(folder: &Path, depth: usize, left: &mut usize) -> u64 {
        let mut sum = 0u64;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if *left == 0 {
                break;
            }
            *left -= 1;
            // As it is used: what a link leads to counts.
            let path = entry.path();
            let Ok(about) = fs::metadata(&path) else { continue };
            let bytes = if !about.is_dir() {
                about.len()
            } else if depth > 0 {
                below(&path, depth - 1, left)
            } else {
                0
            };
            sum = sum.saturating_add(bytes);
        }
        sum
    }
    below(folder, DEPTH, &mut FILES.clone())
}
