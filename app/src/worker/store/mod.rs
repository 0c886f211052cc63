//! Where the browser keeps models: folders of files, by the models' ids.
//!
//! There are three places, the first that a browser has is taken: its private file system (OPFS), which reads and appends in
//! place; its Cache, which takes files in whole; and the tab's memory, which lasts as long as the tab. A file that is being
//! fetched lies under its own name and is shorter than it will be, in all of them: nothing else has to be remembered to go on
//! with it.

mod cache;
mod memory;
mod opfs;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use encaustic_engine::weights::WeightSource;
use js_sys::{Function, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DomException, StorageEstimate};

use super::post::{scope, why};
use crate::message::Place;

/// An answer that comes later.
pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + 'a>>;

/// Why something could not be kept or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StoreError {
    /// There is no room for more.
    #[error("the browser's storage is full")]
    Full,
    /// Somebody else has the file.
    #[error("{0} is in use: another tab or window of this page has it open; close that one and try again")]
    InUse(String),
    /// It is not there, or no more.
    #[error("{0} is not in the browser's storage any more")]
    Absent(String),
    /// Anything else.
    #[error("{name}: the browser's storage fails: {why}")]
    Failed {
        /// Which file.
        name: String,
        /// What the browser says.
        why: String,
    },
}

impl StoreError {
    /// What the browser has thrown.
    pub(super) fn of(name: &str, error: &JsValue) -> Self {
        match exception(error).as_deref() {
            Some("QuotaExceededError") => Self::Full,
            Some("NoModificationAllowedError" | "InvalidStateError") => Self::InUse(name.to_owned()),
            Some("NotFoundError") => Self::Absent(name.to_owned()),
            _ => Self::Failed { name: name.to_owned(), why: why(error) },
        }
    }
}

/// The kind of an exception, as in `NotFoundError`.
fn exception(error: &JsValue) -> Option<String> {
    error.dyn_ref::<DomException>().map(DomException::name)
}

/// A place for models.
pub(super) trait Store {
    /// What kind of place it is.
    fn place(&self) -> Place;

    /// The ids of the models that have files here.
    fn models(&self) -> Answer<'_, Vec<String>>;

    /// A model's files with their sizes.
    fn files<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<(String, u64)>>;

    /// A file in whole, in JavaScript's memory: what WebAssembly has once asked for it never gives back.
    fn read<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, Option<Uint8Array>>;

    /// A file to be read in ranges, without waiting, until it is dropped.
    fn open<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, Option<Box<dyn WeightSource>>>;

    /// Writes a small file in whole.
    fn write<'a>(&'a self, id: &'a str, name: &'a str, bytes: &'a Uint8Array) -> Answer<'a, ()>;

    /// Goes on with a file behind its first `from` bytes, or begins it; what it has beyond them is dropped.
    fn append<'a>(&'a self, id: &'a str, name: &'a str, from: u64) -> Answer<'a, Box<dyn Append>>;

    /// Removes a file, if it is there.
    fn remove<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, ()>;

    /// Removes a model with all of its files, if it is there.
    fn remove_model<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;
}

/// A file that is being written.
pub(super) trait Append {
    /// Writes more.
    fn push(&mut self, bytes: &Uint8Array) -> Result<(), StoreError>;

    /// Keeps what has been written.
    fn finish(self: Box<Self>) -> Answer<'static, ()>;
}

/// The best place that this browser has.
pub(super) async fn open() -> Rc<dyn Store> {
    if let Some(store) = opfs::Opfs::open().await {
        return Rc::new(store);
    }
    match cache::Cached::open().await {
        Some(store) => Rc::new(store),
        None => Rc::new(memory::Memory::default()),
    }
}

/// Bytes that this page uses, and bytes that it may use, as far as the browser tells.
pub(super) async fn estimate() -> (Option<u64>, Option<u64>) {
    let Some(promise) = manager("estimate") else { return (None, None) };
    let Ok(estimate) = JsFuture::from(promise).await else { return (None, None) };
    let estimate: StorageEstimate = estimate.unchecked_into();
    (estimate.get_usage().map(|bytes| bytes as u64), estimate.get_quota().map(|bytes| bytes as u64))
}

/// Whether the browser has promised to throw nothing away by itself.
pub(super) async fn is_persistent() -> bool {
    let Some(promise) = manager("persisted") else { return false };
    JsFuture::from(promise).await.is_ok_and(|value| value.is_truthy())
}

/// Calls a method of the browser's storage manager, if it has it.
fn manager(method: &str) -> Option<js_sys::Promise> {
    let get = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).ok().filter(|value| !value.is_undefined());
    let storage = get(&get(&scope(), "navigator")?, "storage")?;
    let method: Function = get(&storage, method)?.dyn_into().ok()?;
    method.call0(&storage).ok()?.dyn_into().ok()
}

/// `None` for what is absent.
fn there<T>(found: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Absent(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits for a promise.
async fn wait<T: JsCast>(name: &str, promise: js_sys::Promise) -> Result<T, StoreError> {
    let value = JsFuture::from(promise).await.map_err(|error| StoreError::of(name, &error))?;
    Ok(value.unchecked_into())
}
