//! Models in one file, for tests.

use std::rc::Rc;

use encaustic_engine::family::{FAMILIES, Family, Files, FilesError, SingleFile};
use encaustic_engine::prediction::Prediction;
use encaustic_engine::weights::WeightSource;

use super::checkpoint::{Checkpoint, peculiarities};
use super::folder::Folder;

/// The reference models, and the ids of their families.
pub const MODELS: [(&str, &str); 3] = [("sd15", "sd1"), ("sd2", "sd2"), ("sdxl", "sdxl")];

/// A family by its id.
pub fn family(id: &str) -> &'static Family {
    FAMILIES.iter().find(|family| family.id == id).unwrap()
}

/// A file among others.
#[derive(Clone, Default)]
pub struct Single {
    pub beside: Folder,
    pub prediction: Option<Prediction>,
}

/// The file's name.
pub const NAME: &str = "model.safetensors";

impl Single {
    /// A file alone.
    pub fn new(file: &Checkpoint) -> Self {
        Self { beside: Folder::default().with(NAME, &file.bytes()), prediction: None }
    }

    /// A reference model with what cannot be told from its tensors.
    pub fn model(model: &str, file: &Checkpoint) -> Self {
        let mut single = Self::new(file);
        single.beside.0.extend(peculiarities(model));
        let tokenizers = Folder::open(&format!("models/{model}")).0.into_iter().filter(|(path, _)| path.starts_with("tokenizer"));
        single.beside.0.extend(tokenizers);
        single
    }

    /// The file as the engine takes it.
    pub fn files(&self) -> Rc<dyn Files> {
        Rc::new(self.clone())
    }
}

impl Files for Single {
    fn single_file(&self) -> Option<SingleFile<'_>> {
        Some(SingleFile { path: NAME, prediction: self.prediction })
    }

    fn list(&self, folder: &str) -> Vec<String> {
        self.beside.list(folder)
    }

    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        self.beside.text(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        self.beside.open(path)
    }
}
