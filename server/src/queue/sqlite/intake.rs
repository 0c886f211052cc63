//! Wishes become jobs.

use encaustic_protocol::{Change, JobId};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::{Outcome, Rules, Writing, line, refused, rows};
use crate::events::News;
use crate::job::{Client, NewJob, State};
use crate::queue::{QueueError, Submitted};
use crate::time::Millis;

/// Nobody is asked to try again later than this, in seconds.
const LONGEST_WAIT: f64 = 120.0;
/// Where the table of jobs says how many wait.
pub(super) const WAITING: &str = "SELECT count(*) FROM jobs WHERE state = 'waiting'";
/// And how many of a client's.
pub(super) const WAITING_OF: &str = "SELECT count(*) FROM jobs INDEXED BY jobs_by_client WHERE client = ?1 AND state = 'waiting'";
/// A client of whose jobs fewer wait gets them into a full queue, as long as there are not many such clients.
const SPARE: u64 = 8;

/// The job that a client's idempotency key stands for, if it stands for one.
pub(super) fn known(
    sql: &Connection,
    rules: &Rules,
    now: Millis,
    wish: &NewJob,
    client: &Client,
    key: &str,
) -> Outcome<Option<JobId>> {
    let mut known = sql.prepare_cached("SELECT job, digest, at FROM idempotency WHERE client = ?1 AND key = ?2")?;
    let known =
        known.query_row(params![client.0, key], |row| Ok((JobId(row.get(0)?), row.get::<_, Vec<u8>>(1)?, row.get::<_, i64>(2)?)));
    match known.optional()? {
        Some((job, old, at)) if now.saturating_sub(at) < rules.keep_keys_ms => {
            if old != digest(wish)? {
                refused(QueueError::KeyReused(key.to_owned()))
            } else {
                Ok(Some(job))
            }
        }
        _ => Ok(None),
    }
}

fn digest(wish: &NewJob) -> Outcome<Vec<u8>> {
    Ok(Sha256::digest(rows::json(wish)?).to_vec())
}

impl Writing<'_> {
    pub(super) fn submit(&mut self, wish: &NewJob, client: &Client, key: Option<&str>) -> Outcome<Submitted> {
        let Some(key) = key else {
            return Ok(Submitted { job: self.take_in(wish, client)?, is_new: true });
        };
        if let Some(job) = known(self.sql, self.rules, self.now, wish, client, key)? {
            return Ok(Submitted { job, is_new: false });
        }
        let job = self.take_in(wish, client)?;
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO idempotency (client, key, digest, job, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![client.0, key, digest(wish)?.as_slice(), rows::key(job), self.now])?;
        Ok(Submitted { job, is_new: true })
    }

    pub(super) fn retry(&mut self, job: JobId, client: &Client) -> Outcome<Submitted> {
        let found = rows::find(self.sql, job)?;
        if !matches!(found.state, State::Failed | State::Cancelled) {
            return refused(QueueError::NotNow { job, state: found.state, wants: "what has failed or was cancelled" });
        }
        if self.legible(job)?.is_err() {
            let wants = "what this version of the program can read";
            return refused(QueueError::NotNow { job, state: found.state, wants });
        }
        // The message about its end is for whoever asked for it, not for others that try it again.
        let webhook = found.wish.webhook.clone().filter(|_| found.client == *client);
        let again = NewJob { not_before: None, webhook, ..found.wish };
        Ok(Submitted { job: self.take_in(&again, client)?, is_new: true })
    }

    fn take_in(&mut self, wish: &NewJob, client: &Client) -> Outcome<JobId> {
        let waiting: u64 = self.sql.prepare_cached(WAITING)?.query_row([], |row| row.get(0))?;
        let capacity = self.rules.capacity;
        if waiting >= capacity && !self.may_exceed(client, waiting)? {
            return refused(QueueError::Full { waiting, capacity, retry_secs: self.retry_secs()? });
        }
        let mut wish = wish.clone();
        let batch = wish.request.batch;
        wish.request.seed = wish.request.seed.or_else(|| Some(self.seed(batch)));
        let not_before = wish.not_before.unwrap_or(0);
        let is_ready = not_before <= self.now;
        let place = if is_ready { self.arrival(client, wish.priority)? } else { 0.0 };
        let model = wish.model.as_ref().unwrap_or(&self.rules.usual_model);
        self.sql
            .prepare_cached(
                "INSERT INTO jobs (client, wish, model, state, priority, is_ready, place, not_before, created)
                 VALUES (?1, ?2, ?3, 'waiting', ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![client.0, rows::json(&wish)?, model, wish.priority, is_ready, place, not_before, self.now])?;
        let job = JobId(u64::try_from(self.sql.last_insert_rowid()).unwrap_or_default());
        let ahead = line::ahead(self.sql, &rows::spot(self.sql, job)?)?;
        self.tell(News::Job { job, change: Change::Queued { ahead } })?;
        Ok(job)
    }

    /// Whether a client's wish is taken in though the queue is full: nobody who fills it shuts the others out.
    fn may_exceed(&self, client: &Client, waiting: u64) -> Outcome<bool> {
        let capacity = self.rules.capacity;
        if waiting >= capacity.saturating_add(SPARE.max(capacity / 10)) {
            return Ok(false);
        }
        let own: u64 = self.sql.prepare_cached(WAITING_OF)?.query_row([&client.0], |row| row.get(0))?;
        Ok(own < SPARE.min(capacity.div_ceil(2)))
    }

    /// A seed for a wish that names none. Other programs keep seeds in 32 bits; those of the whole batch fit.
    fn seed(&self, batch: u32) -> u64 {
        // A system without random numbers still has a clock; nothing secret hangs on a seed.
        let drawn = getrandom::u32().unwrap_or(self.now.cast_unsigned() as u32);
        u64::from(drawn.min(u32::MAX - batch))
    }

    /// When a place will be free: as long as a job has taken lately.
    fn retry_secs(&self) -> Outcome<u32> {
        let mut lately = self.sql.prepare_cached(
            "SELECT avg(ended - started) / 1000.0 FROM
             (SELECT ended, started FROM jobs WHERE state = 'finished' ORDER BY id DESC LIMIT 20)",
        )?;
        let seconds: Option<f64> = lately.query_row([], |row| row.get(0))?;
        Ok(seconds.unwrap_or(10.0).clamp(1.0, LONGEST_WAIT).ceil() as u32)
    }
}
