//! A reference model in memory, and what it is packed into.

#![allow(unreachable_pub, missing_docs, reason = "a test is no library")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use encaustic_engine::device::{Compute, DeviceName, Precision, open};
use encaustic_engine::family::{Files, FilesError, Keep, load};
use encaustic_engine::weights::{MANIFEST, Manifest, SourceError, WeightSource};
use encaustic_importer::pack::{Options, PackError, Packed, Progress, Sink, Target, default_vae, pack};
use serde_json::Value;

use crate::support::{Array, Checkpoint, goldens};

/// A model's files: path to bytes.
#[derive(Clone, Default)]
pub struct Folder(BTreeMap<String, Vec<u8>>);

impl Folder {
    /// Reads a reference model, as in `sd15`.
    pub fn open(model: &str) -> Self {
        fn read(folder: &mut Folder, prefix: &str, path: &Path) {
            for entry in std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
                let path = entry.unwrap().path();
                let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
                if path.is_dir() {
                    read(folder, &format!("{name}/"), &path);
                } else {
                    folder.0.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
        let mut folder = Self::default();
        read(&mut folder, "", &goldens().join("models").join(model));
        folder
    }

    /// The folder of a packed model.
    pub fn of(manifest: &Manifest, shards: &Memory) -> Self {
        let mut files: BTreeMap<_, _> = shards.0.iter().cloned().collect();
        files.insert(MANIFEST.to_owned(), serde_json::to_vec(manifest).unwrap());
        Self(files)
    }

    /// Changes a JSON file.
    pub fn edit(mut self, path: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = serde_json::from_slice(&self.0[path]).unwrap();
        change(&mut value);
        self.0.insert(path.to_owned(), serde_json::to_vec(&value).unwrap());
        self
    }

    /// The folder with another tensor in a file.
    pub fn with_tensor(mut self, path: &str, name: &str, array: Array) -> Self {
        let file = Checkpoint::parse(&self.0[path]);
        assert!(file.tensors.contains_key(name), "{name}");
        self.0.insert(path.to_owned(), file.with(name, array).bytes());
        self
    }

    /// Changes the numbers of a tensor, which is written in f32 then.
    pub fn change(self, path: &str, name: &str, change: impl FnOnce(&mut [f32])) -> Self {
        let array = Checkpoint::parse(&self.0[path]).tensors[name].clone();
        let mut values = array.values();
        change(&mut values);
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.with_tensor(path, name, Array { dtype: safetensors::Dtype::F32, bytes, ..array })
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
        let absent = || FilesError { path: path.to_owned(), why: "not there".to_owned() };
        self.0.get(path).map(|bytes| Box::new(Bytes(bytes)) as Box<dyn WeightSource>).ok_or_else(absent)
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

/// Shards in memory, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory(pub Vec<(String, Vec<u8>)>);

impl Sink for Memory {
    type Error = String;

    fn shard(&mut self, name: &str, content: Vec<Vec<u8>>) -> Result<(), String> {
        self.0.push((name.to_owned(), content.concat()));
        Ok(())
    }
}

/// A sink that takes nothing.
#[derive(Debug)]
pub struct Full;

impl Sink for Full {
    type Error = &'static str;

    fn shard(&mut self, _name: &str, _content: Vec<Vec<u8>>) -> Result<(), &'static str> {
        Err("the disk is full")
    }
}

/// The usual options.
pub fn options(dtype: Target) -> Options {
    Options { dtype, vae: default_vae(dtype), title: None, license: None, packed_by: "a test".to_owned() }
}

/// Packs a model.
pub fn try_packed<S: Sink>(
    folder: &Folder,
    options: &Options,
    sink: &mut S,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Packed, PackError<S::Error>> {
    let files: Rc<dyn Files> = Rc::new(folder.clone());
    let model = load(&files, None, &cpu(), Keep::InTurn)?;
    pack(&model.contents()?, options, sink, watch)
}

/// Packs a model that can be packed.
pub fn packed(folder: &Folder, dtype: Target) -> (Manifest, Memory) {
    let mut memory = Memory::default();
    let result = try_packed(folder, &options(dtype), &mut memory, &mut |_| ControlFlow::Continue(()));
    (result.unwrap_or_else(|error| panic!("{dtype}: {error}")).manifest, memory)
}

/// The processor. Nothing waits for anything there.
fn cpu() -> Compute {
    match pin!(open(DeviceName::Cpu, Some(Precision::F32))).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(compute) => compute.unwrap_or_else(|error| panic!("{error}")),
        Poll::Pending => panic!("the processor is there at once"),
    }
}
