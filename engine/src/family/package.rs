//! A model's files and the way to its parts: a folder of diffusers, or one file in the original layout, which is shown as
//! if it were such a folder.

use std::rc::Rc;

use super::files::{Files, FilesError, LoadError, checkpoint};
use super::original::{Original, SingleFile};
use super::Family;
use crate::weights::{Checkpoint, KeyMap, Parameter, Precision, WeightSource};

/// A model, or an autoencoder alone.
pub(super) struct Package {
    files: Rc<dyn Files>,
    original: Option<Original>,
}

impl Package {
    /// A model.
    pub(super) fn model(files: &Rc<dyn Files>) -> Result<Self, LoadError> {
        let original = files.single_file().map(|file| Original::model(&**files, file)).transpose()?;
        Ok(Self { files: Rc::clone(files), original })
    }

    /// An autoencoder for a model of `family`: alone, or that of another model.
    pub(super) fn autoencoder(files: &Rc<dyn Files>, family: &'static Family) -> Result<Self, LoadError> {
        let open = |file: SingleFile<'_>| Original::autoencoder(&**files, file.path, family);
        let original = files.single_file().map(open).transpose()?;
        Ok(Self { files: Rc::clone(files), original })
    }

    /// Refuses a single file without an autoencoder, in other words than a folder without one.
    pub(super) fn has_autoencoder(&self) -> Result<(), LoadError> {
        Ok(self.original.as_ref().map_or(Ok(()), Original::has_autoencoder)?)
    }

    /// The folder of the autoencoder, where this was given for one: the package itself, or `vae` in a model's.
    pub(super) fn autoencoder_folder(&self) -> &'static str {
        let is_alone = self.original.is_some() || self.files.list("").iter().any(|name| name == "config.json");
        if is_alone { "" } else { "vae" }
    }

    /// The file or files with the weights of a part (`""` is the package itself).
    pub(super) fn checkpoint(&self, part: &str, precision: Precision) -> Result<Checkpoint<'_>, LoadError> {
        match &self.original {
            Some(original) => original.checkpoint(&*self.files),
            None => checkpoint(&*self.files, part, precision),
        }
    }

    /// Where they have the part's parameters, all of which are given; `usual` is where diffusers has them.
    pub(super) fn keys(&self, part: &str, usual: KeyMap, parameters: &[Parameter]) -> KeyMap {
        match &self.original {
            Some(original) => original.keys(part, usual, parameters),
            None => usual,
        }
    }
}

impl Files for Package {
    fn list(&self, folder: &str) -> Vec<String> {
        self.files.list(folder)
    }

    /// A file that is there comes before one that would be made.
    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        let failed = |why: String| FilesError { path: path.to_owned(), why };
        if let Some(text) = self.files.text(path)? {
            return Ok(Some(text));
        }
        let Some(original) = &self.original else { return Ok(None) };
        let config = original.config(path).map_err(|error| failed(error.to_string()))?;
        config.map(|config| serde_json::to_vec(&config)).transpose().map_err(|error| failed(error.to_string()))
    }

    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        self.files.open(path)
    }
}
