//! The claims that this process holds, so that one thread can give signs of life for all of them.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::queue::{Standing, Token};
use crate::sync::lock;

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<Vec<Arc<Hold>>>);

/// A claim.
#[derive(Debug)]
pub(super) struct Hold {
    /// What proves it.
    pub(super) token: Token,
    /// Whose thread works on it.
    pub(super) device: String,
    /// For how many seconds it may run, and until when that is, if there is a limit.
    pub(super) limit: Option<(u32, Instant)>,
    told: AtomicU8,
    /// Its device is done; what is left is to write the end.
    is_ending: AtomicBool,
    /// Since when its worker is asked to stop.
    asked: OnceLock<Instant>,
}

impl Holds {
    pub(super) fn add(&self, token: Token, device: &str, timeout_secs: u32) -> Arc<Hold> {
        let limit = (timeout_secs > 0).then(|| (timeout_secs, Instant::now() + Duration::from_secs(timeout_secs.into())));
        let (told, is_ending, asked) = (AtomicU8::new(0), AtomicBool::new(false), OnceLock::new());
        let hold = Arc::new(Hold { token, device: device.to_owned(), limit, told, is_ending, asked });
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
        if standing == Standing::Cancelled {
            self.asked.get_or_init(Instant::now);
        }
        // What is lost does not come back.
        self.told.fetch_max(told, Ordering::SeqCst);
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        self.limit.is_some_and(|(_, end)| Instant::now() >= end)
    }

    /// The device is done with it.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
    }

    /// For how long its device should have stopped by now.
    pub(super) fn late(&self) -> Option<Duration> {
        if self.is_ending.load(Ordering::SeqCst) {
            return None;
        }
        let since = [self.asked.get().copied(), self.limit.map(|(_, end)| end)].into_iter().flatten().min()?;
        Instant::now().checked_duration_since(since)
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
