//! The queue in SQLite.

use std::sync::Arc;

use encaustic_protocol::{Change, Failure, FailureKind, ImageRef, JobId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{Claim, Counts, End, LEASE_MS, Queue, QueueError, Standing, Submitted, Token, Wanted, Worker};
use crate::db::{Db, Failed};
use crate::events::{Event, Hub, News};
use crate::images;
use crate::job::{ATTEMPTS, Client, Job, LogLine, NewJob, Priority, State};
use crate::time::Clock;
use crate::webhooks;

/// How many jobs are listed if nobody says.
const USUAL: u32 = 100;

/// Jobs in a database.
pub struct SqliteQueue {
    db: Arc<Db>,
    hub: Hub,
    clock: Clock,
    capacity: u64,
}

type Outcome<T> = Result<T, Failed<QueueError>>;

impl SqliteQueue {
    /// The queue of a database; `hub` is told what happens.
    pub fn new(db: Arc<Db>, hub: Hub, clock: Clock, capacity: u64) -> Self {
        Self { db, hub, clock, capacity }
    }

    /// Changes the database and tells the events of the change after it is made, in their order.
    fn change<T>(&self, change: impl FnOnce(&Transaction<'_>, &mut Vec<Event>) -> Outcome<T>) -> Result<T, QueueError> {
        let mut events = Vec::new();
        let told = self.db.write(|transaction| change(transaction, &mut events))?;
        events.into_iter().for_each(|event| self.hub.stored(event));
        Ok(told)
    }

    fn store(&self, change: &Transaction<'_>, events: &mut Vec<Event>, news: News) -> Outcome<()> {
        let at = (self.clock)();
        let job = match &news {
            News::Job { job, .. } => Some(job.0),
            _ => None,
        };
        change.execute("INSERT INTO events (at, job, news) VALUES (?1, ?2, ?3)", params![at, job, json(&news)?])?;
        let seq = u64::try_from(change.last_insert_rowid()).unwrap_or_default();
        events.push(Event { seq, is_live: false, at, news });
        Ok(())
    }

    /// Ends a job that runs or waits.
    fn close(&self, change: &Transaction<'_>, events: &mut Vec<Event>, job: JobId, end: &End) -> Outcome<()> {
        let (state, failure, refs, news) = match end {
            End::Finished(pictures) => {
                let refs: Vec<ImageRef> = pictures.iter().map(images::NewImage::reference).collect();
                (State::Finished, None, refs.clone(), Change::Finished(refs))
            }
            End::Failed(failure) => (State::Failed, Some(json(failure)?), Vec::new(), Change::Failed(failure.clone())),
            End::Cancelled => (State::Cancelled, None, Vec::new(), Change::Cancelled),
        };
        change.execute(
            "UPDATE jobs SET state = ?2, ended = ?3, failure = ?4, images = ?5, lease_until = NULL WHERE id = ?1",
            params![job.0, state.name(), (self.clock)(), failure, json(&refs)?],
        )?;
        if let End::Finished(pictures) = end {
            let client: String = change.query_row("SELECT client FROM jobs WHERE id = ?1", [job.0], |row| row.get(0))?;
            for picture in pictures {
                images::rows::insert(change, Some(job), &Client(client.clone()), picture, (self.clock)())?;
            }
        }
        self.store(change, events, News::Job { job, change: news })?;
        if let Some(event) = events.last() {
            webhooks::enqueue(change, event, &self::job(change, job)?)?;
        }
        Ok(())
    }

    /// The claim, if it is valid.
    fn held(&self, change: &Connection, token: &Token) -> Outcome<()> {
        let held: Option<bool> = change
            .query_row(
                "SELECT state = 'running' AND claims = ?2 FROM jobs WHERE id = ?1",
                params![token.job.0, token.claim],
                |row| row.get(0),
            )
            .optional()?;
        if held == Some(true) { Ok(()) } else { Err(Failed::Refused(QueueError::Lost(token.job))) }
    }
}

impl Queue for SqliteQueue {
    fn submit(&self, wish: &NewJob, client: &Client, key: Option<&str>) -> Result<Submitted, QueueError> {
        self.change(|change, events| {
            if let Some(key) = key {
                let found: Option<(u64, String)> = change
                    .query_row("SELECT id, wish FROM jobs WHERE client = ?1 AND key = ?2", params![client.0, key], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()?;
                if let Some((id, _)) = found {
                    return Ok(Submitted { job: JobId(id), is_new: false });
                }
            }
            let waiting: u64 = change.query_row("SELECT count(*) FROM jobs WHERE state = 'waiting'", [], |row| row.get(0))?;
            if waiting >= self.capacity {
                return Err(Failed::Refused(QueueError::Full { waiting, capacity: self.capacity, retry_secs: 10 }));
            }
            let now = (self.clock)();
            change.execute(
                "INSERT INTO jobs (client, key, wish, model, state, priority, place, not_before, created)
                 VALUES (?1, ?2, ?3, ?4, 'waiting', ?5, (SELECT coalesce(max(place), 0) + 1 FROM jobs), ?6, ?7)",
                params![client.0, key, json(wish)?, wish.model, wish.priority, wish.not_before.unwrap_or(0), now],
            )?;
            let job = JobId(u64::try_from(change.last_insert_rowid()).unwrap_or_default());
            let ahead = u32::try_from(waiting).unwrap_or(u32::MAX);
            self.store(change, events, News::Job { job, change: Change::Queued { ahead } })?;
            Ok(Submitted { job, is_new: true })
        })
    }

    fn claim(&self, worker: &Worker<'_>) -> Result<Option<Claim>, QueueError> {
        self.change(|change, events| {
            if is_paused(change)? {
                return Ok(None);
            }
            let now = (self.clock)();
            let next: Option<u64> = change
                .query_row(
                    "SELECT id FROM jobs WHERE state = 'waiting' AND not_before <= ?1 ORDER BY priority DESC, place LIMIT 1",
                    [now],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(id) = next else { return Ok(None) };
            change.execute(
                "UPDATE jobs SET state = 'running', device = ?2, started = ?3, lease_until = ?4, attempts = attempts + 1,
                 claims = claims + 1 WHERE id = ?1",
                params![id, worker.name, now, now + LEASE_MS],
            )?;
            let claim: u64 = change.query_row("SELECT claims FROM jobs WHERE id = ?1", [id], |row| row.get(0))?;
            self.store(change, events, News::Job { job: JobId(id), change: Change::Started })?;
            let job = job(change, JobId(id))?;
            Ok(Some(Claim { job, token: Token { job: JobId(id), claim } }))
        })
    }

    fn beat(&self, token: &Token) -> Result<Standing, QueueError> {
        self.db.write(|change| {
            let until = (self.clock)() + LEASE_MS;
            let held = change.execute(
                "UPDATE jobs SET lease_until = ?3 WHERE id = ?1 AND claims = ?2 AND state = 'running'",
                params![token.job.0, token.claim, until],
            )?;
            if held == 0 {
                return Ok(Standing::Lost);
            }
            let is_cancelled: bool =
                change.query_row("SELECT is_cancelled FROM jobs WHERE id = ?1", [token.job.0], |row| row.get(0))?;
            Ok(if is_cancelled { Standing::Cancelled } else { Standing::Held })
        })
    }

    fn standing(&self, token: &Token) -> Result<Standing, QueueError> {
        self.db.read(|reader| {
            let held = "SELECT is_cancelled FROM jobs WHERE id = ?1 AND claims = ?2 AND state = 'running'";
            let is_cancelled = reader.query_row(held, params![token.job.0, token.claim], |row| row.get::<_, bool>(0));
            Ok(match is_cancelled.optional()? {
                None => Standing::Lost,
                Some(true) => Standing::Cancelled,
                Some(false) => Standing::Held,
            })
        })
    }

    fn log(&self, token: &Token, text: &str) -> Result<(), QueueError> {
        self.db.write(|change| {
            self.held(change, token)?;
            let line = LogLine { at: (self.clock)(), text: text.to_owned() };
            change.execute(
                "UPDATE jobs SET log = json_insert(log, '$[#]', json(?2)) WHERE id = ?1",
                params![token.job.0, json(&line)?],
            )?;
            Ok(())
        })
    }

    fn end(&self, token: &Token, end: &End) -> Result<(), QueueError> {
        self.change(|change, events| {
            self.held(change, token)?;
            self.close(change, events, token.job, end)
        })
    }

    fn put_back(&self, token: &Token) -> Result<(), QueueError> {
        self.change(|change, events| {
            self.held(change, token)?;
            change.execute(
                "UPDATE jobs SET state = 'waiting', attempts = attempts - 1, lease_until = NULL WHERE id = ?1",
                [token.job.0],
            )?;
            self.store(change, events, News::Job { job: token.job, change: Change::Queued { ahead: 0 } })
        })
    }

    fn give_back(&self, token: &Token) -> Result<(), QueueError> {
        self.change(|change, events| {
            self.held(change, token)?;
            let is_cancelled: bool =
                change.query_row("SELECT is_cancelled FROM jobs WHERE id = ?1", [token.job.0], |row| row.get(0))?;
            if is_cancelled {
                return self.close(change, events, token.job, &End::Cancelled);
            }
            change.execute("UPDATE jobs SET state = 'waiting', lease_until = NULL WHERE id = ?1", [token.job.0])?;
            self.store(change, events, News::Job { job: token.job, change: Change::Queued { ahead: 0 } })
        })
    }

    fn reclaim(&self, everyone: bool) -> Result<u32, QueueError> {
        self.change(|change, events| {
            let now = (self.clock)();
            let mut lost =
                change.prepare("SELECT id, attempts FROM jobs WHERE state = 'running' AND (?1 OR lease_until < ?2)")?;
            let lost: Vec<(u64, u32)> =
                lost.query_map(params![everyone, now], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            for (id, attempts) in &lost {
                let job = JobId(*id);
                if *attempts >= ATTEMPTS {
                    let message = format!("its worker broke down {attempts} times while it ran; it is not tried again");
                    let failure = Failure { kind: FailureKind::Device, message };
                    self.close(change, events, job, &End::Failed(failure))?;
                } else {
                    change.execute("UPDATE jobs SET state = 'waiting', lease_until = NULL WHERE id = ?1", [id])?;
                    self.store(change, events, News::Job { job, change: Change::Queued { ahead: 0 } })?;
                }
            }
            Ok(u32::try_from(lost.len()).unwrap_or(u32::MAX))
        })
    }

    fn cancel(&self, id: JobId) -> Result<State, QueueError> {
        self.change(|change, events| {
            let found = job(change, id)?;
            match found.state {
                State::Waiting => {
                    self.close(change, events, id, &End::Cancelled)?;
                    Ok(State::Cancelled)
                }
                State::Running => {
                    change.execute("UPDATE jobs SET is_cancelled = 1 WHERE id = ?1", [id.0])?;
                    Ok(State::Running)
                }
                state => Err(Failed::Refused(QueueError::Over { job: id, state })),
            }
        })
    }

    fn retry(&self, id: JobId, client: &Client) -> Result<Submitted, QueueError> {
        let found = self.job(id)?;
        match found.state {
            State::Failed | State::Cancelled => self.submit(&found.wish, client, None),
            state => Err(QueueError::NotNow { job: id, state, wants: "what has failed or was cancelled" }),
        }
    }

    fn prioritise(&self, id: JobId, priority: Priority) -> Result<(), QueueError> {
        self.change(|change, events| {
            waiting(change, id)?;
            change.execute("UPDATE jobs SET priority = ?2 WHERE id = ?1", params![id.0, priority])?;
            self.store(change, events, News::Queue { is_paused: is_paused(change)? })
        })
    }

    fn place(&self, id: JobId, before: Option<JobId>) -> Result<(), QueueError> {
        self.change(|change, events| {
            waiting(change, id)?;
            let place: f64 = match before {
                None => change.query_row("SELECT max(place) + 1 FROM jobs", [], |row| row.get(0))?,
                Some(other) => {
                    waiting(change, other)?;
                    change.query_row(
                        "SELECT (place + coalesce((SELECT max(place) FROM jobs AS b WHERE b.state = 'waiting' AND b.place < a.place),
                         place - 2)) / 2 FROM jobs AS a WHERE id = ?1",
                        [other.0],
                        |row| row.get(0),
                    )?
                }
            };
            change.execute("UPDATE jobs SET place = ?2 WHERE id = ?1", params![id.0, place])?;
            self.store(change, events, News::Queue { is_paused: is_paused(change)? })
        })
    }

    fn pause(&self, is_paused: bool) -> Result<(), QueueError> {
        self.change(|change, events| {
            change.execute("INSERT OR REPLACE INTO standing (name, value) VALUES ('paused', ?1)", [is_paused.to_string()])?;
            self.store(change, events, News::Queue { is_paused })
        })
    }

    fn counts(&self) -> Result<Counts, QueueError> {
        self.db.read(|reader| {
            let count = |condition: &str| {
                reader.query_row(&format!("SELECT count(*) FROM jobs WHERE {condition}"), [], |row| row.get::<_, u64>(0))
            };
            Ok(Counts {
                waiting: count("state = 'waiting'")?,
                scheduled: count(&format!("state = 'waiting' AND not_before > {}", (self.clock)()))?,
                running: count("state = 'running'")?,
                capacity: self.capacity,
                is_paused: is_paused(reader)?,
            })
        })
    }

    fn job(&self, id: JobId) -> Result<Job, QueueError> {
        self.db.read(|reader| job(reader, id))
    }

    fn jobs(&self, wanted: &Wanted) -> Result<Vec<Job>, QueueError> {
        self.db.read(|reader| {
            let states: Vec<&str> = wanted.states.iter().map(|state| state.name()).collect();
            let mut found = reader.prepare(
                "SELECT * FROM jobs WHERE (?1 = '[]' OR state IN (SELECT value FROM json_each(?1)))
                 AND (?2 IS NULL OR client = ?2) AND (?3 IS NULL OR id < ?3)
                 ORDER BY state = 'waiting' DESC, CASE WHEN state = 'waiting' THEN -priority ELSE 0 END,
                 CASE WHEN state = 'waiting' THEN place ELSE -id END LIMIT ?4",
            )?;
            let most = if wanted.most == 0 { USUAL } else { wanted.most };
            let client = wanted.client.as_ref().map(|client| &client.0);
            let rows = found.query_map(params![json(&states)?, client, wanted.before.map(|job| job.0), most], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn events(&self, after: u64, job: Option<JobId>, most: u32) -> Result<Vec<Event>, QueueError> {
        self.db.read(|reader| {
            let mut found = reader
                .prepare("SELECT seq, at, news FROM events WHERE seq > ?1 AND (?2 IS NULL OR job = ?2) ORDER BY seq LIMIT ?3")?;
            let rows = found.query_map(params![after, job.map(|job| job.0), most], |row| {
                let news = parse(row, 2)?;
                Ok(Event { seq: row.get(0)?, is_live: false, at: row.get(1)?, news })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn last_event(&self) -> Result<u64, QueueError> {
        self.db.read(|reader| Ok(reader.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?))
    }

    fn forget(&self, ended_before: crate::time::Millis) -> Result<u32, QueueError> {
        self.db.write(|change| {
            change.execute("DELETE FROM events WHERE job IN (SELECT id FROM jobs WHERE ended < ?1)", [ended_before])?;
            let gone = change.execute("DELETE FROM jobs WHERE ended < ?1", [ended_before])?;
            Ok(u32::try_from(gone).unwrap_or(u32::MAX))
        })
    }
}

fn is_paused(reader: &Connection) -> Result<bool, rusqlite::Error> {
    let paused = reader.query_row("SELECT value = 'true' FROM standing WHERE name = 'paused'", [], |row| row.get(0));
    Ok(paused.optional()?.unwrap_or(false))
}

/// A job of the table.
fn job(reader: &Connection, id: JobId) -> Outcome<Job> {
    let found = reader.query_row("SELECT * FROM jobs WHERE id = ?1", [id.0], read).optional()?;
    found.ok_or(Failed::Refused(QueueError::Unknown(id)))
}

/// Whether a job waits.
fn waiting(reader: &Connection, id: JobId) -> Outcome<()> {
    match job(reader, id)?.state {
        State::Waiting => Ok(()),
        state => Err(Failed::Refused(QueueError::NotNow { job: id, state, wants: "a waiting job" })),
    }
}

fn read(row: &Row<'_>) -> Result<Job, rusqlite::Error> {
    let state: String = row.get("state")?;
    let failure: Option<String> = row.get("failure")?;
    Ok(Job {
        id: JobId(row.get("id")?),
        client: Client(row.get("client")?),
        wish: parse(row, "wish")?,
        state: State::ALL.into_iter().find(|known| known.name() == state).unwrap_or(State::Failed),
        ahead: None,
        attempts: row.get("attempts")?,
        device: row.get("device")?,
        created: row.get("created")?,
        started: row.get("started")?,
        ended: row.get("ended")?,
        failure: failure.map(|_| parse(row, "failure")).transpose()?,
        images: parse(row, "images")?,
        log: parse(row, "log")?,
    })
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn parse<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: impl rusqlite::RowIndex) -> Result<T, rusqlite::Error> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into()))
}
