//! One file of weights, several shards under one roof, or a component of a packed model.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;

use super::encoding::Encoding;
use super::header::{Header, HeaderError, TensorInfo};
use super::json::told;
use super::manifest::{Manifest, Piece};
use super::source::{SourceError, WeightSource};

/// The most shards that a checkpoint may have.
const MAX_SHARDS: usize = 1024;

/// The tensors of a model, wherever their bytes are.
pub struct Checkpoint<'a> {
    shards: Vec<Shard<'a>>,
    tensors: BTreeMap<String, Stored>,
}

/// A tensor in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// How its numbers are written.
    pub encoding: Encoding,
    /// The dimensions, outermost first; at least one element, empty for a scalar.
    pub shape: Vec<usize>,
    /// Where the numbers are, or their codes.
    pieces: Vec<Span>,
    /// Where the scales are, if it is quantised.
    scales: Vec<Span>,
}

/// What the tensor with a packed parameter's scales is called beside its name. A parameter in several pieces has `#0`, `#1` and
/// so on behind that.
pub const SCALE: &str = "#scale";

/// The tensors of a shard, with their names, by where they begin.
type ByStart = BTreeMap<u64, (String, TensorInfo)>;

/// A range of bytes of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    shard: usize,
    range: Range<u64>,
}

/// A part of what spans have together.
fn within(spans: &[Span], part: Range<u64>) -> Vec<Span> {
    let mut before = 0;
    let mut found = Vec::new();
    for Span { shard, range } in spans {
        let length = range.end - range.start;
        let (first, last) = (part.start.max(before), part.end.min(before + length));
        if first < last {
            found.push(Span { shard: *shard, range: range.start + (first - before)..range.start + (last - before) });
        }
        before += length;
    }
    found
}

impl Stored {
    fn plain(info: &TensorInfo, shard: usize) -> Self {
        let piece = Span { shard, range: info.range.clone() };
        Self { encoding: Encoding::Plain(info.dtype), shape: info.shape.clone(), pieces: vec![piece], scales: Vec::new() }
    }

    /// How many elements it has.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|dim| *dim as u64).product()
    }

    /// How many bytes of its files it takes.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().chain(&self.scales).map(|span| span.range.end - span.range.start).sum()
    }

    /// Where it begins: the number of the file, and the byte in it.
    pub(super) fn start(&self) -> (usize, u64) {
        self.pieces.first().map_or((0, 0), |span| (span.shard, span.range.start))
    }
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
    /// A shard of a packed model is not what its manifest says.
    #[error("{shard}: {problem}; the file is damaged or of another model, get it again")]
    Unlike {
        /// The shard.
        shard: String,
        /// What differs.
        problem: String,
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
        let mut checkpoint = Self { shards: Vec::new(), tensors: BTreeMap::new() };
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
        let index: Index = serde_json::from_slice(index).map_err(|error| invalid(told(&error)))?;
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
        let mut checkpoint = Self { shards: Vec::new(), tensors: BTreeMap::new() };
        for (shard, tensors) in promised {
            let source = open(shard).map_err(|reason| CheckpointError::Shard { shard: shard.to_owned(), reason })?;
            let place = checkpoint.add(shard.to_owned(), Box::new(source))?;
            let absent: Vec<String> = tensors
                .iter()
                .filter(|tensor| checkpoint.get(tensor).is_none_or(|stored| stored.start().0 != place))
                .map(|tensor| (*tensor).to_owned())
                .collect();
            if !absent.is_empty() {
                return Err(CheckpointError::Absent { shard: shard.to_owned(), tensors: absent });
            }
        }
        Ok(checkpoint)
    }

    /// Opens a component of a packed model; `open` gives a shard's bytes.
    ///
    /// # Errors
    /// Where a shard is missing or malformed, or its own header does not say what the manifest says.
    pub fn packed<S: WeightSource + 'a>(
        manifest: &Manifest,
        component: &str,
        mut open: impl FnMut(&str) -> Result<S, String>,
    ) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self { shards: Vec::new(), tensors: BTreeMap::new() };
        // Place in the manifest's list to place in ours, with the tensors of the shard by where they begin.
        let mut opened: BTreeMap<usize, (usize, ByStart)> = BTreeMap::new();
        let prefix = format!("{component}.");
        for (name, tensor) in manifest.tensors.range(prefix.clone()..) {
            let Some(path) = name.strip_prefix(&prefix) else { break };
            let mut spans = |pieces: &[Piece], base: &str, dtype| -> Result<Vec<Span>, CheckpointError> {
                let span = |(index, piece): (usize, &Piece)| {
                    let (place, tensors) = match opened.entry(piece.shard) {
                        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                        std::collections::btree_map::Entry::Vacant(entry) => {
                            entry.insert(checkpoint.add_packed(manifest, piece.shard, &mut open)?)
                        }
                    };
                    let range = piece.offset..piece.offset.saturating_add(piece.bytes);
                    let is_it = |(called, info): &(String, TensorInfo)| {
                        let is_called = called == &format!("{base}#{index}") || pieces.len() == 1 && called == base;
                        is_called && info.range == range && info.dtype == dtype
                    };
                    if tensors.get(&piece.offset).is_some_and(is_it) {
                        return Ok(Span { shard: *place, range });
                    }
                    let shard = manifest.shards.get(piece.shard).map(|shard| shard.file.clone()).unwrap_or_default();
                    Err(CheckpointError::Unlike { shard, problem: format!("it has no tensor of {name} where the manifest says") })
                };
                pieces.iter().enumerate().map(span).collect()
            };
            let pieces = spans(&tensor.pieces, name, tensor.dtype.stored())?;
            let scales = spans(&tensor.scales, &format!("{name}{SCALE}"), super::Dtype::F16)?;
            let stored = Stored { encoding: tensor.dtype, shape: tensor.shape.clone(), pieces, scales };
            checkpoint.tensors.insert(path.to_owned(), stored);
        }
        Ok(checkpoint)
    }

    /// Adds a shard of a packed model, without its tensors: those are given back by where they begin.
    fn add_packed<S: WeightSource + 'a>(
        &mut self,
        manifest: &Manifest,
        index: usize,
        open: &mut impl FnMut(&str) -> Result<S, String>,
    ) -> Result<(usize, ByStart), CheckpointError> {
        let absent = || CheckpointError::Shard { shard: index.to_string(), reason: "the manifest does not name it".to_owned() };
        let shard = manifest.shards.get(index).ok_or_else(absent)?;
        let name = shard.file.clone();
        let source = open(&name).map_err(|reason| CheckpointError::Shard { shard: name.clone(), reason })?;
        if source.len() != shard.bytes {
            let problem = format!("it has {} bytes, and the manifest says {}", source.len(), shard.bytes);
            return Err(CheckpointError::Unlike { shard: name, problem });
        }
        let header = Header::read(&source).map_err(|error| CheckpointError::Header { file: name.clone(), error })?;
        let by_start = |(name, info): (&String, &TensorInfo)| (info.range.start, (name.clone(), info.clone()));
        let tensors = header.tensors().iter().map(by_start).collect();
        self.shards.push(Shard { name, source: Box::new(source), header });
        Ok((self.shards.len() - 1, tensors))
    }

    fn add(&mut self, name: String, source: Box<dyn WeightSource + 'a>) -> Result<usize, CheckpointError> {
        let header = Header::read(&source).map_err(|error| CheckpointError::Header { file: name.clone(), error })?;
        let place = self.shards.len();
        for (tensor, info) in header.tensors() {
            if let Some(other) = self.tensors.insert(tensor.clone(), Stored::plain(info, place)) {
                return Err(CheckpointError::Twice {
                    tensor: tensor.clone(),
                    first: self.shards.get(other.start().0).map(|shard| shard.name.clone()).unwrap_or_default(),
                    second: name,
                });
            }
        }
        self.shards.push(Shard { name, source, header });
        Ok(place)
    }

    /// All tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Stored)> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored))
    }

    /// A tensor's type, shape and place.
    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.tensors.get(name)
    }

    /// A tensor's bytes (of a quantised one the codes); `None` where there is no such tensor.
    ///
    /// # Errors
    /// Where the source fails.
    pub fn read(&self, name: &str) -> Option<Result<Cow<'_, [u8]>, SourceError>> {
        Some(self.gather(&self.get(name)?.pieces))
    }

    /// The bytes of a quantised tensor's scales; empty for others, `None` where there is no such tensor.
    pub(super) fn read_scales(&self, name: &str) -> Option<Result<Cow<'_, [u8]>, SourceError>> {
        Some(self.gather(&self.get(name)?.scales))
    }

    /// The bytes of one of three equal parts of a tensor that lies in one piece; `index` is 0, 1 or 2.
    pub(super) fn read_third(&self, name: &str, index: usize) -> Option<Result<Cow<'_, [u8]>, SourceError>> {
        let Span { shard, range } = self.get(name)?.pieces.first()?;
        let third = (range.end - range.start) / 3;
        let start = range.start + third * (index as u64).min(2);
        Some(self.shards.get(*shard)?.source.read(start..start + third))
    }

    /// Some elements of a tensor: their bytes (or codes) and the bytes of their scales. They begin and end between blocks.
    pub(super) fn read_part(&self, name: &str, elements: Range<u64>) -> Option<Result<[Cow<'_, [u8]>; 2], SourceError>> {
        let stored = self.get(name)?;
        let codes = stored.encoding.bytes(elements.start)?..stored.encoding.bytes(elements.end)?;
        let scales = match stored.encoding {
            Encoding::Plain(_) => 0..0,
            Encoding::Quantised(quant) => quant.scale_bytes(elements.start)..quant.scale_bytes(elements.end),
        };
        let both = [(&stored.pieces, codes), (&stored.scales, scales)].map(|(spans, part)| self.gather(&within(spans, part)));
        let [codes, scales] = both;
        Some(codes.and_then(|codes| Ok([codes, scales?])))
    }

    fn gather(&self, spans: &[Span]) -> Result<Cow<'_, [u8]>, SourceError> {
        let read = |span: &Span| match self.shards.get(span.shard) {
            Some(shard) => shard.source.read(span.range.clone()),
            None => Ok(Cow::default()),
        };
        if let [span] = spans {
            return read(span);
        }
        let mut bytes = Vec::new();
        for span in spans {
            bytes.extend_from_slice(&read(span)?);
        }
        Ok(bytes.into())
    }

    /// The headers of the files, with their names.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &Header)> {
        self.shards.iter().map(|shard| (shard.name.as_str(), &shard.header))
    }

    /// How many elements each type has, the commonest first: `[F16 859520964]`.
    pub fn dtypes(&self) -> Vec<(Encoding, u64)> {
        let mut counts = BTreeMap::new();
        for (_, stored) in self.tensors() {
            *counts.entry(stored.encoding).or_insert(0) += stored.elements();
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, elements)| std::cmp::Reverse(*elements));
        counts
    }
}
