//! What the page knows of its jobs: from the events that come, to what is shown.

use encaustic_protocol::{Change, Failure, ImageRef, JobId, Progress, Request, Seq};

/// A job, as far as it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What was asked for.
    pub request: Request,
    /// How it stands.
    pub state: State,
    /// How far it is, while it runs.
    pub progress: Option<Progress>,
    /// The newest preview.
    pub preview: Option<ImageRef>,
    /// The event that should come next: what was told already is not told again.
    next: Seq,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It has been sent, or waits for others.
    Waiting {
        /// How many come first.
        ahead: u32,
    },
    /// It is at work.
    Running,
    /// Its pictures are made.
    Finished(Vec<ImageRef>),
    /// It came to nothing.
    Failed(Failure),
    /// It was stopped.
    Cancelled,
}

impl State {
    /// Whether nothing more will come.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Failed(_) | Self::Cancelled)
    }
}

impl Job {
    /// A job that has just been sent.
    pub fn new(id: JobId, request: Request) -> Self {
        Self { id, request, state: State::Waiting { ahead: 0 }, progress: None, preview: None, next: Seq(0) }
    }

    /// Takes an event in; `false` if it is old, or comes after the last.
    pub fn hear(&mut self, seq: Seq, change: Change) -> bool {
        if seq < self.next || self.state.is_last() {
            return false;
        }
        self.next = Seq(seq.0 + 1);
        match change {
            Change::Queued { ahead } => self.state = State::Waiting { ahead },
            Change::Started => self.state = State::Running,
            Change::Progress(progress) => self.progress = Some(progress),
            Change::Preview(image) => self.preview = Some(image),
            Change::Finished(images) => self.state = State::Finished(images),
            Change::Failed(failure) => self.state = State::Failed(failure),
            Change::Cancelled => self.state = State::Cancelled,
        }
        true
    }

    /// Ends it, whatever the engine says: there is none that would say it.
    pub fn close(&mut self, state: State) {
        self.state = state;
        self.progress = None;
        self.preview = None;
    }

    /// Back to the beginning: it will be sent to another worker, whose events are numbered from 0 again.
    pub fn again(&mut self) {
        *self = Self::new(self.id, self.request.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encaustic_protocol::{FailureKind, Stage};

    #[test]
    fn a_job_moves_on_and_ends_once() {
        let mut job = Job::new(JobId(1), Request::default());
        let progress = Progress { stage: Stage::Denoise, done: 1, of: 4 };
        assert!(job.hear(Seq(0), Change::Queued { ahead: 2 }));
        assert!(job.hear(Seq(1), Change::Started));
        assert!(job.hear(Seq(2), Change::Progress(progress)));
        assert!(!job.hear(Seq(1), Change::Queued { ahead: 0 }));
        assert_eq!((&job.state, job.progress), (&State::Running, Some(progress)));
        assert!(job.hear(Seq(3), Change::Cancelled));
        let late = Failure { kind: FailureKind::Device, message: "late".into() };
        assert!(!job.hear(Seq(4), Change::Failed(late)));
        assert_eq!(job.state, State::Cancelled);
        job.close(State::Finished(Vec::new()));
        assert_eq!(job.progress, None);
        job.again();
        assert!(job.hear(Seq(0), Change::Started));
        assert_eq!((job.state, job.progress), (State::Running, None));
    }
}
