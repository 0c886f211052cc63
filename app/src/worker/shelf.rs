//! The models that the browser keeps: fetched shard by shard, checked, listed, deleted.
//!
//! A model's folder has `manifest.json`, the shards that it names, and `about.json` with what a list of models shows. A shard is
//! checked by its size and, once in a worker's life, by its SHA-256, which the browser computes outside WebAssembly from one
//! shard at a time. What does not fit is fetched once more, alone; what has come of a shard is kept, and fetching goes on there.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use encaustic_engine::weights::{MANIFEST, MAX_MANIFEST_BYTES, Manifest, Shard};
use encaustic_protocol::{Failure, FailureKind};
use js_sys::Uint8Array;
use serde::{Deserialize, Serialize};

use super::brake::Brake;
use super::fetch::{self, FetchError};
use super::files::Vault;
use super::post::{absolute, pause, seconds};
use super::store::{self, Store, StoreError};
use crate::message::{Storage, Stored};
use crate::{amount, ranges};

/// What a list shows of a model.
const ABOUT: &str = "about.json";
/// Seconds between the tries to fetch a shard, while connections break before anything has come.
const PAUSES: [f64; 3] = [1.0, 2.0, 4.0];

/// What a list shows of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// What people read.
    pub(super) title: String,
    /// The id of its family.
    pub(super) family: String,
    /// Where it came from, if it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    /// Bytes of all shards.
    pub(super) of: u64,
}

/// A packed model whose manifest is known.
#[derive(Debug)]
pub(super) struct Found {
    /// Its id on the shelf.
    pub(super) id: String,
    /// Where its shards can be fetched.
    pub(super) address: Option<String>,
    /// The manifest.
    pub(super) manifest: Manifest,
    /// The same as it is written.
    pub(super) text: Vec<u8>,
}

/// Why a model cannot be had or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ShelfError {
    /// It was stopped on request.
    #[error("stopped; what has come is kept for the next try")]
    Stopped,
    /// There is no room.
    #[error("{}", full(*.needed, *.free))]
    Full {
        /// Bytes that are needed yet.
        needed: u64,
        /// Bytes that are free, if the browser tells.
        free: Option<u64>,
    },
    /// The storage fails.
    #[error(transparent)]
    Store(StoreError),
    /// Anything else, as a sentence.
    #[error("{0}")]
    Model(String),
}

fn full(needed: u64, free: Option<u64>) -> String {
    let free = free.map_or_else(
        || "the browser has no more room for this page".to_owned(),
        |free| format!("{} are free", amount::bytes(free)),
    );
    format!(
        "{} more have to be kept in the browser, and {free}: delete models that you no longer need, or make room on the disk, and \
         try again",
        amount::bytes(needed)
    )
}

/// Waits for so many seconds, or until the brake is pulled.
async fn wait(most: f64, brake: &Brake) {
    let begun = seconds();
    while seconds() - begun < most && !brake.is_pulled() {
        pause(0.1).await;
    }
}

impl From<ShelfError> for Failure {
    fn from(error: ShelfError) -> Self {
        let kind = match error {
            ShelfError::Full { .. } | ShelfError::Store(_) => FailureKind::Storage,
            ShelfError::Stopped | ShelfError::Model(_) => FailureKind::Model,
        };
        Self { kind, message: error.to_string() }
    }
}

/// The models that the browser keeps.
pub(super) struct Shelf {
    store: Rc<dyn Store>,
    /// Shards that were right when this worker looked: the model's id and the SHA-256.
    checked: RefCell<BTreeSet<(String, String)>>,
}

impl Shelf {
    /// The shelf of this browser.
    pub(super) async fn open() -> Self {
        Self { store: store::open().await, checked: RefCell::default() }
    }

    /// Bytes that may yet be kept, if the browser tells.
    pub(super) async fn free(&self) -> Option<u64> {
        let (used, quota) = store::estimate().await;
        Some(quota?.saturating_sub(used?))
    }

    /// Refuses what has no room.
    pub(super) async fn has_room(&self, needed: u64) -> Result<(), ShelfError> {
        match self.free().await {
            Some(free) if needed > free => Err(ShelfError::Full { needed, free: Some(free) }),
            _ => Ok(()),
        }
    }

    /// What the storage says, in the words of the shelf.
    async fn failed(&self, error: StoreError, needed: u64) -> ShelfError {
        match error {
            // Browsers round what they tell, against those who recognise people by it: what is refused is refused.
            StoreError::Full => ShelfError::Full { needed, free: self.free().await.filter(|free| *free < needed) },
            other => ShelfError::Store(other),
        }
    }

    /// The model at an address. Its manifest is the server's; what is kept serves where there is no server.
    pub(super) async fn at(&self, address: &str, brake: &Brake) -> Result<Found, ShelfError> {
        let base = absolute(address.trim_end_matches('/'));
        let id = ranges::id(&base);
        let place = format!("{address}/{MANIFEST}");
        let fetched = fetch::small(&format!("{base}/{MANIFEST}"), MAX_MANIFEST_BYTES as u64, brake).await;
        let parsed = match fetched {
            Ok(text) => match Manifest::parse(&text) {
                Ok(manifest) => Ok((manifest, text)),
                Err(error) => Err(ShelfError::Model(format!("{place}: {error}"))),
            },
            Err(FetchError::Stopped) => return Err(ShelfError::Stopped),
            Err(FetchError::Broken(why) | FetchError::Refused(why)) => Err(ShelfError::Model(why)),
            Err(FetchError::Unlike) => Err(ShelfError::Model(format!("{place} cannot be fetched"))),
        };
        match parsed {
            Ok((manifest, text)) => Ok(Found { id, address: Some(base), manifest, text }),
            Err(error) => self.kept(&id).await.map_err(|_| error),
        }
    }

    /// A model that is kept.
    pub(super) async fn kept(&self, id: &str) -> Result<Found, ShelfError> {
        let absent = || ShelfError::Model("this model is not in the browser's storage any more; get it again".to_owned());
        if !ranges::is_id(id) {
            return Err(absent());
        }
        let about = self.about(id).await?;
        let text = self.store.read(id, MANIFEST).await.map_err(ShelfError::Store)?.ok_or_else(absent)?.to_vec();
        let manifest = Manifest::parse(&text);
        let title = || about.as_ref().map_or(id, |about| &about.title);
        let manifest = manifest.map_err(|error| ShelfError::Model(format!("{}: {error}; get the model again", title())))?;
        let address = about.and_then(|about| about.address).as_deref().map(absolute);
        Ok(Found { id: id.to_owned(), address, manifest, text })
    }

    /// What was written down of a model; `None` also where that cannot be read.
    async fn about(&self, id: &str) -> Result<Option<About>, ShelfError> {
        let text = self.store.read(id, ABOUT).await.map_err(ShelfError::Store)?;
        Ok(text.and_then(|text| serde_json::from_slice(&text.to_vec()).ok()))
    }

    /// What the manifest tells where what was written down is lost; next to nothing where that is damaged too, but it can be deleted.
    async fn about_again(&self, id: &str) -> About {
        let text = self.store.read(id, MANIFEST).await.ok().flatten();
        let manifest = text.and_then(|text| Manifest::parse(&text.to_vec()).ok()).unwrap_or_default();
        let title = manifest.title.clone().unwrap_or_else(|| id.to_owned());
        About { title, of: manifest.bytes(), family: manifest.family, address: None }
    }

    /// Bytes of a model's shards that are there.
    pub(super) async fn there(&self, found: &Found) -> Result<u64, ShelfError> {
        let files = self.store.files(&found.id).await.map_err(ShelfError::Store)?;
        let there = |shard: &Shard| files.iter().find(|(name, _)| *name == shard.file).map_or(0, |(_, bytes)| *bytes);
        Ok(found.manifest.shards.iter().map(|shard| there(shard).min(shard.bytes)).sum())
    }

    /// Bytes of a model that have yet to come, as far as that can be told.
    async fn missing(&self, found: &Found) -> u64 {
        found.manifest.bytes().saturating_sub(self.there(found).await.unwrap_or(0))
    }

    /// Makes a model whole: fetches what is missing, checks what is there. `seen` is told how many bytes are right.
    pub(super) async fn complete(
        &self,
        found: &Found,
        address: Option<&str>,
        brake: &Brake,
        seen: &mut dyn FnMut(u64),
    ) -> Result<(), ShelfError> {
        let missing = found.manifest.bytes().saturating_sub(self.there(found).await?);
        if missing > 0 && found.address.is_some() {
            self.has_room(missing).await?;
        }
        self.put_down(found, address).await?;
        let mut before = 0;
        for shard in &found.manifest.shards {
            seen(before);
            self.shard(found, shard, brake, &mut |there| seen(before + there.min(shard.bytes))).await?;
            before += shard.bytes;
        }
        seen(before);
        Ok(())
    }

    /// Writes down what a model is, where that has changed, and drops what is no longer part of it.
    async fn put_down(&self, found: &Found, address: Option<&str>) -> Result<(), ShelfError> {
        let Found { id, manifest, text, .. } = found;
        let Some(address) = address else { return Ok(()) };
        let kept = self.store.read(id, MANIFEST).await.map_err(ShelfError::Store)?;
        if kept.is_none_or(|kept| kept.to_vec() != *text) {
            let named = |name: &str| manifest.shards.iter().any(|shard| shard.file == name);
            for (name, _) in self.store.files(id).await.map_err(ShelfError::Store)? {
                if !named(&name) && name != MANIFEST && name != ABOUT {
                    self.store.remove(id, &name).await.map_err(ShelfError::Store)?;
                }
            }
            self.write(id, MANIFEST, text).await?;
        }
        let title = manifest.title.clone().unwrap_or_else(|| address.rsplit('/').next().unwrap_or_default().to_owned());
        let family = manifest.family.clone();
        let about = About { title, family, address: Some(address.to_owned()), of: manifest.bytes() };
        if self.about(id).await?.is_none_or(|kept| kept != about) {
            self.tell_about(id, &about).await?;
        }
        Ok(())
    }

    /// Writes what a list shows of a model.
    pub(super) async fn tell_about(&self, id: &str, about: &About) -> Result<(), ShelfError> {
        let text = serde_json::to_vec(about).map_err(|error| ShelfError::Model(error.to_string()))?;
        self.write(id, ABOUT, &text).await
    }

    /// Writes a small file.
    pub(super) async fn write(&self, id: &str, name: &str, text: &[u8]) -> Result<(), ShelfError> {
        match self.store.write(id, name, &Uint8Array::from(text)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error, text.len() as u64).await),
        }
    }

    /// Makes one shard whole and right.
    async fn shard(&self, found: &Found, shard: &Shard, brake: &Brake, seen: &mut dyn FnMut(u64)) -> Result<(), ShelfError> {
        let Found { id, .. } = found;
        let files = self.store.files(id).await.map_err(ShelfError::Store)?;
        let mut have = files.iter().find(|(name, _)| *name == shard.file).map_or(0, |(_, bytes)| *bytes);
        let mut wrong = 0;
        // How far it has ever been: a server without ranges begins anew each time, and comes nowhere if it always breaks.
        let (mut furthest, mut pauses) = (have, PAUSES.iter());
        loop {
            if brake.is_pulled() {
                return Err(ShelfError::Stopped);
            }
            if have == shard.bytes && self.is_right(id, shard).await? {
                return Ok(());
            }
            let Some(address) = &found.address else {
                let Shard { file, .. } = shard;
                let problem = "is damaged or missing in the browser's storage, and there is no address to get it from";
                return Err(ShelfError::Model(format!("{file} {problem}: delete the model and make it again from your file")));
            };
            if have >= shard.bytes {
                wrong += 1;
                self.checked.borrow_mut().remove(&(id.clone(), shard.sha256.clone()));
                self.store.remove(id, &shard.file).await.map_err(ShelfError::Store)?;
                (have, furthest) = (0, 0);
            }
            if wrong > 1 {
                return Err(ShelfError::Model(format!(
                    "{}: the SHA-256 is not the manifest's, also of a second copy; the file on the server is damaged or of another \
                     model",
                    shard.file
                )));
            }
            let (there, ended) = self.rest(found, shard, address, have, brake, seen).await?;
            if there > furthest {
                (furthest, pauses) = (there, PAUSES.iter());
            }
            match ended {
                Ok(()) if there < shard.bytes => {
                    // The server has no more of it.
                    self.store.remove(id, &shard.file).await.map_err(ShelfError::Store)?;
                    return Err(ShelfError::Model(format!(
                        "{} has {there} bytes, and the manifest says {}; the file is cut short or of another model",
                        shard.file, shard.bytes
                    )));
                }
                Ok(()) => {}
                Err(FetchError::Stopped) => return Err(ShelfError::Stopped),
                Err(FetchError::Unlike) if have > 0 => {
                    self.store.remove(id, &shard.file).await.map_err(ShelfError::Store)?;
                    have = 0;
                    continue;
                }
                Err(FetchError::Unlike) => {
                    return Err(ShelfError::Model(format!("{}: the server has no bytes of it", shard.file)));
                }
                Err(FetchError::Refused(why)) => return Err(ShelfError::Model(why)),
                Err(FetchError::Broken(why)) => {
                    let Some(pause) = pauses.next() else {
                        return Err(ShelfError::Model(format!("{why}; what has come is kept for the next try")));
                    };
                    wait(*pause, brake).await;
                }
            }
            have = there;
        }
    }

    /// Fetches a shard from byte `have` on; how far it is then, and how the fetching ended.
    async fn rest(
        &self,
        found: &Found,
        shard: &Shard,
        address: &str,
        have: u64,
        brake: &Brake,
        seen: &mut dyn FnMut(u64),
    ) -> Result<(u64, Result<(), FetchError>), ShelfError> {
        let request = fetch::request(&format!("{address}/{}", shard.file), have, shard.bytes, brake).await;
        let mut body = match request {
            Ok(body) => body,
            Err(error) => return Ok((have, Err(error))),
        };
        let mut there = body.at();
        let mut file = match self.store.append(&found.id, &shard.file, there).await {
            Ok(file) => file,
            Err(error) => {
                body.cancel().await;
                return Err(self.failed(error, self.missing(found).await).await);
            }
        };
        let mut kept = Ok(());
        let ended = loop {
            match body.next().await {
                Ok(Some(piece)) => kept = file.push(&piece),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            if kept.is_err() {
                body.cancel().await;
                break Ok(());
            }
            there = body.at();
            seen(there);
        };
        // Whatever happened, what has come is kept.
        match kept.and(file.finish().await) {
            Ok(()) => Ok((there, ended)),
            Err(error) => Err(self.failed(error, self.missing(found).await).await),
        }
    }

    /// Whether a shard that has its size is the one that is meant; looked at once in a worker's life.
    async fn is_right(&self, id: &str, shard: &Shard) -> Result<bool, ShelfError> {
        let key = (id.to_owned(), shard.sha256.clone());
        if self.checked.borrow().contains(&key) {
            return Ok(true);
        }
        let Some(bytes) = self.store.read(id, &shard.file).await.map_err(ShelfError::Store)? else { return Ok(false) };
        let is_right = fetch::sha256(&bytes).await.map_err(ShelfError::Model)? == shard.sha256;
        if is_right {
            self.checked.borrow_mut().insert(key);
        }
        Ok(is_right)
    }

    /// A model's shards, open for reading.
    pub(super) async fn vault(&self, found: &Found) -> Result<Rc<Vault>, ShelfError> {
        let vault = Vault::default();
        for shard in &found.manifest.shards {
            let source = self.store.open(&found.id, &shard.file).await.map_err(ShelfError::Store)?;
            let absent = || ShelfError::Store(StoreError::Absent(shard.file.clone()));
            vault.put(&shard.file, source.ok_or_else(absent)?.into());
        }
        Ok(Rc::new(vault))
    }

    /// Writes a whole file, in parts.
    pub(super) async fn put(&self, id: &str, name: &str, content: Vec<Vec<u8>>) -> Result<(), ShelfError> {
        let bytes = content.iter().map(|part| part.len() as u64).sum();
        let mut file = match self.store.append(id, name, 0).await {
            Ok(file) => file,
            Err(error) => return Err(self.failed(error, bytes).await),
        };
        let written = content.iter().try_for_each(|part| file.push(&Uint8Array::from(part.as_slice())));
        match written.and(file.finish().await) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error, bytes).await),
        }
    }

    /// Deletes a model.
    pub(super) async fn forget(&self, id: &str) -> Result<(), ShelfError> {
        self.checked.borrow_mut().retain(|(of, _)| of != id);
        self.store.remove_model(id).await.map_err(ShelfError::Store)
    }

    /// What is kept. Folders that are no models, as a packing leaves them that was cut off, are removed, but not one of a model
    /// that is on its way: `is_busy` tells, and is asked at the last moment.
    pub(super) async fn list(&self, is_busy: &dyn Fn(&str) -> bool) -> Storage {
        let (used, quota) = store::estimate().await;
        let persistent = store::is_persistent().await;
        let mut models = Vec::new();
        for id in self.store.models().await.unwrap_or_default() {
            // What somebody else has open is not looked at.
            let (Ok(files), Ok(about)) = (self.store.files(&id).await, self.about(&id).await) else { continue };
            let has = |name: &str| files.iter().any(|(file, _)| file == name);
            let about = match about {
                Some(about) => about,
                None if !has(MANIFEST) && !has(ABOUT) => {
                    if !is_busy(&id) {
                        let _ = self.store.remove_model(&id).await;
                    }
                    continue;
                }
                None if is_busy(&id) => continue,
                None => self.about_again(&id).await,
            };
            let shards = files.iter().filter(|(name, _)| name != MANIFEST && name != ABOUT);
            let bytes = shards.map(|(_, bytes)| bytes).sum();
            let About { title, family, address, of } = about;
            models.push(Stored { id, title, family, address, bytes, of });
        }
        models.sort_by(|a, b| a.title.cmp(&b.title).then_with(|| a.id.cmp(&b.id)));
        Storage { models, used, quota, persistent, place: self.store.place() }
    }
}
