//! What the integration tests share: the device they run on and the reference tensors they compare with.

#![allow(dead_code, unused_imports, reason = "every test takes what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::disallowed_methods, reason = "a test is no library, and may wait for the device")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "../../../../tests/support/checkpoint.rs"]
pub mod checkpoint;
pub mod device;
#[path = "../../../../tests/support/folder.rs"]
pub mod folder;
pub mod goldens;
pub mod models;
pub mod run;
pub mod sampling;
pub mod single;

pub use device::device;
pub use goldens::{Goldens, assert_close, golden_dir, golden_json, relative_error};
