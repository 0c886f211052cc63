//! Where the engine is: the page sends orders and hears news, and cannot tell a worker from a server.

pub(super) mod lock;
mod remote;
mod worker;

use crate::message::{News, Order};

pub use remote::RemoteBackend;
pub use worker::WorkerBackend;

/// An engine somewhere.
pub trait Backend {
    /// Sends an order. `file` is the user's, for the orders that mean one.
    ///
    /// # Errors
    /// If nobody is there to hear it.
    fn send(&self, order: &Order, file: Option<&web_sys::File>) -> Result<(), Disconnected>;
}

/// Nobody hears.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine does not answer: {0}")]
pub struct Disconnected(pub String);

/// What comes from an engine.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The news.
    pub news: News,
    /// With [`News::Picture`]: four bytes per pixel.
    pub pixels: Option<js_sys::Uint8ClampedArray>,
}
