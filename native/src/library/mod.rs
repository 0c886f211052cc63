//! The models that are at hand, by name.
//!
//! They lie in a folder of our own and in other programs' trees, which are read and never changed ([`places`]). [`scan`] walks
//! them and tells models by names of files and folders alone; [`names`] gives each one a name that no other has, and [`find`]
//! knows it again by all the ways in which people write it. What a file holds is told from its header ([`model`]), and only
//! where somebody wants to know.
//!
//! A name is compared with what the walk has found and never becomes part of a path, so none leads out of these folders.

pub mod find;
pub mod kind;
pub mod model;
pub mod model_files;
pub mod names;
pub mod places;
pub mod scan;

pub use find::{Library, packed};
pub use kind::Kind;
pub use model::Model;
pub use model_files::{ModelFiles, Source};
pub use places::own as library;
