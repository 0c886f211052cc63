//! The database: one SQLite file, one writer at a time, several readers.
//!
//! Every part of the server keeps its tables in a file of SQL of its own, listed in [`SCHEMA`]; a change to a table that has
//! been released is a new file at the end. Write-ahead log with `synchronous=FULL`: what is committed is on the disk.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// What makes the tables, in the order in which it was added; how many of them a database has seen is its `user_version`.
const SCHEMA: &[(&str, &str)] = &[
    ("queue", include_str!("queue/schema.sql")),
    ("images", include_str!("images/schema.sql")),
    ("webhooks", include_str!("webhooks/schema.sql")),
];

/// Connections that read at the same time.
const READERS: usize = 4;
/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// SQLite says so.
    #[error("the database {}: {source}{}", path.display(), remedy(source))]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rusqlite::Error,
    },
    /// It was made by a later version of this program.
    #[error("the database {} was made by a later version of this program (form {found}, this one knows {known}); use that one", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: usize,
        /// The last form that this program knows.
        known: usize,
    },
}

fn remedy(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; make room on the disk, then go on: nothing was lost",
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            "; it is damaged: move it away and start again (the pictures' files stay)"
        }
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => "; look at the permissions of its folder",
        _ => "",
    }
}

/// The database.
#[derive(Debug)]
pub struct Db {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    next: std::sync::atomic::AtomicUsize,
}

impl Db {
    /// Opens a database, and makes it or brings it to the form of this version.
    ///
    /// # Errors
    /// If it cannot be opened, is damaged, or is of a later version.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        let failed = |source| DbError::Sqlite { path: path.to_owned(), source };
        let mut writer = Connection::open(path).map_err(failed)?;
        settle(&writer).map_err(failed)?;
        let found: usize = writer.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if found > SCHEMA.len() {
            return Err(DbError::TooNew { path: path.to_owned(), found, known: SCHEMA.len() });
        }
        let change = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for (_, sql) in SCHEMA.iter().skip(found) {
            change.execute_batch(sql).map_err(failed)?;
        }
        change.pragma_update(None, "user_version", SCHEMA.len()).map_err(failed)?;
        change.commit().map_err(failed)?;
        let reader = |_| {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reader = Connection::open_with_flags(path, flags).map_err(failed)?;
            reader.busy_timeout(PATIENCE).map_err(failed)?;
            Ok(Mutex::new(reader))
        };
        let readers = (0..READERS).map(reader).collect::<Result<_, DbError>>()?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers, next: 0.into() })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads. Others may read and one may write at the same time.
    ///
    /// # Errors
    /// What `read` returns.
    pub fn read<T, E: From<DbError>>(&self, read: impl FnOnce(&Connection) -> Result<T, Failed<E>>) -> Result<T, E> {
        let next = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let Some(reader) = self.readers.get(next % READERS) else { return self.write(|change| read(change)) };
        read(&lock(reader)).map_err(|failed| self.told(failed))
    }

    /// Writes, alone: all of it or, after an error, nothing. What `change` is told is on the disk when this returns.
    ///
    /// # Errors
    /// What `change` returns.
    pub fn write<T, E: From<DbError>>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, Failed<E>>) -> Result<T, E> {
        let mut writer = lock(&self.writer);
        let run = || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let told = change(&transaction)?;
            transaction.commit()?;
            Ok(told)
        };
        run().map_err(|failed| self.told(failed))
    }

    fn told<E: From<DbError>>(&self, failed: Failed<E>) -> E {
        match failed {
            Failed::Sqlite(source) => DbError::Sqlite { path: self.path.clone(), source }.into(),
            Failed::Refused(error) => error,
        }
    }
}

/// Why a transaction was not made.
#[derive(Debug)]
pub enum Failed<E> {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// It makes no sense; nothing has changed.
    Refused(E),
}

impl<E> From<rusqlite::Error> for Failed<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn settle(writer: &Connection) -> Result<(), rusqlite::Error> {
    writer.busy_timeout(PATIENCE)?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "foreign_keys", true)
}

/// A thread that panicked has rolled its transaction back.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}
