//! A packed model: `manifest.json`, which tells everything, and shards, which hold nothing but numbers.
//!
//! The networks' parameters have the names that the networks themselves have for them, so nothing has to be looked up or
//! turned around when a packed model is loaded. The small files of a model (configurations, tokenizers) stand in the
//! manifest. Shards are safetensors files of at most 64 MiB, so that a browser can fetch, check and keep each alone; a
//! tensor that is larger lies in several pieces. Every piece is a range of bytes of its shard, and every shard has its
//! SHA-256 here.
//!
//! A manifest comes from a stranger like any other file: [`Manifest::parse`] believes nothing that it has not checked, and
//! nothing in it is ever used as a path but the plain names of shards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::encoding::Encoding;
use super::header::{MAX_RANK, MAX_TENSORS, acceptable};
use super::json::told;
use super::quant::BLOCK;

/// The name of the file.
pub const MANIFEST: &str = "manifest.json";
/// What `format` says.
pub const FORMAT: &str = "encaustic";
/// The version of the format that is written, and the latest that is read.
pub const SCHEMA: u32 = 1;
/// The largest shard, in bytes.
pub const MAX_SHARD_BYTES: u64 = 64 << 20;
/// The largest manifest that is read, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 32 << 20;
/// The most values in a manifest, counted by what separates them. Two bytes of JSON can take hundreds of bytes in memory, so
/// the limit on the text alone would allow gigabytes. A model with two tokenizers in their longest form has half as many.
const MAX_VALUES: usize = 1 << 20;
/// The longest title, licence or name of a source, in bytes.
pub const MAX_TEXT: usize = 512;
/// The most shards: together 256 GiB.
const MAX_SHARDS: usize = 1 << 12;

/// What a packed model consists of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The version of the format: at most [`SCHEMA`].
    pub schema: u32,
    /// The id of the model's family.
    pub family: String,
    /// What its maker calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Under which terms it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Which program wrote this.
    #[serde(default)]
    pub packed_by: String,
    /// The files that it was made from.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// The files with the numbers.
    pub shards: Vec<Shard>,
    /// Configurations (as JSON) and other small files (as text) by their paths in diffusers' layout, as in
    /// `unet/config.json`.
    #[serde(deserialize_with = "unique")]
    pub files: BTreeMap<String, Value>,
    /// The parameters, by component and path: `unet.conv_in.weight`.
    #[serde(deserialize_with = "unique")]
    pub tensors: BTreeMap<String, PackedTensor>,
}

/// A file that a model was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name, or its path in a folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits in lower case.
    pub sha256: String,
    /// Which components' parameters came from it.
    #[serde(default)]
    pub components: Vec<String>,
}

/// A file with numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its name, beside the manifest.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits in lower case.
    pub sha256: String,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedTensor {
    /// How its numbers are written: `F16`, `BF16`, `F32`, or `Q8` and `Q4` in blocks.
    pub dtype: Encoding,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Numbers that share a scale, if it is quantised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
    /// Where the numbers, or their codes, are: one range, or several in this order.
    pub pieces: Vec<Piece>,
    /// Where the scales (f16, one per block) are, if it is quantised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<Piece>,
}

/// A range of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Which shard, by its place in the manifest's list.
    pub shard: usize,
    /// The first byte, counted from the beginning of the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl PackedTensor {
    /// How many numbers it has; `None` beyond what 64 bits count.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim as u64))
    }

    /// All ranges that it takes.
    pub fn ranges(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().chain(&self.scales)
    }
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is too large.
    #[error("the manifest has {0} bytes, and at most {MAX_MANIFEST_BYTES} are allowed")]
    TooLarge(usize),
    /// It has more in it than a model has.
    #[error("the manifest has more than {MAX_VALUES} values")]
    TooManyValues,
    /// It is not the JSON that it must be.
    #[error("the manifest is not valid: {0}")]
    Json(String),
    /// It is another file.
    #[error("the manifest's format is {0:?} and not {FORMAT:?}: this is no packed model of Encaustic")]
    Foreign(String),
    /// It was written by a later version.
    #[error("the manifest has the version {0}, and this Encaustic knows versions up to {SCHEMA}: get a newer one")]
    Newer(u32),
    /// A text that is not one line of reasonable length.
    #[error("the manifest's {field} is not one line of at most {MAX_TEXT} bytes without control characters")]
    Text {
        /// Which.
        field: &'static str,
    },
    /// Too many shards, or none.
    #[error("the manifest names {0} shards; 1 to {MAX_SHARDS} are allowed")]
    Shards(usize),
    /// A shard that cannot be.
    #[error("shard {file:?}: {problem}")]
    Shard {
        /// Its name as written.
        file: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A small file that cannot be.
    #[error("file {path:?}: {problem}")]
    File {
        /// Its path as written.
        path: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Too many tensors.
    #[error("the manifest has more than {MAX_TENSORS} tensors")]
    TooManyTensors,
    /// A tensor that cannot be.
    #[error("tensor {name:?}: {problem}")]
    Tensor {
        /// Its name as written.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// See [`ManifestError`]. Nothing is allocated beyond a small multiple of the text's own size, and some hundred bytes for
    /// each of its values, of which there are a million at most.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge(text.len()));
        }
        if text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > MAX_VALUES {
            return Err(ManifestError::TooManyValues);
        }
        // What it is comes first: a later version may look otherwise.
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            format: String,
            #[serde(default)]
            schema: u32,
        }
        let json = |error: serde_json::Error| ManifestError::Json(told(&error));
        let kind: Kind = serde_json::from_slice(text).map_err(json)?;
        if kind.format != FORMAT {
            return Err(ManifestError::Foreign(shown(&kind.format)));
        }
        if kind.schema > SCHEMA {
            return Err(ManifestError::Newer(kind.schema));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The networks that it has parameters of.
    pub fn components(&self) -> BTreeSet<&str> {
        self.tensors.keys().filter_map(|name| Some(name.split_once('.')?.0)).collect()
    }

    /// A small file; `None` if there is none of this path.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        Some(match self.files.get(path)? {
            Value::String(text) => text.clone().into_bytes(),
            value => value.to_string().into_bytes(),
        })
    }

    /// Bytes of all shards.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// The file that a component came from, if it is one.
    pub fn source_of(&self, component: &str) -> Option<&Source> {
        let mut its = self.sources.iter().filter(|source| source.components.iter().any(|name| name == component));
        its.next().filter(|_| its.next().is_none())
    }

    fn check(&self) -> Result<(), ManifestError> {
        let texts = [("title", &self.title), ("license", &self.license)];
        let texts = texts.into_iter().filter_map(|(field, text)| Some((field, text.as_ref()?)));
        let sources = self.sources.iter().map(|source| ("source", &source.file));
        let mut all = texts.chain(sources).chain([("family", &self.family), ("packed_by", &self.packed_by)]);
        if let Some((field, _)) = all.find(|(_, text)| text.len() > MAX_TEXT || text.chars().any(char::is_control)) {
            return Err(ManifestError::Text { field });
        }
        if self.shards.is_empty() || self.shards.len() > MAX_SHARDS {
            return Err(ManifestError::Shards(self.shards.len()));
        }
        let mut names = BTreeSet::new();
        for shard in &self.shards {
            let problem = if !is_plain(&shard.file) {
                "the name of a shard has letters, digits, `-`, `_` and `.` only, and ends in `.safetensors`"
            } else if !names.insert(&shard.file) {
                "it is named twice"
            } else if !(8..=MAX_SHARD_BYTES).contains(&shard.bytes) {
                "a shard has 8 bytes to 64 MiB"
            } else if !is_sha256(&shard.sha256) {
                "its SHA-256 is not 64 hexadecimal digits in lower case"
            } else {
                continue;
            };
            return Err(ManifestError::Shard { file: shown(&shard.file), problem });
        }
        for (path, value) in &self.files {
            let problem = if !is_small_file(path) {
                "the path of a small file is a plain name, or a folder and a plain name"
            } else if !(value.is_string() || value.is_object()) {
                "a small file is text or a JSON object"
            } else {
                continue;
            };
            return Err(ManifestError::File { path: shown(path), problem });
        }
        if self.tensors.len() > MAX_TENSORS {
            return Err(ManifestError::TooManyTensors);
        }
        let wrong = |name: &str, problem: String| ManifestError::Tensor { name: shown(name), problem };
        for (name, tensor) in &self.tensors {
            self.check_tensor(name, tensor).map_err(|problem| wrong(name, problem))?;
        }
        self.check_overlaps().map_err(|name| wrong(name, "another tensor has the same bytes".to_owned()))
    }

    fn check_tensor(&self, name: &str, tensor: &PackedTensor) -> Result<(), String> {
        if !acceptable(name) || !name.contains('.') {
            return Err("a name is that of a component and the path of a parameter in it, as in `unet.conv_in.weight`".to_owned());
        }
        if !tensor.dtype.is_float() {
            return Err(format!("parameters are F32, F16, BF16, F64, Q8 or Q4, and not {}", tensor.dtype));
        }
        if tensor.shape.len() > MAX_RANK || tensor.shape.contains(&0) {
            let shown = tensor.shape.get(..=MAX_RANK).unwrap_or(&tensor.shape);
            return Err(format!("the shape {shown:?} cannot be: at most {MAX_RANK} dimensions, none of them 0"));
        }
        let elements = tensor.elements();
        let needed = elements.and_then(|elements| tensor.dtype.bytes(elements));
        let (Some(elements), Some(needed)) = (elements, needed) else {
            return Err(format!("the shape {:?} is beyond what a file can hold", tensor.shape));
        };
        let scales = match tensor.dtype {
            Encoding::Plain(_) => 0,
            Encoding::Quantised(quant) => quant.scale_bytes(elements),
        };
        let is_quantised = scales > 0;
        if tensor.block != is_quantised.then_some(BLOCK) {
            return Err(format!("blocks of {:?}; quantised tensors have blocks of {BLOCK}, others none", tensor.block));
        }
        self.check_pieces(&tensor.pieces, needed, tensor.dtype.stored().size())?;
        self.check_pieces(&tensor.scales, scales, 2).map_err(|problem| format!("scales: {problem}"))
    }

    /// Whether the pieces have so many bytes together, of elements of such a size, inside their shards.
    fn check_pieces(&self, pieces: &[Piece], needed: u64, size: u64) -> Result<(), String> {
        let mut found = 0u64;
        for piece in pieces {
            let shard = self.shards.get(piece.shard).ok_or_else(|| format!("there is no shard {}", piece.shard))?;
            let end = piece.offset.checked_add(piece.bytes);
            if piece.bytes == 0 || piece.bytes % size != 0 || end.is_none_or(|end| end > shard.bytes) {
                let Piece { offset, bytes, .. } = piece;
                return Err(format!("{bytes} bytes from {offset} on are no range of elements in {}", shard.file));
            }
            found = found.saturating_add(piece.bytes);
        }
        if found == needed { Ok(()) } else { Err(format!("its pieces have {found} bytes, and it needs {needed}")) }
    }

    /// The name of a tensor that shares bytes with another.
    fn check_overlaps(&self) -> Result<(), &str> {
        let all = self.tensors.iter().flat_map(|(name, tensor)| tensor.ranges().map(move |piece| (piece, name.as_str())));
        let mut order: Vec<_> = all.collect();
        order.sort_unstable_by_key(|(piece, _)| (piece.shard, piece.offset));
        let overlap = order.windows(2).find_map(|pair| match pair {
            [(first, _), (second, name)] => {
                let shared = first.shard == second.shard && first.offset.saturating_add(first.bytes) > second.offset;
                shared.then_some(*name)
            }
            _ => None,
        });
        overlap.map_or(Ok(()), Err)
    }
}

/// As much of a name as a message shows.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

/// Whether a name is a file's in any system, and nothing else.
fn is_plain(name: &str) -> bool {
    let is_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 128 && name.ends_with(".safetensors") && !name.starts_with('.') && name.chars().all(is_ok)
}

fn is_sha256(digits: &str) -> bool {
    digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
}

fn is_small_file(path: &str) -> bool {
    acceptable(path) && path.split('/').count() <= 2 && !path.starts_with('.') && !path.contains(':')
}

/// Reads a map in which no key may come twice: which of the two is meant, readers would not agree on.
fn unique<'de, D: Deserializer<'de>, V: Deserialize<'de>>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error> {
    struct Unique<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some(key) = map.next_key::<String>()? {
                if entries.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("{:?} comes twice", shown(&key))));
                }
                if entries.len() == MAX_TENSORS {
                    return Err(A::Error::custom(format_args!("there are more than {MAX_TENSORS} entries")));
                }
                let value = map.next_value().map_err(|error| A::Error::custom(format_args!("{:?}: {error}", shown(&key))))?;
                entries.insert(key, value);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(Unique(PhantomData))
}
