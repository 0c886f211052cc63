//! Rows of the table of jobs, and what of them is JSON.

use encaustic_protocol::JobId;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Outcome, refused};
use crate::job::{Client, Job, NewJob, Priority, State};
use crate::queue::QueueError;

/// A job's number in the database. Numbers that are too large for it are no job's, and neither is what they become.
pub(super) fn key(job: JobId) -> i64 {
    i64::try_from(job.0).unwrap_or(i64::MAX)
}

/// A job of the table, without how many are ahead of it.
pub(super) fn find(sql: &Connection, job: JobId) -> Outcome<Job> {
    let mut found = sql.prepare_cached("SELECT * FROM jobs WHERE id = ?1")?;
    let found = found.query_row([key(job)], read).optional()?;
    found.map_or_else(|| refused(QueueError::Unknown(job)), Ok)
}

/// Where a job stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) job: JobId,
    pub(super) state: State,
    pub(super) is_ready: bool,
    pub(super) priority: Priority,
    pub(super) place: f64,
    pub(super) not_before: i64,
}

/// Where a job stands, if there is such a job.
pub(super) fn look(sql: &Connection, job: JobId) -> Outcome<Option<Spot>> {
    let mut found = sql.prepare_cached("SELECT state, is_ready, priority, place, not_before FROM jobs WHERE id = ?1")?;
    let spot = found.query_row([key(job)], |row| {
        Ok(Spot {
            job,
            state: state(row, 0)?,
            is_ready: row.get(1)?,
            priority: row.get(2)?,
            place: row.get(3)?,
            not_before: row.get(4)?,
        })
    });
    Ok(spot.optional()?)
}

/// Where a job stands.
pub(super) fn spot(sql: &Connection, job: JobId) -> Outcome<Spot> {
    look(sql, job)?.map_or_else(|| refused(QueueError::Unknown(job)), Ok)
}

pub(super) fn read(row: &Row<'_>) -> Result<Job, rusqlite::Error> {
    let failure: Option<String> = row.get("failure")?;
    // One wish that another version of this program wrote must not hide all other jobs; claims look closer.
    let wish: NewJob = parse(row, "wish").unwrap_or_default();
    Ok(Job {
        id: JobId(row.get("id")?),
        client: Client(row.get("client")?),
        // It may have been changed.
        wish: NewJob { priority: row.get("priority")?, ..wish },
        state: state(row, "state")?,
        ahead: None,
        attempts: row.get("attempts")?,
        crashes: row.get("crashes")?,
        device: row.get("device")?,
        created: row.get("created")?,
        started: row.get("started")?,
        ended: row.get("ended")?,
        failure: failure.map(|_| parse(row, "failure")).transpose()?,
        images: parse(row, "images")?,
        log: parse(row, "log")?,
    })
}

fn state(row: &Row<'_>, column: impl rusqlite::RowIndex) -> Result<State, rusqlite::Error> {
    let name: String = row.get(column)?;
    let unknown = || rusqlite::Error::FromSqlConversionFailure(0, Type::Text, format!("no state: {name}").into());
    State::ALL.into_iter().find(|state| state.name() == name).ok_or_else(unknown)
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: impl rusqlite::RowIndex,
) -> Result<T, rusqlite::Error> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}
