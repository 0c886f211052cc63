//! A model's files and the way to its parts: a folder of diffusers; or one file in the original layout, or a packed model,
//! which are shown as if they were such a folder.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use burn::module::Module;
use burn::tensor::Device;
use serde_json::Value;

use super::Family;
use super::files::{Files, FilesError, LoadError, checkpoint};
use super::original::{Original, OriginalError, Outline, SingleFile};
use super::part::{Keep, Part, Walk};
use super::survey::PartSize;
use crate::device::{self, Compute};
use crate::model::config::ConfigError;
use crate::weights::{self, Checkpoint, KeyMap, MANIFEST, Manifest, Parameter, Precision, See, WeightSource};
use crate::weights::{check, load_into, parameters};

/// A model, or an autoencoder alone.
pub(super) struct Package {
    files: Rc<dyn Files>,
    form: Form,
}

/// What makes a folder one of diffusers, whatever else is in it.
const INDEX: &str = "model_index.json";

/// What the files are.
enum Form {
    /// A folder of diffusers.
    Folder,
    /// One file in the original layout.
    Original(Box<Original>),
    /// A packed model.
    Packed(Box<Manifest>),
}

impl Package {
    /// A model.
    pub(super) fn model(files: &Rc<dyn Files>) -> Result<Self, LoadError> {
        let open = |file: SingleFile<'_>| Original::model(&**files, file);
        Self::new(files, open)
    }

    /// An autoencoder for a model of `family`: alone, or that of another model.
    pub(super) fn autoencoder(files: &Rc<dyn Files>, family: &'static Family) -> Result<Self, LoadError> {
        let open = |file: SingleFile<'_>| Original::autoencoder(&**files, file.path, family);
        Self::new(files, open)
    }

    fn new(files: &Rc<dyn Files>, open: impl FnOnce(SingleFile<'_>) -> Result<Original, LoadError>) -> Result<Self, LoadError> {
        let form = match files.single_file() {
            Some(file) => Form::Original(Box::new(open(file)?)),
            None if files.text(INDEX)?.is_some() => Form::Folder,
            None => match files.text(MANIFEST)? {
                Some(text) => Form::Packed(Box::new(Manifest::parse(&text)?)),
                // The next thing that is looked for says what is missing.
                None => Form::Folder,
            },
        };
        Ok(Self { files: Rc::clone(files), form })
    }

    /// What is wrong with a network's configuration; where it was made, that the family's networks are built otherwise.
    fn unfit(&self, error: ConfigError) -> LoadError {
        match self.form {
            Form::Original(_) => OriginalError::Unusual { why: error.to_string() }.into(),
            Form::Folder | Form::Packed(_) => error.into(),
        }
    }

    /// Refuses a single file without an autoencoder, in other words than a folder without one.
    pub(super) fn has_autoencoder(&self) -> Result<(), LoadError> {
        match &self.form {
            Form::Original(original) => Ok(original.has_autoencoder()?),
            Form::Folder | Form::Packed(_) => Ok(()),
        }
    }

    /// The folder of the autoencoder, where this was given for one: the package itself, or `vae` in a model's.
    pub(super) fn autoencoder_folder(&self) -> &'static str {
        let is_alone = match self.form {
            Form::Original(_) => true,
            Form::Packed(_) => false,
            Form::Folder => self.files.list("").iter().any(|name| name == "config.json"),
        };
        if is_alone { "" } else { "vae" }
    }

    /// The file or files with the weights of a part (`""` is the package itself).
    fn checkpoint(&self, part: &str, precision: Precision) -> Result<Checkpoint<'_>, LoadError> {
        match &self.form {
            Form::Original(original) => original.checkpoint(&*self.files),
            Form::Folder => checkpoint(&*self.files, part, precision),
            Form::Packed(manifest) => {
                let open = |shard: &str| self.files.open(shard).map_err(|error| error.to_string());
                let malformed = |error| LoadError::Checkpoint { folder: part.to_owned(), error };
                Checkpoint::packed(manifest, part, open).map_err(malformed)
            }
        }
    }

    /// Where they have the part's parameters, all of which are given; `usual` is where diffusers has them.
    fn keys(&self, part: &str, usual: KeyMap, parameters: &[Parameter]) -> KeyMap {
        match &self.form {
            Form::Original(original) => original.keys(part, usual, parameters),
            Form::Folder => usual,
            Form::Packed(_) => KeyMap::identity(),
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
        new: impl Fn(&Device) -> Result<M, ConfigError> + Clone + 'static,
        tell: impl FnOnce(&M) -> T,
    ) -> Result<(Part<M>, T), LoadError> {
        let name = component(part);
        let shell = new(&compute.device).map_err(|error| self.unfit(error))?;
        let keys = self.keys(part, usual, &parameters(&shell));
        check(&shell, name, &self.checkpoint(part, compute.precision.files())?, &keys)?;
        let told = tell(&shell);
        let walk =
            Walker { package: Rc::clone(self), part, keys: keys.clone(), device: compute.device.clone(), new: new.clone() };
        let package = Rc::clone(self);
        let read = move |precision: device::Precision, device: &Device| {
            let weights = package.checkpoint(part, precision.files())?;
            Ok(load_into(new(device)?, name, &weights, &keys, precision.dtype(), device)?)
        };
        Ok((Part::new(keep, compute, read, Rc::new(walk))?, told))
    }

    /// How large the networks of a model of `family` are.
    pub(super) fn sizes(&self, family: &'static Family) -> Result<Vec<PartSize>, LoadError> {
        let mut parts: BTreeMap<String, PartSize> = BTreeMap::new();
        let mut add = |part: &str, tensor: &str, numbers: u64| {
            let entry = parts.entry(part.to_owned()).or_insert_with(|| PartSize {
                name: part.to_owned(),
                numbers: 0,
                largest: 0,
                largest_name: String::new(),
            });
            entry.numbers = entry.numbers.saturating_add(numbers);
            if numbers > entry.largest {
                (entry.largest, entry.largest_name) = (numbers, tensor.to_owned());
            }
        };
        match &self.form {
            Form::Packed(manifest) => {
                for (name, tensor) in &manifest.tensors {
                    let (part, path) = name.split_once('.').unwrap_or(("", name));
                    add(part, path, tensor.elements().unwrap_or(u64::MAX));
                }
            }
            Form::Original(original) => {
                let checkpoint = original.checkpoint(&*self.files)?;
                for (name, stored) in checkpoint.tensors() {
                    if let Some(part) = Outline::part(name, Some(family)) {
                        add(part, name, stored.elements());
                    }
                }
            }
            Form::Folder => {
                for part in family.encoders.iter().map(|encoder| encoder.folder).chain(["unet", "vae"]) {
                    for (name, stored) in self.checkpoint(part, Precision::Full)?.tensors() {
                        add(part, name, stored.elements());
                    }
                }
            }
        }
        Ok(parts.into_values().collect())
    }

    /// The packed model's manifest, if it is one.
    pub(super) fn manifest(&self) -> Option<&Manifest> {
        match &self.form {
            Form::Packed(manifest) => Some(manifest),
            Form::Folder | Form::Original(_) => None,
        }
    }
}

/// What messages call a part.
fn component(part: &str) -> &str {
    if part.is_empty() { "vae" } else { part }
}

/// Goes through the files of a part, whose network `new` makes without weights.
struct Walker<N> {
    package: Rc<Package>,
    part: &'static str,
    keys: KeyMap,
    device: Device,
    new: N,
}

impl<M: Module, N: Fn(&Device) -> Result<M, ConfigError>> Walk for Walker<N> {
    fn list(&self, files: Precision) -> Result<Vec<(Parameter, u64)>, LoadError> {
        let weights = self.package.checkpoint(self.part, files)?;
        Ok(weights::listed(&(self.new)(&self.device)?, component(self.part), &weights, &self.keys)?)
    }

    fn each(&self, files: Precision, from: usize, see: &mut See<'_>) -> Result<ControlFlow<()>, LoadError> {
        let weights = self.package.checkpoint(self.part, files)?;
        Ok(weights::each(&(self.new)(&self.device)?, component(self.part), &weights, &self.keys, from, see)?)
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
        let original = match &self.form {
            Form::Original(original) => original,
            Form::Folder => return self.files.text(path),
            Form::Packed(manifest) => return Ok(manifest.file(path)),
        };
        let given = self.files.text(path)?;
        let is_network = path.ends_with("config.json") && !path.starts_with("scheduler/");
        if given.is_some() && !is_network {
            return Ok(given);
        }
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
