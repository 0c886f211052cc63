//! A model in one file, and what may lie beside it: a VAE of its own name, and a folder with configurations where its
//! family's are not the right ones.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use encaustic_engine::family::SingleFile;
use encaustic_engine::prediction::Prediction;
use encaustic_engine::weights::Header;
use encaustic_importer::{Report, inspect};

use crate::failure::Refusal;
use crate::mapped::MappedFile;

/// What takes the place of `.safetensors` at the end of a file's name in that of the VAE beside it.
const VAE: &str = "vae.safetensors";
/// The same of the configuration that Stability AI's program and A1111 look for beside it.
const CONFIG: &str = "yaml";
/// The largest such configuration that is read, in bytes. Real ones have 2 KB.
const CONFIG_LIMIT: u64 = 64 << 10;

/// A file of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Single {
    path: PathBuf,
    /// The name by which the engine asks for it.
    name: String,
    config: Option<PathBuf>,
    prediction: Option<Prediction>,
}

impl Single {
    /// A file, whatever it is.
    pub fn new(path: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self { path: path.to_owned(), name, config: None, prediction: None }
    }

    /// With a folder of configurations and tokenizers.
    #[must_use]
    pub fn with_config(self, config: Option<PathBuf>) -> Self {
        Self { config, ..self }
    }

    /// With what its UNet predicts, if the user knows better than the file.
    #[must_use]
    pub fn with_prediction(self, prediction: Option<Prediction>) -> Self {
        Self { prediction, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of configurations.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Its name without its ending.
    pub fn stem(&self) -> String {
        self.path.file_stem().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The file, if it is meant: nothing else that a name could lead to is opened.
    pub(crate) fn file(&self, name: &str) -> Option<&Path> {
        (name == self.name).then_some(self.path.as_path())
    }

    /// The file as the engine asks for it.
    pub(crate) fn offer(&self) -> SingleFile<'_> {
        SingleFile { path: &self.name, prediction: self.prediction }
    }

    /// The VAE that lies beside it, if there is one: `model.vae.safetensors` beside `model.safetensors`.
    pub fn sibling(&self) -> Option<PathBuf> {
        let sibling = self.path.with_extension(VAE);
        sibling.is_file().then_some(sibling)
    }

    /// What the UNet predicts, as the configuration beside it says (`model.yaml` beside `model.safetensors`): it names a
    /// parameterization only if that is not noise.
    pub fn predicted_beside(&self) -> Option<(PathBuf, Prediction)> {
        let path = self.path.with_extension(CONFIG);
        let file = File::open(&path).ok().filter(|file| file.metadata().is_ok_and(|about| about.is_file()))?;
        let mut text = String::new();
        file.take(CONFIG_LIMIT).read_to_string(&mut text).ok()?;
        // A diffusion model's, not some other program's file of the same name.
        let is_model = text.lines().any(|line| line.trim_start().starts_with("unet_config:"));
        let value = text.lines().find_map(|line| line.trim().strip_prefix("parameterization:"));
        let prediction = match value.map(|value| value.trim().trim_matches(['"', '\''])) {
            Some("v") => Prediction::V,
            Some("eps") | None => Prediction::Epsilon,
            Some(_) => return None,
        };
        is_model.then_some((path, prediction))
    }

    /// What the file is, by its header; `option` is the one that named it.
    ///
    /// # Errors
    /// If it cannot be read, is malformed, or is in a format that is not read.
    pub fn inspect(&self, option: &str) -> Result<Report, Refusal> {
        let refuse = |problem: String| Refusal::new(option, format!("{}: {problem}", self.path.display()));
        let source = MappedFile::open(&self.path).map_err(|error| refuse(error.to_string()))?;
        let header = Header::read(&source).map_err(|error| refuse(error.to_string()))?;
        Ok(inspect(&header))
    }

    /// What the file is, if pictures can be made from it.
    ///
    /// # Errors
    /// With what it is instead.
    pub fn model(&self) -> Result<Report, Refusal> {
        let report = self.inspect("model")?;
        match report.unfit() {
            None => Ok(report),
            Some(why) => Err(Refusal::new("model", format!("{}: {why}", self.path.display()))),
        }
    }
}
