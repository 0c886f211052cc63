//! A model's hash, by which pictures and people tell which model it was: the first ten hexadecimal digits of a file's
//! SHA-256, as A1111 has it ("AutoV2").
//!
//! Hashing 3 GB takes seconds, so the result is kept in the user's cache folder ([`Cache`]) and used while the file's path,
//! size and time of change stay the same. The cache is a convenience: whatever is wrong with it, the file is hashed again.

mod bar;
mod cache;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use bar::Bar;
pub use cache::Cache;

use crate::interrupt;

/// How many digits of the whole hash stand for it.
const SHORT: usize = 10;
/// How much is read at once, in bytes.
const BLOCK: usize = 1 << 20;

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
        let sha = Self(digits.to_ascii_lowercase());
        sha.is_sound().then_some(sha)
    }

    /// The first ten: "AutoV2".
    pub fn short(&self) -> &str {
        self.0.get(..SHORT).unwrap_or(&self.0)
    }

    /// Whether it is one: what a cache says may be anything.
    fn is_sound(&self) -> bool {
        self.0.len() == 64 && self.0.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
    }
}

/// What a file's hash is now, and what was remembered of a file of that path, size and time of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Computed from the bytes as they are.
    pub now: Sha,
    /// From the cache. Another one than `now` means that the bytes were changed by something that hides it: a failing disk.
    pub remembered: Option<Sha>,
}

/// Hashes bytes.
pub fn of_bytes(bytes: &[u8]) -> Sha {
    digits(Sha256::digest(bytes).as_slice())
}

/// What a hasher has come to.
pub(crate) fn of_hasher(hasher: Sha256) -> Sha {
    digits(hasher.finalize().as_slice())
}

/// Hashes a file, or remembers its hash.
///
/// # Errors
/// If the file cannot be read, and [`io::ErrorKind::Interrupted`] on Ctrl-C.
pub fn of_file(path: &Path) -> io::Result<Sha> {
    kept(path, &mut |_, _| {})
}

/// As [`of_file`], with a line on the terminal while a large file is read.
///
/// # Errors
/// As [`of_file`].
pub fn of_file_shown(path: &Path) -> io::Result<Sha> {
    let mut bar = Bar::new();
    kept(path, &mut |done, of| bar.show("hashing", done, of))
}

/// Hashes a file whatever is remembered, and tells what was remembered for its size and time of change, and what it is.
/// [`Cache::verify`] does so for many files and with progress.
///
/// # Errors
/// As [`of_file`].
pub fn again(path: &Path) -> io::Result<(Option<Sha>, Sha)> {
    let mut cache = Cache::load();
    let Verified { now, remembered } = cache.verify(path, &mut |_, _| {})?;
    // A hash that is no longer what it was is news for whoever asked, and stays in the cache until they are done with it.
    if remembered.as_ref().is_none_or(|remembered| *remembered == now) {
        cache.save();
    }
    Ok((remembered, now))
}

fn kept(path: &Path, tell: &mut dyn FnMut(u64, u64)) -> io::Result<Sha> {
    let mut cache = Cache::load();
    let sha = cache.of_file(path, tell)?;
    cache.save();
    Ok(sha)
}

/// The hash of what is left of a file. `size` is told on with the progress.
fn of_reader(file: &mut File, size: u64, tell: &mut dyn FnMut(u64, u64)) -> io::Result<Sha> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BLOCK];
    let mut done = 0u64;
    loop {
        // A signal may cut a call short; only Ctrl-C cuts the work short.
        let length = match file.read(&mut buffer) {
            Ok(0) => return Ok(digits(hasher.finalize().as_slice())),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        if interrupt::asked() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped by Ctrl-C"));
        }
        hasher.update(buffer.get(..length).unwrap_or_default());
        done += length as u64;
        tell(done, size.max(done));
    }
}

fn digits(bytes: &[u8]) -> Sha {
    let mut text = String::with_capacity(64);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Sha(text)
}
