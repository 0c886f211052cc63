//! Secrets that the server makes for itself and keeps in its database: what it signs with.

use rusqlite::{OptionalExtension, params};

use crate::db::{Db, DbError};

/// Bytes of a secret.
const BYTES: usize = 32;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The system has no random numbers.
    #[error("this system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The secret of that name; made when it is first asked for.
///
/// # Errors
/// See [`SecretError`].
pub fn secret(db: &Db, name: &str) -> Result<Vec<u8>, SecretError> {
    let mut fresh = [0; BYTES];
    getrandom::fill(&mut fresh).map_err(SecretError::Random)?;
    db.write(|change| {
        let read = |change: &rusqlite::Connection| {
            change.query_row("SELECT value FROM secrets WHERE name = ?1", [name], |row| row.get(0)).optional()
        };
        if let Some(known) = read(change)? {
            return Ok(known);
        }
        change.execute("INSERT INTO secrets (name, value) VALUES (?1, ?2)", params![name, fresh])?;
        Ok(fresh.to_vec())
    })
}
