//! Pages of pictures, and searches among them.
//!
//! A page begins after the last picture of the one before it (keyset paging), so a late page costs what the first one does.
//! Whatever is asked for, it is walked through from the newest on along an index and ended when the page is full.

use std::fmt::Write;

use rusqlite::types::ToSql;
use rusqlite::{Connection, params_from_iter};

use super::rows::{COLUMNS, Image, read};
use crate::time::Millis;

/// How many pictures a page has if nobody says.
pub const USUAL: u32 = 50;
/// How many pictures a page may have.
pub const MOST: u32 = 500;
/// How many words of a search are looked at.
const WORDS: usize = 32;

/// Which pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// With all these words in prompt, negative prompt, model, title, notes or seed; the last one may be a beginning.
    pub search: Option<String>,
    /// That somebody likes, or does not.
    pub is_favourite: Option<bool>,
    /// In this collection.
    pub collection: Option<u64>,
    /// Of this model.
    pub model: Option<String>,
    /// Of this client.
    pub client: Option<String>,
    /// Of this job.
    pub job: Option<u64>,
    /// Entered at this moment or later.
    pub since: Option<Millis>,
    /// Entered before this moment.
    pub until: Option<Millis>,
    /// Older than this one.
    pub before: Option<u64>,
}

/// A page, the newest picture first.
///
/// # Errors
/// SQLite's.
pub fn page(reader: &Connection, wanted: &Wanted, most: u32) -> Result<Vec<Image>, rusqlite::Error> {
    let Some(mut query) = Query::of(wanted) else { return Ok(Vec::new()) };
    let sql = format!("SELECT {COLUMNS} FROM {} ORDER BY {} DESC LIMIT ?", query.text, query.key);
    query.values.push(Box::new(most));
    let mut found = reader.prepare_cached(&sql)?;
    found.query_map(params_from_iter(&query.values), read)?.collect()
}

/// How many there are; `before` counts as well.
///
/// # Errors
/// SQLite's.
pub fn count(reader: &Connection, wanted: &Wanted) -> Result<u64, rusqlite::Error> {
    let Some(query) = Query::of(wanted) else { return Ok(0) };
    let sql = format!("SELECT count(*) FROM {}", query.text);
    reader.prepare_cached(&sql)?.query_row(params_from_iter(&query.values), |row| row.get(0))
}

/// The models that pictures were made with, and how many there are of each; the most used first.
///
/// # Errors
/// SQLite's.
pub fn models(reader: &Connection, most: u32) -> Result<Vec<(String, u64)>, rusqlite::Error> {
    let sql = "SELECT model, count(*) AS n FROM images GROUP BY model ORDER BY n DESC, model LIMIT ?1";
    let mut found = reader.prepare_cached(sql)?;
    found.query_map([most], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// What stands behind FROM.
struct Query {
    text: String,
    values: Vec<Box<dyn ToSql>>,
    /// The column of the table that is walked through.
    key: &'static str,
}

impl Query {
    /// `None` if the search has no word in it, and so finds nothing.
    fn of(wanted: &Wanted) -> Option<Self> {
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut text = String::new();
        let words = match &wanted.search {
            Some(search) => Some(words(search)?),
            None => None,
        };
        // CROSS JOIN keeps SQLite from turning the order of the tables around.
        let key = match (words, wanted.collection) {
            (Some(words), collection) => {
                text += "images_words w CROSS JOIN images i ON i.id = w.rowid WHERE images_words MATCH ?";
                values.push(Box::new(words));
                if let Some(collection) = collection {
                    text += " AND EXISTS (SELECT 1 FROM collected c WHERE c.collection = ? AND c.image = w.rowid)";
                    values.push(Box::new(collection));
                }
                "w.rowid"
            }
            (None, Some(collection)) => {
                text += "collected c CROSS JOIN images i ON i.id = c.image WHERE c.collection = ?";
                values.push(Box::new(collection));
                "c.image"
            }
            (None, None) => {
                text += "images i WHERE true";
                "i.id"
            }
        };
        let mut and = |condition: &str, value: Box<dyn ToSql>| {
            // Writing to a text does not fail.
            let _ = write!(text, " AND {condition}");
            values.push(value);
        };
        if let Some(before) = wanted.before {
            and(&format!("{key} < ?"), Box::new(i64::try_from(before).unwrap_or(i64::MAX)));
        }
        // Where another table is walked through, an index tells sooner than the row whether a picture is wanted.
        let is = |column: &str, index: &str| {
            if key == "i.id" {
                format!("i.{column} = ?")
            } else {
                format!("EXISTS (SELECT 1 FROM images x INDEXED BY images_by_{index} WHERE x.{column} = ? AND x.id = {key})")
            }
        };
        if let Some(is_favourite) = wanted.is_favourite {
            and(&is("is_favourite", "favourite"), Box::new(is_favourite));
        }
        if let Some(model) = &wanted.model {
            and(&is("model", "model"), Box::new(model.clone()));
        }
        if let Some(client) = &wanted.client {
            and(&is("client", "client"), Box::new(client.clone()));
        }
        if let Some(job) = wanted.job {
            and(&is("job", "job"), Box::new(i64::try_from(job).unwrap_or(i64::MAX)));
        }
        // Numbers rise with time as far as the clock does: bounds of numbers keep the walk short.
        if let Some(since) = wanted.since {
            and("+i.created >= ?", Box::new(since));
            and(&format!("{key} >= (SELECT min(id) FROM images WHERE created >= ?)"), Box::new(since));
        }
        if let Some(until) = wanted.until {
            and("+i.created < ?", Box::new(until));
            and(&format!("{key} <= (SELECT max(id) FROM images WHERE created < ?)"), Box::new(until));
        }
        Some(Self { text, values, key })
    }
}

/// A search in FTS5's language: every word in quotes, so that nothing in it is an operator; the last one as a beginning, unless
/// it is followed by a space. `None` if there is no word.
fn words(search: &str) -> Option<String> {
    let is_word = |word: &&str| word.chars().any(char::is_alphanumeric);
    let mut words: Vec<String> = search
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(is_word)
        .take(WORDS)
        .map(|word| format!("\"{}\"", word.replace('"', "\"\"")))
        .collect();
    let is_typing = search.chars().next_back().is_some_and(char::is_alphanumeric);
    if let (Some(last), true) = (words.last_mut(), is_typing) {
        last.push('*');
    }
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_words() {
        for (search, query) in [
            ("light", Some(r#""light"*"#)),
            ("light ", Some(r#""light""#)),
            ("a  light", Some(r#""a" "light"*"#)),
            ("NOT x OR y", Some(r#""NOT" "x" "OR" "y"*"#)),
            (r#""a b" -c"#, Some(r#""""a" "b""" "-c"*"#)),
            ("prompt:x*", Some(r#""prompt:x*""#)),
            ("NEAR(a b, 3)", Some(r#""NEAR(a" "b," "3)""#)),
            ("a\0b", Some(r#""a" "b"*"#)),
            ("", None),
            ("- \" * ( ) ^", None),
        ] {
            assert_eq!(words(search).as_deref(), query, "{search:?}");
        }
    }
}
