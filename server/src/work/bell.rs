//! Wakes those who wait for something to do.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::sync::lock;

/// A bell; whoever has heard it so many times waits for the next.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<u64>,
    heard: Condvar,
}

impl Bell {
    /// Wakes everyone.
    pub(super) fn ring(&self) {
        *lock(&self.rung) += 1;
        self.heard.notify_all();
    }

    /// How often it was rung.
    pub(super) fn rung(&self) -> u64 {
        *lock(&self.rung)
    }

    /// Waits until it is rung more often than `heard`, but not longer than `patience`.
    pub(super) fn wait(&self, heard: u64, patience: Duration) {
        let waited = self.heard.wait_timeout_while(lock(&self.rung), patience, |rung| *rung == heard);
        drop(waited);
    }
}
