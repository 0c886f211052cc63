//! Encaustic in a browser.
//!
//! The engine sits in a dedicated worker, so that a page stays quick while it computes, and the page talks to it in
//! messages: orders go in, news come out ([`message`]). Commands and events inside them are those of `protocol`, the
//! same as everywhere else. The page (`page`, feature `ui`) never compiles the engine; the worker (`worker`, feature
//! `engine`) never compiles the page.
//!
//! Both exist in a browser only; what is compiled elsewhere is the words, the order of the queue, what the page knows of
//! its jobs and what it says to a server ([`remote`]), which are tested there.

pub mod amount;
pub mod bench;
pub mod form;
pub mod gallery;
pub mod history;
pub mod inbox;
pub mod jobs;
pub mod message;
pub mod offers;
pub mod pace;
#[cfg(all(feature = "ui", target_arch = "wasm32", target_os = "unknown"))]
pub mod page;
pub mod preferences;
pub mod ranges;
pub mod remote;
pub mod supervisor;
#[cfg(all(feature = "engine", target_arch = "wasm32", target_os = "unknown"))]
pub mod worker;
