//! The hashes that are remembered between runs.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use directories::ProjectDirs;
use serde::{Deserialize, Serialize};

use super::{Sha, Verified, of_reader};
use crate::files;

/// The largest cache that is read, in bytes.
const SIZE_LIMIT: u64 = 32 << 20;
/// The most files that are remembered; of more, those go whose hashes are the oldest.
const FILES_LIMIT: usize = 50_000;
/// How often entries of files that are gone are looked for, in seconds. Not every time: it asks the system once per entry, and a
/// drive that is not plugged in today may be so tomorrow.
const CLEANING: u64 = 30 * 24 * 60 * 60;
/// A process that holds the cache for longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Hashes that are remembered, by path.
///
/// It is loaded once per command. What is new is written with [`Cache::save`], which takes over what other processes have
/// written meanwhile.
#[derive(Debug, Default)]
pub struct Cache {
    /// The file; `None` where the system has no place for one.
    place: Option<PathBuf>,
    kept: Kept,
    /// What this process has found out since it was loaded or saved.
    new: BTreeMap<String, Known>,
}

/// What is in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    files: BTreeMap<String, Known>,
    /// When entries of files that are gone were last looked for, in seconds since 1970.
    #[serde(default)]
    cleaned: u64,
}

/// A hash, and the state of the file that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    size: u64,
    /// When the file was last changed, in nanoseconds since 1970.
    changed: u64,
    sha: Sha,
    /// When it was hashed, in seconds since 1970.
    #[serde(default)]
    hashed: u64,
}

impl Cache {
    /// What is remembered in the user's cache folder; nothing if the cache is absent or damaged.
    pub fn load() -> Self {
        Self::at(place())
    }

    /// What is remembered in a file.
    pub fn at(place: Option<PathBuf>) -> Self {
        let kept = place.as_deref().map(Kept::read).unwrap_or_default();
        Self { place, kept, new: BTreeMap::new() }
    }

    /// The hash of a file, if it is remembered and the file has not changed since. The file is not read.
    pub fn known(&self, path: &Path) -> Option<Sha> {
        let about = fs::metadata(path).ok()?;
        let key = key(path).ok()?;
        let known = self.new.get(&key).or_else(|| self.kept.files.get(&key))?;
        let is_same = state(&about)? == (known.size, known.changed) && known.sha.is_sound();
        is_same.then(|| known.sha.clone())
    }

    /// The hash of a file, from memory or from its bytes; `tell` hears how many of those are done, and of how many.
    ///
    /// # Errors
    /// If the file cannot be read, and [`io::ErrorKind::Interrupted`] on Ctrl-C.
    pub fn of_file(&mut self, path: &Path, tell: &mut dyn FnMut(u64, u64)) -> io::Result<Sha> {
        match self.known(path) {
            Some(sha) => Ok(sha),
            None => self.hash(path, tell),
        }
    }

    /// The hash of a file from its bytes, whatever is remembered.
    ///
    /// # Errors
    /// As [`Self::of_file`].
    pub fn hash(&mut self, path: &Path, tell: &mut dyn FnMut(u64, u64)) -> io::Result<Sha> {
        let mut file = File::open(path)?;
        let before = file.metadata()?;
        let sha = of_reader(&mut file, before.len(), tell)?;
        let state_before = state(&before);
        // What was written to meanwhile has a hash that is right for neither content.
        if let (Some((size, changed)), true) = (state_before, state_before == state(&file.metadata()?)) {
            self.new.insert(key(path)?, Known { size, changed, sha: sha.clone(), hashed: now() });
        }
        Ok(sha)
    }

    /// Hashes a file whatever is remembered, and tells what was.
    ///
    /// # Errors
    /// As [`Self::of_file`].
    pub fn verify(&mut self, path: &Path, tell: &mut dyn FnMut(u64, u64)) -> io::Result<Verified> {
        let remembered = self.known(path);
        Ok(Verified { now: self.hash(path, tell)?, remembered })
    }

    /// Writes what is new, together with what other processes have written since this one was loaded. A cache that cannot be
    /// written is no failure.
    pub fn save(&mut self) {
        let Some(path) = self.place.clone().filter(|_| !self.new.is_empty()) else { return };
        let mut write = || {
            files::probe(files::folder_of(&path)).ok()?;
            // Held until the end of this closure.
            let _lock = lock(&path.with_extension("lock"));
            let mut kept = Kept::read(&path);
            kept.files.extend(self.new.iter().map(|(key, known)| (key.clone(), known.clone())));
            kept.clean();
            let text = serde_json::to_string(&kept).ok()?;
            files::write(&path, |file| file.write_all(text.as_bytes())).ok()?;
            self.kept = kept;
            self.new.clear();
            Some(())
        };
        if write().is_none() {
            tracing::debug!(path = %path.display(), "the hash could not be remembered");
        }
    }
}

impl Kept {
    fn read(path: &Path) -> Self {
        let read = || {
            let mut text = Vec::new();
            File::open(path).ok()?.take(SIZE_LIMIT + 1).read_to_end(&mut text).ok()?;
            if text.len() as u64 > SIZE_LIMIT { None } else { serde_json::from_slice(&text).ok() }
        };
        read().unwrap_or_default()
    }

    /// Drops what nobody will ask for.
    fn clean(&mut self) {
        let now = now();
        if now.saturating_sub(self.cleaned) >= CLEANING || self.files.len() > FILES_LIMIT {
            self.cleaned = now;
            let is_gone = |path: &str| fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            self.files.retain(|path, known| known.sha.is_sound() && !is_gone(path));
        }
        if let Some(excess) = self.files.len().checked_sub(FILES_LIMIT).filter(|excess| *excess > 0) {
            let mut ages: Vec<(u64, String)> = self.files.iter().map(|(path, known)| (known.hashed, path.clone())).collect();
            ages.sort();
            for (_, path) in ages.iter().take(excess) {
                self.files.remove(path);
            }
        }
    }
}

/// Where the cache is.
fn place() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "encaustic")?.cache_dir().join("hashes.json"))
}

/// By what a file is remembered: its real path.
fn key(path: &Path) -> io::Result<String> {
    Ok(fs::canonicalize(path)?.to_string_lossy().into_owned())
}

/// By what a change of a file is seen.
fn state(about: &fs::Metadata) -> Option<(u64, u64)> {
    let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((about.len(), u64::try_from(changed.as_nanos()).ok()?))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Keeps other processes from writing as long as the file is open. `None` if the system has no locks, or another process does
/// not give it back: at worst a hash is forgotten then.
fn lock(path: &Path) -> Option<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).ok()?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Some(file),
            Err(fs::TryLockError::WouldBlock) if waited < PATIENCE => {
                thread::sleep(PAUSE);
                waited += PAUSE;
            }
            Err(_) => return None,
        }
    }
}
