//! The launcher: a command line around Encaustic's engine.
//!
//! The engine knows no file, clock, thread or terminal; this crate brings them. It maps model files into memory, keeps
//! all tensor work on one thread of its own, draws the progress, and saves pictures with their settings inside.
//!
//! The program itself is `main.rs`, a few lines: everything else is in this library, where tests and fuzzers reach it.

pub mod bench;
pub mod caption;
pub mod cli;
pub mod config;
pub mod demo;
pub mod devices;
pub mod dump;
pub mod failure;
pub mod files;
pub mod generate;
pub mod hash;
pub mod import;
pub mod info;
pub mod info_file;
pub mod info_packed;
pub mod interrupt;
pub mod key;
pub mod library;
pub mod machine;
pub mod mapped;
pub mod measure;
pub mod memory;
pub mod models;
pub mod packing;
pub mod png_info;
pub mod progress;
pub mod pull;
pub mod report;
pub mod rm;
pub mod run;
pub mod samplers;
pub mod seed;
pub mod serve;
pub mod settings;
pub mod shell;
pub mod single;
pub mod sources;
pub mod stats;
pub mod table;
pub mod terminal;
pub mod verify;
mod watch;
pub mod work;
