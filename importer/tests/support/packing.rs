//! A reference model in memory, and what it is packed into.

#![allow(unreachable_pub, missing_docs, reason = "a test is no library")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use encaustic_engine::device::{Compute, DeviceName, Precision, open};
use encaustic_engine::family::{Keep, load};
use encaustic_engine::weights::{MANIFEST, Manifest};
use encaustic_importer::pack::{Options, PackError, Packed, Progress, Sink, Target, default_vae, pack};

use crate::checkpoint::{Array, Checkpoint};
use crate::folder::Folder;

impl Folder {
    /// The folder of a packed model.
    pub fn of(manifest: &Manifest, shards: &Memory) -> Self {
        let mut files: BTreeMap<_, _> = shards.0.iter().cloned().collect();
        files.insert(MANIFEST.to_owned(), serde_json::to_vec(manifest).unwrap());
        Self(files)
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
    let model = load(&folder.files(), None, &cpu(), Keep::InTurn)?;
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
