//! The database: one SQLite file, one writer at a time, several readers.
//!
//! Every part of the server keeps its tables in a file of SQL of its own, listed in [`SCHEMA`]; a change to a table that has
//! been released is a new file at the end. Write-ahead log with `synchronous=FULL`: what is committed is on the disk.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::sync::lock;

/// What makes the tables, in the order in which it was added; how many of them a database has seen is its `user_version`.
const SCHEMA: &[(&str, &str)] = &[
    ("queue", include_str!("queue/schema.sql")),
    ("images", include_str!("images/schema.sql")),
    ("webhooks", include_str!("webhooks/schema.sql")),
    ("auth", include_str!("auth/schema.sql")),
    ("preferences", include_str!("preferences.sql")),
];

/// Connections that read at the same time.
const READERS: usize = 4;
/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Statements that a connection keeps ready.
const STATEMENTS: usize = 64;
/// Bytes to which the journal is cut back after a large change.
const JOURNAL: u32 = 64 << 20;

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

impl DbError {
    /// Whether there is no room left on the disk.
    pub fn is_full(&self) -> bool {
        let code = match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code(),
            Self::TooNew { .. } => None,
        };
        code == Some(rusqlite::ErrorCode::DiskFull)
    }
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
    next: AtomicUsize,
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
        // Another process may be about to do the same.
        let change = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let found: usize = change.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if found > SCHEMA.len() {
            return Err(DbError::TooNew { path: path.to_owned(), found, known: SCHEMA.len() });
        }
        for (_, sql) in SCHEMA.iter().skip(found) {
            change.execute_batch(sql).map_err(failed)?;
        }
        change.pragma_update(None, "user_version", SCHEMA.len()).map_err(failed)?;
        change.commit().map_err(failed)?;
        let reader = |_| {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reader = Connection::open_with_flags(path, flags).map_err(failed)?;
            reader.busy_timeout(PATIENCE).map_err(failed)?;
            reader.set_prepared_statement_cache_capacity(STATEMENTS);
            Ok(Mutex::new(reader))
        };
        let readers = (0..READERS).map(reader).collect::<Result<_, DbError>>()?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers, next: 0.into() })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads, all of it as it was at one moment. Others may read and one may write at the same time.
    ///
    /// # Errors
    /// What `read` returns.
    pub fn read<T, E: From<DbError>>(&self, read: impl FnOnce(&Connection) -> Result<T, Failed<E>>) -> Result<T, E> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let mut readers = self.readers.iter().cycle().skip(next % READERS).take(READERS);
        let free = readers.clone().find_map(|reader| reader.try_lock().ok());
        // If all of them are busy, wait for one.
        let Some(reader) = free.or_else(|| readers.next().map(lock)) else { return self.write(|change| read(change)) };
        let run = || {
            let moment = reader.unchecked_transaction()?;
            read(&moment)
        };
        run().map_err(|failed| self.told(failed))
    }

    /// Writes, alone: all of it or, after an error, nothing. What `change` is told is on the disk when this returns.
    ///
    /// # Errors
    /// What `change` returns.
    pub fn write<T, E: From<DbError>>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, Failed<E>>) -> Result<T, E> {
        self.write_then(change, |told| told)
    }

    /// Writes as [`Db::write`] does, and goes on with `then` before anybody else writes: what `then` tells is told in the order
    /// of the changes. It must not use the database.
    ///
    /// # Errors
    /// What `change` returns.
    pub fn write_then<T, U, E: From<DbError>>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Failed<E>>,
        then: impl FnOnce(T) -> U,
    ) -> Result<U, E> {
        let mut writer = lock(&self.writer);
        let run = || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let told = change(&transaction)?;
            transaction.commit()?;
            Ok(told)
        };
        let told = run().map_err(|failed| self.told(failed))?;
        let then = then(told);
        drop(writer);
        Ok(then)
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
    writer.set_prepared_statement_cache_capacity(STATEMENTS);
    let begun = Instant::now();
    // SQLite does not wait by itself where another process is changing the journal too.
    while let Err(error) = writer.pragma_update(None, "journal_mode", "WAL") {
        let is_busy = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
        if !is_busy || begun.elapsed() > PATIENCE {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "journal_size_limit", JOURNAL)?;
    writer.pragma_update(None, "foreign_keys", true)
}
