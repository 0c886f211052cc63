//! A model from the hub into the cache, and from the cache.
//!
//! A file's bytes are locked, fetched, checked and only then shown under their names; the branch is pointed at the new commit
//! when all of it is there. So a reader finds a model whole, or what it found before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use encaustic_engine::weights::Precision;
use serde::Serialize;

use super::address::Address;
use super::choose::{Choice, Offer, choose, is_small, named, read_small};
use super::env::Hub;
use super::fault::Fault;
use super::fetch::{Wish, fetch};
use super::hub::{Listing, Remote};
use super::lock::Lock;
use super::names::is_hex;
use super::net::Client;
use super::news::Teller;
use super::store::Store;
use crate::failure::Refusal;
use crate::files::{self, WriteError};

/// A model that is there.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its folder, or its file.
    pub path: PathBuf,
    /// Whether it is one file.
    pub is_file: bool,
    /// The commit that it is of.
    pub commit: String,
    /// Its files.
    pub files: Vec<Got>,
}

/// A file that is there.
#[derive(Clone, Debug, Serialize)]
pub struct Got {
    /// Its path in the repository.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// Its SHA-256, where it is known without reading the file.
    pub sha256: Option<String>,
    /// Whether it had been there before.
    pub cached: bool,
    /// Where it is.
    #[serde(skip)]
    pub path: PathBuf,
}

/// The model as the cache has it, without a word to anybody.
///
/// # Errors
/// If it is not there, or not whole, with what is missing.
pub fn cached(hub: &Hub, address: &Address, precision: Precision) -> Result<Model, Fault> {
    let store = Store::new(hub, address);
    let place = store.folder();
    let lacks = |problem: String| {
        Refusal::new("source", format!("{address} is not whole in the cache ({}): {problem}", place.display()))
            .hint(format!("fetch it first, where there is a network: encaustic pull {address}"))
    };
    let commit = store.commit().ok_or_else(|| lacks(format!("nothing is there of {:?}", address.revision)))?;
    let names = store.names(&commit);
    if names.is_empty() {
        return Err(lacks("it has no files".to_owned()).into());
    }
    let offers: Vec<Offer<'_>> = names.iter().map(|name| Offer { name, size: None }).collect();
    let read = |name: &str| {
        let path = store.snapshot(&commit).join(name);
        read_small(&address.repo, name, &path).map_err(|fault| match fault {
            Fault::Disk(error) => Fault::from(lacks(format!("{name}: {}", error.source))),
            fault => fault,
        })
    };
    let choice = match &address.file {
        Some(file) => named(&address.repo, file, &offers).map_err(Fault::from),
        None => choose(&address.repo, &offers, precision, read),
    };
    let choice = choice.map_err(|fault| match fault {
        Fault::Refused(refusal) if !refusal.problem.contains("is not whole") => lacks(refusal.problem).into(),
        fault => fault,
    })?;
    let files = choice.names().iter().map(|name| held(&store, &commit, name)).collect::<Result<_, _>>()?;
    Ok(model(&store, commit, &choice, files))
}

/// The model, with what is missing of it fetched.
///
/// # Errors
/// What the hub, the network or the disk does wrong; and if the repository has no model, or more than one.
pub(crate) fn fetched(hub: &Hub, address: &Address, precision: Precision, teller: &mut Teller) -> Result<Model, Fault> {
    if hub.offline {
        return cached(hub, address, precision);
    }
    let client = Client::new(hub.silence);
    let remote = Remote::new(hub, &client, address);
    teller.wait(format!("asking for {address}"));
    let listing = remote.listing(teller)?;
    let store = Store::new(hub, address);
    let mut work = Work { repo: &address.repo, remote, client: &client, store, listing: &listing, files: BTreeMap::new() };
    let offers: Vec<Offer<'_>> = listing.files.iter().map(|file| Offer { name: &file.name, size: file.size }).collect();
    let choice = match &address.file {
        Some(file) => named(&address.repo, file, &offers)?,
        None => choose(&address.repo, &offers, precision, |name| {
            let path = work.get(name, teller)?;
            read_small(&address.repo, name, &path)
        })?,
    };
    teller.total(work.total(choice.names()));
    for name in choice.names() {
        work.get(name, teller)?;
    }
    let Work { store, mut files, .. } = work;
    if !address.is_commit() {
        store.set_commit(&listing.commit)?;
    }
    let files = choice.names().iter().filter_map(|name| files.remove(name)).collect();
    Ok(model(&store, listing.commit.clone(), &choice, files))
}

fn model(store: &Store, commit: String, choice: &Choice, files: Vec<Got>) -> Model {
    let snapshot = store.snapshot(&commit);
    match choice {
        Choice::Folder(_) => Model { path: snapshot, is_file: false, commit, files },
        Choice::File(name) => Model { path: snapshot.join(name), is_file: true, commit, files },
    }
}

/// A download under way.
struct Work<'a> {
    repo: &'a str,
    remote: Remote<'a>,
    client: &'a Client,
    store: Store,
    listing: &'a Listing,
    files: BTreeMap<String, Got>,
}

impl Work<'_> {
    /// How many bytes are still to come, if all sizes are told.
    fn total(&self, names: &[String]) -> Option<u64> {
        let missing = names.iter().filter(|name| self.store.file(&self.listing.commit, name).is_none());
        let sizes = missing.map(|name| self.listing.files.iter().find(|file| file.name == **name)?.size);
        sizes.sum::<Option<u64>>().map(|more| more + self.fetched())
    }

    fn fetched(&self) -> u64 {
        self.files.values().filter(|got| !got.cached).map(|got| got.size).sum()
    }

    /// A file, fetched if it is not there.
    fn get(&mut self, name: &str, teller: &mut Teller) -> Result<PathBuf, Fault> {
        if let Some(got) = self.files.get(name) {
            return Ok(got.path.clone());
        }
        let got = match self.store.file(&self.listing.commit, name) {
            Some(_) => held(&self.store, &self.listing.commit, name)?,
            None => self.fetch(name, teller)?,
        };
        let path = got.path.clone();
        self.files.insert(name.to_owned(), got);
        Ok(path)
    }

    fn fetch(&self, name: &str, teller: &mut Teller) -> Result<Got, Fault> {
        let commit = &self.listing.commit;
        let promise = self.remote.promise(commit, name, teller)?;
        is_small(self.repo, name, promise.size)?;
        let (blob, part) = (self.store.blob(&promise.etag), self.store.part(&promise.etag));
        let folder = files::folder_of(&blob);
        fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.to_owned(), source })?;
        let lock = Lock::wait(&self.store.lock(&promise.etag), name, teller)?;
        // Under another name, in another commit, or by the program that was waited for.
        let is_there = fs::metadata(&blob).is_ok_and(|about| about.is_file() && about.len() == promise.size);
        if !is_there {
            let wish = Wish {
                name,
                url: &self.remote.url(commit, name)?,
                token: self.remote.token(),
                is_hub: true,
                part: &part,
                size: promise.size,
                sha: promise.sha(),
                version: None,
            };
            let fetched = fetch(self.client, &wish, teller)?;
            fs::rename(&part, &blob).map_err(|source| WriteError { path: blob.clone(), source })?;
            teller.done(fetched.size);
        }
        let path = self.store.link(commit, name, &promise.etag)?;
        drop(lock);
        let sha256 = promise.sha().map(str::to_owned);
        Ok(Got { name: name.to_owned(), size: promise.size, sha256, cached: is_there, path })
    }
}

/// A file that the cache has.
fn held(store: &Store, commit: &str, name: &str) -> Result<Got, Fault> {
    let path = store.snapshot(commit).join(name);
    let about = fs::metadata(&path).map_err(|source| WriteError { path: path.clone(), source })?;
    Ok(Got { name: name.to_owned(), size: about.len(), sha256: promised(&path), cached: true, path })
}

/// The SHA-256 by which the cache calls the blob that a name leads to. It calls large ones so; what is no link, as on Windows
/// and in copies, and small ones would have to be read.
fn promised(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let is_blob = target.parent().is_some_and(|folder| folder.ends_with("blobs"));
    target.file_name()?.to_str().filter(|name| is_blob && is_hex(name, 64)).map(str::to_owned)
}
