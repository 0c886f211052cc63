//! Commands to an engine and the events that come back.
//!
//! A job is a request on its way. Its events carry rising numbers, begin with [`Change::Queued`] or [`Change::Started`]
//! and end with exactly one of [`Change::Finished`], [`Change::Failed`] and [`Change::Cancelled`].

use serde::{Deserialize, Serialize};

use crate::{Catalog, Request};

/// Names a job; chosen by whoever submits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// Numbers a job's events, from 0 up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seq(pub u64);

/// What an engine can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Make pictures.
    Submit(Submit),
    /// Stop a job: at once if it waits, after the current step if it runs.
    Cancel(JobId),
    /// Say what you can do.
    Describe,
}

/// A job to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// By what name its events shall call it.
    pub job: JobId,
    /// What is wanted.
    pub request: Box<Request>,
}

/// What an engine says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// What it can do, in answer to [`Command::Describe`].
    Catalog(Catalog),
    /// News of a job.
    Job {
        /// Which job.
        job: JobId,
        /// Which of its events.
        seq: Seq,
        /// The news.
        change: Change,
    },
}

/// News of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It waits for others.
    Queued {
        /// How many jobs come first.
        ahead: u32,
    },
    /// Work on it has begun.
    Started,
    /// It moves on.
    Progress(Progress),
    /// A small, rough look at how far its first picture is.
    Preview(ImageRef),
    /// The pictures are made.
    Finished(Vec<ImageRef>),
    /// It came to nothing.
    Failed(Failure),
    /// It was stopped on request.
    Cancelled,
}

impl Change {
    /// Whether a job has no more news after this.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Failed(_) | Self::Cancelled)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How much of it is done.
    pub done: u32,
    /// How much there is, as far as is known.
    pub of: u32,
}

/// The parts of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reading the prompt.
    Text,
    /// Taking the noise away, step by step.
    Denoise,
    /// Turning latents into pictures.
    Decode,
}

/// A finished picture, by reference: whoever carries the events keeps the pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// Where it is kept: a file name, an address, a key.
    pub name: String,
    /// The seed of this very picture.
    pub seed: u64,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// Why a job came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure, for programs.
    pub kind: FailureKind,
    /// What is wrong and what to do, for people.
    pub message: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request cannot be met by any engine, or not by this model.
    Invalid,
    /// The device could not do it: out of memory, lost, or wrong numbers.
    Device,
    /// A part of the model could not be read.
    Model,
    /// Too many jobs wait already.
    Busy,
    /// The pictures were made and could not be kept.
    Storage,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_travel_as_json() {
        let image = ImageRef { name: "1.png".into(), seed: u64::MAX, width: 64, height: 72 };
        let changes = [
            Change::Queued { ahead: 2 },
            Change::Started,
            Change::Progress(Progress { stage: Stage::Denoise, done: 3, of: 20 }),
            Change::Preview(image.clone()),
            Change::Finished(vec![image]),
            Change::Failed(Failure { kind: FailureKind::Device, message: "lost".into() }),
            Change::Cancelled,
        ];
        for (seq, change) in (0..).map(Seq).zip(changes) {
            let event = Event::Job { job: JobId(7), seq, change };
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }
}
