//! Where a model's files are while it is loaded, and how the engine sees them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use encaustic_engine::family::{Files, FilesError};
use encaustic_engine::weights::{MANIFEST, SourceError, WeightSource};
use js_sys::Uint8Array;

/// A place for checked files of weights, by their names. It answers at once: what has to be waited for (a server, a
/// browser's storage) has been waited for before a file is put here.
pub(super) trait Store {
    /// Takes a file in.
    fn put(&mut self, name: &str, bytes: Uint8Array) -> Result<(), String>;

    /// The names of the files.
    fn names(&self) -> Vec<String>;

    /// A file to be read in ranges; `None` if there is no such file.
    fn open(&self, name: &str) -> Option<Box<dyn WeightSource + '_>>;
}

/// Files in the memory of the tab; outside that of WebAssembly, which has 4 GiB at most.
#[derive(Default)]
pub(super) struct Memory(BTreeMap<String, Bytes>);

impl Store for Memory {
    fn put(&mut self, name: &str, bytes: Uint8Array) -> Result<(), String> {
        self.0.insert(name.to_owned(), Bytes(bytes));
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn open(&self, name: &str) -> Option<Box<dyn WeightSource + '_>> {
        self.0.get(name).map(|bytes| Box::new(bytes) as Box<dyn WeightSource + '_>)
    }
}

/// Bytes of JavaScript's, copied when they are read.
struct Bytes(Uint8Array);

impl WeightSource for Bytes {
    fn len(&self) -> u64 {
        u64::from(self.0.length())
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        let Range { start, end } = range;
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(first), Ok(last)) if first <= last && end <= self.len() => Ok(self.0.subarray(first, last).to_vec().into()),
            _ => Err(SourceError::OutOfRange { start, end, len: self.len() }),
        }
    }
}

/// A packed model: its manifest, and a store that has its shards.
pub(super) struct PackedModel<S> {
    /// The text of the manifest.
    pub(super) manifest: Vec<u8>,
    /// The shards.
    pub(super) store: S,
}

impl<S: Store> Files for PackedModel<S> {
    fn list(&self, folder: &str) -> Vec<String> {
        if !folder.is_empty() {
            return Vec::new();
        }
        [MANIFEST.to_owned()].into_iter().chain(self.store.names()).collect()
    }

    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        Ok((path == MANIFEST).then(|| self.manifest.clone()))
    }

    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        let absent = || FilesError { path: path.to_owned(), why: "the file has not been fetched".to_owned() };
        self.store.open(path).ok_or_else(absent)
    }
}
