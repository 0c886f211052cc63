//! The claims that this process holds, so that one thread can give signs of life for all of them.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;
use crate::queue::{Standing, Token};

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<Vec<Arc<Hold>>>);

/// A claim.
#[derive(Debug)]
pub(super) struct Hold {
    /// What proves it.
    pub(super) token: Token,
    told: AtomicU8,
}

impl Holds {
    pub(super) fn add(&self, token: Token) -> Arc<Hold> {
        let hold = Arc::new(Hold { token, told: AtomicU8::new(0) });
        lock(&self.0).push(Arc::clone(&hold));
        hold
    }

    pub(super) fn remove(&self, hold: &Arc<Hold>) {
        lock(&self.0).retain(|held| !Arc::ptr_eq(held, hold));
    }

    pub(super) fn all(&self) -> Vec<Arc<Hold>> {
        lock(&self.0).clone()
    }
}

impl Hold {
    /// The queue has said how it stands.
    pub(super) fn tell(&self, standing: Standing) {
        let told = match standing {
            Standing::Held => 0,
            Standing::Cancelled => 1,
            Standing::Lost => 2,
        };
        // What is lost does not come back.
        self.told.fetch_max(told, Ordering::SeqCst);
    }

    /// How it stands, as far as the queue has said.
    pub(super) fn standing(&self) -> Standing {
        match self.told.load(Ordering::SeqCst) {
            0 => Standing::Held,
            1 => Standing::Cancelled,
            _ => Standing::Lost,
        }
    }
}
