//! The gallery of a server: the list comes in parts and by its own search, files and small images by their addresses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;
use serde_json::json;
use wasm_bindgen_futures::spawn_local;

use super::{Gallery, Shelf, StoreError, now, url};
use crate::gallery::{BIN_TIME, Query, Record};
use crate::page::server::Server;
use crate::page::server::api::{self, Trouble};
use crate::remote::escaped;
use crate::remote::wire::{Collection, Cursor, Details, Image, Part, Told};

/// How many pictures come at once.
pub const PART: usize = 120;

/// How long to wait for the next letter, or for the next event.
const SOON: Duration = Duration::from_millis(250);

/// What a gallery has more if it is a server's. It is copied like a number.
#[derive(Clone, Copy)]
pub struct Shop {
    /// The server.
    pub server: Server,
    /// What is looked for.
    pub query: RwSignal<Query>,
    /// The collections.
    pub collections: RwSignal<Vec<Collection>>,
    /// Where the list goes on; nothing at its end.
    pub next: RwSignal<Option<Cursor>>,
    /// How many pictures there are in all parts of the list.
    pub total: RwSignal<Option<u64>>,
    /// How many there are, whatever is looked for.
    pub whole: RwSignal<Option<u64>>,
    /// Pictures that were removed and are not in the list, as something else is looked for: they can be brought back all the same.
    pub bin: RwSignal<HashMap<u64, Arc<Record>>>,
    /// Which search it is; what others still find is not shown.
    nth: StoredValue<u64>,
    /// The SHA-256 of pictures' files, by their numbers.
    hashes: StoredValue<HashMap<u64, String>>,
    is_coming: StoredValue<bool>,
}

impl Shop {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            query: RwSignal::new(Query::default()),
            collections: RwSignal::new(Vec::new()),
            next: RwSignal::new(None),
            total: RwSignal::new(None),
            whole: RwSignal::new(None),
            bin: RwSignal::new(HashMap::new()),
            nth: StoredValue::new(0),
            hashes: StoredValue::default(),
            is_coming: StoredValue::new(false),
        }
    }

    /// What to ask for.
    fn path(self, after: Option<&Cursor>) -> String {
        self.query.with_untracked(|query| {
            let mut path = format!("images?limit={PART}");
            if !query.text().is_empty() {
                path.push_str(&format!("&q={}", escaped(&query.text())));
            }
            if query.is_favourites() {
                path.push_str("&favourite=true");
            }
            if let Some(collection) = query.collection() {
                path.push_str(&format!("&collection={collection}"));
            }
            if let Some(after) = after {
                path.push_str(&format!("&before={}", escaped(&after.to_string())));
            } else {
                path.push_str("&count=true");
            }
            path
        })
    }

    async fn part(self, after: Option<&Cursor>) -> Result<Part<Image>, Trouble> {
        self.server.heard(api::get(&self.path(after)).await)
    }

    /// Asks how many pictures there are, unless the list has told.
    async fn ask_whole(self) {
        if self.query.with_untracked(Query::is_empty) {
            return self.whole.set(self.total.get_untracked());
        }
        if let Ok(part) = self.server.heard(api::get::<Part<Image>>("images?limit=1&count=true").await) {
            self.whole.set(part.total);
        }
    }
}

impl Gallery {
    /// Follows the server's gallery from now on.
    pub(super) fn attend(self, shop: Shop) {
        shop.server.on_anew(move || self.seek_soon(shop, Duration::ZERO));
        shop.server.on_event(move |event| {
            if event.told == Told::Images {
                self.seek_soon(shop, SOON);
            }
        });
        Effect::watch(move || shop.query.get(), move |_, _, _| self.search(shop), false);
        // What was removed a moment ago goes with the page: nobody could bring it back.
        let leave = wasm_bindgen::closure::Closure::<dyn Fn()>::new(move || self.remove_for_good(0));
        let _ = window().add_event_listener_with_callback("pagehide", wasm_bindgen::JsCast::unchecked_ref(leave.as_ref()));
        // It listens as long as the page lives.
        leave.forget();
    }

    /// Another search: what the one before still finds is not shown.
    fn search(self, shop: Shop) {
        shop.nth.update_value(|nth| *nth += 1);
        let nth = shop.nth.get_value();
        let begin = move || {
            if shop.nth.get_value() == nth {
                spawn_local(self.seek(shop, true));
            }
        };
        set_timeout(begin, SOON);
    }

    /// Asks again for the newest pictures in a moment, once for all that happens until then.
    fn seek_soon(self, shop: Shop, when: Duration) {
        if shop.is_coming.get_value() {
            return;
        }
        shop.is_coming.set_value(true);
        let begin = move || {
            shop.is_coming.set_value(false);
            spawn_local(async move {
                self.seek(shop, false).await;
                self.ask_collections(shop).await;
            });
        };
        set_timeout(begin, when);
    }

    /// Asks for the newest pictures. What is known of older ones stays, unless another search has begun (`is_new`).
    async fn seek(self, shop: Shop, is_new: bool) {
        let nth = shop.nth.get_value();
        let found = shop.part(None).await;
        if shop.nth.get_value() != nth {
            return;
        }
        match found {
            Ok(part) => {
                let oldest = part.items.last().map(|image| image.id);
                let is_whole = part.next.is_none();
                shop.total.set(part.total);
                let old = self.records.get_untracked();
                let is_older = |record: &&Arc<Record>| oldest.is_some_and(|oldest| record.id < oldest);
                let rest: Vec<_> = match is_new || is_whole {
                    true => Vec::new(),
                    false => old.iter().filter(is_older).cloned().collect(),
                };
                if rest.is_empty() {
                    shop.next.set(part.next.clone());
                }
                self.take(part.items, &old, |records| records.extend(rest));
                shop.ask_whole().await;
                self.shelf.set(Shelf::Ready);
            }
            Err(trouble) if trouble.is_passing() => {}
            Err(trouble) => self.shelf.set(Shelf::Loose(trouble.failure().message)),
        }
    }

    /// Asks for what comes next.
    pub fn more(self) {
        let Some(shop) = self.shop else { return };
        let Some(after) = shop.next.get_untracked() else { return };
        spawn_local(async move {
            let nth = shop.nth.get_value();
            let found = shop.part(Some(&after)).await;
            if shop.nth.get_value() != nth || shop.next.get_untracked() != Some(after) {
                return;
            }
            match found {
                Ok(part) => {
                    shop.next.set(part.next.clone());
                    let old = self.records.get_untracked();
                    let before = old.clone();
                    self.take(part.items, &old, |records| {
                        records.splice(0..0, before);
                    });
                }
                Err(trouble) => self.studio.complain(trouble.failure().message),
            }
        });
    }

    /// Takes a part of the list in; what was known of its pictures beyond that is kept.
    fn take(self, images: Vec<Image>, old: &[Arc<Record>], complete: impl FnOnce(&mut Vec<Arc<Record>>)) {
        let Some(shop) = self.shop else { return };
        let mut bin = shop.bin.get_untracked();
        let mut known: HashMap<u64, Arc<Record>> = old.iter().map(|record| (record.id, Arc::clone(record))).collect();
        known.extend(images.iter().filter_map(|image| bin.remove_entry(&image.id)));
        let hashes = images.iter().map(|image| (image.id, image.sha256.clone()));
        shop.hashes.update_value(|known| known.extend(hashes));
        self.named.update(|named| named.extend(images.iter().map(|image| (image.sha256.clone(), image.id))));
        let mut records: Vec<_> = images
            .into_iter()
            .map(|image| {
                let before = known.get(&image.id);
                let record = Record::from(image);
                match before {
                    Some(before) => Arc::new(Record {
                        parameters: before.parameters.clone(),
                        request: before.request.clone(),
                        removed_at: before.removed_at,
                        ..record
                    }),
                    None => Arc::new(record),
                }
            })
            .collect();
        complete(&mut records);
        let mut seen = std::collections::HashSet::new();
        records.retain(|record| seen.insert(record.id));
        let removed = old.iter().filter(|record| !record.is_shown() && !seen.contains(&record.id));
        bin.extend(removed.map(|record| (record.id, Arc::clone(record))));
        if *old != *records {
            self.records.set(records);
        }
        if shop.bin.with_untracked(|known| *known != bin) {
            shop.bin.set(bin);
        }
    }

    /// Takes pictures that are not in the list out of the bin, and asks for the list again; returns how many there were.
    pub(super) fn unbin(self, shop: Shop, ids: &[u64]) -> usize {
        let take = |bin: &mut HashMap<u64, Arc<Record>>| ids.iter().filter(|id| bin.remove(id).is_some()).count();
        let taken = shop.bin.try_update(take).unwrap_or_default();
        if taken > 0 {
            spawn_local(self.seek(shop, true));
        }
        taken
    }

    /// Sees to it that all is known of a picture that is looked at.
    pub fn know(self, id: u64) {
        spawn_local(async move {
            // Who wants to use it hears why that is not so.
            let _ = self.whole(id).await;
        });
    }

    /// Asks for what the list does not tell of a picture.
    pub(super) async fn details(self, shop: Shop, id: u64) -> Result<Arc<Record>, String> {
        let found = shop.server.heard(api::get::<Details>(&format!("images/{id}")).await);
        let details = found.map_err(|trouble| trouble.failure().message)?;
        let fill = |record: &mut Record| {
            record.parameters.clone_from(&details.parameters);
            record.request = details.settings.clone();
        };
        self.alter(&[id], fill);
        self.record_untracked(id).ok_or_else(|| StoreError::Missing.to_string())
    }

    /// Tells the server whether a picture is a favourite.
    pub(super) fn tell_favourite(self, shop: Shop, id: u64, favourite: bool) {
        spawn_local(async move {
            let told = api::tell_at_last("PATCH", &format!("images/{id}"), &json!({ "is_favourite": favourite })).await;
            if let Err(trouble) = shop.server.heard(told) {
                self.alter(&[id], |record| record.favourite = !favourite);
                self.studio.complain(trouble.failure().message);
            }
        });
    }

    /// Deletes on the server what was removed at least so many milliseconds ago.
    pub(super) fn remove_for_good(self, age: u64) {
        let Some(shop) = self.shop else { return };
        let now = now();
        let is_spent = |record: &Record| record.removed_at.is_some_and(|at| age < BIN_TIME || now.abs_diff(at) >= age);
        let mut gone: Vec<u64> = self
            .records
            .with_untracked(|records| records.iter().filter(|record| is_spent(record)).map(|record| record.id).collect());
        shop.bin.with_untracked(|bin| gone.extend(bin.values().filter(|record| is_spent(record)).map(|record| record.id)));
        for id in gone {
            spawn_local(async move {
                match shop.server.heard(api::delete_at_last(&format!("images/{id}")).await) {
                    Ok(()) | Err(Trouble::Refused { status: 404, .. }) => self.strike(shop, id),
                    Err(trouble) => {
                        self.alter(&[id], |record| record.removed_at = None);
                        self.unbin(shop, &[id]);
                        self.studio.complain(trouble.failure().message);
                    }
                }
            });
        }
    }

    /// A picture is gone for good.
    fn strike(self, shop: Shop, id: u64) {
        let less = |count: &mut Option<u64>| *count = count.map(|count| count.saturating_sub(1));
        if self.record_untracked(id).is_some() {
            self.records.update(|records| records.retain(|record| record.id != id));
            shop.total.update(less);
        }
        shop.bin.update(|bin| {
            bin.remove(&id);
        });
        shop.whole.update(less);
        // The server may have counted without it before.
        self.seek_soon(shop, SOON);
    }

    /// Saves pictures: one as it is, several in one archive.
    pub(super) fn fetch(self, shop: Shop, ids: Vec<u64>) {
        if let [id] = ids.as_slice() {
            let name = self.record_untracked(*id).map(|record| record.file_name()).unwrap_or_default();
            return url::follow(&api::address(&format!("images/{id}/file?download=1")), &name);
        }
        spawn_local(async move {
            match shop.server.heard(api::file_of("images/zip", &json!({ "ids": ids })).await) {
                Ok(archive) => url::save(&archive, "encaustic.zip"),
                Err(trouble) => self.studio.complain(trouble.failure().message),
            }
        });
    }

    /// The address of a picture's small image, if a server has it. By the hash of its file the browser may keep it for good.
    pub fn small_address(self, id: u64) -> Option<String> {
        let shop = self.shop?;
        let hash = shop.hashes.with_value(|known| known.get(&id).filter(|hash| !hash.is_empty()).cloned());
        Some(api::address(&format!("images/{}/thumbnail", hash.unwrap_or_else(|| id.to_string()))))
    }

    /// Asks which collections there are.
    pub async fn ask_collections(self, shop: Shop) {
        if let Ok(part) = shop.server.heard(api::get::<Part<Collection>>("collections").await) {
            shop.collections.set(part.items);
        }
    }

    /// Makes a collection of some pictures.
    pub fn collect_new(self, name: String, ids: Vec<u64>) {
        let Some(shop) = self.shop else { return };
        spawn_local(async move {
            let body = json!({ "name": name }).to_string();
            match shop.server.heard(api::ask::<Collection>("POST", "collections", Some(body), None).await) {
                Ok(collection) => self.collect(collection.id, ids),
                Err(trouble) => self.studio.complain(trouble.failure().message),
            }
        });
    }

    /// Puts pictures into a collection.
    pub fn collect(self, collection: u64, ids: Vec<u64>) {
        self.about_collection(collection, &json!({ "add": ids }));
    }

    /// Takes pictures out of a collection; they stay in the gallery.
    pub fn take_out(self, collection: u64, ids: Vec<u64>) {
        self.about_collection(collection, &json!({ "remove": ids }));
    }

    fn about_collection(self, collection: u64, change: &serde_json::Value) {
        let Some(shop) = self.shop else { return };
        let change = change.clone();
        spawn_local(async move {
            let told = api::tell("POST", &format!("collections/{collection}/images"), &change).await;
            if let Err(trouble) = shop.server.heard(told) {
                self.studio.complain(trouble.failure().message);
            }
            self.ask_collections(shop).await;
            self.seek(shop, true).await;
        });
    }

    /// Gives a collection up; its pictures stay in the gallery.
    pub fn disperse(self, collection: u64) {
        let Some(shop) = self.shop else { return };
        spawn_local(async move {
            if let Err(trouble) = shop.server.heard(api::delete(&format!("collections/{collection}")).await) {
                self.studio.complain(trouble.failure().message);
            }
            shop.query.update(|query| query.forget_collection(collection));
            self.ask_collections(shop).await;
        });
    }
}

impl From<Image> for Record {
    fn from(image: Image) -> Self {
        Self {
            id: image.id,
            made_at: image.created,
            width: image.width,
            height: image.height,
            seed: image.seed,
            prompt: image.prompt,
            negative: image.negative,
            model: Some(image.model).filter(|model| !model.is_empty()),
            favourite: image.is_favourite,
            ..Self::default()
        }
    }
}
