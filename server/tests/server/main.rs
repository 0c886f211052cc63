//! The server over a real socket, with a real database and folder, and an engine that is quick.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod support;

mod basics;
mod operations;
mod queue;
mod webhooks;
mod work;
