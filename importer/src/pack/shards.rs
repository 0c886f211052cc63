//! Tensors collected to files of at most 64 MiB.

use std::collections::BTreeMap;

use encaustic_engine::weights::{Dtype, Header, MAX_SHARD_BYTES, Piece, Shard};
use safetensors::tensor::TensorView;
use sha2::{Digest, Sha256};

use super::error::PackError;

/// The type of scales.
pub(super) const F16: Dtype = Dtype::F16;

/// Where finished shards go.
pub trait Sink {
    /// How it fails.
    type Error;

    /// Takes a whole file. They come in the order of their numbers.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn shard(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Self::Error>;
}

/// A tensor that waits for its shard to be full.
struct Pending {
    name: String,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Bytes of a header that an entry takes beside its name.
const ENTRY: u64 = 160;
/// A piece of a tensor that is too large for a shard: with its header it fits, and it ends between elements.
const PIECE: usize = (MAX_SHARD_BYTES - (1 << 16)) as usize;

/// The shards that are written, and the one that is filled.
pub(super) struct Shards<'a, S> {
    sink: &'a mut S,
    pending: Vec<Pending>,
    /// An upper bound of what the file will have.
    size: u64,
    shards: Vec<Shard>,
    places: Places,
}

/// Where pieces are, by their names.
#[derive(Default)]
pub(super) struct Places(BTreeMap<String, Piece>);

impl Places {
    pub(super) fn of(&self, names: &[String]) -> Vec<Piece> {
        names.iter().filter_map(|name| self.0.get(name).copied()).collect()
    }
}

impl<'a, S: Sink> Shards<'a, S> {
    pub(super) fn new(sink: &'a mut S) -> Self {
        Self { sink, pending: Vec::new(), size: 0, shards: Vec::new(), places: Places::default() }
    }

    /// Adds a tensor, in pieces if it is too large for a file, and tells the names of these.
    pub(super) fn add(
        &mut self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<Vec<String>, PackError<S::Error>> {
        let element = usize::try_from(dtype.size()).unwrap_or(1);
        let mut names = Vec::new();
        for (index, piece) in bytes.chunks(PIECE).enumerate() {
            let is_whole = piece.len() == bytes.len();
            let name = if is_whole { name.to_owned() } else { format!("{name}#{index}") };
            let shape = if is_whole { shape.to_vec() } else { vec![piece.len() / element] };
            let added = piece.len() as u64 + name.len() as u64 + ENTRY;
            if self.size + added > MAX_SHARD_BYTES {
                self.flush()?;
            }
            self.size += added;
            names.push(name.clone());
            self.pending.push(Pending { name, dtype: known(dtype)?, shape, bytes: piece.to_vec() });
        }
        Ok(names)
    }

    /// Writes the last shard.
    pub(super) fn finish(mut self) -> Result<(Vec<Shard>, Places), PackError<S::Error>> {
        self.flush()?;
        Ok((self.shards, self.places))
    }

    fn flush(&mut self) -> Result<(), PackError<S::Error>> {
        self.size = 0;
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| PackError::Shard(error.to_string());
        let mut views = Vec::with_capacity(pending.len());
        for Pending { name, dtype, shape, bytes } in &pending {
            views.push((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(|error| failed(&error))?));
        }
        let bytes = safetensors::serialize(views, None).map_err(|error| failed(&error))?;
        drop(pending);
        let header = Header::read(bytes.as_slice()).map_err(|error| failed(&error))?;
        let shard = self.shards.len();
        for (name, info) in header.tensors() {
            let piece = Piece { shard, offset: info.range.start, bytes: info.range.end - info.range.start };
            self.places.0.insert(name.clone(), piece);
        }
        let file = format!("model-{:05}.safetensors", shard + 1);
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        self.shards.push(Shard { file: file.clone(), bytes: bytes.len() as u64, sha256 });
        self.sink.shard(&file, bytes).map_err(PackError::Sink)
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same type in the library that writes.
fn known<E>(dtype: Dtype) -> Result<safetensors::Dtype, PackError<E>> {
    Ok(match dtype {
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::BF16 => safetensors::Dtype::BF16,
        Dtype::I8 => safetensors::Dtype::I8,
        Dtype::U8 => safetensors::Dtype::U8,
        other => return Err(PackError::Shard(format!("{other} is no type that parameters are packed in"))),
    })
}
