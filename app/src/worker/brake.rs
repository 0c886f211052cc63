//! Stopping what is under way: a load or the packing of a file.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use web_sys::{AbortController, AbortSignal};

/// A brake that somebody else may pull. Its clones are the same brake.
#[derive(Clone, Default)]
pub(super) struct Brake(Rc<Inner>);

#[derive(Default)]
struct Inner {
    pulled: Cell<bool>,
    /// What is being fetched.
    request: RefCell<Option<AbortController>>,
}

impl Brake {
    /// Stops what the brake is for, and the request that waits for a server.
    pub(super) fn pull(&self) {
        self.0.pulled.set(true);
        if let Some(request) = self.0.request.borrow().as_ref() {
            request.abort();
        }
    }

    /// Whether it has been pulled.
    pub(super) fn is_pulled(&self) -> bool {
        self.0.pulled.get()
    }

    /// What ends the next request, when the brake is pulled.
    pub(super) fn signal(&self) -> Option<AbortSignal> {
        let request = AbortController::new().ok()?;
        if self.is_pulled() {
            request.abort();
        }
        let signal = request.signal();
        self.0.request.replace(Some(request));
        Some(signal)
    }
}
