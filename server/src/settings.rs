//! Settings that change while the server runs.
//!
//! A change is kept in the database and holds over a restart, until the configuration itself says something else for that
//! setting: whoever edits the file or gives a flag has the last word.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rusqlite::params;

use crate::config::{Config, ENTRIES, Entry};
use crate::db::{Db, DbError};

/// The settings that are read anew whenever they are needed.
const LIVE: &[&str] = &["key_rate", "keep_jobs_days", "shutdown_secs", "timeout_secs", "webhook_hosts"];

/// Why a setting is not changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// There is none of that name.
    #[error("{0}: there is no such setting")]
    Unknown(String),
    /// It is only read at the start.
    #[error("{0}: this setting is read when the server starts; change it in the configuration and start again")]
    Fixed(String),
    /// Its value is not allowed.
    #[error("{id}: {problem}")]
    Value {
        /// Which.
        id: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// What the configuration says, and what was changed since.
#[derive(Debug)]
pub struct Settings {
    db: Arc<Db>,
    configured: Config,
    now: RwLock<Arc<Config>>,
    /// Held by whoever changes them, so that whoever reads them does not wait for the disk.
    changing: Mutex<()>,
}

impl Settings {
    /// The settings of a configuration, with the changes that the database keeps.
    ///
    /// # Errors
    /// If the database fails.
    pub fn open(db: Arc<Db>, configured: Config) -> Result<Self, DbError> {
        let kept: Vec<(String, String, String)> = db.read::<_, DbError>(|reader| {
            let mut found = reader.prepare_cached("SELECT id, value, over FROM settings")?;
            let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        let mut now = configured.clone();
        for (id, value, over) in kept {
            let Some(entry) = live(&id) else { continue };
            // A value that a later version does not allow any more counts as none.
            if (entry.get)(&configured) == over && (entry.set)(&mut now, &value).is_err() {
                tracing::warn!("the kept value of the setting {id} is not allowed any more");
            }
        }
        Ok(Self { db, configured, now: RwLock::new(Arc::new(now)), changing: Mutex::default() })
    }

    /// The settings as they are now.
    pub fn now(&self) -> Arc<Config> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the configuration says.
    pub fn configured(&self) -> &Config {
        &self.configured
    }

    /// Whether a setting can be changed.
    pub fn can_change(id: &str) -> bool {
        live(id).is_some()
    }

    /// Changes settings, all or none; `None` is what the configuration says.
    ///
    /// # Errors
    /// See [`SettingError`].
    pub fn change(&self, changes: &[(String, Option<String>)]) -> Result<Arc<Config>, SettingError> {
        let _changing = crate::sync::lock(&self.changing);
        let mut next = Config::clone(&self.now());
        let mut rows = Vec::new();
        for (id, value) in changes {
            let entry = live(id).ok_or_else(|| {
                let is_known = ENTRIES.iter().any(|entry| entry.id == id);
                if is_known { SettingError::Fixed(id.clone()) } else { SettingError::Unknown(id.clone()) }
            })?;
            let configured = (entry.get)(&self.configured);
            let text = value.as_ref().unwrap_or(&configured);
            (entry.set)(&mut next, text).map_err(|problem| SettingError::Value { id: id.clone(), problem })?;
            rows.push((entry.id, value.as_ref().map(|_| (entry.get)(&next)), configured));
        }
        self.db.write::<_, DbError>(|change| {
            for (id, value, over) in &rows {
                match value {
                    Some(value) => change.execute(
                        "INSERT OR REPLACE INTO settings (id, value, over) VALUES (?1, ?2, ?3)",
                        params![id, value, over],
                    )?,
                    None => change.execute("DELETE FROM settings WHERE id = ?1", [id])?,
                };
            }
            Ok(())
        })?;
        let next = Arc::new(next);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        Ok(next)
    }
}

fn live(id: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.id == id && LIVE.contains(&entry.id))
}
