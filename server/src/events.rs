//! What happens, to whoever follows.
//!
//! There are two kinds of events. *Stored* ones (a job begins, ends, waits again) have a number of their own and are in the
//! database: whoever says up to which number he has heard gets all later ones. *Live* ones (steps, previews, transfers) are told
//! as they happen and carry the number of the last stored one; who misses some misses nothing that the next does not say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encaustic_protocol::{Change, JobId};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use utoipa::ToSchema;

use crate::host::Transfer;
use crate::http::schema;
use crate::metrics::Metrics;
use crate::time::{self, Millis};

/// Events that a follower may be behind before it is told to ask anew.
const BEHIND: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The number of the last stored event, this one if it is stored.
    pub seq: u64,
    /// Whether it is stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_live: bool,
    /// When.
    pub at: Millis,
    /// What.
    #[serde(flatten)]
    pub news: News,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum News {
    /// To a job. A preview's picture is at `/api/v1/jobs/{job}/preview`.
    Job {
        /// Which.
        #[schema(value_type = u64)]
        job: JobId,
        /// What.
        #[schema(value_type = schema::Change)]
        change: Change,
    },
    /// The queue was paused or goes on, or its order is another now.
    Queue {
        /// Whether it is paused.
        is_paused: bool,
    },
    /// A model came or went.
    Models,
    /// A picture was entered, changed or deleted.
    Images,
    /// A model is on its way into the library.
    Pull {
        /// What was asked for.
        source: String,
        /// How far it is.
        transfer: Transfer,
        /// `None` while it is on its way; then whether it is there.
        done: Option<bool>,
        /// Why it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// A follower was too slow: whatever it shows it must ask for again.
    Resync,
}

/// Tells all followers.
#[derive(Clone)]
pub struct Hub {
    last: Arc<AtomicU64>,
    sender: broadcast::Sender<Arc<Event>>,
    metrics: Arc<Metrics>,
}

impl Hub {
    /// A hub after the stored event `last`.
    pub fn new(last: u64) -> Self {
        Self { last: Arc::new(AtomicU64::new(last)), sender: broadcast::channel(BEHIND).0, metrics: Arc::default() }
    }

    /// Counts what it tells.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Tells a stored event, after its transaction. Whoever stores them does so one after another.
    pub fn stored(&self, event: Event) {
        self.last.fetch_max(event.seq, Ordering::SeqCst);
        self.metrics.happened(&event);
        // Nobody may be listening.
        let _ = self.sender.send(Arc::new(event));
    }

    /// Tells a live event.
    pub fn live(&self, news: News) {
        let event = Event { seq: self.last.load(Ordering::SeqCst), is_live: true, at: time::now(), news };
        let _ = self.sender.send(Arc::new(event));
    }

    /// The number of the last stored event.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }

    /// All events from now on.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Event>> {
        self.sender.subscribe()
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.sender.receiver_count()
    }
}
