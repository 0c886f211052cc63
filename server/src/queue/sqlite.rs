//! The queue in SQLite. Every change is one transaction that also stores the events that tell of it; they are told in the order
//! of the transactions.

mod claims;
mod intake;
mod line;
mod lists;
mod rows;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Claim, Counts, End, LEASE_MS, Queue, QueueError, Standing, Submitted, Token, Wanted, Worker};
use crate::config::Config;
use crate::db::{Db, Failed};
use crate::events::{Event, Hub, News};
use crate::host::BOXED;
use crate::job::{Client, Job, NewJob, Priority, State};
use crate::logs;
use crate::time::{Clock, Millis};

use encaustic_protocol::JobId;

/// What a queue keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many jobs may wait.
    pub capacity: u64,
    /// How many jobs for a loaded model may come before one that has waited longer, and how far ahead they are looked for.
    pub look_ahead: u32,
    /// After so many tries that ended with the death of their worker, a job is given up.
    pub crashes: u32,
    /// How long a claim holds without a sign of life.
    pub lease_ms: Millis,
    /// How long an idempotency key stands for its job.
    pub keep_keys_ms: Millis,
    /// What the model is called that jobs get which name none.
    pub usual_model: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self::from(&Config::default())
    }
}

impl From<&Config> for Rules {
    fn from(config: &Config) -> Self {
        Self {
            capacity: config.capacity,
            look_ahead: config.look_ahead,
            crashes: config.crashes.max(1),
            lease_ms: LEASE_MS,
            keep_keys_ms: Millis::from(config.keep_keys_hours) * 3_600_000,
            usual_model: config.model.clone().unwrap_or_else(|| BOXED.to_owned()),
        }
    }
}

/// Jobs in a database.
pub struct SqliteQueue {
    db: Arc<Db>,
    hub: Hub,
    clock: Clock,
    rules: Rules,
}

type Outcome<T> = Result<T, Failed<QueueError>>;

fn refused<T>(error: QueueError) -> Outcome<T> {
    Err(Failed::Refused(error))
}

/// A change that is under way: its transaction, and the events that are told when it is made.
struct Writing<'a> {
    sql: &'a Transaction<'a>,
    rules: &'a Rules,
    now: Millis,
    events: Vec<Event>,
}

impl Writing<'_> {
    fn tell(&mut self, news: News) -> Outcome<()> {
        let (job, is_last) = match &news {
            News::Job { job, change } => (Some(rows::key(*job)), change.is_last()),
            _ => (None, false),
        };
        self.sql.prepare_cached("INSERT INTO events (at, job, is_last, news) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            self.now,
            job,
            is_last,
            rows::json(&news)?
        ])?;
        let seq = u64::try_from(self.sql.last_insert_rowid()).unwrap_or_default();
        self.events.push(Event { seq, is_live: false, at: self.now, news });
        Ok(())
    }
}

impl SqliteQueue {
    /// The queue of a database; `hub` is told what happens.
    pub fn new(db: Arc<Db>, hub: Hub, clock: Clock, rules: Rules) -> Self {
        Self { db, hub, clock, rules }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Writing<'_>) -> Outcome<T>) -> Result<T, QueueError> {
        let make = |sql: &Transaction<'_>| {
            let mut writing = Writing { sql, rules: &self.rules, now: (self.clock)(), events: Vec::new() };
            let told = change(&mut writing)?;
            Ok((told, writing.events))
        };
        let (told, events) = self.db.write_then(make, |(told, events)| {
            events.iter().cloned().for_each(|event| self.hub.stored(event));
            (told, events)
        })?;
        // Whoever writes next does not wait for the log.
        events.iter().for_each(logs::event);
        Ok(told)
    }
}

/// The number of the last stored event of a database.
///
/// # Errors
/// If it cannot be read.
pub fn last_event(db: &Db) -> Result<u64, QueueError> {
    // The last one may have been cleaned away; its number is not given again.
    let last = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";
    db.read(|sql| Ok(sql.query_row(last, [], |row| row.get(0))?))
}

fn is_paused(sql: &Connection) -> Outcome<bool> {
    let mut paused = sql.prepare_cached("SELECT value = 'true' FROM standing WHERE name = 'paused'")?;
    Ok(paused.query_row([], |row| row.get(0)).optional()?.unwrap_or(false))
}

impl Queue for SqliteQueue {
    fn submit(&self, wish: &NewJob, client: &Client, key: Option<&str>) -> Result<Submitted, QueueError> {
        self.change(|writing| writing.submit(wish, client, key))
    }

    fn known(&self, wish: &NewJob, client: &Client, key: &str) -> Result<Option<JobId>, QueueError> {
        let now = (self.clock)();
        self.db.read(|sql| intake::known(sql, &self.rules, now, wish, client, key))
    }

    fn claim(&self, worker: &Worker<'_>) -> Result<Option<Claim>, QueueError> {
        // Workers without work ask often: that must not keep those who write waiting.
        let now = (self.clock)();
        if !self.db.read(|sql| claims::is_worth_it(sql, now))? {
            return Ok(None);
        }
        self.change(|writing| writing.claim(worker))
    }

    fn beat(&self, token: &Token) -> Result<Standing, QueueError> {
        self.change(|writing| writing.beat(token))
    }

    fn standing(&self, token: &Token) -> Result<Standing, QueueError> {
        self.db.read(|sql| claims::standing(sql, token))
    }

    fn log(&self, token: &Token, text: &str) -> Result<(), QueueError> {
        self.change(|writing| writing.log(token, text))
    }

    fn end(&self, token: &Token, end: &End) -> Result<(), QueueError> {
        self.change(|writing| writing.end(token, end))
    }

    fn put_back(&self, token: &Token) -> Result<(), QueueError> {
        self.change(|writing| writing.put_back(token))
    }

    fn give_back(&self, token: &Token) -> Result<(), QueueError> {
        self.change(|writing| writing.give_back(token))
    }

    fn reclaim(&self, everyone: bool) -> Result<u32, QueueError> {
        self.change(|writing| writing.reclaim(everyone))
    }

    fn cancel(&self, job: JobId) -> Result<State, QueueError> {
        self.change(|writing| writing.cancel(job))
    }

    fn retry(&self, job: JobId, client: &Client) -> Result<Submitted, QueueError> {
        self.change(|writing| writing.retry(job, client))
    }

    fn prioritise(&self, job: JobId, priority: Priority) -> Result<(), QueueError> {
        self.change(|writing| writing.prioritise(job, priority))
    }

    fn place(&self, job: JobId, before: Option<JobId>) -> Result<(), QueueError> {
        self.change(|writing| writing.place(job, before))
    }

    fn pause(&self, is_paused: bool) -> Result<(), QueueError> {
        self.change(|writing| {
            let mut pause = writing.sql.prepare_cached("INSERT OR REPLACE INTO standing (name, value) VALUES ('paused', ?1)")?;
            pause.execute([is_paused.to_string()])?;
            writing.tell(News::Queue { is_paused })
        })
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        self.db.read(|sql| lists::counts(sql, self.rules.capacity))
    }

    fn job(&self, job: JobId) -> Result<Job, QueueError> {
        self.db.read(|sql| lists::job(sql, job))
    }

    fn jobs(&self, wanted: &Wanted) -> Result<Vec<Job>, QueueError> {
        self.db.read(|sql| lists::jobs(sql, wanted))
    }

    fn events(&self, after: u64, job: Option<JobId>, most: u32) -> Result<Vec<Event>, QueueError> {
        self.db.read(|sql| lists::events(sql, after, job, most))
    }

    fn last_event(&self) -> Result<u64, QueueError> {
        last_event(&self.db)
    }

    fn forget(&self, ended_before: Millis) -> Result<u32, QueueError> {
        self.forget_all(ended_before)
    }
}
