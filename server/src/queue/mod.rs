//! The queue: what is wanted, in an order that is fair, kept so that nothing is lost.
//!
//! [`Queue`] is what the rest of the server knows of it; [`sqlite`] keeps it in SQLite. What holds for every implementation:
//!
//! - A job that [`Queue::submit`] has returned is on the disk.
//! - A job that a worker has claimed is that worker's until its lease runs out; the [`Token`] of an earlier claim changes
//!   nothing any more.
//! - Every job ends once: with its last event, and its pictures, in one transaction.
//! - Jobs of a higher priority come first; among equals, clients take turns; a client's own jobs come in their order.

pub mod sqlite;

use encaustic_protocol::{Failure, JobId};

use crate::events::Event;
use crate::images::NewImage;
use crate::job::{Client, Job, NewJob, Priority, State};
use crate::time::Millis;

/// How long a claim holds without a sign of life, in milliseconds.
pub const LEASE_MS: Millis = 30_000;
/// How often a worker gives a sign of life, in milliseconds.
pub const BEAT_MS: Millis = 10_000;

/// Keeps jobs. All of it blocks.
pub trait Queue: Send + Sync + 'static {
    /// Takes a job in. With an idempotency `key` that this client has used before, the job of then is returned.
    ///
    /// # Errors
    /// [`QueueError::Full`] where too many wait already, [`QueueError::KeyReused`] for another wish under the same key.
    fn submit(&self, wish: &NewJob, client: &Client, key: Option<&str>) -> Result<Submitted, QueueError>;

    /// The job that this client's idempotency `key` stands for, if it stands for one.
    ///
    /// # Errors
    /// [`QueueError::KeyReused`] for another wish under the same key.
    fn known(&self, wish: &NewJob, client: &Client, key: &str) -> Result<Option<JobId>, QueueError>;

    /// Gives a worker its next job, if there is one and the queue is not paused. A job for the model that the worker has
    /// `loaded` may come a bounded number of times before others.
    fn claim(&self, worker: &Worker<'_>) -> Result<Option<Claim>, QueueError>;

    /// A sign of life: renews the lease.
    fn beat(&self, token: &Token) -> Result<Standing, QueueError>;

    /// How it stands with a claim, without a sign of life: quick enough for every step.
    fn standing(&self, token: &Token) -> Result<Standing, QueueError>;

    /// Adds a remark to a job, also to one that this claim has ended.
    fn log(&self, token: &Token, text: &str) -> Result<(), QueueError>;

    /// Ends a job.
    ///
    /// # Errors
    /// [`QueueError::Lost`] if it is not this claim's any more; then nothing has changed.
    fn end(&self, token: &Token, end: &End) -> Result<(), QueueError>;

    /// Puts a job back to where it was, uncounted: its worker is asked to leave.
    ///
    /// # Errors
    /// As [`Queue::end`].
    fn put_back(&self, token: &Token) -> Result<(), QueueError>;

    /// Puts a job back to where it was, counted: its device broke down. One that was taken back meanwhile ends.
    ///
    /// # Errors
    /// As [`Queue::end`].
    fn give_back(&self, token: &Token) -> Result<(), QueueError>;

    /// Takes back the claims whose leases have run out, or all of them (`everyone`: at the start of a server that has the
    /// database for itself); jobs that were there at too many deaths fail. Returns how many there were.
    fn reclaim(&self, everyone: bool) -> Result<u32, QueueError>;

    /// Takes a job back: a waiting one ends at once, a running one when its worker hears of it.
    ///
    /// # Errors
    /// [`QueueError::Unknown`], and [`QueueError::Over`] if it has ended.
    fn cancel(&self, job: JobId) -> Result<State, QueueError>;

    /// Puts a failed or cancelled job into the queue again, as a new job; returns its number.
    fn retry(&self, job: JobId, client: &Client) -> Result<Submitted, QueueError>;

    /// Changes the priority of a waiting job.
    fn prioritise(&self, job: JobId, priority: Priority) -> Result<(), QueueError>;

    /// Moves a waiting job before another of its priority (`None`: behind all of them).
    ///
    /// # Errors
    /// [`QueueError::NotNow`] if one of them does not stand in line, [`QueueError::Unequal`] for different priorities.
    fn place(&self, job: JobId, before: Option<JobId>) -> Result<(), QueueError>;

    /// Stops (or goes on with) giving out jobs; lasts over a restart.
    fn pause(&self, is_paused: bool) -> Result<(), QueueError>;

    /// How it stands.
    fn counts(&self) -> Result<Counts, QueueError>;

    /// A job.
    ///
    /// # Errors
    /// [`QueueError::Unknown`].
    fn job(&self, job: JobId) -> Result<Job, QueueError>;

    /// Jobs: waiting ones in the order in which they will be done, those whose moment has not come behind them, then all
    /// others, newest first.
    fn jobs(&self, wanted: &Wanted) -> Result<Vec<Job>, QueueError>;

    /// Stored events after a number, oldest first, at most `most` and never more than 1000.
    fn events(&self, after: u64, job: Option<JobId>, most: u32) -> Result<Vec<Event>, QueueError>;

    /// The number of the last stored event.
    fn last_event(&self) -> Result<u64, QueueError>;

    /// Forgets jobs that ended before a moment; their pictures stay. Returns how many there were.
    fn forget(&self, ended_before: Millis) -> Result<u32, QueueError>;
}

/// Who claims.
#[derive(Clone, Copy, Debug)]
pub struct Worker<'a> {
    /// Its name: a device's.
    pub name: &'a str,
    /// The model that it has loaded.
    pub loaded: Option<&'a str>,
    /// Models that nobody has yet: jobs for them wait.
    pub away: &'a [String],
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The job.
    pub job: JobId,
    /// Whether it is new; not if the key was known.
    pub is_new: bool,
}

/// A job that is being worked on.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job.
    pub job: Job,
    /// What proves that it is ours.
    pub token: Token,
}

/// What proves that a job is a worker's: the number rises with every claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The job.
    pub job: JobId,
    /// Which claim of it.
    pub claim: u64,
}

/// How it stands with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    Held,
    /// It holds, and the job is to be stopped.
    Cancelled,
    /// It is another worker's, or has ended: stop and forget it.
    Lost,
}

/// How a job ends.
#[derive(Clone, Debug)]
pub enum End {
    /// With pictures, whose files are written.
    Finished(Vec<NewImage>),
    /// With a failure.
    Failed(Failure),
    /// As somebody wanted.
    Cancelled,
}

/// Which jobs are listed.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// In these states; in all if there is none.
    pub states: Vec<State>,
    /// Of this client.
    pub client: Option<Client>,
    /// Those that this list has behind this job.
    pub before: Option<JobId>,
    /// At most so many, and never more than 1000; 0 for the usual 100.
    pub most: u32,
}

/// How it stands with the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// Jobs that wait.
    pub waiting: u64,
    /// Those of them whose moment has not come.
    pub scheduled: u64,
    /// Jobs that are worked on.
    pub running: u64,
    /// How many may wait.
    pub capacity: u64,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// What a queue refuses, or cannot do.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such job.
    #[error("there is no job {}; it may have been cleaned away", .0.0)]
    Unknown(JobId),
    /// The job has ended.
    #[error("job {} has ended already ({})", .job.0, .state.name())]
    Over {
        /// The job.
        job: JobId,
        /// How.
        state: State,
    },
    /// The job is not in a state in which that makes sense.
    #[error("job {} is {}, and only {wants} can be changed like this", .job.0, .state.name())]
    NotNow {
        /// The job.
        job: JobId,
        /// Its state.
        state: State,
        /// What would do.
        wants: &'static str,
    },
    /// Two jobs whose order is given by their priorities.
    #[error("jobs {} and {} have different priorities, which decide who comes first; give them the same first", .job.0, .other.0)]
    Unequal {
        /// One of them.
        job: JobId,
        /// The other.
        other: JobId,
    },
    /// The claim is not valid any more.
    #[error("job {} is not this worker's any more", .0.0)]
    Lost(JobId),
    /// Too many jobs wait.
    #[error("{waiting} jobs wait already, no more than {capacity} may; try again in {retry_secs} s")]
    Full {
        /// How many wait.
        waiting: u64,
        /// How many may.
        capacity: u64,
        /// When to try again.
        retry_secs: u32,
    },
    /// An idempotency key with another wish.
    #[error("the idempotency key {0:?} was used for another request; use a new one")]
    KeyReused(String),
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] crate::db::DbError),
}
