//! The memory of the tab; outside that of WebAssembly, which has 4 GiB at most.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use encaustic_engine::weights::{SourceError, WeightSource};
use js_sys::Uint8Array;

use super::{Answer, Append, Store, StoreError};
use crate::message::Place;

/// Models by their ids, files by their names.
type Models = Rc<RefCell<BTreeMap<String, BTreeMap<String, Uint8Array>>>>;

/// Files in memory.
#[derive(Default)]
pub(super) struct Memory(Models);

/// Pieces of a file, one behind the other.
pub(super) fn join(pieces: &[Uint8Array]) -> Uint8Array {
    let whole = Uint8Array::new_with_length(pieces.iter().map(Uint8Array::length).sum());
    let mut offset = 0;
    for piece in pieces {
        whole.set(piece, offset);
        offset += piece.length();
    }
    whole
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

/// A file that grows.
struct Growing {
    models: Models,
    place: (String, String),
    pieces: Vec<Uint8Array>,
}

impl Append for Growing {
    fn push(&mut self, bytes: &Uint8Array) -> Result<(), StoreError> {
        self.pieces.push(bytes.clone());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Answer<'static, ()> {
        let Self { models, place: (id, name), pieces } = *self;
        models.borrow_mut().entry(id).or_default().insert(name, join(&pieces));
        Box::pin(async { Ok(()) })
    }
}

impl Memory {
    fn get(&self, id: &str, name: &str) -> Option<Uint8Array> {
        self.0.borrow().get(id)?.get(name).cloned()
    }
}

impl Store for Memory {
    fn place(&self) -> Place {
        Place::Memory
    }

    fn models(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async { Ok(self.0.borrow().keys().cloned().collect()) })
    }

    fn files<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<(String, u64)>> {
        let size = |(name, bytes): (&String, &Uint8Array)| (name.clone(), u64::from(bytes.length()));
        let files = self.0.borrow().get(id).map(|files| files.iter().map(size).collect());
        Box::pin(async { Ok(files.unwrap_or_default()) })
    }

    fn read<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, Option<Uint8Array>> {
        Box::pin(async move { Ok(self.get(id, name)) })
    }

    fn open<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, Option<Box<dyn WeightSource>>> {
        let source = self.get(id, name).map(|bytes| Box::new(Bytes(bytes)) as Box<dyn WeightSource>);
        Box::pin(async { Ok(source) })
    }

    fn write<'a>(&'a self, id: &'a str, name: &'a str, bytes: &'a Uint8Array) -> Answer<'a, ()> {
        self.0.borrow_mut().entry(id.to_owned()).or_default().insert(name.to_owned(), bytes.clone());
        Box::pin(async { Ok(()) })
    }

    fn append<'a>(&'a self, id: &'a str, name: &'a str, from: u64) -> Answer<'a, Box<dyn Append>> {
        let kept = self.get(id, name).filter(|_| from > 0);
        let pieces = kept.map(|bytes| bytes.subarray(0, u32::try_from(from).unwrap_or(u32::MAX)));
        let growing =
            Growing { models: Rc::clone(&self.0), place: (id.to_owned(), name.to_owned()), pieces: pieces.into_iter().collect() };
        Box::pin(async { Ok(Box::new(growing) as Box<dyn Append>) })
    }

    fn remove<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, ()> {
        if let Some(files) = self.0.borrow_mut().get_mut(id) {
            files.remove(name);
        }
        Box::pin(async { Ok(()) })
    }

    fn remove_model<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        self.0.borrow_mut().remove(id);
        Box::pin(async { Ok(()) })
    }
}
