//! Moments, as the database keeps them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// Tells the time; tests bring their own.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The time of this machine.
pub fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX))
}

/// The clock of this machine.
pub fn system() -> Clock {
    Arc::new(now)
}
