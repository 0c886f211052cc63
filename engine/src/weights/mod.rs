//! Weights: from bytes that nobody vouches for to parameters on a device.
//!
//! The way is: a [`WeightSource`] gives byte ranges of one file; [`Header::read`] parses and checks its table of
//! contents, strictly, before anything is believed; a [`Checkpoint`] is one such file, a set of shards under one roof, or
//! a component of a packed model, whose [`Manifest`] tells what lies where; [`load_into`] walks a module's own parameter list, compares it with the checkpoint, names every
//! disagreement in one error, and only then uploads, one tensor at a time, so that the host never holds more than
//! one tensor in addition to the mapped file.
//!
//! Modules are created empty ([`crate::model::layer`]): building one costs no memory and no time, and its parameter
//! list ([`parameters`]) can be had without any weights.
//!
//! ```
//! use encaustic_engine::weights::{Checkpoint, Header};
//!
//! // Eight bytes of length, a JSON table of contents, and the data: one f32 tensor of two numbers.
//! let table = br#"{"scale":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
//! let mut file = (table.len() as u64).to_le_bytes().to_vec();
//! file.extend_from_slice(table);
//! file.extend_from_slice(&[0, 0, 128, 63, 0, 0, 0, 64]);
//!
//! let checkpoint = Checkpoint::single("scale.safetensors", &file[..])?;
//! assert_eq!(checkpoint.get("scale").map(|t| t.shape.clone()), Some(vec![2]));
//! assert!(Header::read(&&file[..file.len() - 1]).is_err(), "a truncated file is refused");
//! # Ok::<(), encaustic_engine::weights::CheckpointError>(())
//! ```

mod checkpoint;
mod convert;
mod encoding;
mod files;
mod header;
mod json;
mod load;
mod manifest;
mod names;
mod numbers;
mod quant;
mod source;

pub use checkpoint::{Checkpoint, CheckpointError, SCALE, Stored};
pub use encoding::{Encoding, UnknownEncoding};
pub use files::{FileSet, FilesError, Precision, choose_files};
pub use header::{Dtype, Header, HeaderError, MAX_HEADER_BYTES, MAX_RANK, MAX_TENSORS, TensorInfo};
pub use load::{LoadError, MisShaped, See, check, each, listed, load_into};
pub use manifest::{
    FORMAT, MANIFEST, MAX_MANIFEST_BYTES, MAX_SHARD_BYTES, MAX_TEXT, Manifest, ManifestError, PackedTensor, Piece, SCHEMA, Shard,
    Source,
};
pub use names::{Cut, KeyMap, Parameter, ParameterPath, Place, parameter_count, parameters};
pub use numbers::{EncodeError, Encoded, InFile, Numbers};
pub use quant::{BLOCK, Quant, Quantised, Unquantisable};
pub use source::{SourceError, WeightSource};
