//! One who follows: first what is stored and he does not know, then what happens; told to ask anew where he missed something.

use std::collections::VecDeque;
use std::sync::Arc;

use encaustic_protocol::{Change, JobId};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::App;
use crate::events::{Event, News};
use crate::http::ApiError;

/// Stored events that are read at once.
const PAGE: u32 = 256;

/// One who follows.
pub(super) struct Follower {
    app: App,
    receiver: broadcast::Receiver<Arc<Event>>,
    /// The number of the last stored event that he was told.
    heard: u64,
    /// Of everything if it is none.
    job: Option<JobId>,
    /// Read and not yet told.
    waiting: VecDeque<Arc<Event>>,
    /// Whether there may be stored events after `heard` that the receiver does not bring.
    is_behind: bool,
    /// Whether the next stored event has to be the one after `heard`.
    is_strict: bool,
    /// Whether he has been told how far running jobs are.
    is_abreast: bool,
    is_over: bool,
}

impl Follower {
    /// Follows after a stored event, or from now on.
    pub(super) fn new(app: &App, after: Option<u64>, job: Option<JobId>) -> Self {
        // In this order: what is stored in between is heard twice and told once.
        let receiver = app.hub.follow();
        let last = app.hub.last();
        let mut waiting = VecDeque::new();
        let heard = match after {
            // A number that this server has not given: the database is another one.
            Some(after) if after > last => {
                waiting.push_back(resync(last));
                last
            }
            Some(after) => after,
            None => last,
        };
        let is_strict = job.is_none() && heard > 0;
        Self {
            app: app.clone(),
            receiver,
            heard,
            job,
            waiting,
            is_behind: heard < last,
            is_strict,
            is_abreast: false,
            is_over: false,
        }
    }

    /// What comes next; nothing more after the end of the job that is followed, or of the server.
    pub(super) async fn next(&mut self) -> Option<Arc<Event>> {
        while !self.is_over {
            if let Some(event) = self.waiting.pop_front() {
                self.is_over = self.job.is_some() && is_last(&event);
                return Some(event);
            }
            if self.is_behind {
                self.catch_up().await;
                continue;
            }
            if !self.is_abreast {
                self.is_abreast = true;
                self.waiting.extend(self.running());
                continue;
            }
            match self.receiver.recv().await {
                Ok(event) if event.is_live => {
                    if self.concerns(&event) {
                        return Some(event);
                    }
                }
                Ok(event) => {
                    if event.seq > self.heard {
                        self.heard = event.seq;
                        if self.concerns(&event) {
                            self.waiting.push_back(event);
                        }
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    self.waiting.push_back(resync(self.heard));
                    self.is_behind = true;
                    self.is_strict = false;
                }
                Err(RecvError::Closed) => self.is_over = true,
            }
        }
        None
    }

    /// Reads the next page of what is stored.
    async fn catch_up(&mut self) {
        let (heard, job) = (self.heard, self.job);
        let read = self.app.blocking(move |app| {
            // What is stored later comes by the receiver, which has been listening since before.
            let last = app.hub.last();
            app.queue.events(heard, job, PAGE).map(|page| (page, last)).map_err(ApiError::from)
        });
        let (page, last) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!("a follower could not be told what is stored: {error}");
                self.is_over = true;
                return;
            }
        };
        let is_rest = u32::try_from(page.len()).is_ok_and(|found| found < PAGE);
        if let Some(first) = page.first()
            && self.is_strict
            && first.seq > self.heard + 1
        {
            // What came before it is cleaned away.
            self.waiting.push_back(resync(self.heard));
        }
        self.is_strict = false;
        if let Some(event) = page.last() {
            self.heard = self.heard.max(event.seq);
        }
        if is_rest {
            self.heard = self.heard.max(last);
            self.is_behind = false;
        }
        self.waiting.extend(page.into_iter().map(Arc::new));
    }

    /// How far running jobs are: what would otherwise only come with their next steps.
    fn running(&self) -> Vec<Arc<Event>> {
        let jobs = self.app.crew.live.jobs().into_iter().filter_map(|(job, glance)| Some((job, glance.progress?)));
        let news = jobs.map(|(job, progress)| News::Job { job, change: Change::Progress(progress) });
        let event = |news| Event { seq: self.heard, is_live: true, at: (self.app.clock)(), news };
        news.map(event).filter(|event| self.concerns(event)).map(Arc::new).collect()
    }

    fn concerns(&self, event: &Event) -> bool {
        match (&event.news, self.job) {
            (_, None) => true,
            (News::Job { job, .. }, Some(mine)) => *job == mine,
            _ => false,
        }
    }
}

fn is_last(event: &Event) -> bool {
    matches!(&event.news, News::Job { change, .. } if change.is_last())
}

fn resync(seq: u64) -> Arc<Event> {
    Arc::new(Event { seq, is_live: true, at: crate::time::now(), news: News::Resync })
}
