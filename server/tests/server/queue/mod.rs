//! The queue, without a server around it: in a real database, with a clock that the tests turn.

mod chance;
mod crowds;
mod disk;
mod ends;
mod keys;
mod lists;
mod order;
#[cfg(unix)]
mod processes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use encaustic_protocol::{Change, Failure, FailureKind, JobId, Request};
use encaustic_server::db::Db;
use encaustic_server::events::{Hub, News};
use encaustic_server::images::{Hold, NewImage};
use encaustic_server::job::{Client, NewJob};
use encaustic_server::queue::sqlite::{Rules, SqliteQueue, last_event};
use encaustic_server::queue::{Claim, End, Queue, Worker};
use tempfile::TempDir;

/// The moment at which the tests begin.
const BEGIN: i64 = 1_000_000;

/// A queue in a folder of its own.
struct Bench {
    folder: TempDir,
    db: Arc<Db>,
    hub: Hub,
    queue: Arc<SqliteQueue>,
    now: Arc<AtomicI64>,
    rules: Rules,
}

impl Bench {
    fn new(adjust: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules { capacity: 100_000, ..Rules::default() };
        adjust(&mut rules);
        Self::over(folder(), Arc::new(AtomicI64::new(BEGIN)), rules)
    }

    fn over(folder: TempDir, now: Arc<AtomicI64>, rules: Rules) -> Self {
        let db = Arc::new(Db::open(&file(folder.path())).unwrap());
        let hub = Hub::new(last_event(&db).unwrap());
        let clock = {
            let now = Arc::clone(&now);
            Arc::new(move || now.load(Ordering::SeqCst))
        };
        let queue = Arc::new(SqliteQueue::new(Arc::clone(&db), hub.clone(), clock, rules.clone()));
        Self { folder, db, hub, queue, now, rules }
    }

    /// As a server finds it that starts after this one died.
    fn again(self) -> Self {
        let Self { folder, now, rules, db, hub, queue } = self;
        drop((db, hub, queue));
        let again = Self::over(folder, now, rules);
        again.queue.reclaim(true).unwrap();
        again
    }

    fn wait(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    fn submit(&self, client: &str) -> JobId {
        self.queue.submit(&wish(client), &Client(client.to_owned()), None).unwrap().job
    }

    fn claim(&self) -> Option<Claim> {
        self.queue.claim(&Worker { name: "w", loaded: None, away: &[] }).unwrap()
    }

    /// What has happened to a job, in words.
    fn story(&self, job: JobId) -> String {
        let events = self.queue.events(0, Some(job), 1000).unwrap();
        let words = events.iter().map(|event| match &event.news {
            News::Job { change: Change::Queued { .. }, .. } => "queued",
            News::Job { change: Change::Started, .. } => "started",
            News::Job { change: Change::Finished(_), .. } => "finished",
            News::Job { change: Change::Failed(_), .. } => "failed",
            News::Job { change: Change::Cancelled, .. } => "cancelled",
            news => panic!("{news:?}"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Every job's story is one that may be: it begins in the queue, and if it ends, it ends once and last.
    fn check_stories(&self, jobs: &[JobId], all_have_ended: bool) {
        for job in jobs {
            let story = self.story(*job);
            let ends = |story: &str| story.split(' ').filter(|word| ["finished", "failed", "cancelled"].contains(word)).count();
            let (before, last) = story.rsplit_once(' ').unwrap_or(("", &story));
            assert!(story.starts_with("queued") && ends(before) == 0, "job {}: {story}", job.0);
            assert!(!all_have_ended || ends(last) == 1, "job {}: {story}", job.0);
            let found = self.queue.job(*job).unwrap();
            assert_eq!(found.state.is_last(), ends(last) == 1, "job {} is {:?}: {story}", job.0, found.state);
        }
    }
}

/// A folder, in memory where the system has such: most of these tests would wait for the disk most of the time.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("encaustic.db")
}

fn wish(prompt: &str) -> NewJob {
    NewJob { request: Request { prompt: prompt.to_owned(), ..Request::default() }, ..NewJob::default() }
}

/// A picture whose file has such a name.
fn image(name: &str) -> NewImage {
    NewImage {
        sha256: format!("{name:0>64}"),
        mime: "image/png".into(),
        bytes: 1,
        width: 64,
        height: 64,
        seed: 1,
        model: "demo".into(),
        settings: Request::default(),
        parameters: String::new(),
        hold: Hold::default(),
    }
}

fn finished() -> End {
    End::Finished(vec![image("a")])
}

fn failed() -> End {
    End::Failed(Failure { kind: FailureKind::Device, message: "no".into() })
}
