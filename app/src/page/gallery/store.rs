//! Where pictures are kept: IndexedDB.
//!
//! What is known of a picture is a text of JSON, because seeds have 64 bits and numbers in JavaScript have not. The file and
//! its small image are blobs in stores of their own, so that a list of thousands is read without them.

use idb::{Database, DatabaseEvent, Error, Factory, ObjectStoreParams, Transaction, TransactionMode};
use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use crate::gallery::Record;

const NAME: &str = "encaustic";
/// To be raised with every change of the stores, with a step in [`upgrade`].
const VERSION: u32 = 1;

const RECORDS: &str = "records";
const PICTURES: &str = "pictures";
const SMALL: &str = "small";
const ALL: [&str; 3] = [RECORDS, PICTURES, SMALL];

/// Why the gallery cannot do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no storage at all.
    #[error(
        "this browser keeps nothing for this page ({0}): pictures last until the tab is closed; leave private browsing, or allow the site to store data"
    )]
    Unavailable(String),
    /// Another tab holds an older form.
    #[error("another tab has an older version of this page open: close it and reload this one")]
    Blocked,
    /// Nothing more goes in.
    #[error("the browser's storage for this page is full: delete pictures or models, or free space on the disk")]
    Full,
    /// A file that is not there, though it should be.
    #[error("the picture is no longer in the browser's storage")]
    Missing,
    /// The pictures are a server's, and it does not give them.
    #[error("{0}")]
    Server(String),
    /// Anything else.
    #[error("the browser's storage failed: {0}; reload the page")]
    Failed(String),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if text.contains("QuotaExceeded") { Self::Full } else { Self::Failed(text) }
    }
}

/// The open database.
pub(super) struct Store {
    database: Database,
}

impl Store {
    /// Opens it, and makes it if it is not there.
    pub(super) async fn open() -> Result<Self, StoreError> {
        let unavailable = |error: Error| StoreError::Unavailable(error.to_string());
        let factory = Factory::new().map_err(unavailable)?;
        let mut request = factory.open(NAME, Some(VERSION)).map_err(unavailable)?;
        request.on_upgrade_needed(|event| {
            // A step that fails fails the opening, which is told.
            let _ = event.database().and_then(|database| upgrade(&database));
        });
        let (blocked, is_blocked) = futures_channel::oneshot::channel();
        request.on_blocked(move |_| {
            let _ = blocked.send(());
        });
        let opened = futures_util::future::select(Box::pin(request.into_future()), is_blocked).await;
        let mut database = match opened {
            futures_util::future::Either::Left((database, _)) => database.map_err(unavailable)?,
            futures_util::future::Either::Right((Ok(()), _)) => return Err(StoreError::Blocked),
            // The request is over and took its handlers along.
            futures_util::future::Either::Right((Err(_), opening)) => opening.await.map_err(unavailable)?,
        };
        // A newer version in another tab must not wait for this one.
        database.on_version_change(|event| {
            let target = event.target().map(JsValue::from).unwrap_or_default();
            if let Some(close) =
                Reflect::get(&target, &"close".into()).ok().and_then(|close| close.dyn_into::<js_sys::Function>().ok())
            {
                let _ = close.call0(&target);
            }
        });
        Ok(Self { database })
    }

    /// All that is known of all pictures, newest first.
    pub(super) async fn records(&self) -> Result<Vec<Record>, StoreError> {
        let transaction = self.database.transaction(&[RECORDS], TransactionMode::ReadOnly)?;
        let texts = transaction.object_store(RECORDS)?.get_all(None, None)?.await?;
        let parse = |text: JsValue| serde_json::from_str(&text.as_string()?).ok();
        let mut records: Vec<Record> = texts.into_iter().filter_map(parse).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
        Ok(records)
    }

    /// Puts a picture in, with a small image of it if it is large.
    pub(super) async fn add(&self, record: &Record, picture: &Blob, small: Option<&Blob>) -> Result<(), StoreError> {
        let transaction = self.database.transaction(&ALL, TransactionMode::ReadWrite)?;
        let key = key(record.id);
        transaction.object_store(PICTURES)?.put(picture, Some(&key))?;
        if let Some(small) = small {
            transaction.object_store(SMALL)?.put(small, Some(&key))?;
        }
        transaction.object_store(RECORDS)?.put(&text(record)?, Some(&key))?;
        commit(transaction).await
    }

    /// Writes what is known of pictures anew; those that are not there are left alone.
    pub(super) async fn update(&self, records: &[Record]) -> Result<(), StoreError> {
        let transaction = self.database.transaction(&[RECORDS], TransactionMode::ReadWrite)?;
        let store = transaction.object_store(RECORDS)?;
        for record in records {
            let key = key(record.id);
            if store.get_key(key.clone())?.await?.is_some() {
                store.put(&text(record)?, Some(&key))?;
            }
        }
        commit(transaction).await
    }

    /// A picture's file.
    pub(super) async fn picture(&self, id: u64) -> Result<Blob, StoreError> {
        self.blob(PICTURES, id).await?.ok_or(StoreError::Missing)
    }

    /// A picture's small image, or the picture itself where there is none.
    pub(super) async fn small(&self, id: u64) -> Result<Blob, StoreError> {
        match self.blob(SMALL, id).await? {
            Some(blob) => Ok(blob),
            None => self.picture(id).await,
        }
    }

    async fn blob(&self, store: &str, id: u64) -> Result<Option<Blob>, StoreError> {
        let transaction = self.database.transaction(&[store], TransactionMode::ReadOnly)?;
        let found = transaction.object_store(store)?.get(key(id))?.await?;
        Ok(found.and_then(|value| value.dyn_into().ok()))
    }

    /// Throws pictures away.
    pub(super) async fn delete(&self, ids: &[u64]) -> Result<(), StoreError> {
        let transaction = self.database.transaction(&ALL, TransactionMode::ReadWrite)?;
        for id in ids {
            for store in ALL {
                transaction.object_store(store)?.delete(key(*id))?;
            }
        }
        commit(transaction).await
    }

    /// Throws all pictures away.
    pub(super) async fn clear(&self) -> Result<(), StoreError> {
        let transaction = self.database.transaction(&ALL, TransactionMode::ReadWrite)?;
        for store in ALL {
            transaction.object_store(store)?.clear()?;
        }
        commit(transaction).await
    }
}

/// Brings the database to [`VERSION`]: makes what is missing.
fn upgrade(database: &Database) -> Result<(), Error> {
    let there = database.store_names();
    for store in ALL {
        if !there.iter().any(|name| name == store) {
            database.create_object_store(store, ObjectStoreParams::new())?;
        }
    }
    Ok(())
}

/// Ids are made such that a number of JavaScript's holds them.
fn key(id: u64) -> JsValue {
    JsValue::from_f64(id as f64)
}

fn text(record: &Record) -> Result<JsValue, StoreError> {
    serde_json::to_string(record).map(|text| text.into()).map_err(|error| StoreError::Failed(error.to_string()))
}

/// Ends a transaction. Nobody waits for its parts: what has been ended by hand happens even if the page is closed right after. What
/// has been written is safe only when this is through; a disk that is full is often told as late as this.
async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    if transaction.commit()?.await?.is_committed() { Ok(()) } else { Err(StoreError::Full) }
}

#[cfg(test)]
mod tests {
    use encaustic_picture::{infotext, png_text};
    use js_sys::{Uint8Array, Uint8ClampedArray};
    use wasm_bindgen_futures::JsFuture;
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::super::encode;
    use super::*;

    wasm_bindgen_test_configure!(run_in_browser);

    fn record(id: u64) -> Record {
        Record {
            id,
            seed: u64::MAX,
            prompt: "a fox".into(),
            width: 2,
            height: 1,
            parameters: "a fox, ü".into(),
            ..Record::default()
        }
    }

    fn file(record: &Record) -> Blob {
        let pixels = Uint8ClampedArray::from([1, 2, 3, 255, 4, 5, 6, 255].as_slice());
        encode::picture(record.width, record.height, &pixels, &record.parameters).unwrap()
    }

    #[wasm_bindgen_test]
    async fn what_is_put_in_comes_out_until_it_is_thrown_away() {
        let store = Store::open().await.unwrap();
        store.clear().await.unwrap();
        for id in [1, 2] {
            store.add(&record(id), &file(&record(id)), None).await.unwrap();
        }
        // Newest first, and the seed whole.
        assert_eq!(store.records().await.unwrap(), [record(2), record(1)]);

        let loved = Record { favourite: true, ..record(1) };
        store.update(&[loved.clone(), record(9)]).await.unwrap();
        drop(store);
        let store = Store::open().await.unwrap();
        assert_eq!(store.records().await.unwrap(), [record(2), loved]);
        assert_eq!(store.picture(9).await.unwrap_err(), StoreError::Missing);

        store.delete(&[1]).await.unwrap();
        assert_eq!(store.records().await.unwrap(), [record(2)]);
        assert_eq!(store.picture(1).await.unwrap_err(), StoreError::Missing);
        store.clear().await.unwrap();
        assert_eq!(store.records().await.unwrap(), []);
    }

    #[wasm_bindgen_test]
    async fn a_kept_file_says_how_it_was_made() {
        let store = Store::open().await.unwrap();
        store.add(&record(3), &file(&record(3)), None).await.unwrap();
        // A small picture is its own small image.
        let kept = store.small(3).await.unwrap();
        let buffer = JsFuture::from(kept.array_buffer()).await.unwrap();
        let texts = png_text::read(std::io::Cursor::new(Uint8Array::new(&buffer).to_vec())).unwrap();
        assert_eq!(texts.get(infotext::KEYWORD), Some("a fox, ü"));
        store.clear().await.unwrap();
    }
}
