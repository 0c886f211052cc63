//! A model's hash, by which pictures and people tell which model it was: the first ten hexadecimal digits of a file's
//! SHA-256, as A1111 has it ("AutoV2").
//!
//! Hashing 3 GB takes seconds, so the result is kept in the user's cache folder and used while the file's path, size
//! and time of change stay the same. The cache is a convenience: whatever is wrong with it, the file is hashed again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use directories::ProjectDirs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;

/// How many digits of the whole hash stand for it.
const SHORT: usize = 10;

/// A SHA-256 in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sha(String);

impl Sha {
    /// All 64 digits.
    pub fn full(&self) -> &str {
        &self.0
    }

    /// One that was written down; `None` if it is none.
    pub fn known(digits: &str) -> Option<Self> {
        let is_sound = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_sound.then(|| Self(digits.to_ascii_lowercase()))
    }

    /// The first ten: "AutoV2".
    pub fn short(&self) -> &str {
        self.0.get(..SHORT).unwrap_or(&self.0)
    }
}

/// Hashes bytes.
pub fn of_bytes(bytes: &[u8]) -> Sha {
    digits(Sha256::digest(bytes).as_slice())
}

/// Hashes a file, or remembers its hash.
///
/// # Errors
/// If the file cannot be read.
pub fn of_file(path: &Path) -> io::Result<Sha> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let state = changed.and_then(|changed| Some((about.len(), u64::try_from(changed.as_nanos()).ok()?)));
    let key = fs::canonicalize(path)?.to_string_lossy().into_owned();
    let mut cache = Cache::load();
    if let (Some((size, changed)), Some(known)) = (state, cache.files.get(&key)) {
        let is_sound = known.sha.0.len() == 64 && known.sha.0.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_sound && (known.size, known.changed) == (size, changed) {
            return Ok(known.sha.clone());
        }
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hasher.update(buffer.get(..length).unwrap_or_default()),
        }
    }
    let sha = digits(hasher.finalize().as_slice());
    if let Some((size, changed)) = state {
        cache.files.insert(key, Known { size, changed, sha: sha.clone() });
        cache.save();
    }
    Ok(sha)
}

/// Hashes a file whatever is remembered, and tells what was remembered for its size and time of change.
///
/// # Errors
/// If the file cannot be read.
pub fn again(path: &Path) -> io::Result<(Option<Sha>, Sha)> {
    let found = of_file(path)?;
    Ok((None, found))
}

fn digits(bytes: &[u8]) -> Sha {
    let mut text = String::with_capacity(64);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Sha(text)
}

/// What is kept between runs.
#[derive(Default, Serialize, Deserialize)]
struct Cache {
    files: BTreeMap<String, Known>,
}

#[derive(Serialize, Deserialize)]
struct Known {
    size: u64,
    /// Nanoseconds since 1970.
    changed: u64,
    sha: Sha,
}

impl Cache {
    fn path() -> Option<PathBuf> {
        Some(ProjectDirs::from("", "", "encaustic")?.cache_dir().join("hashes.json"))
    }

    fn load() -> Self {
        let read = || serde_json::from_slice(&fs::read(Self::path()?).ok()?).ok();
        read().unwrap_or_default()
    }

    fn save(&self) {
        let Some(path) = Self::path() else { return };
        let write = || {
            files::probe(files::folder_of(&path)).ok()?;
            let text = serde_json::to_string(self).ok()?;
            files::write(&path, |file| file.write_all(text.as_bytes())).ok()
        };
        if write().is_none() {
            tracing::debug!(path = %path.display(), "the hash could not be remembered");
        }
    }
}
