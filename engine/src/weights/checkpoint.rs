//! One file of weights, or several shards under one roof.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;

use super::header::{Header, HeaderError, TensorInfo};
use super::source::{SourceError, WeightSource};

/// The most shards that a checkpoint may have.
const MAX_SHARDS: usize = 1024;

/// The tensors of a model, wherever their bytes are.
pub struct Checkpoint<'a> {
    shards: Vec<Shard<'a>>,
    /// Tensor name to its place in `shards`.
    places: BTreeMap<String, usize>,
}

struct Shard<'a> {
    name: String,
    source: Box<dyn WeightSource + 'a>,
    header: Header,
}

/// Why a checkpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// One file is not acceptable.
    #[error("{file}: {error}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong with it.
        error: HeaderError,
    },
    /// The index of a sharded checkpoint is not the JSON that it must be.
    #[error("{file}: not a valid index of shards: {reason}")]
    Index {
        /// The index file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The index names a file outside its folder.
    #[error("{file}: the index names the shard {shard:?}; a shard lies in the same folder, and its name ends in `.safetensors`")]
    ShardName {
        /// The index file.
        file: String,
        /// The shard as written.
        shard: String,
    },
    /// A shard cannot be had.
    #[error("{shard}: the shard cannot be read: {reason}")]
    Shard {
        /// The shard.
        shard: String,
        /// Why.
        reason: String,
    },
    /// A tensor is in two shards.
    #[error("tensor `{tensor}` is in two shards, {first} and {second}")]
    Twice {
        /// The tensor.
        tensor: String,
        /// One shard.
        first: String,
        /// The other.
        second: String,
    },
    /// Tensors that the index promises are not where it says.
    #[error("{shard} lacks tensors that the index places there: {}", list(.tensors))]
    Absent {
        /// The shard.
        shard: String,
        /// The tensors.
        tensors: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

/// `*.safetensors.index.json`, as far as it matters.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl<'a> Checkpoint<'a> {
    /// Opens a checkpoint that is one file. `name` is only for messages.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn single(name: &str, source: impl WeightSource + 'a) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self { shards: Vec::new(), places: BTreeMap::new() };
        checkpoint.add(name.to_owned(), Box::new(source))?;
        Ok(checkpoint)
    }

    /// Opens a sharded checkpoint: `index` is the text of the file called `name`, and `open` gives a shard's bytes.
    ///
    /// # Errors
    /// Where the index is malformed or names files outside its folder, where a shard is missing, malformed or
    /// without a tensor that the index promises, and where two shards have the same tensor.
    pub fn sharded<S: WeightSource + 'a>(
        name: &str,
        index: &[u8],
        mut open: impl FnMut(&str) -> Result<S, String>,
    ) -> Result<Self, CheckpointError> {
        let invalid = |reason: String| CheckpointError::Index { file: name.to_owned(), reason };
        let index: Index = serde_json::from_slice(index).map_err(|error| invalid(error.to_string()))?;
        let mut promised: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tensor, shard) in &index.weight_map {
            let plain = shard.ends_with(".safetensors") && !shard.starts_with('.') && !shard.contains(['/', '\\', ':', '\0']);
            if !plain {
                return Err(CheckpointError::ShardName { file: name.to_owned(), shard: shard.clone() });
            }
            promised.entry(shard).or_default().push(tensor);
        }
        if promised.is_empty() || promised.len() > MAX_SHARDS {
            return Err(invalid(format!("it names {} shards; 1 to {MAX_SHARDS} are allowed", promised.len())));
        }
        let mut checkpoint = Self { shards: Vec::new(), places: BTreeMap::new() };
        for (shard, tensors) in promised {
            let source = open(shard).map_err(|reason| CheckpointError::Shard { shard: shard.to_owned(), reason })?;
            let place = checkpoint.add(shard.to_owned(), Box::new(source))?;
            let absent: Vec<String> = tensors
                .iter()
                .filter(|tensor| checkpoint.places.get(**tensor) != Some(&place))
                .map(|tensor| (*tensor).to_owned())
                .collect();
            if !absent.is_empty() {
                return Err(CheckpointError::Absent { shard: shard.to_owned(), tensors: absent });
            }
        }
        Ok(checkpoint)
    }

    fn add(&mut self, name: String, source: Box<dyn WeightSource + 'a>) -> Result<usize, CheckpointError> {
        let header = Header::read(&source).map_err(|error| CheckpointError::Header { file: name.clone(), error })?;
        let place = self.shards.len();
        for tensor in header.tensors().keys() {
            if let Some(other) = self.places.insert(tensor.clone(), place) {
                return Err(CheckpointError::Twice {
                    tensor: tensor.clone(),
                    first: self.shards.get(other).map(|shard| shard.name.clone()).unwrap_or_default(),
                    second: name,
                });
            }
        }
        self.shards.push(Shard { name, source, header });
        Ok(place)
    }

    /// All tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.places.iter().filter_map(|(name, place)| {
            let info = self.shards.get(*place)?.header.tensors().get(name)?;
            Some((name.as_str(), info))
        })
    }

    /// A tensor's type, shape and place.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.shards.get(*self.places.get(name)?)?.header.tensors().get(name)
    }

    /// A tensor's bytes; `None` where there is no such tensor.
    ///
    /// # Errors
    /// Where the source fails.
    pub fn read(&self, name: &str) -> Option<Result<Cow<'_, [u8]>, SourceError>> {
        self.read_range(name, self.get(name)?.range.clone())
    }

    /// Bytes of the file that a tensor is in.
    pub(super) fn read_range(&self, name: &str, range: Range<u64>) -> Option<Result<Cow<'_, [u8]>, SourceError>> {
        let shard = self.shards.get(*self.places.get(name)?)?;
        Some(shard.source.read(range))
    }

    /// The headers of the files, with their names.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &Header)> {
        self.shards.iter().map(|shard| (shard.name.as_str(), &shard.header))
    }

    /// How many elements each type has, the commonest first: `[F16 859520964]`.
    pub fn dtypes(&self) -> Vec<(super::Dtype, u64)> {
        let mut counts = BTreeMap::new();
        for (_, info) in self.tensors() {
            *counts.entry(info.dtype).or_insert(0) += info.elements();
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, elements)| std::cmp::Reverse(*elements));
        counts
    }
}
