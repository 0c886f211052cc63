//! Which model is meant, and the files that make it up.
//!
//! A model is a folder in the layout of diffusers, on the disk or inside this program (the demo model), or one file in the
//! layout of its authors ([`Single`]). All are read through [`ModelFiles`], so hardly anything else knows the difference.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use encaustic_engine::family::{Files, FilesError, SingleFile};
use encaustic_engine::weights::{MANIFEST, Manifest, SourceError, WeightSource};

use crate::demo;
use crate::failure::Refusal;
use crate::library::find::{Library, Wanted};
use crate::library::scan::{INDEX, Layout};
use crate::mapped::MappedFile;
use crate::pull;
use crate::single::Single;

/// The largest configuration, vocabulary or index that is read, in bytes. Real ones have less than 5 MB.
pub(crate) const TEXT_LIMIT: u64 = 64 << 20;

/// Where a model's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelFiles {
    /// In this program.
    Demo,
    /// In a folder.
    Folder(PathBuf),
    /// In one file, perhaps with configurations beside it.
    Single(Single),
}

/// A file's bytes, from either place.
pub enum Source {
    /// Part of this program.
    Embedded(&'static [u8]),
    /// On the disk.
    Mapped(MappedFile),
}

impl ModelFiles {
    /// Finds the model that a user means: a path that exists (a folder, or any file of weights), `demo`, or a name in the
    /// library; in this order. Nothing means the demo model.
    ///
    /// # Errors
    /// If there is none, or it is no model.
    pub fn find(wanted: Option<&str>) -> Result<Self, Refusal> {
        let Some(wanted) = wanted else { return demo_model() };
        let path = Path::new(wanted);
        if path.is_file() {
            return Ok(Self::Single(Single::new(path)));
        }
        if is_place(path) {
            return folder(path);
        }
        if wanted.eq_ignore_ascii_case(demo::NAME) {
            return demo_model();
        }
        if path.exists() && !Library::open().knows(wanted) {
            // Which says what such a folder lacks.
            return folder(path);
        }
        Self::named(wanted, Wanted::Model)
    }

    /// As [`Self::find`], but of any kind: a LoRA is as good as a model.
    ///
    /// # Errors
    /// If there is nothing of that name.
    pub fn find_any(wanted: &str) -> Result<Self, Refusal> {
        let is_path = is_place(Path::new(wanted)) || wanted.eq_ignore_ascii_case(demo::NAME);
        let is_name = !is_path && Library::open().knows(wanted);
        if is_name { Self::named(wanted, Wanted::Any) } else { Self::find(Some(wanted)) }
    }

    fn named(name: &str, wanted: Wanted) -> Result<Self, Refusal> {
        let library = Library::open();
        let (found, _) = library.find(name, wanted, "model")?;
        match found.layout {
            Layout::File | Layout::Pickle => Ok(Self::Single(Single::new(&found.path))),
            Layout::Folder | Layout::Packed => folder(&found.path),
        }
    }

    /// An autoencoder, or a model that has one: a folder, a file, or the name of one in the library. `config` is where
    /// configurations may lie that a file does not have.
    ///
    /// # Errors
    /// If it is none of these.
    pub fn autoencoder(path: &Path, config: Option<&Path>) -> Result<Self, Refusal> {
        let name = path.to_string_lossy();
        let is_shadow = || is_name(path) && path.is_dir() && !has_autoencoder(path) && Library::open().knows(&name);
        if !path.exists() || is_shadow() {
            let library = Library::open();
            let (found, _) = library.find(&name, Wanted::Vae, "vae")?;
            // A file that is gone by now is an error when it is read: names are looked up once.
            return Self::autoencoder_at(&found.path, config);
        }
        Self::autoencoder_at(path, config)
    }

    fn autoencoder_at(path: &Path, config: Option<&Path>) -> Result<Self, Refusal> {
        if path.is_file() {
            let single = Single::new(path).with_config(config.map(|config| config.join("vae")));
            let report = single.inspect("vae")?;
            if report.has_autoencoder() {
                return Ok(Self::Single(single));
            }
            let problem = format!("{}: this is a {}, and there is no VAE in it", path.display(), report.what());
            return Err(Refusal::new("vae", problem));
        }
        if has_autoencoder(path) {
            return Ok(Self::Folder(path.to_owned()));
        }
        let problem = if path.exists() { "there is no autoencoder in it" } else { "there is no such file or folder" };
        Err(Refusal::new("vae", format!("{}: {problem}", path.display()))
            .hint("give the file of a VAE, a folder with a VAE's config.json and weights, or a model"))
    }

    /// The name that pictures made with it carry.
    pub fn name(&self) -> String {
        match self {
            Self::Demo => demo::NAME.to_owned(),
            Self::Folder(path) => {
                // `.` and the like have a name only in full.
                let full = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                if let Some(name) = pull::name_of(&full) {
                    return name;
                }
                full.file_name().unwrap_or(full.as_os_str()).to_string_lossy().into_owned()
            }
            // As others call it: by the file's name without its ending.
            Self::Single(single) => single.stem(),
        }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::Demo => "the model in the box".to_owned(),
            Self::Folder(path) => path.display().to_string(),
            Self::Single(single) => single.path().display().to_string(),
        }
    }

    /// The manifest, if it is a packed model.
    ///
    /// # Errors
    /// If it cannot be read, or is wrong.
    pub fn manifest(&self) -> Result<Option<Manifest>, Refusal> {
        let refuse = |problem: String| Refusal::new("model", format!("{}: {problem}", self.place()));
        let is_packed = !matches!(self, Self::Single(_)) && !self.list("").iter().any(|name| name == INDEX);
        let text = if is_packed { self.read(MANIFEST).map_err(|error| refuse(format!("{MANIFEST}: {error}")))? } else { None };
        text.map(|text| Manifest::parse(&text).map_err(|error| refuse(error.to_string()))).transpose()
    }

    /// A small file in whole; `None` if it is absent.
    ///
    /// # Errors
    /// What the system reports, and [`io::ErrorKind::FileTooLarge`] for a file that is too large to be what it says.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Demo => Ok(demo::file(name).map(<[u8]>::to_vec)),
            Self::Folder(path) => small_file(path, name),
            Self::Single(single) => single.config().map_or(Ok(None), |config| small_file(config, name)),
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
            Self::Single(single) => MappedFile::open(single.file(name).ok_or_else(absent)?).map(Source::Mapped),
        }
    }

    /// The path of a file, if it is on the disk.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Demo => None,
            Self::Folder(path) => inside(path, name),
            Self::Single(single) => single.file(name).map(Path::to_owned),
        }
    }
}

impl Files for ModelFiles {
    fn single_file(&self) -> Option<SingleFile<'_>> {
        match self {
            Self::Single(single) => Some(single.offer()),
            Self::Demo | Self::Folder(_) => None,
        }
    }

    fn list(&self, folder: &str) -> Vec<String> {
        match self {
            Self::Demo => {
                let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                let names = demo::FILES.iter().filter_map(|(name, _)| name.strip_prefix(prefix.as_str()));
                names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
            }
            Self::Folder(path) => list(path, folder),
            Self::Single(single) => single.config().map(|config| list(config, folder)).unwrap_or_default(),
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

fn small_file(folder: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(path) = inside(folder, name) else { return Ok(None) };
    // Before it is opened: opening a pipe would wait for its other end.
    if fs::metadata(&path).is_ok_and(|about| !about.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
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

fn list(folder: &Path, below: &str) -> Vec<String> {
    let Some(path) = inside(folder, below) else { return Vec::new() };
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    let names: BTreeSet<_> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.into_iter().collect()
}

fn demo_model() -> Result<ModelFiles, Refusal> {
    if demo::FILES.is_empty() {
        return Err(Refusal::new("model", "this build has no model in the box")
            .hint("give a model with --model, or use a released build"));
    }
    Ok(ModelFiles::Demo)
}

/// Whether text that can be a name or a path is a path: a folder that only happens to be called as a model is not meant.
fn is_place(path: &Path) -> bool {
    path.exists() && !(is_name(path) && path.is_dir() && !is_model(path))
}

/// Whether it leads nowhere but into the current folder.
fn is_name(path: &Path) -> bool {
    let mut parts = path.components();
    let is_one = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    is_one && !path.to_string_lossy().contains(['/', '\\'])
}

/// Whether a folder is called a model by a file in it.
fn is_model(folder: &Path) -> bool {
    folder.join(INDEX).is_file() || folder.join(MANIFEST).is_file()
}

/// Whether a folder is an autoencoder, or a model that has one.
fn has_autoencoder(folder: &Path) -> bool {
    ["config.json", "vae/config.json", MANIFEST].iter().any(|file| folder.join(file).is_file())
}

fn folder(path: &Path) -> Result<ModelFiles, Refusal> {
    let refuse = |problem: &str| Refusal::new("model", format!("{}: {problem}", path.display()));
    let layout = "a model is a `.safetensors` file, a packed model, or a folder in the layout of diffusers, with model_index.json, unet/, vae/ and so on";
    if !path.is_dir() {
        return Err(refuse("neither a folder nor a file").hint(layout));
    }
    if !is_model(path) {
        return Err(refuse("there is no model_index.json in it").hint(layout));
    }
    Ok(ModelFiles::Folder(path.to_owned()))
}

/// A path inside a folder; `None` if the name would lead out of it.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    name.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(name))
}
