//! A model's files and the way to its parts: a folder of diffusers, or one file in the original layout, which is shown as
//! if it were such a folder.

use std::rc::Rc;

use burn::module::Module;
use burn::tensor::Device;
use serde_json::Value;

use super::Family;
use super::files::{Files, FilesError, LoadError, checkpoint};
use super::original::{Original, OriginalError, SingleFile};
use super::part::{Keep, Part};
use crate::device::{self, Compute};
use crate::model::config::ConfigError;
use crate::weights::{Checkpoint, KeyMap, Parameter, Precision, WeightSource, check, load_into, parameters};

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

    /// What is wrong with a network's configuration; where it was made, that the family's networks are built otherwise.
    fn unfit(&self, error: ConfigError) -> LoadError {
        match self.original {
            Some(_) => OriginalError::Unusual { why: error.to_string() }.into(),
            None => error.into(),
        }
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
    fn checkpoint(&self, part: &str, precision: Precision) -> Result<Checkpoint<'_>, LoadError> {
        match &self.original {
            Some(original) => original.checkpoint(&*self.files),
            None => checkpoint(&*self.files, part, precision),
        }
    }

    /// Where they have the part's parameters, all of which are given; `usual` is where diffusers has them.
    fn keys(&self, part: &str, usual: KeyMap, parameters: &[Parameter]) -> KeyMap {
        match &self.original {
            Some(original) => original.keys(part, usual, parameters),
            None => usual,
        }
    }

    /// The network of a part (`""` is the package itself), and what `tell` sees of it without its weights. Those are
    /// checked now, and read at once or when its turn comes. `new` makes it without weights, `usual` is where diffusers
    /// has its parameters.
    pub(super) fn network<M: Module + 'static, T>(
        self: &Rc<Self>,
        part: &'static str,
        usual: KeyMap,
        (compute, keep): (&Compute, Keep),
        new: impl Fn(&Device) -> Result<M, ConfigError> + 'static,
        tell: impl FnOnce(&M) -> T,
    ) -> Result<(Part<M>, T), LoadError> {
        let name = if part.is_empty() { "vae" } else { part };
        let shell = new(&compute.device).map_err(|error| self.unfit(error))?;
        let keys = self.keys(part, usual, &parameters(&shell));
        check(&shell, name, &self.checkpoint(part, compute.precision.files())?, &keys)?;
        let told = tell(&shell);
        let package = Rc::clone(self);
        let read = move |precision: device::Precision, device: &Device| {
            let weights = package.checkpoint(part, precision.files())?;
            Ok(load_into(new(device)?, name, &weights, &keys, precision.dtype(), device)?)
        };
        Ok((Part::new(keep, compute, read)?, told))
    }
}

impl Files for Package {
    fn list(&self, folder: &str) -> Vec<String> {
        self.files.list(folder)
    }

    /// What is made for a single file gives way to what lies beside it: a network's configuration field by field, so that
    /// it is enough to tell what shapes cannot; anything else as a whole.
    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        let failed = |why: String| FilesError { path: path.to_owned(), why };
        let given = self.files.text(path)?;
        let is_network = path.ends_with("config.json") && !path.starts_with("scheduler/");
        let Some(original) = self.original.as_ref().filter(|_| given.is_none() || is_network) else { return Ok(given) };
        let made = original.config(path).map_err(|error| failed(error.to_string()))?;
        let text = match (made, &given) {
            (None, _) => return Ok(given),
            (Some(made), None) => serde_json::to_vec(&made),
            (Some(made), Some(given)) => serde_json::from_slice(given).and_then(|given| serde_json::to_vec(&over(made, given))),
        };
        text.map(Some).map_err(|error| failed(error.to_string()))
    }

    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        self.files.open(path)
    }
}

/// One configuration with the fields of another over its own.
fn over(mut made: Value, given: Value) -> Value {
    match (made.as_object_mut(), given) {
        (Some(fields), Value::Object(given)) => {
            fields.extend(given);
            made
        }
        (_, given) => given,
    }
}

/// A file of a model's folder, as in `unet/config.json`: for a model in one file, the one that it stands for. `None` if
/// there is none.
///
/// # Errors
/// If a file is no model of a family here, or cannot be read.
pub fn configuration(files: &Rc<dyn Files>, path: &str) -> Result<Option<Vec<u8>>, LoadError> {
    Ok(Package::model(files)?.text(path)?)
}
