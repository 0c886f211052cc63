//! Encaustic in a browser.
//!
//! The engine sits in a dedicated worker, so that a page stays quick while it computes, and the page talks to it in
//! messages: orders go in, news come out ([`message`]). Commands and events inside them are those of `protocol`, the
//! same as everywhere else.
//!
//! The worker itself exists in a browser only; what is compiled elsewhere is the words and the order of the queue, which
//! are tested there.

pub mod inbox;
pub mod message;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod worker;
