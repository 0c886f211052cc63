//! Encaustic's server: a queue that loses nothing, devices that work it off, the pictures on a disk, and the interfaces that
//! browsers and programs speak.
//!
//! ```text
//! http/ ──> queue/ ──> work/ ──> host::Engine (the launcher's; tensors never come here)
//!   │         │          │
//!   │         └── db ────┤            one SQLite database and one folder of pictures below `data`
//!   └──< events <────────┘            what happens, to whoever follows
//! ```
//!
//! A client's wish becomes a row in the queue before it is answered. One OS thread per device claims a job at a time, has the
//! engine draw, writes the files, and ends the job and enters its pictures in one transaction. What draws is behind
//! [`host::Host`], so this crate compiles without Burn, and its tests run against an engine that is quick.
//!
//! Only [`http`] knows HTTP. Everything below it is synchronous: handlers go to it by [`App::blocking`].

pub mod app;
pub mod auth;
pub mod config;
pub mod db;
mod descriptors;
pub mod events;
pub mod host;
pub mod http;
pub mod images;
pub mod job;
pub mod logs;
pub mod metrics;
pub mod preferences;
pub mod pulls;
pub mod queue;
pub mod reach;
pub mod secrets;
pub mod server;
pub mod settings;
mod sync;
pub mod telemetry;
pub mod time;
pub mod webhooks;
pub mod work;

pub use app::App;
pub use server::Server;
