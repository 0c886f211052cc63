//! Who is next.
//!
//! Jobs of one priority stand in a line, ordered by their `place`, which is a round: in each round every client has one job, so
//! that who comes with one job stands beside the first ones of who came with a thousand. A client's next job comes a round
//! after his last; nobody comes in a round that is over. (This is start-time fair queueing with jobs of one size.) Jobs whose
//! moment has not come stand aside, and get their places when it has.

use encaustic_protocol::JobId;
use rusqlite::{Connection, OptionalExtension, params};

use super::claims::SUSPECT;
use super::rows::{self, Spot};
use super::{Outcome, Writing, is_paused, refused};
use crate::events::News;
use crate::job::{Client, Priority, State};
use crate::queue::{QueueError, Worker};

/// However far a configuration wants to look ahead, a claim looks at no more jobs than this.
const FARTHEST: u32 = 256;

/// The first jobs of the line.
pub(super) const FIRST: &str =
    "SELECT id, model, passed, priority, crashes FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1
     ORDER BY priority DESC, place, id LIMIT ?1";
/// Jobs whose moment has come and who have no place yet.
pub(super) const DUE: &str = "SELECT id, client, priority FROM jobs INDEXED BY jobs_to_come
     WHERE state = 'waiting' AND is_ready = 0 AND not_before <= ?1 ORDER BY not_before, id LIMIT 1000";
/// The round in which a client's next job comes.
pub(super) const ARRIVAL: &str = "SELECT max(
     coalesce((SELECT max(place) + 1 FROM jobs INDEXED BY jobs_in_line_of_client WHERE state = 'waiting' AND is_ready = 1 AND client = ?1 AND priority = ?2), 0),
     coalesce((SELECT place + 1 FROM turns WHERE client = ?1 AND priority = ?2), 0),
     coalesce((SELECT place FROM turns WHERE client = '' AND priority = ?2), 0))";
/// How many jobs of higher priorities, and of the same, come before a place.
pub(super) const AHEAD: &str = "SELECT
     (SELECT count(*) FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1 AND priority > ?1) +
     (SELECT count(*) FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1 AND priority = ?1 AND (place, id) < (?2, ?3))";
/// The place before a place.
pub(super) const BEFORE: &str =
    "SELECT place FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1 AND priority = ?1
     AND (place, id) < (?2, ?3) AND id <> ?4 ORDER BY place DESC, id DESC LIMIT 1";
/// The last place of a priority, but for one job.
pub(super) const LAST: &str =
    "SELECT place FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1 AND priority = ?1 AND id <> ?2
     ORDER BY place DESC, id DESC LIMIT 1";
/// A client's jobs of one priority.
pub(super) const OWN: &str =
    "SELECT id, place FROM jobs INDEXED BY jobs_in_line_of_client WHERE state = 'waiting' AND is_ready = 1 AND client = ?1
     AND priority = ?2 ORDER BY place, id";
/// All jobs between two places.
pub(super) const ROUND: &str =
    "SELECT id FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1 AND priority = ?1
     AND place >= ?2 AND place < ?3 ORDER BY place, id";

/// How many jobs come before one that waits. Before one whose moment has not come, the whole line may.
pub(super) fn ahead(sql: &Connection, spot: &Spot) -> Outcome<u32> {
    let place = if spot.is_ready { spot.place } else { f64::MAX };
    let ahead = sql.prepare_cached(AHEAD)?.query_row(params![spot.priority, place, rows::key(spot.job)], |row| row.get(0));
    Ok(ahead?)
}

/// A job in the line, as far as its turn depends on it.
struct InLine {
    job: u64,
    model: String,
    passed: u32,
    priority: Priority,
    crashes: u32,
}

impl Writing<'_> {
    /// Where a client's new job comes in the line.
    pub(super) fn arrival(&self, client: &Client, priority: Priority) -> Outcome<f64> {
        Ok(self.sql.prepare_cached(ARRIVAL)?.query_row(params![client.0, priority], |row| row.get(0))?)
    }

    /// Lets those into the line whose moment has come.
    pub(super) fn admit(&self) -> Outcome<()> {
        let mut due = self.sql.prepare_cached(DUE)?;
        let due = due.query_map([self.now], |row| Ok((row.get::<_, i64>(0)?, Client(row.get(1)?), row.get(2)?)))?;
        for (id, client, priority) in due.collect::<Result<Vec<_>, _>>()? {
            let place = self.arrival(&client, priority)?;
            self.sql.prepare_cached("UPDATE jobs SET is_ready = 1, place = ?2 WHERE id = ?1")?.execute(params![id, place])?;
        }
        Ok(())
    }

    /// The job that is next for a worker. One for the model that it has loaded may be it from a little farther behind, as long as
    /// nobody before it has been passed too often; so may any other behind one that has to be alone, while somebody else runs.
    pub(super) fn next(&self, worker: &Worker<'_>, is_alone: bool) -> Outcome<Option<JobId>> {
        let look_ahead = self.rules.look_ahead.min(FARTHEST);
        let most = if worker.away.is_empty() { look_ahead } else { FARTHEST };
        let mut line = self.sql.prepare_cached(FIRST)?;
        let line = line.query_map([most + 1], |row| {
            Ok(InLine { job: row.get(0)?, model: row.get(1)?, passed: row.get(2)?, priority: row.get(3)?, crashes: row.get(4)? })
        })?;
        let mut line = line.collect::<Result<Vec<_>, _>>()?;
        line.retain(|one| !worker.away.contains(&one.model));
        line.truncate(look_ahead as usize + 1);
        let mut first: Option<(usize, Priority)> = None;
        let mut chosen = None;
        for (place, one) in line.iter().enumerate() {
            if first.is_some_and(|(_, priority)| priority != one.priority) {
                break;
            }
            if is_alone || one.crashes < SUSPECT {
                if Some(one.model.as_str()) == worker.loaded {
                    chosen = Some(place);
                    break;
                }
                first = first.or(Some((place, one.priority)));
            }
            if one.passed >= look_ahead {
                break;
            }
        }
        let Some(chosen) = chosen.or(first.map(|(place, _)| place)) else { return Ok(None) };
        for one in line.iter().take(chosen) {
            self.sql.prepare_cached("UPDATE jobs SET passed = passed + 1 WHERE id = ?1")?.execute([one.job])?;
        }
        Ok(line.get(chosen).map(|one| JobId(one.job)))
    }

    /// Remembers the round in which a client is served.
    pub(super) fn served(&self, client: &Client, spot: &Spot) -> Outcome<()> {
        for client in [client.0.as_str(), ""] {
            self.sql
                .prepare_cached(
                    "INSERT INTO turns (client, priority, place) VALUES (?1, ?2, ?3)
                     ON CONFLICT (client, priority) DO UPDATE SET place = max(place, excluded.place)",
                )?
                .execute(params![client, spot.priority, spot.place])?;
        }
        Ok(())
    }

    pub(super) fn prioritise(&mut self, job: JobId, priority: Priority) -> Outcome<()> {
        let spot = rows::spot(self.sql, job)?;
        if spot.state != State::Waiting {
            return refused(QueueError::NotNow { job, state: spot.state, wants: "a waiting job" });
        }
        if spot.priority == priority {
            return Ok(());
        }
        let client = rows::find(self.sql, job)?.client;
        let place = if spot.is_ready { self.arrival(&client, priority)? } else { spot.place };
        self.sql.prepare_cached("UPDATE jobs SET priority = ?2, place = ?3 WHERE id = ?1")?.execute(params![
            rows::key(job),
            priority,
            place
        ])?;
        self.tell(News::Queue { is_paused: is_paused(self.sql)? })
    }

    pub(super) fn place(&mut self, job: JobId, before: Option<JobId>) -> Outcome<()> {
        let moved = self.in_line(job)?;
        let place = match before {
            Some(other) if other == job => return Ok(()),
            Some(other) => {
                let found = self.in_line(other)?;
                if found.priority != moved.priority {
                    return refused(QueueError::Unequal { job, other });
                }
                if self.change_own(&moved, &found)? {
                    return self.tell(News::Queue { is_paused: is_paused(self.sql)? });
                }
                match self.room(job, &found)? {
                    Some(place) => place,
                    None => {
                        self.spread(&found)?;
                        let found = self.in_line(other)?;
                        self.room(job, &found)?.unwrap_or(found.place)
                    }
                }
            }
            None => {
                let mut last = self.sql.prepare_cached(LAST)?;
                let last = last.query_row(params![moved.priority, rows::key(job)], |row| row.get::<_, f64>(0)).optional()?;
                last.map_or(moved.place, |last| last + 1.0)
            }
        };
        self.sql.prepare_cached("UPDATE jobs SET place = ?2 WHERE id = ?1")?.execute(params![rows::key(job), place])?;
        self.tell(News::Queue { is_paused: is_paused(self.sql)? })
    }

    fn in_line(&self, job: JobId) -> Outcome<Spot> {
        let spot = rows::spot(self.sql, job)?;
        match spot.state {
            State::Waiting if spot.is_ready => Ok(spot),
            state => refused(QueueError::NotNow { job, state, wants: "a waiting job whose moment has come" }),
        }
    }

    /// Moves a job before another of the same client. Only that client's own places change hands: who moves all of his jobs to
    /// the front comes no earlier than he would have. `false` if they are different clients'.
    fn change_own(&self, moved: &Spot, other: &Spot) -> Outcome<bool> {
        let client = rows::find(self.sql, moved.job)?.client;
        if client != rows::find(self.sql, other.job)?.client {
            return Ok(false);
        }
        let mut own = self.sql.prepare_cached(OWN)?;
        let own = own.query_map(params![client.0, moved.priority], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)?)))?;
        let own = own.collect::<Result<Vec<_>, _>>()?;
        // Among jobs at one place their numbers decide, which do not change hands.
        if !own.is_sorted_by(|(_, one), (_, next)| one < next) {
            return Ok(false);
        }
        let mut order: Vec<i64> = own.iter().map(|(id, _)| *id).filter(|id| *id != rows::key(moved.job)).collect();
        let Some(to) = order.iter().position(|id| *id == rows::key(other.job)) else { return Ok(false) };
        order.insert(to, rows::key(moved.job));
        for (id, (had, place)) in order.into_iter().zip(own) {
            if id != had {
                self.sql.prepare_cached("UPDATE jobs SET place = ?2 WHERE id = ?1")?.execute(params![id, place])?;
            }
        }
        Ok(true)
    }

    /// A place between a job and the one before it, if there is one.
    fn room(&self, moved: JobId, other: &Spot) -> Outcome<Option<f64>> {
        let mut before = self.sql.prepare_cached(BEFORE)?;
        let before = before
            .query_row(params![other.priority, other.place, rows::key(other.job), rows::key(moved)], |row| row.get::<_, f64>(0))
            .optional()?;
        let Some(before) = before else { return Ok(Some(other.place - 1.0)) };
        let middle = before + (other.place - before) / 2.0;
        Ok((before < middle && middle < other.place).then_some(middle))
    }

    /// Gives all jobs of a round places of their own within it, in the order that they have.
    fn spread(&self, other: &Spot) -> Outcome<()> {
        let round = other.place.floor();
        let mut jobs = self.sql.prepare_cached(ROUND)?;
        let jobs = jobs.query_map(params![other.priority, round, round + 1.0], |row| row.get::<_, i64>(0))?;
        let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
        let room = (jobs.len() + 1) as f64;
        for (i, id) in jobs.iter().enumerate() {
            let place = round + (i + 1) as f64 / room;
            self.sql.prepare_cached("UPDATE jobs SET place = ?2 WHERE id = ?1")?.execute(params![id, place])?;
        }
        Ok(())
    }
}
