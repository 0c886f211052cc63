//! The Cache API: each file is an answer to an address that nobody serves.
//!
//! It takes files in whole, so one that is being fetched grows in the tab's memory and is put away when it is done, or as far
//! as it has come when it is stopped; a shard has 64 MiB at most.

use encaustic_engine::weights::WeightSource;
use js_sys::{Array, ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, Cache, Request, Response};

use super::super::blob::BlobSource;
use super::super::post::{absolute, scope};
use super::memory::join;
use super::{Answer, Append, Store, StoreError, wait};
use crate::message::Place;

/// The cache's name.
const CACHE: &str = "encaustic-models";

/// The browser's cache.
pub(super) struct Cached {
    cache: Cache,
    /// What all addresses begin with.
    base: String,
}

impl Cached {
    /// `None` where there is none.
    pub(super) async fn open() -> Option<Self> {
        let has = Reflect::get(&scope(), &"caches".into()).is_ok_and(|caches| caches.is_object());
        let caches = has.then(|| scope().caches().ok()).flatten()?;
        let cache = wait(CACHE, caches.open(CACHE)).await.ok()?;
        let base = absolute("kept/");
        Some(Self { cache, base })
    }

    fn address(&self, id: &str, name: &str) -> String {
        format!("{}{id}/{name}", self.base)
    }

    /// All files: the model's id, the name.
    async fn all(&self) -> Result<Vec<(String, String)>, StoreError> {
        let requests: Array = wait(CACHE, self.cache.keys()).await?;
        let addresses = requests.iter().filter_map(|request| {
            let address = request.dyn_into::<Request>().ok()?.url();
            let (id, name) = address.strip_prefix(&self.base)?.split_once('/')?;
            Some((id.to_owned(), name.to_owned()))
        });
        Ok(addresses.collect())
    }

    async fn blob(&self, id: &str, name: &str) -> Result<Option<Blob>, StoreError> {
        let found: JsValue = wait(name, self.cache.match_with_str(&self.address(id, name))).await?;
        let Ok(response) = found.dyn_into::<Response>() else { return Ok(None) };
        let promise = response.blob().map_err(|error| StoreError::of(name, &error))?;
        wait(name, promise).await.map(Some)
    }
}

async fn put(cache: &Cache, address: &str, name: &str, bytes: &Uint8Array) -> Result<(), StoreError> {
    let response = Response::new_with_opt_js_u8_array(Some(bytes)).map_err(|error| StoreError::of(name, &error))?;
    wait::<JsValue>(name, cache.put_with_str(address, &response)).await.map(drop)
}

/// A file that grows in memory.
struct Growing {
    cache: Cache,
    address: String,
    name: String,
    pieces: Vec<Uint8Array>,
}

impl Append for Growing {
    fn push(&mut self, bytes: &Uint8Array) -> Result<(), StoreError> {
        self.pieces.push(bytes.clone());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Answer<'static, ()> {
        Box::pin(async move { put(&self.cache, &self.address, &self.name, &join(&self.pieces)).await })
    }
}

impl Store for Cached {
    fn place(&self) -> Place {
        Place::Cache
    }

    fn models(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async {
            let mut ids: Vec<String> = self.all().await?.into_iter().map(|(id, _)| id).collect();
            ids.sort();
            ids.dedup();
            Ok(ids)
        })
    }

    fn files<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<(String, u64)>> {
        Box::pin(async move {
            let mut files = Vec::new();
            for (_, name) in self.all().await?.into_iter().filter(|(of, _)| of == id) {
                if let Some(blob) = self.blob(id, &name).await? {
                    files.push((name, blob.size() as u64));
                }
            }
            Ok(files)
        })
    }

    fn read<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, Option<Uint8Array>> {
        Box::pin(async move {
            let Some(blob) = self.blob(id, name).await? else { return Ok(None) };
            let buffer: ArrayBuffer = wait(name, blob.array_buffer()).await?;
            Ok(Some(Uint8Array::new(&buffer)))
        })
    }

    fn open<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, Option<Box<dyn WeightSource>>> {
        Box::pin(async move {
            let Some(blob) = self.blob(id, name).await? else { return Ok(None) };
            let source = BlobSource::new(blob).map_err(|why| StoreError::Failed { name: name.to_owned(), why })?;
            Ok(Some(Box::new(source) as Box<dyn WeightSource>))
        })
    }

    fn write<'a>(&'a self, id: &'a str, name: &'a str, bytes: &'a Uint8Array) -> Answer<'a, ()> {
        Box::pin(async move { put(&self.cache, &self.address(id, name), name, bytes).await })
    }

    fn append<'a>(&'a self, id: &'a str, name: &'a str, from: u64) -> Answer<'a, Box<dyn Append>> {
        Box::pin(async move {
            let kept = if from > 0 { self.read(id, name).await? } else { None };
            let pieces = kept.map(|bytes| bytes.subarray(0, u32::try_from(from).unwrap_or(u32::MAX)));
            Ok(Box::new(Growing {
                cache: self.cache.clone(),
                address: self.address(id, name),
                name: name.to_owned(),
                pieces: pieces.into_iter().collect(),
            }) as Box<dyn Append>)
        })
    }

    fn remove<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { wait::<JsValue>(name, self.cache.delete_with_str(&self.address(id, name))).await.map(drop) })
    }

    fn remove_model<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            for (_, name) in self.all().await?.into_iter().filter(|(of, _)| of == id) {
                self.remove(id, &name).await?;
            }
            Ok(())
        })
    }
}
