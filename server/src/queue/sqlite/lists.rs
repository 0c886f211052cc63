//! What is told of the queue.

use std::collections::HashMap;

use encaustic_protocol::JobId;
use rusqlite::{Connection, params};

use super::{Outcome, intake, is_paused, line, rows};
use crate::events::Event;
use crate::job::{Job, State};
use crate::queue::{Counts, Wanted};

/// How many jobs are listed if nobody says.
const USUAL: u32 = 100;
/// How many jobs or events are listed at most.
const MOST: u32 = 1000;

/// The whole line.
pub(super) const LINE: &str =
    "SELECT id FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1 ORDER BY priority DESC, place, id";
/// A piece of the line, after a job if one is given.
pub(super) const PIECE: &str =
    "SELECT * FROM jobs INDEXED BY jobs_in_line WHERE state = 'waiting' AND is_ready = 1 AND (?1 IS NULL OR client = ?1)
     AND (?2 IS NULL OR priority < ?2 OR (priority = ?2 AND (place, id) > (?3, ?4)))
     ORDER BY priority DESC, place, id LIMIT ?5";
/// Those whose moment has not come, after a job if one is given.
pub(super) const TO_COME: &str =
    "SELECT * FROM jobs INDEXED BY jobs_to_come WHERE state = 'waiting' AND is_ready = 0 AND (?1 IS NULL OR client = ?1)
     AND (?2 IS NULL OR (not_before, id) > (?2, ?3)) ORDER BY not_before, id LIMIT ?4";
/// Jobs in a state, the newest first.
pub(super) const IN_STATE: &str = "SELECT * FROM jobs WHERE state = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
/// Jobs of a client in a state, the newest first.
pub(super) const OF_CLIENT: &str = "SELECT * FROM jobs WHERE state = ?1 AND id < ?2 AND client = ?4 ORDER BY id DESC LIMIT ?3";
/// Events after a number.
pub(super) const EVENTS: &str = "SELECT seq, at, news FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2";
/// Events of a job after a number.
pub(super) const EVENTS_OF: &str = "SELECT seq, at, news FROM events WHERE seq > ?1 AND job = ?3 ORDER BY seq LIMIT ?2";

pub(super) fn counts(sql: &Connection, capacity: u64) -> Outcome<Counts> {
    let count = |query: &str| sql.prepare_cached(query)?.query_row([], |row| row.get::<_, u64>(0));
    Ok(Counts {
        waiting: count(intake::WAITING)?,
        scheduled: count("SELECT count(*) FROM jobs INDEXED BY jobs_to_come WHERE state = 'waiting' AND is_ready = 0")?,
        running: count("SELECT count(*) FROM jobs WHERE state = 'running'")?,
        capacity,
        is_paused: is_paused(sql)?,
    })
}

pub(super) fn job(sql: &Connection, job: JobId) -> Outcome<Job> {
    let mut found = rows::find(sql, job)?;
    if found.state == State::Waiting {
        found.ahead = Some(line::ahead(sql, &rows::spot(sql, job)?)?);
    }
    Ok(found)
}

pub(super) fn jobs(sql: &Connection, wanted: &Wanted) -> Outcome<Vec<Job>> {
    let most = if wanted.most == 0 { USUAL } else { wanted.most.min(MOST) };
    let is_wanted = |state: &State| wanted.states.is_empty() || wanted.states.contains(state);
    let mut jobs = if is_wanted(&State::Waiting) { waiting(sql, wanted, most)? } else { Vec::new() };
    let left = most.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
    if left > 0 {
        let mut others = Vec::new();
        let states = State::ALL.iter().filter(|state| **state != State::Waiting && is_wanted(state));
        for state in states {
            others.append(&mut in_state(sql, wanted, *state, left)?);
        }
        others.sort_unstable_by_key(|job| std::cmp::Reverse(job.id.0));
        others.truncate(left as usize);
        jobs.append(&mut others);
    }
    Ok(jobs)
}

/// The line and those beside it, from where the reader of the list is.
fn waiting(sql: &Connection, wanted: &Wanted, most: u32) -> Outcome<Vec<Job>> {
    let client = wanted.client.as_ref().map(|client| &client.0);
    let cursor = match wanted.before {
        // Whoever is among the others has seen all that waits.
        Some(before) => match rows::look(sql, before)? {
            Some(spot) if spot.state == State::Waiting => Some(spot),
            _ => return Ok(Vec::new()),
        },
        None => None,
    };
    let mut jobs = Vec::new();
    if cursor.is_none_or(|spot| spot.is_ready) {
        let mut piece = sql.prepare_cached(PIECE)?;
        let after = (cursor.map(|spot| spot.priority), cursor.map(|spot| spot.place), cursor.map(|spot| rows::key(spot.job)));
        let piece = piece.query_map(params![client, after.0, after.1, after.2, most], rows::read)?;
        jobs = piece.collect::<Result<Vec<_>, _>>()?;
        if !jobs.is_empty() {
            let ahead = places(sql)?;
            jobs.iter_mut().for_each(|job| job.ahead = ahead.get(&job.id.0).copied());
        }
    }
    let left = most.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
    if left > 0 {
        let mut to_come = sql.prepare_cached(TO_COME)?;
        let aside = cursor.filter(|spot| !spot.is_ready);
        let after = (aside.map(|spot| spot.not_before), aside.map(|spot| rows::key(spot.job)));
        let to_come = to_come.query_map(params![client, after.0, after.1, left], rows::read)?;
        let mut to_come = to_come.collect::<Result<Vec<_>, _>>()?;
        for job in &mut to_come {
            job.ahead = Some(line::ahead(sql, &rows::spot(sql, job.id)?)?);
        }
        jobs.append(&mut to_come);
    }
    Ok(jobs)
}

/// How many jobs come before each of the line.
fn places(sql: &Connection) -> Outcome<HashMap<u64, u32>> {
    let mut line = sql.prepare_cached(LINE)?;
    let line = line.query_map([], |row| row.get::<_, u64>(0))?;
    (0..).zip(line).map(|(ahead, id)| Ok((id?, ahead))).collect()
}

fn in_state(sql: &Connection, wanted: &Wanted, state: State, most: u32) -> Outcome<Vec<Job>> {
    let before = match wanted.before {
        Some(before) => match rows::look(sql, before)? {
            // Whoever is in the line has seen none of the others.
            Some(spot) if spot.state == State::Waiting => i64::MAX,
            _ => rows::key(before),
        },
        None => i64::MAX,
    };
    match &wanted.client {
        Some(client) => {
            let mut found = sql.prepare_cached(OF_CLIENT)?;
            let found = found.query_map(params![state.name(), before, most, client.0], rows::read)?;
            Ok(found.collect::<Result<_, _>>()?)
        }
        None => {
            let mut found = sql.prepare_cached(IN_STATE)?;
            let found = found.query_map(params![state.name(), before, most], rows::read)?;
            Ok(found.collect::<Result<_, _>>()?)
        }
    }
}

pub(super) fn events(sql: &Connection, after: u64, job: Option<JobId>, most: u32) -> Outcome<Vec<Event>> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let read =
        |row: &rusqlite::Row<'_>| Ok(Event { seq: row.get(0)?, is_live: false, at: row.get(1)?, news: rows::parse(row, 2)? });
    let most = most.min(MOST);
    let events = match job {
        Some(job) => sql.prepare_cached(EVENTS_OF)?.query_map(params![after, most, rows::key(job)], read)?.collect(),
        None => sql.prepare_cached(EVENTS)?.query_map(params![after, most], read)?.collect::<Result<_, _>>(),
    };
    Ok(events?)
}
