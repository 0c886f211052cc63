//! Which model is meant, and the files that make it up.
//!
//! A model is a folder in the layout of diffusers: on the disk, or inside this program (the demo model). Both are
//! read through [`ModelFiles`], so nothing else knows the difference.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use directories::ProjectDirs;
use encaustic_engine::family::{Files, FilesError};
use encaustic_engine::weights::{SourceError, WeightSource};
use encaustic_protocol::{Entry, nearest};

use crate::demo;
use crate::failure::Refusal;
use crate::mapped::MappedFile;

/// The file that makes a folder a model.
const INDEX: &str = "model_index.json";

/// The largest configuration, vocabulary or index that is read, in bytes. Real ones have less than 5 MB.
const TEXT_LIMIT: u64 = 64 << 20;

/// Where a model's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelFiles {
    /// In this program.
    Demo,
    /// In a folder.
    Folder(PathBuf),
}

/// A file's bytes, from either place.
pub enum Source {
    /// Part of this program.
    Embedded(&'static [u8]),
    /// On the disk.
    Mapped(MappedFile),
}

impl ModelFiles {
    /// Finds the model that a user means: a path that exists, `demo`, or the name of a folder among the models that
    /// are kept in the user's data folder; in this order. Nothing means the demo model.
    ///
    /// # Errors
    /// If there is none, or it is no model.
    pub fn find(wanted: Option<&str>) -> Result<Self, Refusal> {
        let Some(wanted) = wanted else { return demo_model() };
        let path = Path::new(wanted);
        if path.exists() {
            return folder(path);
        }
        if wanted.eq_ignore_ascii_case(demo::NAME) {
            return demo_model();
        }
        let library = library();
        // A name is one plain part of a path: nothing that climbs out of the folder.
        let mut parts = path.components();
        let is_name = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        let kept = library.as_ref().map(|library| library.join(wanted)).filter(|kept| is_name && kept.is_dir());
        match kept {
            Some(kept) => folder(&kept),
            None => Err(absent(wanted, library.as_deref())),
        }
    }

    /// The folder of an autoencoder, or of a model that has one.
    ///
    /// # Errors
    /// If it is neither.
    pub fn autoencoder(path: &Path) -> Result<Self, Refusal> {
        if path.join("config.json").is_file() || path.join("vae/config.json").is_file() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let problem = if path.exists() { "there is no autoencoder in it" } else { "there is no such folder" };
        Err(Refusal::new("vae", format!("{}: {problem}", path.display()))
            .hint("give a folder with a VAE's config.json and weights, or that of a model"))
    }

    /// The name that pictures made with it carry.
    pub fn name(&self) -> String {
        match self {
            Self::Demo => demo::NAME.to_owned(),
            Self::Folder(path) => {
                // `.` and the like have a name only in full.
                let full = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                full.file_name().unwrap_or(full.as_os_str()).to_string_lossy().into_owned()
            }
        }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::Demo => "the model in the box".to_owned(),
            Self::Folder(path) => path.display().to_string(),
        }
    }

    /// A small file in whole; `None` if it is absent.
    ///
    /// # Errors
    /// What the system reports, and [`io::ErrorKind::FileTooLarge`] for a file that is too large to be what it says.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Demo => Ok(demo::file(name).map(<[u8]>::to_vec)),
            Self::Folder(path) => {
                let Some(path) = inside(path, name) else { return Ok(None) };
                let file = match File::open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(error),
                };
                let mut bytes = Vec::new();
                file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > TEXT_LIMIT {
                    let limit = TEXT_LIMIT >> 20;
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {limit} MiB")));
                }
                Ok(Some(bytes))
            }
        }
    }

    /// A file of weights, to be read in ranges.
    ///
    /// # Errors
    /// If it is absent or cannot be mapped.
    pub fn source(&self, name: &str) -> io::Result<Source> {
        let absent = || io::Error::new(io::ErrorKind::NotFound, "no such file in the model");
        match self {
            Self::Demo => demo::file(name).map(Source::Embedded).ok_or_else(absent),
            Self::Folder(path) => {
                let path = inside(path, name).ok_or_else(absent)?;
                MappedFile::open(&path).map(Source::Mapped)
            }
        }
    }

    /// The path of a file, if it is on the disk.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Demo => None,
            Self::Folder(path) => inside(path, name),
        }
    }
}

impl Files for ModelFiles {
    fn list(&self, folder: &str) -> Vec<String> {
        match self {
            Self::Demo => {
                let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                let names = demo::FILES.iter().filter_map(|(name, _)| name.strip_prefix(prefix.as_str()));
                names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
            }
            Self::Folder(path) => {
                let Some(path) = inside(path, folder) else { return Vec::new() };
                let entries = fs::read_dir(path).into_iter().flatten().flatten();
                let files = entries.filter(|entry| entry.path().is_file());
                let names: BTreeSet<_> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
                names.into_iter().collect()
            }
        }
    }

    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        self.read(path).map_err(|error| FilesError { path: path.to_owned(), why: error.to_string() })
    }

    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        match self.source(path) {
            Ok(source) => Ok(Box::new(source)),
            Err(error) => Err(FilesError { path: path.to_owned(), why: error.to_string() }),
        }
    }
}

impl Source {
    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Embedded(bytes) => bytes,
            Self::Mapped(file) => file.bytes(),
        }
    }
}

impl WeightSource for Source {
    fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn read(&self, range: std::ops::Range<u64>) -> Result<std::borrow::Cow<'_, [u8]>, SourceError> {
        match self {
            Self::Embedded(bytes) => WeightSource::read(*bytes, range),
            Self::Mapped(file) => file.read(range),
        }
    }
}

/// Where models are kept that can be called by name.
pub fn library() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "encaustic")?.data_dir().join("models"))
}

fn demo_model() -> Result<ModelFiles, Refusal> {
    if demo::FILES.is_empty() {
        return Err(Refusal::new("model", "this build has no model in the box")
            .hint("give a folder in the layout of diffusers with --model, or use a released build"));
    }
    Ok(ModelFiles::Demo)
}

fn folder(path: &Path) -> Result<ModelFiles, Refusal> {
    let refuse = |problem: &str| Refusal::new("model", format!("{}: {problem}", path.display()));
    let layout = "a model is a folder in the layout of diffusers, with model_index.json, unet/, vae/ and so on";
    if !path.is_dir() {
        return Err(refuse("not a folder").hint(layout));
    }
    if !path.join(INDEX).is_file() {
        return Err(refuse("there is no model_index.json in it").hint(layout));
    }
    Ok(ModelFiles::Folder(path.to_owned()))
}

fn absent(wanted: &str, library: Option<&Path>) -> Refusal {
    let shown: String = wanted.chars().take(200).collect();
    let kept = library.map(kept).unwrap_or_default();
    let names: Vec<Entry> = kept.iter().map(String::as_str).chain([demo::NAME]).map(|name| Entry::new(name, name)).collect();
    let mut hint = String::from("give the path of a model folder, `demo`, or the name of one");
    if let Some(library) = library {
        hint += &format!(" in {}", library.display());
    }
    if let Some(name) = nearest(wanted, &names) {
        hint += &format!("; did you mean \"{name}\"?");
    }
    Refusal::new("model", format!("there is no {shown:?}")).hint(hint)
}

/// The names of the models that are kept.
fn kept(library: &Path) -> Vec<String> {
    let entries = fs::read_dir(library).into_iter().flatten().flatten();
    let models = entries.filter(|entry| entry.path().join(INDEX).is_file());
    models.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// A path inside a folder; `None` if the name would lead out of it.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    name.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(name))
}
