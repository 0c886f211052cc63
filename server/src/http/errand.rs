//! Jobs that somebody waits for on an open connection: when he hangs up they are taken back.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use encaustic_protocol::{Change, Failure, FailureKind, JobId};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{ApiError, submit};
use crate::App;
use crate::auth::Caller;
use crate::events::{Event, News};
use crate::job::{Job, NewJob, State};
use crate::queue::QueueError;
use crate::sync::lock;

/// Jobs on their way, for one client's request.
pub struct Errand {
    app: App,
    jobs: Vec<JobId>,
    entered: Arc<Mutex<Entered>>,
    news: broadcast::Receiver<Arc<Event>>,
    is_over: bool,
    is_stopping: bool,
    /// Whether one of its jobs may stand otherwise than it did when they were read.
    is_stale: bool,
}

/// What has been taken in for an errand. The thread that submits a job enters it here, so that it is taken back even if nobody
/// waits for that thread any more.
#[derive(Default)]
struct Entered {
    jobs: Vec<JobId>,
    is_dropped: bool,
}

/// What there is to know of an errand.
#[derive(Debug)]
pub enum Word {
    /// Something happened to one of its jobs, or may have.
    News,
    /// All of its jobs have ended.
    Over(Vec<Job>),
}

impl Errand {
    /// Submits jobs, all or none.
    ///
    /// # Errors
    /// As [`submit::submit`].
    pub async fn begin(app: &App, caller: &Caller, wishes: Vec<NewJob>) -> Result<Self, ApiError> {
        // From here on nothing is missed.
        let news = app.hub.follow();
        let mut errand = Self {
            app: app.clone(),
            jobs: Vec::new(),
            entered: Arc::default(),
            news,
            is_over: false,
            is_stopping: false,
            is_stale: true,
        };
        for wish in wishes {
            // If one is refused, the errand is dropped and with it go those before.
            let entered = Arc::clone(&errand.entered);
            let enter = move |app: &App, job| {
                let mut entered = lock(&entered);
                if entered.is_dropped {
                    drop(entered);
                    take_back(app, job);
                } else {
                    entered.jobs.push(job);
                }
            };
            let submitted = submit::submit_then(app, caller, wish, None, enter).await;
            errand.jobs.push(submitted.map_err(|error| error.without("request."))?.job.id);
        }
        Ok(errand)
    }

    /// Its jobs.
    pub fn jobs(&self) -> &[JobId] {
        &self.jobs
    }

    /// Waits until something happens.
    ///
    /// # Errors
    /// If the server ends and jobs will be begun again after its next start; they stay in the queue then.
    pub async fn next(&mut self) -> Result<Word, ApiError> {
        // A long run tells of each of its steps: the queue is not read for all of them.
        if self.is_stale
            && let Some(jobs) = self.read().await?
        {
            return Ok(Word::Over(jobs));
        }
        loop {
            tokio::select! {
                () = self.app.until_stopped(), if !self.is_stopping => {
                    self.is_stopping = true;
                    self.is_stale = true;
                    return Ok(Word::News);
                }
                heard = self.news.recv() => match heard {
                    Ok(event) => if let News::Job { job, change } = &event.news && self.jobs.contains(job) {
                        self.is_stale |= change.is_last() || matches!(change, Change::Queued { .. });
                        return Ok(Word::News);
                    },
                    Err(RecvError::Lagged(_)) => {
                        self.is_stale = true;
                        return Ok(Word::News);
                    }
                    Err(RecvError::Closed) => return Err(ApiError::internal("the server is ending")),
                },
            }
        }
    }

    /// Looks how the jobs stand, and returns them if all have ended.
    async fn read(&mut self) -> Result<Option<Vec<Job>>, ApiError> {
        let ids = self.jobs.clone();
        let read = self.app.blocking(move |app| {
            let jobs: Result<Vec<Job>, QueueError> = ids.iter().map(|id| app.queue.job(*id)).collect();
            jobs.map_err(ApiError::from)
        });
        let jobs = read.await?;
        self.is_stale = false;
        if jobs.iter().all(|job| job.state.is_last()) {
            self.is_over = true;
            return Ok(Some(jobs));
        }
        if self.is_stopping && jobs.iter().any(|job| job.state == State::Waiting) {
            self.is_over = true;
            let message =
                "the server is about to end; the job goes on after its next start, and its pictures will be in the gallery";
            return Err(ApiError { retry_secs: Some(10), ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message) });
        }
        Ok(None)
    }

    /// Waits for the end of all of its jobs.
    ///
    /// # Errors
    /// As [`Errand::next`].
    pub async fn wait(mut self) -> Result<Vec<Job>, ApiError> {
        loop {
            if let Word::Over(jobs) = self.next().await? {
                return Ok(jobs);
            }
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let jobs = {
            let mut entered = lock(&self.entered);
            entered.is_dropped = true;
            std::mem::take(&mut entered.jobs)
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_over || jobs.is_empty() {
            return;
        }
        let app = self.app.clone();
        runtime.spawn_blocking(move || jobs.into_iter().for_each(|job| take_back(&app, job)));
    }
}

fn take_back(app: &App, job: JobId) {
    match app.queue.cancel(job) {
        Ok(_) => tracing::info!(job = job.0, "job {} is taken back: nobody waits for it any more", job.0),
        // It has ended.
        Err(QueueError::Over { .. } | QueueError::Unknown(_)) => {}
        Err(error) => tracing::warn!(job = job.0, "job {} cannot be taken back: {error}", job.0),
    }
}

/// What is answered for a job that came to nothing.
pub fn failed(failure: &Failure) -> ApiError {
    let status = match failure.kind {
        FailureKind::Invalid | FailureKind::Model => StatusCode::UNPROCESSABLE_ENTITY,
        FailureKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        FailureKind::Device | FailureKind::Storage => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // A second try would be a new job.
    ApiError::new(status, "failed", failure.message.clone()).finally()
}
