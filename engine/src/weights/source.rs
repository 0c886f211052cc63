//! Where weights come from: byte ranges of one file.
//!
//! The engine opens nothing itself. Natively the launcher hands over a memory-mapped file, which is a slice like any
//! other; a browser hands over a fetched or stored blob.

use std::borrow::Cow;
use std::ops::Range;

/// A file's bytes, read in ranges.
///
/// The interface is synchronous: a source that has to wait (HTTP ranges, a browser's storage) gathers the ranges
/// that a [`Header`](super::Header) names before the load starts, and then answers from memory.
pub trait WeightSource {
    /// How many bytes the file has.
    fn len(&self) -> u64;

    /// Whether the file is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, borrowed where the source has them in memory.
    ///
    /// # Errors
    /// Fails where the range is not inside the file, or where the bytes cannot be had.
    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError>;
}

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The range lies outside the file.
    #[error("bytes {start}..{end} were asked of a file of {len} bytes; it is cut short, or it changed while it was read")]
    OutOfRange {
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
        /// The file's size.
        len: u64,
    },
    /// The source itself failed.
    #[error("the weights cannot be read: {0}")]
    Failed(String),
}

impl WeightSource for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        let out = || SourceError::OutOfRange { start: range.start, end: range.end, len: WeightSource::len(self) };
        let start = usize::try_from(range.start).map_err(|_| out())?;
        let end = usize::try_from(range.end).map_err(|_| out())?;
        self.get(start..end).map(Cow::Borrowed).ok_or_else(out)
    }
}

impl WeightSource for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        WeightSource::read(self.as_slice(), range)
    }
}

impl<S: WeightSource + ?Sized> WeightSource for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        (**self).read(range)
    }
}

impl<S: WeightSource + ?Sized> WeightSource for Box<S> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        (**self).read(range)
    }
}
