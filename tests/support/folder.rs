//! A model's folder for tests: read whole into memory, so that a test can take files away and change them.

#![allow(dead_code, reason = "every test takes what it needs")]
#![allow(unreachable_pub, missing_docs, reason = "a test is no library")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use encaustic_engine::family::{Files, FilesError};
use encaustic_engine::weights::{SourceError, WeightSource};

use super::checkpoint::goldens;

/// Path to bytes.
#[derive(Clone, Default)]
pub struct Folder(pub BTreeMap<String, Vec<u8>>);

impl Folder {
    /// Reads a golden folder, as in `models/sd15`.
    pub fn open(path: &str) -> Self {
        let mut folder = Self::default();
        folder.read("", &goldens().join(path));
        folder
    }

    /// The folder as the engine takes it.
    pub fn files(&self) -> Rc<dyn Files> {
        Rc::new(self.clone())
    }

    fn read(&mut self, prefix: &str, path: &Path) {
        for entry in std::fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                self.read(&format!("{name}/"), &entry.path());
            } else {
                self.0.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    /// The folder with another component in the place of one of its own.
    pub fn with_component(mut self, name: &str, other: Self) -> Self {
        self.0.retain(|path, _| !path.starts_with(&format!("{name}/")));
        self.0.extend(other.0.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        self
    }

    /// Changes a JSON file.
    pub fn edit(mut self, path: &str, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let mut value = serde_json::from_slice(&self.0[path]).unwrap();
        change(&mut value);
        self.0.insert(path.to_owned(), serde_json::to_vec(&value).unwrap());
        self
    }

    /// The folder without a file.
    pub fn without(mut self, path: &str) -> Self {
        assert!(self.0.remove(path).is_some(), "{path}");
        self
    }

    /// The folder with a file.
    pub fn with(mut self, path: &str, bytes: &[u8]) -> Self {
        self.0.insert(path.to_owned(), bytes.to_vec());
        self
    }
}

impl Files for Folder {
    fn list(&self, folder: &str) -> Vec<String> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let names = self.0.keys().filter_map(|path| path.strip_prefix(&prefix));
        names.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    }

    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        Ok(self.0.get(path).cloned())
    }

    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        match self.0.get(path) {
            Some(bytes) => Ok(Box::new(Bytes(bytes))),
            None => Err(FilesError { path: path.to_owned(), why: "not there".to_owned() }),
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl WeightSource for Bytes<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        self.0.read(range)
    }
}
