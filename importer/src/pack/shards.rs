//! Tensors collected to files of at most 64 MiB.

use std::collections::BTreeMap;

use encaustic_engine::weights::{Dtype, MAX_SHARD_BYTES, Piece, Shard};
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::error::PackError;

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

impl<S: Sink> Sink for &mut S {
    type Error = S::Error;

    fn shard(&mut self, name: &str, content: Vec<Vec<u8>>) -> Result<(), S::Error> {
        (**self).shard(name, content)
    }
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
/// A tensor that is being added.
pub(super) struct Open {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: u64,
    done: u64,
    /// What its pieces are called.
    names: Vec<String>,
}

impl Open {
    /// The names of its pieces, in order.
    pub(super) fn names(self) -> Vec<String> {
        self.names
    }
}

/// Bytes of a file beside its entries and its data.
const BEFORE: u64 = 1 << 10;
/// Bytes of a header that an entry takes beside its name.
const ENTRY: u64 = 160;
/// A piece of a tensor that is too large for a shard: with its header it fits, and it ends between elements.
const PIECE: usize = (MAX_SHARD_BYTES - (1 << 16)) as usize;

/// The shards that are written, and the one that is filled.
pub(super) struct Shards<S> {
    sink: S,
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

impl<S: Sink> Shards<S> {
    pub(super) fn new(sink: S) -> Self {
        Self { sink, pending: Vec::new(), size: BEFORE, shards: Vec::new(), places: Places::default() }
    }

    /// Begins a tensor of so many bytes, which are [added](Self::push) next, before another is begun.
    pub(super) fn begin(name: &str, dtype: Dtype, shape: &[usize], bytes: u64) -> Open {
        Open { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes, done: 0, names: Vec::new() }
    }

    /// Adds bytes to the tensor that was begun last; what does not go into one shard goes on in the next.
    pub(super) fn push(&mut self, open: &mut Open, mut bytes: &[u8]) -> Result<(), PackError<S::Error>> {
        while !bytes.is_empty() {
            let into_piece = open.done % PIECE as u64;
            if into_piece == 0 {
                self.piece(open)?;
            }
            let room = usize::try_from(PIECE as u64 - into_piece).unwrap_or(PIECE);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            if let Some(last) = self.pending.last_mut() {
                last.bytes.extend_from_slice(now);
            }
            open.done += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Begins a piece of a tensor.
    fn piece(&mut self, open: &mut Open) -> Result<(), PackError<S::Error>> {
        let left = open.bytes.saturating_sub(open.done);
        let length = left.min(PIECE as u64);
        let is_whole = length == open.bytes;
        let name = if is_whole { open.name.clone() } else { format!("{}#{}", open.name, open.names.len()) };
        let elements = usize::try_from(length / open.dtype.size()).unwrap_or(PIECE);
        let shape = if is_whole { open.shape.clone() } else { vec![elements] };
        let added = length + name.len() as u64 + ENTRY;
        if self.size + added > MAX_SHARD_BYTES {
            self.flush()?;
        }
        self.size += added;
        open.names.push(name.clone());
        let bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(PIECE));
        self.pending.push(Pending { name, dtype: known(open.dtype)?, shape, bytes });
        Ok(())
    }

    /// How many shards the sink has been given.
    pub(super) fn count(&self) -> usize {
        self.shards.len()
    }

    /// What takes the shards.
    pub(super) fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The shards and where everything is in them, once the last is [written](Self::flush).
    pub(super) fn take(&mut self) -> (Vec<Shard>, Places) {
        (std::mem::take(&mut self.shards), std::mem::take(&mut self.places))
    }

    /// Writes what is collected as a shard.
    pub(super) fn flush(&mut self) -> Result<(), PackError<S::Error>> {
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
