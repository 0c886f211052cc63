//! How the engine sees a model's files: shards that are open, or one file of the user's.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use encaustic_engine::family::{Files, FilesError, SingleFile};
use encaustic_engine::weights::{MANIFEST, SourceError, WeightSource};

use super::post::{seconds, tell};
use crate::message::{LoadStage, Loading, News};

/// Seconds between two words on how far something is.
const PAUSE: f64 = 0.1;

/// Tells how far a load is, now and then.
pub(super) struct Meter {
    stage: Cell<LoadStage>,
    done: Cell<u64>,
    of: u64,
    told: Cell<f64>,
    is_on: Cell<bool>,
}

impl Meter {
    /// A meter for so many bytes.
    pub(super) fn new(of: u64) -> Self {
        let (stage, done, told) = (Cell::new(LoadStage::Files), Cell::new(0), Cell::new(0.0));
        Self { stage, done, of, told, is_on: Cell::new(true) }
    }

    /// A meter that says nothing.
    pub(super) fn silent() -> Self {
        let meter = Self::new(0);
        meter.end();
        meter
    }

    /// Begins a part of the load.
    pub(super) fn begin(&self, stage: LoadStage) {
        self.stage.set(stage);
        self.done.set(0);
        self.say();
    }

    /// So many bytes are done.
    pub(super) fn at(&self, done: u64) {
        let before = self.done.replace(done.min(self.of));
        let is_last = done >= self.of && before < self.of;
        if self.is_on.get() && (seconds() - self.told.get() >= PAUSE || is_last) {
            self.say();
        }
    }

    /// Says no more: what is read from now on is not part of the load.
    pub(super) fn end(&self) {
        self.is_on.set(false);
    }

    fn say(&self) {
        self.told.set(seconds());
        let (stage, bytes) = (self.stage.get(), self.done.get());
        tell(&News::Loading(Loading { stage, bytes, of: self.of }));
    }
}

/// Open files. They can be closed under the engine's feet: when the model is deleted that it has loaded.
#[derive(Default)]
pub(super) struct Vault(RefCell<BTreeMap<String, Rc<dyn WeightSource>>>);

impl Vault {
    /// Takes a file in.
    pub(super) fn put(&self, name: &str, source: Rc<dyn WeightSource>) {
        self.0.borrow_mut().insert(name.to_owned(), source);
    }

    /// Closes all files.
    pub(super) fn close(&self) {
        self.0.borrow_mut().clear();
    }

    fn get(&self, name: &str) -> Option<Rc<dyn WeightSource>> {
        self.0.borrow().get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.borrow().keys().cloned().collect()
    }
}

/// A file whose reading is counted.
struct Counted {
    source: Rc<dyn WeightSource>,
    meter: Rc<Meter>,
}

impl WeightSource for Counted {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        let bytes = self.source.read(range)?;
        self.meter.at(self.meter.done.get() + bytes.len() as u64);
        Ok(bytes)
    }
}

/// A model's files.
pub(super) struct ModelFiles {
    pub(super) form: Form,
    pub(super) vault: Rc<Vault>,
    pub(super) meter: Rc<Meter>,
}

/// What the files are.
#[derive(Clone)]
pub(super) enum Form {
    /// A packed model with this manifest.
    Packed(Vec<u8>),
    /// One file of this name.
    Single(String),
}

impl Files for ModelFiles {
    fn single_file(&self) -> Option<SingleFile<'_>> {
        match &self.form {
            Form::Single(path) => Some(SingleFile { path, prediction: None }),
            Form::Packed(_) => None,
        }
    }

    fn list(&self, folder: &str) -> Vec<String> {
        if !folder.is_empty() {
            return Vec::new();
        }
        let manifest = matches!(self.form, Form::Packed(_)).then(|| MANIFEST.to_owned());
        manifest.into_iter().chain(self.vault.names()).collect()
    }

    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        Ok(match &self.form {
            Form::Packed(manifest) if path == MANIFEST => Some(manifest.clone()),
            Form::Packed(_) | Form::Single(_) => None,
        })
    }

    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        let gone = || FilesError { path: path.to_owned(), why: "it is not kept any more; load the model again".to_owned() };
        let source = self.vault.get(path).ok_or_else(gone)?;
        Ok(Box::new(Counted { source, meter: Rc::clone(&self.meter) }))
    }
}
