//! What a file of weights is, and what can be done with it: telling ([`inspect`]) and packing ([`pack`]).
//!
//! People own files of many kinds under one ending: whole checkpoints, single networks, LoRAs and their kin, textual
//! inversions, ControlNets, upscalers. [`inspect`] tells them apart by the header alone, the names, shapes and types of the
//! tensors and the metadata beside them: no weight is read, so a file of any size takes milliseconds.
//!
//! Families of models are the engine's: each one's file there says how its checkpoints are recognised and where they have
//! which parameter, and this crate asks. What is listed here, once, is what a file can be other than a family's model
//! ([`Component`]).
//!
//! ```
//! use encaustic_engine::weights::Header;
//! use encaustic_importer::{Component, inspect};
//!
//! // A textual inversion: eight bytes of length, a table of contents, and one vector of 768 numbers.
//! let table = br#"{"emb_params":{"dtype":"F16","shape":[1,768],"data_offsets":[0,1536]}}"#;
//! let mut file = (table.len() as u64).to_le_bytes().to_vec();
//! file.extend_from_slice(table);
//! file.resize(file.len() + 1536, 0);
//!
//! let report = inspect(&Header::read(&file)?);
//! assert_eq!(report.component, Component::TextualInversion);
//! assert_eq!(report.family, Some("sd1"));
//! assert!(report.unfit().is_some_and(|why| why.contains("textual inversion")));
//! # Ok::<(), encaustic_engine::weights::HeaderError>(())
//! ```

mod adapter;
mod component;
mod metadata;
pub mod pack;
mod parts;
mod report;

pub use adapter::Adapter;
pub use component::{Component, Naming};
pub use metadata::Training;
pub use parts::{Missing, Part};
pub use report::{Distilled, Predicts, Report, inspect};
