//! What the integration tests share: the device they run on and the reference tensors they compare with.

#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

pub mod device;
pub mod goldens;

pub use device::device;
pub use goldens::{Goldens, assert_close, golden_dir, golden_json, relative_error};
