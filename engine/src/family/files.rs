//! A model's folder, and what can be wrong with it.

use serde_json::Value;

use super::original::{OriginalError, SingleFile};
use crate::model::config::ConfigError;
use crate::prompt::TokenizerError;
use crate::schedule;
use crate::weights::{self, Checkpoint, CheckpointError, FileSet, ManifestError, Precision, WeightSource, choose_files};

/// The files of a model, as the launcher (or a browser) shows them: a folder as diffusers writes it, a packed model (a
/// manifest and shards), or one file in the original layout with what may lie beside it. Paths use `/` and are relative to
/// the folder.
pub trait Files {
    /// The file, if the model (or the autoencoder) is one.
    fn single_file(&self) -> Option<SingleFile<'_>> {
        None
    }

    /// The names of the files directly in a folder (`""` is the model's own); none if there is no such folder.
    fn list(&self, folder: &str) -> Vec<String>;

    /// A small file (a configuration, a vocabulary) in whole; `None` if it is absent.
    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError>;

    /// A file of weights, to be read in ranges.
    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError>;
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct FilesError {
    /// Which file, relative to the model's folder.
    pub path: String,
    /// What the system says.
    pub why: String,
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file is missing.
    #[error("the model has no {path}; a model is a folder as diffusers writes it, with all of its parts")]
    Missing {
        /// Which file.
        path: String,
    },
    /// A configuration is not JSON.
    #[error("{path} is not valid JSON: {why}")]
    Json {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A kind of model that is not known.
    #[error("this is a {class} with {parts}, which no family here recognises; known are {known}")]
    Unknown {
        /// The class of pipeline that the index names.
        class: String,
        /// What it consists of.
        parts: String,
        /// The families.
        known: String,
    },
    /// A single file that cannot be used.
    #[error(transparent)]
    Original(#[from] OriginalError),
    /// A single file that is malformed.
    #[error("{error}")]
    Single {
        /// What is wrong.
        #[source]
        error: CheckpointError,
    },
    /// A packed model whose manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A model of a known family that cannot do text to image.
    #[error("{0}")]
    Unsuitable(String),
    /// A network's configuration is wrong or asks for what is not implemented.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The scheduler's configuration, likewise.
    #[error(transparent)]
    Scheduler(#[from] schedule::ConfigError),
    /// The noise levels that the scheduler's configuration describes make no sense.
    #[error(transparent)]
    Levels(#[from] schedule::TableError),
    /// A tokenizer's files are wrong.
    #[error("{folder}: {error}")]
    Tokenizer {
        /// The tokenizer's folder.
        folder: &'static str,
        /// What is wrong.
        #[source]
        error: TokenizerError,
    },
    /// A folder has no weights that can be read.
    #[error("{folder}: {error}")]
    NoWeights {
        /// The component's folder.
        folder: String,
        /// What is wrong.
        #[source]
        error: weights::FilesError,
    },
    /// A file of weights is malformed.
    #[error("{folder}: {error}")]
    Checkpoint {
        /// The component's folder.
        folder: String,
        /// What is wrong.
        #[source]
        error: CheckpointError,
    },
    /// Weights that do not fit the network.
    #[error(transparent)]
    Weights(#[from] weights::LoadError),
    /// `encaustic.json` holds no settings.
    #[error("encaustic.json: {0}")]
    Defaults(String),
}

/// A configuration; `None` if it is absent.
pub(super) fn json(files: &dyn Files, path: &str) -> Result<Option<Value>, LoadError> {
    let Some(text) = files.text(path)? else { return Ok(None) };
    let value = serde_json::from_slice(&text);
    value.map(Some).map_err(|error| LoadError::Json { path: path.to_owned(), why: error.to_string() })
}

/// A configuration that must be there.
pub(super) fn required_json(files: &dyn Files, path: &str) -> Result<Value, LoadError> {
    json(files, path)?.ok_or_else(|| LoadError::Missing { path: path.to_owned() })
}

/// The text of a file that must be there.
pub(super) fn required_text(files: &dyn Files, path: &str) -> Result<Vec<u8>, LoadError> {
    files.text(path)?.ok_or_else(|| LoadError::Missing { path: path.to_owned() })
}

/// The weights in a folder (`""` is the model's own).
pub(super) fn checkpoint<'a>(files: &'a dyn Files, folder: &str, precision: Precision) -> Result<Checkpoint<'a>, LoadError> {
    let path = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let chosen = choose_files(&files.list(folder), precision)
        .map_err(|error| LoadError::NoWeights { folder: folder.to_owned(), error })?;
    let malformed = |error| LoadError::Checkpoint { folder: folder.to_owned(), error };
    match chosen {
        FileSet::Single(name) => Checkpoint::single(&name, files.open(&path(&name))?).map_err(malformed),
        FileSet::Sharded(index) => {
            let text = required_text(files, &path(&index))?;
            let open = |shard: &str| files.open(&path(shard)).map_err(|error| error.to_string());
            Checkpoint::sharded(&index, &text, open).map_err(malformed)
        }
    }
}
