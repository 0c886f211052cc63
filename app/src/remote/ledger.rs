//! The page's own jobs on a server: under which number the server has each, which it has not heard of yet, and what of its
//! events is news to the page.
//!
//! The page numbers its jobs itself, from 1 with every visit, and the server gives numbers of its own. A wish travels under a
//! key, so that one that was sent twice, because its answer was lost, is one job. What is kept over a reload is what is in
//! [`Ledger::kept`]: jobs that have not ended, whether the server knows of them or not.

use encaustic_protocol::{Change, Event, JobId, Request, Seq};
use serde::{Deserialize, Serialize};

use super::wire::{self, NewJob, Told};

/// Jobs of an earlier visit are numbered from here, far above those of this one.
const RECALLED: u64 = 1 << 40;

/// As many jobs are remembered at most; a page has no more under way.
const MOST: usize = 2000;

/// A job that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// The page's number.
    #[serde(skip, default = "nobody")]
    job: JobId,
    /// The key of its wish.
    key: String,
    /// The server's number, once that is known.
    #[serde(default)]
    server: Option<JobId>,
    /// What was asked for.
    wish: NewJob,
    /// Whether it was cancelled before the server knew of it.
    #[serde(default)]
    is_unwanted: bool,
    /// The page's number of its next event.
    #[serde(skip)]
    next: u64,
    /// How far the page knows it to be: 0 waits, 1 runs.
    #[serde(skip)]
    rank: u8,
}

fn nobody() -> JobId {
    JobId(0)
}

/// A wish to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The page's number for it.
    pub job: JobId,
    /// Its key.
    pub key: String,
    /// What is wanted.
    pub wish: NewJob,
}

/// What to do about a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// Tell the server that this job of its is not wanted.
    Tell(JobId),
    /// Nothing: the server has never heard of it, and the page is to be told that it is gone.
    Gone,
    /// Wait: it is on its way to the server, whose answer brings its number.
    Later,
    /// There is no such job.
    Unknown,
}

/// The page's jobs on a server.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// What keys of this page begin with.
    token: String,
    entries: Vec<Entry>,
    /// The last stored event that was heard.
    last: Option<u64>,
    keys: u64,
}

impl Ledger {
    /// A ledger of a page whose keys begin with `token`, which no other page's do, and what an earlier one of the same tab left.
    pub fn new(token: String, kept: &str) -> Self {
        let mut entries: Vec<Entry> = serde_json::from_str(kept).unwrap_or_default();
        entries.truncate(MOST);
        for (number, entry) in (RECALLED..).zip(&mut entries) {
            entry.job = JobId(number);
        }
        Self { token, entries, last: None, keys: 0 }
    }

    /// What is to be kept for the next visit of this tab.
    pub fn kept(&self) -> String {
        serde_json::to_string(&self.entries).unwrap_or_default()
    }

    /// The jobs that are known, with what they ask for.
    pub fn jobs(&self) -> Vec<(JobId, Request)> {
        self.entries.iter().map(|entry| (entry.job, entry.wish.request.clone())).collect()
    }

    /// A new wish of the page's.
    pub fn submit(&mut self, job: JobId, wish: NewJob) -> Wish {
        self.keys += 1;
        let key = format!("{}-{}", self.token, self.keys);
        if self.entries.len() < MOST {
            self.entries.push(Entry {
                job,
                key: key.clone(),
                server: None,
                wish: wish.clone(),
                is_unwanted: false,
                next: 0,
                rank: 0,
            });
        }
        Wish { job, key, wish }
    }

    /// The wishes that the server has not answered.
    pub fn unanswered(&self) -> Vec<Wish> {
        let waiting = self.entries.iter().filter(|entry| entry.server.is_none());
        waiting.map(|entry| Wish { job: entry.job, key: entry.key.clone(), wish: entry.wish.clone() }).collect()
    }

    /// The server's numbers of the jobs under way.
    pub fn known(&self) -> Vec<JobId> {
        self.entries.iter().filter_map(|entry| entry.server).collect()
    }

    /// The server has taken a wish as its job `server`. Returns whether that is to be cancelled at once.
    pub fn taken(&mut self, job: JobId, server: JobId) -> bool {
        match self.entries.iter_mut().find(|entry| entry.job == job) {
            Some(entry) => {
                entry.server = Some(server);
                entry.is_unwanted
            }
            None => true,
        }
    }

    /// The page does not want a job any more; `is_sent` says whether its wish may have reached the server.
    pub fn cancel(&mut self, job: JobId, is_sent: bool) -> Cancel {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.job == job) else { return Cancel::Unknown };
        match (entry.server, is_sent) {
            (Some(server), _) => Cancel::Tell(server),
            (None, true) => {
                entry.is_unwanted = true;
                Cancel::Later
            }
            (None, false) => Cancel::Gone,
        }
    }

    /// How a job stands by what the server was asked; of a job that has gone on meanwhile it is not news. After something was
    /// missed (`anew`), it is believed in any case.
    pub fn found(&mut self, job: &wire::Job, anew: bool) -> Option<(JobId, Change)> {
        let change = job.change();
        let entry = self.entries.iter().find(|entry| entry.server == Some(job.id))?;
        let is_behind = rank(&change).is_some_and(|rank| rank < entry.rank);
        (anew || !is_behind).then_some((entry.job, change))
    }

    /// Something may have been missed, or the server has another database: its numbers say nothing about those that come.
    pub fn anew(&mut self) {
        self.last = None;
    }

    /// What an event means for the page's jobs: nothing if it is about others, or was heard before.
    pub fn hear(&mut self, event: &wire::Event) -> Option<(JobId, Change)> {
        if !event.is_live {
            if self.last.is_some_and(|last| event.seq <= last) {
                return None;
            }
            self.last = Some(event.seq);
        }
        let Told::Job { job, change } = &event.told else { return None };
        let entry = self.entries.iter().find(|entry| entry.server == Some(*job))?;
        // The queue counts for the server; what the page shows it counts itself.
        Some((entry.job, change.clone()))
    }

    /// The server's number of a job of the page's.
    pub fn server_job(&self, job: JobId) -> Option<JobId> {
        self.entries.iter().find(|entry| entry.job == job)?.server
    }

    /// The page's number of a job of the server's.
    pub fn page_job(&self, server: JobId) -> Option<JobId> {
        self.entries.iter().find(|entry| entry.server == Some(server)).map(|entry| entry.job)
    }

    /// Something for the page, in its own numbers. After the last of a job nothing more is told of it.
    pub fn tell(&mut self, job: JobId, change: Change) -> Option<Event> {
        let at = self.entries.iter().position(|entry| entry.job == job)?;
        let entry = self.entries.get_mut(at)?;
        let seq = Seq(entry.next);
        entry.next += 1;
        if let Some(rank) = rank(&change) {
            entry.rank = rank;
        }
        if change.is_last() {
            self.entries.remove(at);
        }
        Some(Event::Job { job, seq, change })
    }
}

/// The number after which events are asked for, once this one was heard. One that is stored says where the server is, even if that
/// lies behind what was heard before: then its database is another one.
pub fn heard(last: Option<u64>, event: &wire::Event) -> u64 {
    match last {
        Some(last) if event.is_live && event.told != Told::Resync => last.max(event.seq),
        _ => event.seq,
    }
}

/// How far a job is that has this news; `None` if it says nothing of that.
fn rank(change: &Change) -> Option<u8> {
    match change {
        Change::Queued { .. } => Some(0),
        Change::Started | Change::Progress(_) | Change::Preview(_) => Some(1),
        Change::Finished(_) | Change::Failed(_) | Change::Cancelled => Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encaustic_protocol::ImageRef;

    fn wish(prompt: &str) -> NewJob {
        NewJob { request: Request { prompt: prompt.into(), seed: Some(u64::MAX), ..Request::default() }, ..NewJob::default() }
    }

    fn event(seq: u64, is_live: bool, job: u64, change: Change) -> wire::Event {
        wire::Event { seq, is_live, told: Told::Job { job: JobId(job), change } }
    }

    fn server_job(id: u64, state: wire::State) -> wire::Job {
        serde_json::from_value(serde_json::json!({ "id": id, "state": state })).unwrap()
    }

    #[test]
    fn a_job_goes_by_two_numbers_and_is_heard_once() {
        let mut ledger = Ledger::new("t".into(), "");
        let sent = ledger.submit(JobId(1), wish("a fox"));
        assert_eq!(sent.key, "t-1");
        // Before the answer its events are nobody's.
        assert_eq!(ledger.hear(&event(5, false, 70, Change::Started)), None);
        assert!(!ledger.taken(JobId(1), JobId(70)));
        assert_eq!(ledger.found(&server_job(70, wire::State::Running), false), Some((JobId(1), Change::Started)));
        assert!(matches!(ledger.tell(JobId(1), Change::Started), Some(Event::Job { seq: Seq(0), .. })));
        // An answer that was slower than the events.
        assert_eq!(ledger.found(&server_job(70, wire::State::Waiting), false), None);
        assert!(ledger.found(&server_job(70, wire::State::Waiting), true).is_some());
        let finished = Change::Finished(vec![ImageRef { name: "a".into(), seed: 1, width: 8, height: 8 }]);
        for (seq, is_live, job, change, is_news) in [
            (5, false, 70, Change::Started, false),
            (5, true, 70, Change::Started, true),
            (6, false, 71, Change::Cancelled, false),
            (7, false, 70, finished.clone(), true),
            (7, false, 70, finished.clone(), false),
        ] {
            assert_eq!(ledger.hear(&event(seq, is_live, job, change)).is_some(), is_news, "{seq} {is_live} {job}");
        }
        assert!(ledger.tell(JobId(1), finished).is_some());
        assert_eq!(ledger.tell(JobId(1), Change::Cancelled), None);
        assert_eq!(ledger.kept(), "[]");
    }

    #[test]
    fn events_of_another_database_are_heard() {
        let mut ledger = Ledger::new("t".into(), "");
        ledger.submit(JobId(1), wish("a fox"));
        ledger.taken(JobId(1), JobId(2));
        assert!(ledger.hear(&event(900, false, 2, Change::Started)).is_some());
        assert_eq!(ledger.hear(&event(3, false, 2, Change::Started)), None);
        let resync = wire::Event { seq: 2, is_live: true, told: Told::Resync };
        assert_eq!(heard(Some(900), &resync), 2, "it is asked for from there on");
        ledger.anew();
        assert!(ledger.hear(&event(3, false, 2, Change::Started)).is_some());
        for (last, seq, is_live, now) in
            [(None, 5, true, 5), (Some(7), 5, true, 7), (Some(7), 8, true, 8), (Some(7), 5, false, 5)]
        {
            assert_eq!(heard(last, &event(seq, is_live, 2, Change::Started)), now, "{last:?} {seq} {is_live}");
        }
    }

    #[test]
    fn a_reload_loses_no_job() {
        let mut before = Ledger::new("t".into(), "no json");
        before.submit(JobId(1), wish("one"));
        before.submit(JobId(2), wish("two"));
        before.taken(JobId(1), JobId(70));
        let mut after = Ledger::new("u".into(), &before.kept());
        let prompts: Vec<_> = after.jobs().into_iter().map(|(_, request)| (request.prompt, request.seed)).collect();
        assert_eq!(prompts, [("one".to_owned(), Some(u64::MAX)), ("two".to_owned(), Some(u64::MAX))]);
        assert_eq!(after.known(), [JobId(70)]);
        let [unanswered] = after.unanswered().try_into().unwrap();
        assert_eq!(unanswered.key, "t-2");
        assert!(unanswered.job.0 >= RECALLED);
        assert_eq!(after.submit(JobId(1), wish("three")).key, "u-1");
    }

    #[test]
    fn a_cancel_reaches_the_server_when_it_can() {
        let mut ledger = Ledger::new("t".into(), "");
        ledger.submit(JobId(1), wish("one"));
        ledger.submit(JobId(2), wish("two"));
        ledger.submit(JobId(3), wish("three"));
        ledger.taken(JobId(1), JobId(70));
        assert_eq!(ledger.cancel(JobId(1), true), Cancel::Tell(JobId(70)));
        assert_eq!(ledger.cancel(JobId(2), true), Cancel::Later);
        assert!(ledger.taken(JobId(2), JobId(71)), "it is told as soon as it is known");
        assert_eq!(ledger.cancel(JobId(3), false), Cancel::Gone);
        assert_eq!(ledger.cancel(JobId(4), false), Cancel::Unknown);
    }
}
