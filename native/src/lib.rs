//! The launcher: a command line around Encaustic's engine.
//!
//! The engine knows no file, clock, thread or terminal; this crate brings them. It maps model files into memory, keeps
//! all tensor work on one thread of its own, draws the progress, and saves pictures with their settings inside.
//!
//! The program itself is `main.rs`, a few lines: everything else is in this library, where tests and fuzzers reach it.

pub mod cli;
pub mod dump;
pub mod failure;
pub mod files;
pub mod infotext;
pub mod interrupt;
pub mod memory;
pub mod png;
pub mod png_info;
pub mod png_text;
pub mod run;
