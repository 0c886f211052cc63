//! Files of the user's, and whatever else a browser calls a blob: read in ranges, without waiting and without ever holding more
//! than the range.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use encaustic_engine::weights::{SourceError, WeightSource};
use js_sys::Uint8Array;
use web_sys::{Blob, FileReaderSync};

use super::post::why;

/// Small ranges are read together: so many bytes at a time.
const AHEAD: u64 = 1 << 20;

/// A blob as a source of weights.
pub(super) struct BlobSource {
    blob: Blob,
    reader: FileReaderSync,
    length: u64,
    /// Bytes that were read last, and where they begin.
    ahead: RefCell<(u64, Vec<u8>)>,
}

impl BlobSource {
    /// A source of a blob; the error is what the browser says.
    pub(super) fn new(blob: Blob) -> Result<Self, String> {
        let reader = FileReaderSync::new().map_err(|error| why(&error))?;
        let length = blob.size() as u64;
        Ok(Self { blob, reader, length, ahead: RefCell::default() })
    }

    /// Bytes of a range that is inside the blob.
    fn fetch(&self, start: u64, end: u64) -> Result<Vec<u8>, SourceError> {
        let gone = |error| {
            SourceError::Failed(format!("{}; the file was moved, changed or deleted meanwhile: choose it again", why(&error)))
        };
        // Offsets beyond 32 bits go as doubles, which are exact to 53.
        let slice = self.blob.slice_with_f64_and_f64(start as f64, end as f64).map_err(gone)?;
        let buffer = self.reader.read_as_array_buffer(&slice).map_err(gone)?;
        let bytes = Uint8Array::new(&buffer).to_vec();
        if bytes.len() as u64 == end - start { Ok(bytes) } else { Err(self.out(start, end)) }
    }

    fn out(&self, start: u64, end: u64) -> SourceError {
        SourceError::OutOfRange { start, end, len: self.length }
    }
}

impl WeightSource for BlobSource {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        let Range { start, end } = range;
        if start > end || end > self.length {
            return Err(self.out(start, end));
        }
        if end - start >= AHEAD {
            return self.fetch(start, end).map(Cow::Owned);
        }
        let mut ahead = self.ahead.borrow_mut();
        let held = ahead.0..ahead.0 + ahead.1.len() as u64;
        if start < held.start || end > held.end {
            *ahead = (start, self.fetch(start, self.length.min(start + AHEAD))?);
        }
        let first = usize::try_from(start - ahead.0).map_err(|_| self.out(start, end))?;
        let last = usize::try_from(end - ahead.0).map_err(|_| self.out(start, end))?;
        ahead.1.get(first..last).map(|bytes| Cow::Owned(bytes.to_vec())).ok_or_else(|| self.out(start, end))
    }
}
