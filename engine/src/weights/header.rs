//! The table of contents of a safetensors file, parsed strictly.
//!
//! A file is eight bytes of little-endian length, that many bytes of JSON, and the data. The reference reader (the
//! crate `safetensors` 0.8) accepts duplicate names, empty tensors that share an offset, shapes such as
//! `[0, 2^64 - 1]`, white space before the JSON, names that are paths, and any number of tensors. A file comes from
//! a stranger: this reader takes none of them. It also demands what the format promises, that the tensors cover the
//! data without holes or overlaps, so no byte of a file goes unexplained.
//!
//! The parser allocates in proportion to the header's own size and stops at the first thing that is wrong.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::json::told;
use super::source::{SourceError, WeightSource};

/// The largest header that is read, in bytes.
pub const MAX_HEADER_BYTES: u64 = 8 << 20;
/// The largest number of tensors in one file.
pub const MAX_TENSORS: usize = 1 << 14;
/// The largest number of dimensions of a tensor.
pub const MAX_RANK: usize = 8;
/// The longest name of a tensor, in bytes.
const MAX_NAME: usize = 512;
/// The format's key for free-form metadata.
const METADATA: &str = "__metadata__";
/// The only tensors that may be empty, of shape `[0]`: that they are there is what they say. `v_pred` and `ztsnr` mark
/// SDXL checkpoints whose UNet predicts v, and was trained down to a signal of zero.
const MARKERS: [&str; 2] = ["v_pred", "ztsnr"];

/// An element type that safetensors files use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// One byte per truth value.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Floating point, 8 bits, 5 of exponent.
    F8E5M2,
    /// Floating point, 8 bits, 4 of exponent.
    F8E4M3,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 16 bits.
    U16,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    BF16,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 32 bits.
    U32,
    /// Single precision.
    F32,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 64 bits.
    U64,
    /// Double precision.
    F64,
}

/// The types, how files spell them, and bytes per element.
const DTYPES: [(Dtype, &str, u64); 15] = [
    (Dtype::Bool, "BOOL", 1),
    (Dtype::U8, "U8", 1),
    (Dtype::I8, "I8", 1),
    (Dtype::F8E5M2, "F8_E5M2", 1),
    (Dtype::F8E4M3, "F8_E4M3", 1),
    (Dtype::I16, "I16", 2),
    (Dtype::U16, "U16", 2),
    (Dtype::F16, "F16", 2),
    (Dtype::BF16, "BF16", 2),
    (Dtype::I32, "I32", 4),
    (Dtype::U32, "U32", 4),
    (Dtype::F32, "F32", 4),
    (Dtype::I64, "I64", 8),
    (Dtype::U64, "U64", 8),
    (Dtype::F64, "F64", 8),
];

impl Dtype {
    /// Bytes per element.
    pub fn size(self) -> u64 {
        DTYPES.iter().find(|(dtype, _, _)| *dtype == self).map_or(1, |(_, _, size)| *size)
    }

    /// The name that files use, such as `BF16`.
    pub fn name(self) -> &'static str {
        DTYPES.iter().find(|(dtype, _, _)| *dtype == self).map_or("", |(_, name, _)| name)
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        DTYPES.iter().find(|(_, known, _)| *known == name).map(|(dtype, _, _)| *dtype)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions, outermost first; at least one element, empty for a scalar.
    pub shape: Vec<usize>,
    /// The bytes in the file, counted from its beginning.
    pub range: Range<u64>,
}

impl TensorInfo {
    /// How many elements it has.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|dim| *dim as u64).product()
    }
}

/// The checked table of contents of one file.
#[derive(Clone, Debug, Default)]
pub struct Header {
    tensors: BTreeMap<String, TensorInfo>,
    markers: BTreeSet<&'static str>,
    metadata: BTreeMap<String, String>,
}

/// What is wrong with a weights file.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file is in another format.
    #[error("this is not a safetensors file but {found}; {advice}")]
    Foreign {
        /// What it looks like.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The file is too short to hold a header.
    #[error("the file has {len} bytes, too few for a safetensors header; download it again")]
    TooShort {
        /// The file's size.
        len: u64,
    },
    /// The header's length is beyond the limit.
    #[error(
        "the header claims {len} bytes, and at most {MAX_HEADER_BYTES} are allowed: the file is damaged or not a safetensors file"
    )]
    HeaderTooLong {
        /// What the first eight bytes say.
        len: u64,
    },
    /// The header reaches past the end of the file.
    #[error("the header claims {header} bytes, but the file has only {len}: it is cut short, download it again")]
    HeaderTruncated {
        /// What the first eight bytes say.
        header: u64,
        /// The file's size.
        len: u64,
    },
    /// The header is not the JSON that it must be.
    #[error("the header is not valid: {0}")]
    Json(String),
    /// Two tensors have one name.
    #[error("two tensors are called `{0}`")]
    Duplicate(String),
    /// Too many tensors.
    #[error("the file has more than {MAX_TENSORS} tensors")]
    TooManyTensors,
    /// A tensor's name is empty, too long, or looks like a path.
    #[error(
        "{0:?} is not accepted as a tensor's name: it is empty, longer than {MAX_NAME} bytes, has control characters, or reads like a path out of its folder"
    )]
    Name(String),
    /// The element type is unknown.
    #[error("tensor `{name}` has the element type {dtype:?}, which is not known here")]
    Dtype {
        /// The tensor.
        name: String,
        /// The type as written.
        dtype: String,
    },
    /// The shape cannot be.
    #[error("tensor `{name}` has the shape {shape:?}: {reason}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape as written.
        shape: Vec<u64>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A tensor's bytes do not fit its shape.
    #[error(
        "tensor `{name}` of shape {shape:?} in {dtype} needs {needed} bytes, but its offsets {start}..{end} do not span that"
    )]
    Size {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its element type.
        dtype: Dtype,
        /// Bytes that it needs.
        needed: u64,
        /// First offset.
        start: u64,
        /// One past the last offset.
        end: u64,
    },
    /// Two tensors share bytes.
    #[error("tensor `{name}` begins at byte {start} of the data, inside the one before it, which ends at {previous_end}")]
    Overlap {
        /// The tensor.
        name: String,
        /// Its first offset.
        start: u64,
        /// Where the one before ends.
        previous_end: u64,
    },
    /// Bytes that belong to no tensor.
    #[error("bytes {start}..{end} of the data belong to no tensor")]
    Hole {
        /// First such byte.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// The data is shorter than the table says.
    #[error("the tensors need {needed} bytes of data and the file has {found}: it is cut short, download it again")]
    Truncated {
        /// What the table says.
        needed: u64,
        /// What is there.
        found: u64,
    },
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Header {
    /// Reads and checks the header of a file.
    ///
    /// # Errors
    /// See [`HeaderError`]. No data is read, and nothing larger than the header is allocated.
    pub fn read(source: &(impl WeightSource + ?Sized)) -> Result<Self, HeaderError> {
        let len = source.len();
        let start = source.read(0..len.min(SNIFFED))?;
        let Some(length) = start.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)) else {
            return Err(foreign(&start).unwrap_or(HeaderError::TooShort { len }));
        };
        // A damaged length and another format look alike: say which it is where the first bytes tell.
        if length > MAX_HEADER_BYTES {
            return Err(foreign(&start).unwrap_or(HeaderError::HeaderTooLong { len: length }));
        }
        let data_start = 8 + length;
        if data_start > len {
            return Err(foreign(&start).unwrap_or(HeaderError::HeaderTruncated { header: length, len }));
        }
        let text = source.read(8..data_start)?;
        if text.first() != Some(&b'{') {
            let reason = || HeaderError::Json("it must begin with `{`".into());
            return Err(foreign(&start).unwrap_or_else(reason));
        }
        parse(&text, data_start, len - data_start)
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// Whether the file has an empty tensor of this name, as a mark.
    pub fn is_marked(&self, name: &str) -> bool {
        self.markers.contains(name)
    }

    /// The free-form metadata that writers leave (`format`, training notes).
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

/// How much of a file's beginning is looked at to tell foreign formats.
const SNIFFED: u64 = 512;

/// Recognises formats that are often mistaken for, or renamed to, safetensors.
fn foreign(start: &[u8]) -> Option<HeaderError> {
    const PICKLE: &str = "a Python pickle can run programs when it is opened, so it is not read at all; use the model's \
                          `.safetensors` files, or convert it with a tool that you trust on a machine that you can spare";
    const OTHER: &str = "use the model's `.safetensors` files";
    let trimmed = start.trim_ascii_start();
    let (found, advice) = match start {
        [b'P', b'K', 3, 4, ..] => ("a ZIP archive (a PyTorch checkpoint, .ckpt or .pt)", PICKLE),
        [0x80, 2..=5, ..] => ("a Python pickle (an old PyTorch checkpoint, .ckpt or .pt)", PICKLE),
        _ if start.get(257..262) == Some(b"ustar") => ("a tar archive (a very old PyTorch checkpoint)", PICKLE),
        [b'G', b'G', b'U', b'F', ..] => ("a GGUF file", OTHER),
        [0x89, b'H', b'D', b'F', ..] => ("an HDF5 file (TensorFlow or Keras)", OTHER),
        [0x1f, 0x8b, ..] => ("a gzip archive", "unpack it first"),
        _ if trimmed.starts_with(b"version https://git-lfs") => (
            "a Git LFS pointer, a few lines of text that stand for the file",
            "fetch the file itself with `git lfs pull`, or download it from the model's page",
        ),
        _ if trimmed.first() == Some(&b'<') => {
            ("a web page, perhaps an error message or a login form", "download the file again, and look at what the server says")
        }
        _ => return None,
    };
    Some(HeaderError::Foreign { found, advice })
}

fn parse(text: &[u8], data_start: u64, data_len: u64) -> Result<Header, HeaderError> {
    // The format pads the header with spaces, and with nothing else.
    let padding = text.iter().rev().take_while(|byte| **byte == b' ').count();
    let body = text.get(..text.len() - padding).unwrap_or_default();
    if body.last() != Some(&b'}') {
        return Err(HeaderError::Json("it must end with `}` and be padded with spaces only".into()));
    }

    let mut refusal = None;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let table = TableSeed { refusal: &mut refusal, data_start, data_len }.deserialize(&mut reader);
    let Table { tensors, markers, metadata } = match table.and_then(|table| reader.end().map(|()| table)) {
        Ok(table) => table,
        Err(error) => return Err(refusal.unwrap_or_else(|| HeaderError::Json(told(&error)))),
    };
    cover(&tensors, data_start, data_len)?;
    Ok(Header { tensors, markers, metadata })
}

/// A table entry as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor<'a> {
    #[serde(borrow)]
    dtype: Cow<'a, str>,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl RawTensor<'_> {
    /// Whether it is a list of no numbers, inside the data.
    fn is_empty_list(&self, data_len: u64) -> bool {
        let (start, end) = self.data_offsets;
        self.shape == [0] && start == end && end <= data_len && Dtype::parse(&self.dtype).is_some()
    }
}

struct Table {
    tensors: BTreeMap<String, TensorInfo>,
    markers: BTreeSet<&'static str>,
    metadata: BTreeMap<String, String>,
}

/// Reads the table entry by entry, so that a refusal comes before the rest of a hostile header is parsed.
struct TableSeed<'a> {
    refusal: &'a mut Option<HeaderError>,
    data_start: u64,
    data_len: u64,
}

impl<'de> DeserializeSeed<'de> for TableSeed<'_> {
    type Value = Table;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Table, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl TableSeed<'_> {
    fn refuse<E: serde::de::Error>(&mut self, error: HeaderError) -> E {
        let text = E::custom(&error);
        *self.refusal = Some(error);
        text
    }
}

impl<'de> Visitor<'de> for TableSeed<'_> {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Table, A::Error> {
        let mut tensors = BTreeMap::new();
        let mut markers = BTreeSet::new();
        let mut metadata = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                if metadata.is_some() {
                    return Err(self.refuse(HeaderError::Duplicate(name)));
                }
                metadata = Some(map.next_value()?);
                continue;
            }
            if !acceptable(&name) {
                let shown = name.chars().take(80).collect();
                return Err(self.refuse(HeaderError::Name(shown)));
            }
            if tensors.contains_key(&name) || markers.contains(name.as_str()) {
                map.next_value::<IgnoredAny>()?;
                return Err(self.refuse(HeaderError::Duplicate(name)));
            }
            if tensors.len() == MAX_TENSORS {
                return Err(self.refuse(HeaderError::TooManyTensors));
            }
            let entry: RawTensor<'de> =
                map.next_value().map_err(|error| A::Error::custom(format_args!("tensor `{name}`: {error}")))?;
            if let Some(marker) = MARKERS.iter().find(|marker| **marker == name).filter(|_| entry.is_empty_list(self.data_len)) {
                markers.insert(*marker);
                continue;
            }
            let info = check(&name, entry, self.data_start, self.data_len).map_err(|error| self.refuse(error))?;
            tensors.insert(name, info);
        }
        Ok(Table { tensors, markers, metadata: metadata.unwrap_or_default() })
    }
}

/// Whether a name is one that a model's parameter could have. Names are only ever compared, never opened; but they
/// end in messages, and other programs write files called after them.
pub(super) fn acceptable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.contains('\\')
        && !name.chars().any(char::is_control)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn check(name: &str, raw: RawTensor<'_>, data_start: u64, data_len: u64) -> Result<TensorInfo, HeaderError> {
    let dtype = Dtype::parse(&raw.dtype)
        .ok_or_else(|| HeaderError::Dtype { name: name.to_owned(), dtype: raw.dtype.chars().take(40).collect() })?;
    let wrong = |reason: &'static str| HeaderError::Shape {
        name: name.to_owned(),
        shape: raw.shape.iter().take(MAX_RANK + 1).copied().collect(),
        reason,
    };
    if raw.shape.len() > MAX_RANK {
        return Err(wrong("it has more than 8 dimensions"));
    }
    if raw.shape.contains(&0) {
        return Err(wrong("a tensor without elements has no place among weights"));
    }
    let too_large = || wrong("its size is beyond what a file can hold");
    let mut needed = dtype.size();
    let mut shape = Vec::with_capacity(raw.shape.len());
    for dim in &raw.shape {
        needed = needed.checked_mul(*dim).ok_or_else(too_large)?;
        shape.push(usize::try_from(*dim).map_err(|_| too_large())?);
    }
    let (start, end) = raw.data_offsets;
    if end.checked_sub(start) != Some(needed) {
        return Err(HeaderError::Size { name: name.to_owned(), shape, dtype, needed, start, end });
    }
    if end > data_len {
        return Err(HeaderError::Truncated { needed: end, found: data_len });
    }
    Ok(TensorInfo { dtype, shape, range: data_start + start..data_start + end })
}

/// Checks that the tensors cover the data exactly.
fn cover(tensors: &BTreeMap<String, TensorInfo>, data_start: u64, data_len: u64) -> Result<(), HeaderError> {
    let mut order: Vec<(&String, u64, u64)> =
        tensors.iter().map(|(name, t)| (name, t.range.start - data_start, t.range.end - data_start)).collect();
    order.sort_unstable_by_key(|(_, start, _)| *start);
    let mut covered = 0;
    for (name, start, end) in order {
        if start < covered {
            return Err(HeaderError::Overlap { name: name.clone(), start, previous_end: covered });
        }
        if start > covered {
            return Err(HeaderError::Hole { start: covered, end: start });
        }
        covered = end;
    }
    if covered < data_len {
        return Err(HeaderError::Hole { start: covered, end: data_len });
    }
    Ok(())
}
