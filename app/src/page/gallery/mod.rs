//! The pictures that are kept: what the panel shows, and what may be asked of them.
//!
//! The list is in memory, the files are in the browser's storage ([`store`]). Where that is missing or full, a picture is kept
//! for as long as the tab is open and can be saved by its owner, who is told. Other tabs are told of every change. Behind a
//! server the pictures are the server's, whoever has made them ([`shop`]); the panels cannot tell one from the other.

pub mod actions;
mod encode;
mod keep;
pub mod shop;
mod store;
pub mod url;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, BroadcastChannel};

pub(crate) use encode::blob;
use shop::Shop;
use store::Store;
pub use store::StoreError;

use super::preferences::Wishes;
use super::server::api;
use super::studio::{Action, Studio};
use crate::gallery::{BIN_TIME, Query, Record, beyond};

/// On which line tabs tell each other of changes.
const LINE: &str = "encaustic.gallery";

/// How it stands with the gallery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// It is being opened.
    Opening,
    /// It is there.
    Ready,
    /// There is no storage; the sentence says why. Pictures last as long as the tab.
    Loose(String),
}

/// The pictures that are kept. It is copied like a number; what it holds is changed for all.
#[derive(Clone, Copy)]
pub struct Gallery {
    /// Every picture, newest first, those that were removed a moment ago among them.
    pub records: RwSignal<Vec<Arc<Record>>>,
    /// How it stands.
    pub shelf: RwSignal<Shelf>,
    /// The ids of this session's pictures by the names that events give them.
    pub named: RwSignal<HashMap<String, u64>>,
    /// What there is more of it, if the pictures are a server's.
    pub shop: Option<Shop>,
    studio: Studio,
    wishes: Wishes,
    store: StoredValue<Option<Rc<Store>>, LocalStorage>,
    /// Pictures that are nowhere else.
    loose: StoredValue<HashMap<u64, Blob>, LocalStorage>,
    line: StoredValue<Option<BroadcastChannel>, LocalStorage>,
    queue: StoredValue<keep::Queue, LocalStorage>,
}

impl Gallery {
    /// Opens the gallery; from then on it keeps what `studio` makes.
    pub fn open(studio: Studio, wishes: Wishes) -> Self {
        let gallery = Self {
            records: RwSignal::new(Vec::new()),
            shelf: RwSignal::new(Shelf::Opening),
            named: RwSignal::new(HashMap::new()),
            shop: studio.server.map(Shop::new),
            studio,
            wishes,
            store: StoredValue::new_local(None),
            loose: StoredValue::new_local(HashMap::new()),
            line: StoredValue::new_local(BroadcastChannel::new(LINE).ok()),
            queue: StoredValue::new_local(keep::Queue::default()),
        };
        if let Some(shop) = gallery.shop {
            gallery.attend(shop);
            // The server keeps what it makes, and what is shown of it here is held by who shows it.
            studio.on_finished(move |finished| finished.pictures.iter().for_each(|picture| studio.release(&picture.about.name)));
            return gallery;
        }
        gallery.listen();
        studio.on_finished(move |finished| gallery.keep(finished));
        spawn_local(async move {
            match Store::open().await {
                Ok(store) => {
                    gallery.store.set_value(Some(Rc::new(store)));
                    gallery.read().await;
                    gallery.sweep();
                }
                Err(error) => gallery.shelf.set(Shelf::Loose(error.to_string())),
            }
            gallery.work();
        });
        gallery
    }

    /// The gallery of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }

    /// What is known of a picture.
    pub fn record(self, id: u64) -> Option<Arc<Record>> {
        self.records.with(|records| find(records, id))
    }

    /// The same, without listening for changes.
    pub fn record_untracked(self, id: u64) -> Option<Arc<Record>> {
        self.records.with_untracked(|records| find(records, id))
    }

    /// A picture's file.
    pub async fn picture(self, id: u64) -> Result<Blob, StoreError> {
        if let Some(shop) = self.shop {
            let file = shop.server.heard(api::file(&format!("images/{id}/file")).await);
            return file.map_err(|trouble| StoreError::Server(trouble.failure().message));
        }
        match (self.loose.with_value(|loose| loose.get(&id).cloned()), self.store.get_value()) {
            (Some(blob), _) => Ok(blob),
            (None, Some(store)) => store.picture(id).await,
            (None, None) => Err(StoreError::Missing),
        }
    }

    /// A small image of a picture, for a grid.
    pub async fn small(self, id: u64) -> Result<Blob, StoreError> {
        match (self.loose.with_value(|loose| loose.get(&id).cloned()), self.store.get_value()) {
            (Some(blob), _) => Ok(blob),
            (None, Some(store)) => store.small(id).await,
            (None, None) => Err(StoreError::Missing),
        }
    }

    /// Saves pictures as files, one after the other.
    pub fn download(self, ids: Vec<u64>) {
        if let Some(shop) = self.shop {
            return self.fetch(shop, ids);
        }
        spawn_local(async move {
            for id in ids {
                let Some(record) = self.record_untracked(id) else { continue };
                match self.picture(id).await {
                    Ok(blob) => url::save(&blob, &record.file_name()),
                    Err(error) => return self.studio.complain(error.to_string()),
                }
            }
        });
    }

    /// Makes a picture a favourite, or no longer.
    pub fn set_favourite(self, id: u64, favourite: bool) {
        self.change(&[id], move |record| record.favourite = favourite);
        if let Some(shop) = self.shop {
            self.tell_favourite(shop, id, favourite);
        }
    }

    /// Removes pictures, and offers to bring them back. They are out of sight at once, and said to be deleted once they are.
    pub fn remove(self, ids: Vec<u64>) {
        let now = now();
        let changed = self.alter(&ids, move |record| record.removed_at = Some(now));
        let text =
            if ids.len() == 1 { "The picture is deleted.".to_owned() } else { format!("{} pictures are deleted.", ids.len()) };
        spawn_local(async move {
            // Where nothing can be written, as there is no room, it may still go for good, which makes some.
            self.write(changed).await;
            let notice = self.studio.notice(text, false, Some(Action::new("Undo", move || self.bring_back(&ids))));
            let end = move || {
                self.studio.dismiss(notice);
                self.sweep();
            };
            set_timeout(end, Duration::from_millis(BIN_TIME));
        });
    }

    /// Brings removed pictures back.
    fn bring_back(self, ids: &[u64]) {
        let binned = self.shop.map(|shop| self.unbin(shop, ids)).unwrap_or_default();
        let known = ids.iter().filter(|id| self.record_untracked(**id).is_some()).count();
        let is_late = binned + known < ids.len();
        self.change(ids, |record| record.removed_at = None);
        if is_late {
            self.studio.complain("it is too late: the pictures are gone");
        }
    }

    /// Throws all pictures away. They stay in sight until they are gone: nobody is to believe it too early.
    pub fn clear(self) {
        self.loose.update_value(HashMap::clear);
        let Some(store) = self.store.get_value() else { return self.records.set(Vec::new()) };
        spawn_local(async move {
            match store.clear().await {
                Ok(()) => {
                    self.read().await;
                    self.tell();
                }
                Err(error) => self.studio.complain(error.to_string()),
            }
        });
    }

    /// Throws away what was removed long enough ago, and the oldest of what is more than the user wants to keep.
    pub fn sweep(self) {
        if self.shop.is_some() {
            return self.remove_for_good(BIN_TIME);
        }
        let keep = self.wishes.0.with_untracked(|wishes| wishes.keep);
        let now = now();
        let mut gone = self.spare(keep);
        self.records.with_untracked(|records| {
            gone.extend(records.iter().filter(|record| record.is_spent(now)).map(|record| record.id));
        });
        if gone.is_empty() {
            return;
        }
        self.records.update(|records| records.retain(|record| !gone.contains(&record.id)));
        self.loose.update_value(|loose| loose.retain(|id, _| !gone.contains(id)));
        let Some(store) = self.store.get_value() else { return };
        spawn_local(async move {
            match store.delete(&gone).await {
                Ok(()) => self.tell(),
                Err(error) => self.studio.complain(error.to_string()),
            }
        });
    }

    /// The pictures that a search has found, newest first. A server has searched already.
    pub fn found(self, query: &Query) -> Vec<u64> {
        let fits = |record: &Record| record.is_shown() && (self.shop.is_some() || query.matches(record));
        self.records.with(|records| records.iter().filter(|record| fits(record)).map(|record| record.id).collect())
    }

    /// How many pictures a search has found, and how many there are. Those that were removed do not count.
    pub fn counts(self, found: usize) -> (usize, usize) {
        let (shown, removed) = self.records.with(|records| {
            let shown = records.iter().filter(|record| record.is_shown()).count();
            (shown, records.len() - shown)
        });
        let Some(shop) = self.shop else { return (found, shown) };
        // The list has come in part only.
        let number = |count: Option<u64>| count.and_then(|count| usize::try_from(count).ok());
        let all = number(shop.whole.get()).map_or(shown, |all| all.saturating_sub(removed + shop.bin.with(HashMap::len)));
        (number(shop.total.get()).map_or(found, |total| total.saturating_sub(removed)), all)
    }

    /// All that is known of a picture: a server's lists tell a part only.
    pub async fn whole(self, id: u64) -> Result<Arc<Record>, String> {
        let known = self.record_untracked(id).ok_or_else(|| StoreError::Missing.to_string())?;
        match self.shop {
            Some(shop) if known.is_sketch() => self.details(shop, id).await,
            _ => Ok(known),
        }
    }

    /// Which pictures go if no more than `keep` are kept.
    pub fn spare(self, keep: Option<u32>) -> Vec<u64> {
        let Some(keep) = keep else { return Vec::new() };
        self.records.with_untracked(|records| beyond(records.iter().map(Arc::as_ref), keep as usize))
    }

    /// Changes what is known of pictures, here and in the storage.
    fn change(self, ids: &[u64], change: impl Fn(&mut Record)) {
        let changed = self.alter(ids, change);
        spawn_local(self.write(changed));
    }

    /// Writes what is known of pictures into the storage, and tells others of it; if it could not, the user.
    async fn write(self, records: Vec<Record>) {
        let Some(store) = self.store.get_value() else { return };
        match store.update(&records).await {
            Ok(()) => self.tell(),
            Err(error) => self.studio.complain(error.to_string()),
        }
    }

    /// Changes what is known of pictures here, and returns how it is now.
    fn alter(self, ids: &[u64], change: impl Fn(&mut Record)) -> Vec<Record> {
        let mut changed = Vec::new();
        self.records.update(|records| {
            for record in records.iter_mut().filter(|record| ids.contains(&record.id)) {
                let mut new = (**record).clone();
                change(&mut new);
                changed.push(new.clone());
                *record = Arc::new(new);
            }
        });
        changed
    }

    /// Reads the list from the storage; what is nowhere else stays in it.
    async fn read(self) {
        let Some(store) = self.store.get_value() else { return };
        match store.records().await {
            Ok(records) => {
                let mut records: Vec<_> = records.into_iter().map(Arc::new).collect();
                self.records.update(|known| {
                    let is_loose = |record: &Arc<Record>| self.loose.with_value(|loose| loose.contains_key(&record.id));
                    records.extend(known.iter().filter(|record| is_loose(record)).cloned());
                    records.sort_by_key(|record| std::cmp::Reverse(record.id));
                    *known = records;
                });
                self.shelf.set(Shelf::Ready);
            }
            Err(error) => self.shelf.set(Shelf::Loose(error.to_string())),
        }
    }

    /// Reads the list again when another tab has changed it.
    fn listen(self) {
        let ear = Closure::<dyn Fn()>::new(move || spawn_local(self.read()));
        self.line.with_value(|line| {
            if let Some(line) = line {
                line.set_onmessage(Some(ear.as_ref().unchecked_ref()));
            }
        });
        // It listens as long as the page lives.
        ear.forget();
    }

    /// Tells other tabs that something has changed.
    fn tell(self) {
        self.line.with_value(|line| {
            if let Some(line) = line {
                // It fails on a closed line only, and this one stays open.
                let _ = line.post_message(&JsValue::NULL);
            }
        });
    }
}

fn find(records: &[Arc<Record>], id: u64) -> Option<Arc<Record>> {
    records.iter().find(|record| record.id == id).cloned()
}

/// Milliseconds since 1970.
fn now() -> u64 {
    js_sys::Date::now() as u64
}
