//! The server over a real socket, with a real database and folder, and an engine that is quick.

mod support;

mod basics;
mod operations;
mod webhooks;
