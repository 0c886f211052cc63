//! Tensors collected to files of at most 64 MiB.

use std::collections::BTreeMap;

use encaustic_engine::weights::{Dtype, MAX_SHARD_BYTES, Piece, Shard};
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::error::PackError;

/// The type of scales.
pub(super) const F16: Dtype = Dtype::F16;

/// Where finished shards go.
pub trait Sink {
    /// How it fails.
    type Error;

    /// Takes a whole file: the parts of `content`, one behind the other. Files come in the order of their numbers.
    ///
    /// # Errors
    /// If it cannot be kept.
    fn shard(&mut self, name: &str, content: Vec<Vec<u8>>) -> Result<(), Self::Error>;
}

/// A tensor that waits for its shard to be full.
struct Pending {
    name: String,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The data of a shard begins at a multiple of this.
const ALIGNMENT: usize = 256;
/// Bytes of a file beside its entries and its data.
const BEFORE: u64 = 1 << 10;
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
        Self { sink, pending: Vec::new(), size: BEFORE, shards: Vec::new(), places: Places::default() }
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
        self.size = BEFORE;
        let mut pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        // The rounder a tensor's size, the earlier it comes: so each begins at as round a place as its own size is, at
        // least at a multiple of its elements' size, and nearly all at one of `ALIGNMENT`.
        let roundness = |tensor: &Pending| tensor.bytes.len().trailing_zeros().min(ALIGNMENT.trailing_zeros());
        pending.sort_by(|a, b| roundness(b).cmp(&roundness(a)).then_with(|| a.name.cmp(&b.name)));
        let mut end = 0;
        let mut table = Vec::with_capacity(pending.len());
        for Pending { name, dtype, shape, bytes } in &pending {
            let start = end;
            end += bytes.len();
            table.push((name.clone(), TensorInfo { dtype: *dtype, shape: shape.clone(), data_offsets: (start, end) }));
        }
        let failed = |error: &dyn std::fmt::Display| PackError::Shard(error.to_string());
        let metadata = Metadata::new(None, table).map_err(|error| failed(&error))?;
        let mut table = serde_json::to_vec(&metadata).map_err(|error| failed(&error))?;
        // Spaces after the table let the data begin at a round place.
        table.resize((table.len() + 8).next_multiple_of(ALIGNMENT) - 8, b' ');
        let mut header = (table.len() as u64).to_le_bytes().to_vec();
        header.append(&mut table);

        let shard = self.shards.len();
        let mut offset = header.len() as u64;
        let mut content = vec![header];
        for Pending { name, bytes, .. } in pending {
            let piece = Piece { shard, offset, bytes: bytes.len() as u64 };
            offset += piece.bytes;
            self.places.0.insert(name, piece);
            content.push(bytes);
        }
        let mut hasher = Sha256::new();
        content.iter().for_each(|part| hasher.update(part));
        let file = format!("model-{:05}.safetensors", shard + 1);
        self.shards.push(Shard { file: file.clone(), bytes: offset, sha256: hexadecimal(&hasher.finalize()) });
        self.sink.shard(&file, content).map_err(PackError::Sink)
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
