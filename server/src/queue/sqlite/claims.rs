//! Jobs that are worked on: who has them, and how they end.

use encaustic_protocol::{Change, Failure, FailureKind, ImageRef, JobId};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Outcome, Writing, is_paused, line, refused, rows};
use crate::events::News;
use crate::images::{self, NewImage};
use crate::job::{LogLine, NewJob, State};
use crate::queue::{Claim, End, QueueError, Standing, Token, Worker};
use crate::time::Millis;
use crate::webhooks;

/// Remarks that are kept of a job; the oldest make room.
const LINES: u32 = 100;
/// Characters of a remark.
const LINE: usize = 500;

/// Whether somebody may be there to be claimed.
pub(super) const ANYBODY: &str = "SELECT
     EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1) OR
     EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_to_come WHERE state = 'waiting' AND is_ready = 0 AND not_before <= ?1)";
/// Claims whose leases have run out.
pub(super) const STALE: &str =
    "SELECT id, crashes + 1, is_cancelled FROM jobs INDEXED BY jobs_running WHERE state = 'running' AND lease_until < ?1";

/// How many jobs run, and whether one of them has to be alone.
const COMPANY: &str = "SELECT count(*), coalesce(max(crashes), 0) FROM jobs INDEXED BY jobs_running WHERE state = 'running'";
/// A job that was there at so many deaths runs alone from then on: at the next one, it is known whose it was. Others pass it a bounded
/// number of times; then nobody is begun until it is alone.
pub(super) const SUSPECT: u32 = 2;

/// Whether a claim can come to something.
pub(super) fn is_worth_it(sql: &Connection, now: Millis) -> Outcome<bool> {
    Ok(!is_paused(sql)? && sql.prepare_cached(ANYBODY)?.query_row([now], |row| row.get(0))?)
}

/// How it stands with a claim.
pub(super) fn standing(sql: &Connection, token: &Token) -> Outcome<Standing> {
    let mut held = sql.prepare_cached("SELECT is_cancelled FROM jobs WHERE id = ?1 AND claims = ?2 AND state = 'running'")?;
    Ok(stands(held.query_row(params![rows::key(token.job), token.claim], |row| row.get(0)).optional()?))
}

/// How it stands with a claim that, if it holds, is or is not to be stopped.
fn stands(is_cancelled: Option<bool>) -> Standing {
    match is_cancelled {
        None => Standing::Lost,
        Some(true) => Standing::Cancelled,
        Some(false) => Standing::Held,
    }
}

impl Writing<'_> {
    pub(super) fn claim(&mut self, worker: &Worker<'_>) -> Outcome<Option<Claim>> {
        if is_paused(self.sql)? {
            return Ok(None);
        }
        self.admit()?;
        let (running, crashes): (u32, u32) =
            self.sql.prepare_cached(COMPANY)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if crashes >= SUSPECT {
            return Ok(None);
        }
        while let Some(job) = self.next(worker, running == 0)? {
            if let Err(error) = self.legible(job)? {
                let message = format!("this version of the program cannot read what was asked for ({error}); send it again");
                self.close(job, &End::Failed(Failure { kind: FailureKind::Invalid, message }))?;
                continue;
            }
            let spot = rows::spot(self.sql, job)?;
            let claim: u64 = self
                .sql
                .prepare_cached(
                    "UPDATE jobs SET state = 'running', device = ?2, started = ?3, lease_until = ?4, attempts = attempts + 1,
                     claims = claims + 1 WHERE id = ?1 RETURNING claims",
                )?
                .query_row(params![rows::key(job), worker.name, self.now, self.now + self.rules.lease_ms], |row| row.get(0))?;
            let token = Token { job, claim };
            let found = rows::find(self.sql, job)?;
            self.served(&found.client, &spot)?;
            self.tell(News::Job { job, change: Change::Started })?;
            return Ok(Some(Claim { job: found, token }));
        }
        Ok(None)
    }

    /// Whether a wish can be read: one that cannot would stop the line for ever.
    pub(super) fn legible(&self, job: JobId) -> Outcome<Result<(), serde_json::Error>> {
        let mut wish = self.sql.prepare_cached("SELECT wish FROM jobs WHERE id = ?1")?;
        let wish: String = wish.query_row([rows::key(job)], |row| row.get(0))?;
        Ok(serde_json::from_str::<NewJob>(&wish).map(|_| ()))
    }

    pub(super) fn beat(&mut self, token: &Token) -> Outcome<Standing> {
        let mut beat = self.sql.prepare_cached(
            "UPDATE jobs SET lease_until = ?3 WHERE id = ?1 AND claims = ?2 AND state = 'running' RETURNING is_cancelled",
        )?;
        let until = self.now + self.rules.lease_ms;
        Ok(stands(beat.query_row(params![rows::key(token.job), token.claim, until], |row| row.get(0)).optional()?))
    }

    pub(super) fn log(&mut self, token: &Token, text: &str) -> Outcome<()> {
        let line = LogLine { at: self.now, text: text.chars().take(LINE).collect() };
        let mut log = self.sql.prepare_cached(
            "UPDATE jobs SET log = json_insert(CASE WHEN json_array_length(log) < ?3 THEN log ELSE json_remove(log, '$[0]') END,
             '$[#]', json(?2)) WHERE id = ?1 AND claims = ?4 AND state <> 'waiting'",
        )?;
        match log.execute(params![rows::key(token.job), rows::json(&line)?, LINES, token.claim])? {
            0 => refused(QueueError::Lost(token.job)),
            _ => Ok(()),
        }
    }

    pub(super) fn end(&mut self, token: &Token, end: &End) -> Outcome<()> {
        self.held(token)?;
        self.close(token.job, end)
    }

    pub(super) fn put_back(&mut self, token: &Token) -> Outcome<()> {
        self.leave(token, 1)
    }

    pub(super) fn give_back(&mut self, token: &Token) -> Outcome<()> {
        self.leave(token, 0)
    }

    fn leave(&mut self, token: &Token, uncounted: u32) -> Outcome<()> {
        if self.held(token)? { self.close(token.job, &End::Cancelled) } else { self.requeue(token.job, uncounted) }
    }

    pub(super) fn reclaim(&mut self, everyone: bool) -> Outcome<u32> {
        self.admit()?;
        let before = if everyone { Millis::MAX } else { self.now };
        let mut stale = self.sql.prepare_cached(STALE)?;
        let stale = stale.query_map([before], |row| Ok((JobId(row.get(0)?), row.get::<_, u32>(1)?, row.get::<_, bool>(2)?)))?;
        let stale = stale.collect::<Result<Vec<_>, _>>()?;
        for (job, crashes, is_cancelled) in &stale {
            if *is_cancelled {
                self.close(*job, &End::Cancelled)?;
            } else if *crashes >= self.rules.crashes {
                let message = format!("its worker broke down {crashes} times while it ran; it is not tried again");
                self.close(*job, &End::Failed(Failure { kind: FailureKind::Device, message }))?;
            } else {
                self.sql
                    .prepare_cached("UPDATE jobs SET crashes = ?2 WHERE id = ?1")?
                    .execute(params![rows::key(*job), crashes])?;
                self.requeue(*job, 0)?;
            }
        }
        Ok(u32::try_from(stale.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn cancel(&mut self, job: JobId) -> Outcome<State> {
        match rows::spot(self.sql, job)?.state {
            State::Waiting => {
                self.close(job, &End::Cancelled)?;
                Ok(State::Cancelled)
            }
            State::Running => {
                self.sql.prepare_cached("UPDATE jobs SET is_cancelled = 1 WHERE id = ?1")?.execute([rows::key(job)])?;
                Ok(State::Running)
            }
            state => refused(QueueError::Over { job, state }),
        }
    }

    /// Checks that a claim is valid; returns whether its worker is asked to stop.
    fn held(&self, token: &Token) -> Outcome<bool> {
        match standing(self.sql, token)? {
            Standing::Lost => refused(QueueError::Lost(token.job)),
            standing => Ok(standing == Standing::Cancelled),
        }
    }
    /// Puts a running job back to its old place; so many of its attempts do not count.
    fn requeue(&mut self, job: JobId, uncounted: u32) -> Outcome<()> {
        self.sql
            .prepare_cached("UPDATE jobs SET state = 'waiting', lease_until = NULL, attempts = attempts - ?2 WHERE id = ?1")?
            .execute(params![rows::key(job), uncounted])?;
        let ahead = line::ahead(self.sql, &rows::spot(self.sql, job)?)?;
        self.tell(News::Job { job, change: Change::Queued { ahead } })
    }

    /// Ends a job that waits or runs. What else has to be true from its end on is written here, in the same transaction.
    fn close(&mut self, job: JobId, end: &End) -> Outcome<()> {
        let (state, failure, refs, change) = match end {
            End::Finished(pictures) => {
                let refs: Vec<ImageRef> = pictures.iter().map(NewImage::reference).collect();
                (State::Finished, None, refs.clone(), Change::Finished(refs))
            }
            End::Failed(failure) => (State::Failed, Some(rows::json(failure)?), Vec::new(), Change::Failed(failure.clone())),
            End::Cancelled => (State::Cancelled, None, Vec::new(), Change::Cancelled),
        };
        self.sql
            .prepare_cached(
                "UPDATE jobs SET state = ?2, ended = ?3, failure = ?4, images = ?5, lease_until = NULL WHERE id = ?1",
            )?
            .execute(params![rows::key(job), state.name(), self.now, failure, rows::json(&refs)?])?;
        let ended = rows::find(self.sql, job)?;
        if let End::Finished(pictures) = end {
            for picture in pictures {
                images::rows::insert(self.sql, Some(job), &ended.client, picture, self.now)?;
            }
        }
        self.tell(News::Job { job, change })?;
        if let Some(event) = self.events.last() {
            webhooks::enqueue(self.sql, event, &ended)?;
        }
        Ok(())
    }
}
