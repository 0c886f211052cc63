//! API keys: made, listed, revoked and recognised. Only hashes of them are kept.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::{Caller, Scope};
use crate::db::{Db, DbError, Failed};
use crate::job::Client;
use crate::time::{Clock, Millis};

/// What every key begins with, so that it is known for what it is where it turns up.
const MARK: &str = "enc_";
/// Characters that are shown of a key afterwards.
const HINT: usize = 8;
/// The longest name, in bytes.
const NAME_BYTES: usize = 64;
/// After so long the database is asked for keys again: another process may have made or revoked some.
const FRESH: Duration = Duration::from_secs(2);
/// How exactly it is known when a key was used last.
const USED_MS: Millis = 60_000;
/// How long a session lasts.
pub const SESSION_SECS: i64 = 30 * 24 * 60 * 60;
/// Sessions of one key; the oldest end when there are more.
const SESSIONS: u32 = 50;
const DAY_MS: Millis = 24 * 60 * 60 * 1000;

/// A key, as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its name; jobs know their client by it.
    #[schema(example = "laptop")]
    pub name: String,
    /// Its first characters.
    #[schema(example = "enc_Zx3b")]
    pub hint: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// How many requests a minute; the server's setting if it is absent.
    pub per_minute: Option<u32>,
    /// How many pictures a day (UTC); no limit if it is absent.
    pub per_day: Option<u32>,
    /// When it was made.
    pub created: Millis,
    /// When it was used last, to the minute.
    pub last_used: Option<Millis>,
}

/// A key that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Its name: letters, digits, `-`, `_`, `.` and `@`, at most 64.
    #[schema(example = "laptop")]
    pub name: String,
    /// What it allows; to read and to generate, if nothing is said.
    #[serde(default = "usual")]
    #[schema(default = json!(["read", "generate"]))]
    pub scopes: Vec<Scope>,
    /// How many requests a minute; the server's setting if nothing is said, no limit if it is 0.
    #[serde(default)]
    pub per_minute: Option<u32>,
    /// How many pictures a day (UTC); no limit if nothing is said.
    #[serde(default)]
    pub per_day: Option<u32>,
}

/// What a key allows if nobody says.
pub fn usual() -> Vec<Scope> {
    vec![Scope::Read, Scope::Generate]
}

/// What cannot be done with keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The name is not allowed.
    #[error("{0:?} cannot be the name of a key; use 1 to 64 letters, digits, `-`, `_`, `.` or `@`, other than `local`")]
    Name(String),
    /// It allows nothing.
    #[error("a key that allows nothing is of no use; give it one or more of read, generate, admin")]
    Scopes,
    /// There is one of that name.
    #[error("there is a key named {0:?} already; revoke it first, or choose another name")]
    Taken(String),
    /// There is none of that name.
    #[error("there is no key named {0:?}")]
    Unknown(String),
    /// The system gives no random numbers, without which no key can be made.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Why a caller has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How many he may.
    pub limit: u32,
    /// For how many seconds.
    pub seconds: u32,
}

/// A key that was recognised.
#[derive(Clone, Debug)]
pub struct Known {
    id: i64,
    hash: [u8; 32],
    key: Key,
}

impl Known {
    /// Who has it.
    pub fn caller(&self) -> Caller {
        Caller { client: Client(self.key.name.clone()), scopes: self.key.scopes.clone(), key: Some(self.id) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.key.name
    }
}

#[derive(Debug, Default)]
struct Seen {
    at: Option<Instant>,
    keys: Arc<Vec<Known>>,
    sessions: Arc<HashMap<[u8; 32], (i64, Millis)>>,
    limiters: HashMap<i64, (u32, Arc<DefaultDirectRateLimiter>)>,
    used: HashMap<i64, Millis>,
}

/// All keys of a database.
pub struct Keys {
    db: Arc<Db>,
    clock: Clock,
    seen: Mutex<Seen>,
}

impl Keys {
    /// The keys of a database.
    pub fn new(db: Arc<Db>, clock: Clock) -> Self {
        Self { db, clock, seen: Mutex::default() }
    }

    /// Makes a key; returns it, which is the only time that it is seen.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn add(&self, new: &NewKey) -> Result<(String, Key), KeyError> {
        let name = new.name.trim();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(is_plain) || name == Client::LOCAL {
            return Err(KeyError::Name(name.to_owned()));
        }
        let scopes: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| new.scopes.contains(scope)).collect();
        if scopes.is_empty() {
            return Err(KeyError::Scopes);
        }
        let secret = format!("{MARK}{}", random().map_err(KeyError::Random)?);
        let key = Key {
            name: name.to_owned(),
            hint: secret.chars().take(HINT).collect(),
            scopes,
            per_minute: new.per_minute,
            per_day: new.per_day,
            created: (self.clock)(),
            last_used: None,
        };
        self.db.write(|change| {
            let taken: bool = change.query_row(
                "SELECT EXISTS (SELECT 1 FROM keys WHERE name = ?1 AND revoked IS NULL)",
                [&key.name],
                |row| row.get(0),
            )?;
            if taken {
                return Err(Failed::Refused(KeyError::Taken(key.name.clone())));
            }
            change.execute(
                "INSERT INTO keys (name, hash, hint, scopes, per_minute, per_day, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![key.name, digest(&secret), key.hint, names(&key.scopes), key.per_minute, key.per_day, key.created],
            )?;
            Ok(())
        })?;
        self.forget();
        Ok((secret, key))
    }

    /// The keys that are valid, in the order of their names.
    ///
    /// # Errors
    /// If the database fails.
    pub fn list(&self) -> Result<Vec<Key>, DbError> {
        Ok(read(&self.db)?.into_iter().map(|known| known.key).collect())
    }

    /// Revokes a key, and ends the sessions that began with it.
    ///
    /// # Errors
    /// [`KeyError::Unknown`].
    pub fn revoke(&self, name: &str) -> Result<(), KeyError> {
        self.db.write(|change| {
            let id: Option<i64> = change
                .query_row("SELECT id FROM keys WHERE name = ?1 AND revoked IS NULL", [name], |row| row.get(0))
                .optional()?;
            let id = id.ok_or_else(|| Failed::Refused(KeyError::Unknown(name.to_owned())))?;
            change.execute("UPDATE keys SET revoked = ?2 WHERE id = ?1", params![id, (self.clock)()])?;
            change.execute("DELETE FROM sessions WHERE key = ?1", [id])?;
            Ok(())
        })?;
        self.forget();
        Ok(())
    }

    /// Whether there is any key.
    ///
    /// # Errors
    /// If the database fails.
    pub fn is_empty(&self) -> Result<bool, DbError> {
        self.refresh()?;
        Ok(self.lock().keys.is_empty())
    }

    /// The key of these characters.
    ///
    /// # Errors
    /// If the database fails.
    pub fn recognise(&self, secret: &str) -> Result<Option<Known>, DbError> {
        self.refresh()?;
        let hash = digest(secret);
        let keys = Arc::clone(&self.lock().keys);
        let mut found = None;
        for known in keys.iter() {
            if bool::from(known.hash.ct_eq(&hash)) {
                found = Some(known.clone());
            }
        }
        self.used(found.as_ref());
        Ok(found)
    }

    /// Whether a caller's key has not been revoked since he showed it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn is_valid(&self, caller: &Caller) -> Result<bool, DbError> {
        let Some(id) = caller.key else { return Ok(true) };
        self.refresh()?;
        Ok(self.lock().keys.iter().any(|known| known.id == id))
    }

    /// The key that a session began with.
    ///
    /// # Errors
    /// If the database fails.
    pub fn session(&self, token: &str) -> Result<Option<Known>, DbError> {
        self.refresh()?;
        let seen = self.lock();
        let id = seen.sessions.get(&digest(token)).filter(|(_, expires)| *expires > (self.clock)()).map(|(id, _)| *id);
        let found = id.and_then(|id| seen.keys.iter().find(|known| known.id == id).cloned());
        drop(seen);
        self.used(found.as_ref());
        Ok(found)
    }

    /// Begins a session; returns what its cookie says.
    ///
    /// # Errors
    /// If the database fails, or the system gives no random numbers.
    pub fn begin(&self, known: &Known) -> Result<String, KeyError> {
        let token = random().map_err(KeyError::Random)?;
        let now = (self.clock)();
        self.db.write::<_, KeyError>(|change| {
            change.execute("DELETE FROM sessions WHERE expires < ?1", [now])?;
            change.execute(
                "INSERT INTO sessions (hash, key, expires) VALUES (?1, ?2, ?3)",
                params![digest(&token), known.id, now + SESSION_SECS * 1000],
            )?;
            change.execute(
                "DELETE FROM sessions WHERE key = ?1 AND hash NOT IN
                 (SELECT hash FROM sessions WHERE key = ?1 ORDER BY expires DESC LIMIT ?2)",
                params![known.id, SESSIONS],
            )?;
            Ok(())
        })?;
        self.forget();
        Ok(token)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If the database fails.
    pub fn end(&self, token: &str) -> Result<(), DbError> {
        self.db.write::<_, DbError>(|change| {
            change.execute("DELETE FROM sessions WHERE hash = ?1", [digest(token)])?;
            Ok(())
        })?;
        self.forget();
        Ok(())
    }

    /// Counts a request; `usual` is how many a minute a key may that says nothing, 0 for any number.
    ///
    /// # Errors
    /// How long to wait, if there were too many.
    pub fn count(&self, known: &Known, usual: u32) -> Result<(), Wait> {
        let Some(limit) = NonZeroU32::new(known.key.per_minute.unwrap_or(usual)) else { return Ok(()) };
        let limiter = {
            let mut seen = self.lock();
            let fresh = || (limit.get(), Arc::new(RateLimiter::direct(Quota::per_minute(limit))));
            let limiter = seen.limiters.entry(known.id).or_insert_with(fresh);
            if limiter.0 != limit.get() {
                *limiter = fresh();
            }
            Arc::clone(&limiter.1)
        };
        limiter.check().map_err(|until| {
            let seconds = until.wait_time_from(DefaultClock::default().now()).as_secs_f64().ceil();
            Wait { limit: limit.get(), seconds: seconds.max(1.0) as u32 }
        })
    }

    /// Takes pictures from a client's share of the day.
    ///
    /// # Errors
    /// How long to wait, if there are not so many left.
    pub fn take(&self, client: &Client, pictures: u32) -> Result<Result<(), Wait>, DbError> {
        self.refresh()?;
        let limit = self.lock().keys.iter().find(|known| known.key.name == client.0).and_then(|known| known.key.per_day);
        let Some(limit) = limit else { return Ok(Ok(())) };
        let now = (self.clock)();
        let day = now.div_euclid(DAY_MS);
        self.db.write(|change| {
            let spent: Option<u32> = change
                .query_row("SELECT pictures FROM usage WHERE client = ?1 AND day = ?2", params![client.0, day], |row| row.get(0))
                .optional()?;
            if spent.unwrap_or(0).saturating_add(pictures) > limit {
                let left = (day + 1) * DAY_MS - now;
                return Ok(Err(Wait { limit, seconds: u32::try_from(left / 1000).unwrap_or(u32::MAX).max(1) }));
            }
            change.execute("DELETE FROM usage WHERE day < ?1", [day - 31])?;
            change.execute(
                "INSERT INTO usage (client, day, pictures) VALUES (?1, ?2, ?3)
                 ON CONFLICT (client, day) DO UPDATE SET pictures = pictures + ?3",
                params![client.0, day, pictures],
            )?;
            Ok(Ok(()))
        })
    }

    /// Gives pictures back that came to nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub fn give_back(&self, client: &Client, pictures: u32) -> Result<(), DbError> {
        let has_limit = self.lock().keys.iter().any(|known| known.key.name == client.0 && known.key.per_day.is_some());
        if !has_limit {
            return Ok(());
        }
        let day = (self.clock)().div_euclid(DAY_MS);
        self.db.write::<_, DbError>(|change| {
            change.execute(
                "UPDATE usage SET pictures = max(pictures - ?3, 0) WHERE client = ?1 AND day = ?2",
                params![client.0, day, pictures],
            )?;
            Ok(())
        })
    }

    /// Remembers that a key is used. Where that cannot be written, it is not worth turning anybody away.
    fn used(&self, known: Option<&Known>) {
        let Some(known) = known else { return };
        let now = (self.clock)();
        let last = self.lock().used.insert(known.id, now);
        if let Some(last) = last.filter(|last| now - last < USED_MS) {
            self.lock().used.insert(known.id, last);
            return;
        }
        let written = self.db.write::<_, DbError>(|change| {
            change.execute("UPDATE keys SET last_used = ?2 WHERE id = ?1", params![known.id, now])?;
            Ok(())
        });
        if let Err(error) = written {
            tracing::warn!("when a key was last used cannot be written: {error}");
        }
    }

    fn refresh(&self) -> Result<(), DbError> {
        if self.lock().at.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let keys = read(&self.db)?;
        let sessions = self.db.read::<_, DbError>(|reader| {
            let mut found = reader.prepare_cached("SELECT hash, key, expires FROM sessions")?;
            Ok(found.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?.collect::<Result<_, _>>()?)
        })?;
        let mut seen = self.lock();
        seen.limiters.retain(|id, _| keys.iter().any(|known| known.id == *id));
        seen.used.retain(|id, _| keys.iter().any(|known| known.id == *id));
        seen.keys = Arc::new(keys);
        seen.sessions = Arc::new(sessions);
        seen.at = Some(Instant::now());
        Ok(())
    }

    fn forget(&self) {
        self.lock().at = None;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        crate::sync::lock(&self.seen)
    }
}

fn read(db: &Db) -> Result<Vec<Known>, DbError> {
    db.read(|reader| {
        let mut found = reader.prepare_cached("SELECT * FROM keys WHERE revoked IS NULL ORDER BY name")?;
        Ok(found.query_map([], known)?.collect::<Result<_, _>>()?)
    })
}

fn known(row: &Row<'_>) -> Result<Known, rusqlite::Error> {
    let scopes: String = row.get("scopes")?;
    let key = Key {
        name: row.get("name")?,
        hint: row.get("hint")?,
        scopes: Scope::ALL.into_iter().filter(|scope| scopes.split(',').any(|name| name == scope.name())).collect(),
        per_minute: row.get("per_minute")?,
        per_day: row.get("per_day")?,
        created: row.get("created")?,
        last_used: row.get("last_used")?,
    };
    Ok(Known { id: row.get("id")?, hash: row.get("hash")?, key })
}

fn names(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(",")
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// 256 random bits.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
