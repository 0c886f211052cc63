//! The server over a real socket, with a real database and folder, and an engine that is quick.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)] // how tests and their helpers fail

mod support;

mod api;
mod auth;
mod basics;
mod docs;
mod events;
mod http_safety;
mod images;
mod images_files;
mod images_paths;
mod images_store;
mod images_upload;
mod interface;
mod openai;
mod operations;
mod queue;
mod scopes;
mod sdapi;
mod webhooks;
mod work;
