//! Jobs: a request on its way through the queue.

use encaustic_protocol::{Failure, ImageRef, JobId, Request};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::schema;
use crate::time::Millis;

/// Jobs of a higher priority come first.
pub type Priority = i32;

/// The priorities that there are.
pub const PRIORITIES: std::ops::RangeInclusive<Priority> = -100..=100;

/// Who asks for something: the name of an API key, or [`Client::LOCAL`] where none is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Client(pub String);

impl Client {
    /// Whoever sits at this machine.
    pub const LOCAL: &str = "local";

    /// The client at this machine.
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }
}

/// A wish, before it is a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewJob {
    /// What pictures. A seed that is left open is drawn when the job is taken in, so that a second try gives the same.
    #[schema(value_type = schema::Request)]
    pub request: Request,
    /// With which model of the library; the server's usual one if nothing is said.
    pub model: Option<String>,
    /// Before or after others.
    pub priority: Priority,
    /// Not to be begun before this moment, in milliseconds since 1970.
    pub not_before: Option<Millis>,
    /// For how many seconds it may run; the server's setting if nothing is said.
    pub timeout_secs: Option<u32>,
    /// Told when the job has ended.
    pub webhook: Option<String>,
}

/// Where a job is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for a device, or for its moment.
    Waiting,
    /// A device works on it.
    Running,
    /// Its pictures are there.
    Finished,
    /// It came to nothing.
    Failed,
    /// Somebody took it back.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Running, Self::Finished, Self::Failed, Self::Cancelled];

    /// Its name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it by itself.
    pub fn is_last(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }
}

/// A job, as the queue knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its number.
    #[schema(value_type = u64)]
    pub id: JobId,
    /// Who wants it.
    pub client: Client,
    /// What is wanted.
    pub wish: NewJob,
    /// Where it is.
    pub state: State,
    /// How many jobs come first, if it waits.
    pub ahead: Option<u32>,
    /// How often a worker has begun it.
    pub attempts: u32,
    /// How many of these tries ended with the death of the whole server.
    pub crashes: u32,
    /// The device that works on it or did so last.
    pub device: Option<String>,
    /// When it was taken in.
    pub created: Millis,
    /// When it was begun last.
    pub started: Option<Millis>,
    /// When it ended.
    pub ended: Option<Millis>,
    /// Why it came to nothing.
    #[schema(value_type = Option<schema::Failure>)]
    pub failure: Option<Failure>,
    /// Its pictures; their names are those of [`crate::images`].
    #[schema(value_type = Vec<schema::ImageRef>)]
    pub images: Vec<ImageRef>,
    /// What happened to it that is worth telling, oldest first.
    pub log: Vec<LogLine>,
}

/// A remark about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When.
    pub at: Millis,
    /// What, as a sentence.
    pub text: String,
}
