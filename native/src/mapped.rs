//! A file of weights, mapped into memory.
//!
//! The engine reads a tensor at a time, front to back, and copies it to its device. A mapping saves a copy of the file
//! on the way; but the pages that were read would stay counted as ours, and a loaded model would seem to need twice its
//! memory. So when the next tensor is asked for, the system is told that the last one's pages are not needed.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use encaustic_engine::weights::{SourceError, WeightSource};
use memmap2::Mmap;

/// A file that is read in ranges, through a mapping.
pub struct MappedFile {
    /// `None` for an empty file: some systems refuse to map those.
    map: Option<Mmap>,
    /// The range that was read last.
    last: Cell<Option<(usize, usize)>>,
}

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// If it cannot be opened or mapped, or is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let kind = file.metadata()?;
        if !kind.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let map = if kind.len() == 0 { None } else { Some(map(&file)?) };
        Ok(Self { map, last: Cell::new(None) })
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl WeightSource for MappedFile {
    fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        let bytes = WeightSource::read(self.bytes(), range.clone())?;
        if let (Some(map), Some((start, end))) = (&self.map, self.last.take()) {
            release(map, start, end - start);
        }
        // Both fit: the slice exists.
        let start = usize::try_from(range.start).unwrap_or(0);
        self.last.set(Some((start, start + bytes.len())));
        Ok(bytes)
    }
}

#[expect(unsafe_code, reason = "there is no safe way to map a file")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes are only ever read as numbers or parsed as hostile input, so a program that writes into the file
    // meanwhile can spoil a picture, and no more. (One that cuts it short ends this process with a signal.)
    unsafe { Mmap::map(file) }
}

/// Tells the system that pages are not needed for now. Reading them again would still give the file's bytes.
#[cfg(unix)]
#[expect(unsafe_code, reason = "memmap2 cannot know that this mapping is of a file that nobody writes through it")]
fn release(map: &Mmap, start: usize, length: usize) {
    // SAFETY: the mapping is of a file and never written to, so a dropped page comes back as it was.
    // An error means that the advice was not taken, which changes no result.
    let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, length) };
}

#[cfg(not(unix))]
fn release(_map: &Mmap, _start: usize, _length: usize) {}
