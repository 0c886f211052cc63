//! What a client has chosen for all of its requests, through interfaces that remember it.

use rusqlite::params;

use crate::db::{Db, DbError};
use crate::job::Client;

/// All that a client has chosen: names and values.
///
/// # Errors
/// If the database fails.
pub fn read(db: &Db, client: &Client) -> Result<Vec<(String, String)>, DbError> {
    db.read(|reader| {
        let mut found = reader.prepare_cached("SELECT name, value FROM preferences WHERE client = ?1")?;
        Ok(found.query_map([&client.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
    })
}

/// Keeps choices; one without a value is forgotten.
///
/// # Errors
/// If the database fails; then nothing has changed.
pub fn write(db: &Db, client: &Client, chosen: &[(&str, Option<String>)]) -> Result<(), DbError> {
    db.write(|change| {
        for (name, value) in chosen {
            match value {
                Some(value) => change.execute(
                    "INSERT OR REPLACE INTO preferences (client, name, value) VALUES (?1, ?2, ?3)",
                    params![client.0, name, value],
                )?,
                None => change.execute("DELETE FROM preferences WHERE client = ?1 AND name = ?2", params![client.0, name])?,
            };
        }
        Ok(())
    })
}
