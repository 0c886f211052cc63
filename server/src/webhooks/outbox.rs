//! The messages that are to be sent, and what became of them.

use encaustic_protocol::{Change, JobId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::target;
use crate::db::{Db, DbError};
use crate::events::{Event, News};
use crate::job::Job;
use crate::time::Millis;

/// The most messages of a job that are listed; it has one, unless it could not be retried otherwise.
const LISTED: u32 = 100;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is sent, at once or again.
    Waiting,
    /// It was taken.
    Delivered,
    /// It was tried as often as it is worth.
    Failed,
}

impl DeliveryState {
    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// A message to a webhook, and how its delivery goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// Its `webhook-id`.
    pub id: String,
    /// Where it goes.
    pub url: String,
    /// How it stands.
    pub state: DeliveryState,
    /// When it was written.
    pub created: Millis,
    /// When it is sent next, while it waits.
    pub due: Millis,
    /// How often it was sent.
    pub tries: u32,
    /// When it was sent last.
    pub tried: Option<Millis>,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Why it was not taken.
    pub problem: Option<String>,
}

/// A message that is due.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) id: String,
    pub(super) job: u64,
    pub(super) url: String,
    pub(super) host: String,
    pub(super) body: String,
    pub(super) tries: u32,
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) state: DeliveryState,
    pub(super) due: Millis,
    pub(super) status: Option<u16>,
    pub(super) problem: Option<String>,
}

/// Enters the message of a job's last event, if somebody wants one. Call it in the transaction that ends the job.
///
/// # Errors
/// If the database fails.
pub fn enqueue(change: &Transaction<'_>, event: &Event, job: &Job) -> Result<(), rusqlite::Error> {
    let Some(url) = &job.wish.webhook else { return Ok(()) };
    let kind = match &event.news {
        News::Job { change: Change::Finished(_), .. } => "job.finished",
        News::Job { change: Change::Failed(_), .. } => "job.failed",
        News::Job { change: Change::Cancelled, .. } => "job.cancelled",
        _ => return Ok(()),
    };
    let host = url.parse().ok().and_then(|url| target::host(&url)).unwrap_or_default();
    let body = serde_json::json!({"type": kind, "at": event.at, "job": job, "event": event}).to_string();
    change.execute(
        "INSERT INTO webhooks (id, job, url, host, body, created, due)
         VALUES ('msg_' || lower(hex(randomblob(16))), ?1, ?2, ?3, ?4, ?5, ?5)",
        params![job.id.0, url, host, body, event.at],
    )?;
    Ok(())
}

/// The messages of a job.
///
/// # Errors
/// If the database fails.
pub fn deliveries(db: &Db, job: JobId) -> Result<Vec<Delivery>, DbError> {
    db.read(|reader| {
        let mut found = reader.prepare("SELECT * FROM webhooks WHERE job = ?1 ORDER BY created LIMIT ?2")?;
        Ok(found.query_map(params![job.0, LISTED], read)?.collect::<Result<_, _>>()?)
    })
}

/// Has a message sent again, now, with all its tries; `None` if the job has no such message.
///
/// # Errors
/// If the database fails.
pub fn send_again(db: &Db, job: JobId, id: &str, now: Millis) -> Result<Option<Delivery>, DbError> {
    db.write(|change| {
        change.execute(
            "UPDATE webhooks SET state = 'waiting', due = ?3, tries = 0 WHERE id = ?1 AND job = ?2",
            params![id, job.0, now],
        )?;
        let query = "SELECT * FROM webhooks WHERE id = ?1 AND job = ?2";
        Ok(change.query_row(query, params![id, job.0], read).optional()?)
    })
}

/// The next message that is due to a host that is not `busy` (a list in JSON); if there is none, when the next will be.
pub(super) fn next(db: &Db, now: Millis, busy: &str) -> Result<Result<Due, Option<Millis>>, DbError> {
    db.read(|reader| {
        let among =
            "FROM webhooks WHERE state = 'waiting' AND host NOT IN (SELECT value FROM json_each(?1)) ORDER BY due LIMIT 1";
        let due: Option<Millis> = reader.query_row(&format!("SELECT due {among}"), [busy], |row| row.get(0)).optional()?;
        if due.is_none_or(|due| due > now) {
            return Ok(Err(due));
        }
        let found = |row: &Row<'_>| {
            Ok(Due {
                id: row.get("id")?,
                job: row.get("job")?,
                url: row.get("url")?,
                host: row.get("host")?,
                body: row.get("body")?,
                tries: row.get("tries")?,
            })
        };
        Ok(Ok(reader.query_row(&format!("SELECT * {among}"), [busy], found)?))
    })
}

/// Writes down what came of a try. A message that was to be sent again meanwhile keeps that.
pub(super) fn tried(db: &Db, due: &Due, at: Millis, tried: &Tried) -> Result<(), DbError> {
    db.write(|change| {
        change.execute(
            "UPDATE webhooks SET state = ?3, due = ?4, tries = tries + 1, tried = ?5, status = ?6, problem = ?7
             WHERE id = ?1 AND tries = ?2",
            params![due.id, due.tries, tried.state.name(), tried.due, at, tried.status, tried.problem],
        )?;
        Ok(())
    })
}

fn read(row: &Row<'_>) -> Result<Delivery, rusqlite::Error> {
    let state: String = row.get("state")?;
    let states = [DeliveryState::Waiting, DeliveryState::Delivered, DeliveryState::Failed];
    Ok(Delivery {
        id: row.get("id")?,
        url: row.get("url")?,
        state: states.into_iter().find(|known| known.name() == state).unwrap_or(DeliveryState::Failed),
        created: row.get("created")?,
        due: row.get("due")?,
        tries: row.get("tries")?,
        tried: row.get("tried")?,
        status: row.get("status")?,
        problem: row.get("problem")?,
    })
}

/// How many messages wait.
///
/// # Errors
/// If the database fails.
pub fn waiting(reader: &Connection) -> Result<u64, rusqlite::Error> {
    reader.query_row("SELECT count(*) FROM webhooks WHERE state = 'waiting'", [], |row| row.get(0))
}
