//! Collections of pictures, in an order of their own.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::{Db, DbError, Failed};
use crate::time::Millis;

/// How many collections there may be.
pub const MOST: u32 = 1000;
/// How many bytes a name may have.
pub const NAME_BYTES: usize = 200;

/// A collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Collection {
    /// Its number.
    pub id: u64,
    /// Its name; no other has it.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created: Millis,
    /// How many pictures it has.
    pub images: u64,
    /// The newest picture in it.
    pub cover: Option<u64>,
}

/// What cannot be done with a collection.
#[derive(Debug, thiserror::Error)]
pub enum CollectionError {
    /// There is none of that number.
    #[error("there is no collection {0}; it may have been deleted")]
    Unknown(u64),
    /// There is one of that name.
    #[error("there is a collection called {0:?} already; choose another name")]
    Taken(String),
    /// A name is empty or too long.
    #[error("a collection's name has from 1 to {NAME_BYTES} bytes, without control characters")]
    Name,
    /// There are too many.
    #[error("there are {MOST} collections already; delete one first")]
    TooMany,
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] DbError),
}

type Outcome<T> = Result<T, CollectionError>;

const ALL: &str = "SELECT id, name, created, (SELECT count(*) FROM collected c WHERE c.collection = o.id) AS images,
    (SELECT max(image) FROM collected c WHERE c.collection = o.id) AS cover FROM collections o";

/// All collections, in their order.
///
/// # Errors
/// If the database fails.
pub fn all(db: &Db) -> Outcome<Vec<Collection>> {
    db.read(|reader| {
        let mut found = reader.prepare_cached(&format!("{ALL} ORDER BY place, id"))?;
        let found = found.query_map([], read)?.collect::<Result<_, _>>()?;
        Ok(found)
    })
}

/// A collection.
///
/// # Errors
/// [`CollectionError::Unknown`].
pub fn one(db: &Db, id: u64) -> Outcome<Collection> {
    db.read(|reader| get(reader, id))
}

/// Makes a collection, behind the others.
///
/// # Errors
/// If the name is none, or taken.
pub fn create(db: &Db, name: &str, at: Millis) -> Outcome<Collection> {
    let name = checked(name)?;
    db.write(|writer| {
        let count: u32 = writer.query_row("SELECT count(*) FROM collections", [], |row| row.get(0))?;
        if count >= MOST {
            return Err(Failed::Refused(CollectionError::TooMany));
        }
        free(writer, name, None)?;
        writer.execute(
            "INSERT INTO collections (name, place, created)
             VALUES (?1, (SELECT coalesce(max(place), 0) + 1 FROM collections), ?2)",
            params![name, at],
        )?;
        get(writer, u64::try_from(writer.last_insert_rowid()).unwrap_or_default())
    })
}

/// Gives a collection another name.
///
/// # Errors
/// If the name is none, or taken; if there is no such collection.
pub fn rename(db: &Db, id: u64, name: &str) -> Outcome<Collection> {
    let name = checked(name)?;
    db.write(|writer| {
        free(writer, name, Some(id))?;
        writer.execute("UPDATE collections SET name = ?2 WHERE id = ?1", params![id, name])?;
        get(writer, id)
    })
}

/// Moves a collection before another (`None`: behind all).
///
/// # Errors
/// If there is no such collection.
pub fn place(db: &Db, id: u64, before: Option<u64>) -> Outcome<Collection> {
    db.write(|writer| {
        get(writer, id)?;
        if let Some(before) = before {
            get(writer, before)?;
        }
        let mut order = writer.prepare("SELECT id FROM collections WHERE id <> ?1 ORDER BY place, id")?;
        let mut order: Vec<u64> = order.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let at = before.and_then(|before| order.iter().position(|other| *other == before)).unwrap_or(order.len());
        order.insert(at, id);
        // There are few of them, and whole numbers never run out of room between two.
        for (place, id) in order.iter().enumerate() {
            writer.prepare_cached("UPDATE collections SET place = ?2 WHERE id = ?1")?.execute(params![id, place as f64])?;
        }
        get(writer, id)
    })
}

/// Deletes a collection; its pictures stay.
///
/// # Errors
/// If there is none of that number.
pub fn delete(db: &Db, id: u64) -> Outcome<()> {
    db.write(|writer| match writer.execute("DELETE FROM collections WHERE id = ?1", [id])? {
        0 => Err(Failed::Refused(CollectionError::Unknown(id))),
        _ => Ok(()),
    })
}

/// Puts pictures into a collection and takes others out of it. Pictures that there are not are left out.
///
/// # Errors
/// If there is no such collection.
pub fn change(db: &Db, id: u64, add: &[u64], remove: &[u64]) -> Outcome<Collection> {
    db.write(|writer| {
        get(writer, id)?;
        for image in add {
            writer
                .prepare_cached("INSERT OR IGNORE INTO collected (collection, image) SELECT ?1, id FROM images WHERE id = ?2")?
                .execute(params![id, image])?;
        }
        for image in remove {
            writer.prepare_cached("DELETE FROM collected WHERE collection = ?1 AND image = ?2")?.execute(params![id, image])?;
        }
        get(writer, id)
    })
}

fn checked(name: &str) -> Outcome<&str> {
    let name = name.trim();
    let is_fine = !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control);
    if is_fine { Ok(name) } else { Err(CollectionError::Name) }
}

fn free(writer: &Transaction<'_>, name: &str, but: Option<u64>) -> Result<(), Failed<CollectionError>> {
    let taken: Option<u64> =
        writer.query_row("SELECT id FROM collections WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    match taken {
        Some(id) if Some(id) != but => Err(Failed::Refused(CollectionError::Taken(name.to_owned()))),
        _ => Ok(()),
    }
}

fn get(reader: &Connection, id: u64) -> Result<Collection, Failed<CollectionError>> {
    let found = reader.prepare_cached(&format!("{ALL} WHERE id = ?1"))?.query_row([id], read).optional()?;
    found.ok_or(Failed::Refused(CollectionError::Unknown(id)))
}

fn read(row: &rusqlite::Row<'_>) -> Result<Collection, rusqlite::Error> {
    Ok(Collection {
        id: row.get("id")?,
        name: row.get("name")?,
        created: row.get("created")?,
        images: row.get("images")?,
        cover: row.get("cover")?,
    })
}
