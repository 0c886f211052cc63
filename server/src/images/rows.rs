//! Pictures in the database: entering, reading, changing and deleting them.

use encaustic_protocol::{JobId, Request};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::NewImage;
use super::format::Format;
use super::store::{Store, is_name};
use crate::db::{Db, DbError};
use crate::http::schema;
use crate::job::Client;
use crate::time::Millis;

/// The columns of [`Image`].
pub(super) const COLUMNS: &str = "i.id, i.created, i.is_favourite, i.model, i.client, i.job, i.sha256, i.mime, i.bytes, i.width, \
    i.height, i.seed, i.title, i.prompt, i.negative";

/// A picture, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Its number.
    pub id: u64,
    /// When it was entered, in milliseconds since 1970.
    pub created: Millis,
    /// Whether somebody likes it.
    pub is_favourite: bool,
    /// Its model; empty if nobody knows.
    pub model: String,
    /// Whose job it was, or who uploaded it.
    #[schema(value_type = String)]
    pub client: Client,
    /// The job that it is of, unless it was uploaded.
    pub job: Option<u64>,
    /// The SHA-256 of its file; it may be asked for by this name as well.
    pub sha256: String,
    /// The media type of its file.
    pub mime: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Its seed.
    pub seed: u64,
    /// What somebody called it.
    pub title: String,
    /// What it was to show.
    pub prompt: String,
    /// What it was not to show.
    pub negative: String,
}

/// All that is known of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Details {
    /// What lists show.
    #[serde(flatten)]
    pub image: Image,
    /// What somebody wrote about it.
    pub notes: String,
    /// The request that makes it again.
    #[schema(value_type = schema::Request)]
    pub settings: Request,
    /// The same in the words of A1111's `parameters`.
    pub parameters: String,
    /// The collections that it is in.
    pub collections: Vec<u64>,
}

/// What is to be changed about a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// Whether somebody likes it.
    pub is_favourite: Option<bool>,
    /// What it is called.
    #[schema(max_length = 200)]
    pub title: Option<String>,
    /// What is to be remembered about it.
    #[schema(max_length = 10000)]
    pub notes: Option<String>,
}

/// Enters a picture; returns its number. `job` is `None` for an upload.
///
/// # Errors
/// SQLite's.
pub fn insert(
    change: &Transaction<'_>,
    job: Option<JobId>,
    client: &Client,
    image: &NewImage,
    at: Millis,
) -> Result<u64, rusqlite::Error> {
    let settings =
        serde_json::to_string(&image.settings).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    change
        .prepare_cached(
            "INSERT INTO images (created, model, client, job, sha256, mime, bytes, width, height, seed, prompt, negative, settings,
             parameters) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            at,
            image.model,
            client.0,
            job.map(|job| job.0),
            image.sha256,
            image.mime,
            image.bytes,
            image.width,
            image.height,
            image.seed.to_string(),
            image.settings.prompt,
            image.settings.negative,
            settings,
            image.parameters,
        ])?;
    Ok(u64::try_from(change.last_insert_rowid()).unwrap_or_default())
}

/// The number of a picture that is called by its number, or by its file's SHA-256 (then the newest one). `None` if there is none.
///
/// # Errors
/// SQLite's.
pub fn find(reader: &Connection, name: &str) -> Result<Option<u64>, rusqlite::Error> {
    if is_name(name) {
        let sql = "SELECT id FROM images WHERE sha256 = ?1 ORDER BY id DESC LIMIT 1";
        return reader.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional();
    }
    // Digits only: `parse` would take a sign.
    let number: Option<i64> = name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten();
    let Some(number) = number else { return Ok(None) };
    reader.prepare_cached("SELECT id FROM images WHERE id = ?1")?.query_row([number], |row| row.get(0)).optional()
}

/// A picture.
///
/// # Errors
/// SQLite's.
pub fn image(reader: &Connection, id: u64) -> Result<Option<Image>, rusqlite::Error> {
    reader.prepare_cached(&format!("SELECT {COLUMNS} FROM images i WHERE i.id = ?1"))?.query_row([id], read).optional()
}

/// All that is known of a picture.
///
/// # Errors
/// SQLite's.
pub fn details(reader: &Connection, id: u64) -> Result<Option<Details>, rusqlite::Error> {
    let sql = format!("SELECT {COLUMNS}, i.notes, i.settings, i.parameters FROM images i WHERE i.id = ?1");
    let found = reader.prepare_cached(&sql)?.query_row([id], |row| {
        let settings: String = row.get("settings")?;
        // Settings that this version does not know come from a later one; the picture is there all the same.
        let settings = serde_json::from_str(&settings).unwrap_or_default();
        let image = read(row)?;
        Ok(Details { image, notes: row.get("notes")?, settings, parameters: row.get("parameters")?, collections: Vec::new() })
    });
    let Some(mut details) = found.optional()? else { return Ok(None) };
    let mut collections = reader.prepare_cached("SELECT collection FROM collected WHERE image = ?1 ORDER BY collection")?;
    details.collections = collections.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Some(details))
}

/// Changes a picture; `false` if there is none.
///
/// # Errors
/// SQLite's.
pub fn change(writer: &Transaction<'_>, id: u64, change: &Change) -> Result<bool, rusqlite::Error> {
    // The title and the notes are left out where they stay: their words would be entered anew.
    let mut changed = writer
        .execute("UPDATE images SET is_favourite = coalesce(?2, is_favourite) WHERE id = ?1", params![id, change.is_favourite])?;
    if change.title.is_some() || change.notes.is_some() {
        changed = writer.execute(
            "UPDATE images SET title = coalesce(?2, title), notes = coalesce(?3, notes) WHERE id = ?1",
            params![id, change.title, change.notes],
        )?;
    }
    Ok(changed > 0)
}

/// Deletes pictures, and their files where no other picture has them; returns how many there were. A file that cannot be
/// removed is left to [`sweep`].
///
/// # Errors
/// If the database fails; then nothing has changed.
pub fn delete(db: &Db, store: &Store, ids: &[u64]) -> Result<u32, DbError> {
    let gone = db.write(|writer| {
        let mut gone = Vec::new();
        for id in ids {
            let sql = "DELETE FROM images WHERE id = ?1 RETURNING sha256, mime";
            let found = writer.prepare_cached(sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            gone.extend::<Option<(String, String)>>(found);
        }
        Ok(gone)
    })?;
    // The rows are gone for good before the first file is. Under the database's lock nobody enters another row meanwhile.
    db.write(|writer| {
        for (sha256, mime) in &gone {
            if is_known(writer, sha256)? {
                continue;
            }
            let Some(format) = Format::of_mime(mime) else { continue };
            if let Err(error) = store.remove(sha256, format) {
                tracing::warn!("the file of a deleted picture stays until it is swept away: {error}");
            }
        }
        Ok::<(), crate::db::Failed<DbError>>(())
    })?;
    Ok(u32::try_from(gone.len()).unwrap_or(u32::MAX))
}

/// Removes files that nobody has; returns how many there were.
///
/// # Errors
/// If the folders or the database cannot be read.
pub fn sweep(db: &Db, store: &Store) -> Result<u32, super::StoreError> {
    store.sweep(&mut |sha256| {
        let known = db.read(|reader| Ok::<_, crate::db::Failed<DbError>>(is_known(reader, sha256)?));
        // What cannot be asked is kept.
        known.unwrap_or(true)
    })
}

fn is_known(reader: &Connection, sha256: &str) -> Result<bool, rusqlite::Error> {
    reader.prepare_cached("SELECT EXISTS (SELECT 1 FROM images WHERE sha256 = ?1)")?.query_row([sha256], |row| row.get(0))
}

pub(super) fn read(row: &Row<'_>) -> Result<Image, rusqlite::Error> {
    let seed: String = row.get("seed")?;
    Ok(Image {
        id: row.get("id")?,
        created: row.get("created")?,
        is_favourite: row.get("is_favourite")?,
        model: row.get("model")?,
        client: Client(row.get("client")?),
        job: row.get("job")?,
        sha256: row.get("sha256")?,
        mime: row.get("mime")?,
        bytes: row.get("bytes")?,
        width: row.get("width")?,
        height: row.get("height")?,
        seed: seed.parse().unwrap_or_default(),
        title: row.get("title")?,
        prompt: row.get("prompt")?,
        negative: row.get("negative")?,
    })
}
