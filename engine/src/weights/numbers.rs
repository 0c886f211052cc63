//! A parameter's numbers on the way from one file to a device, or to another file.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use burn::tensor::{DType, TensorData};
use half::f16;

use super::checkpoint::Checkpoint;
use super::convert;
use super::encoding::Encoding;
use super::header::Dtype;
use super::names::{Cut, Place};
use super::quant::{Quantised, Unquantisable};
use super::source::SourceError;

/// A parameter's numbers, in its own order.
#[derive(Clone, Debug)]
pub enum Numbers<'a> {
    /// As they stand in the file.
    Plain(Dtype, Cow<'a, [u8]>),
    /// Multiplied out of codes and scales.
    Decoded(Vec<f32>),
}

/// A parameter that lies in a file, and is read as far as it is asked for. What lies there in another way than in the network
/// is read in whole.
pub struct InFile<'a> {
    checkpoint: &'a Checkpoint<'a>,
    place: &'a Place,
    elements: usize,
    whole: OnceCell<Numbers<'a>>,
}

impl<'a> InFile<'a> {
    pub(super) fn new(checkpoint: &'a Checkpoint<'_>, place: &'a Place, elements: usize) -> Self {
        Self { checkpoint, place, elements, whole: OnceCell::new() }
    }

    /// Some of its numbers, by their places in the order of the tensor, which begin between blocks; what is beyond the end is
    /// left out.
    ///
    /// # Errors
    /// Where the source fails.
    pub fn part(&self, range: Range<usize>) -> Result<Numbers<'_>, SourceError> {
        let range = range.start.min(self.elements)..range.end.min(self.elements);
        if self.whole.get().is_none() {
            if let Some(part) = Numbers::read_part(self.checkpoint, self.place, range.clone()) {
                return part;
            }
            if let Some(whole) = Numbers::read(self.checkpoint, self.place) {
                // Nobody else has set it in between.
                let _ = self.whole.set(whole?);
            }
        }
        Ok(self.whole.get().map_or_else(|| Numbers::Decoded(Vec::new()), |whole| whole.part(range)))
    }
}

/// Numbers that cannot be written in the type that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// They are larger than the type goes.
    #[error("it has values beyond what f16 holds (65504); take bf16 or f32")]
    Overflow,
    /// They do not go into blocks.
    #[error(transparent)]
    Block(#[from] Unquantisable),
    /// They are no floating-point numbers, or are not to be.
    #[error("numbers are converted between F32, F16, BF16, Q8 and Q4 only")]
    Type,
}

impl<'a> Numbers<'a> {
    /// Reads the numbers at a place of a checkpoint; `None` if there is no such tensor.
    ///
    /// # Errors
    /// Where the source fails.
    pub fn read(checkpoint: &'a Checkpoint<'_>, place: &Place) -> Option<Result<Self, SourceError>> {
        let Place { tensor: name, cut } = place;
        let stored = checkpoint.get(name)?;
        let bytes = match *cut {
            Cut::Third(index) => checkpoint.read_third(name, index)?,
            Cut::Whole | Cut::Transposed => checkpoint.read(name)?,
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(match (stored.encoding, cut, stored.shape.as_slice()) {
            (Encoding::Plain(dtype), Cut::Transposed, &[rows, columns]) => {
                Self::Plain(dtype, convert::transposed(&bytes, rows, columns).into())
            }
            (Encoding::Plain(dtype), _, _) => Self::Plain(dtype, bytes),
            // Packed parameters are as their networks have them: never cut, never turned.
            (Encoding::Quantised(quant), _, shape) => match checkpoint.read_scales(name)? {
                Ok(scales) => Self::Decoded(quant.decode(&bytes, &scales, shape.iter().product())),
                Err(error) => return Some(Err(error)),
            },
        }))
    }

    /// Reads some of the numbers at a place, by their places in the order of the tensor, which begin and end between blocks;
    /// `None` if there is no such tensor, or if the parameter is a part of it or turned.
    ///
    /// # Errors
    /// Where the source fails.
    pub fn read_part(checkpoint: &'a Checkpoint<'_>, place: &Place, elements: Range<usize>) -> Option<Result<Self, SourceError>> {
        if place.cut != Cut::Whole {
            return None;
        }
        let encoding = checkpoint.get(&place.tensor)?.encoding;
        let read = checkpoint.read_part(&place.tensor, elements.start as u64..elements.end as u64)?;
        Some(read.map(|[bytes, scales]| match encoding {
            Encoding::Plain(dtype) => Self::Plain(dtype, bytes),
            Encoding::Quantised(quant) => Self::Decoded(quant.decode(&bytes, &scales, elements.len())),
        }))
    }

    /// For the device; `None` if they are no floating-point numbers.
    pub(super) fn tensor(self, to: DType, shape: Vec<usize>) -> Option<TensorData> {
        Some(match (self, to) {
            // The same type on both sides: one copy and no arithmetic.
            (Self::Plain(Dtype::F32, bytes), DType::F32)
            | (Self::Plain(Dtype::F16, bytes), DType::F16)
            | (Self::Plain(Dtype::BF16, bytes), DType::BF16) => TensorData::from_bytes_vec(bytes.into_owned(), shape, to),
            (Self::Plain(from, bytes), _) => convert::tensor(convert::wide(&bytes, from)?, to, shape),
            (Self::Decoded(values), _) => convert::tensor(values, to, shape),
        })
    }

    /// Some of them, by their places in the order of the tensor; what is beyond the end is left out.
    pub fn part(&self, range: Range<usize>) -> Numbers<'_> {
        match self {
            Self::Plain(dtype, bytes) => {
                let size = usize::try_from(dtype.size()).unwrap_or(1);
                let at = |element: usize| element.saturating_mul(size).min(bytes.len());
                Numbers::Plain(*dtype, bytes.get(at(range.start)..at(range.end)).unwrap_or_default().into())
            }
            Self::Decoded(values) => {
                let end = range.end.min(values.len());
                Numbers::Decoded(values.get(range.start..end).unwrap_or_default().to_vec())
            }
        }
    }

    /// How they are written; `None` for decoded ones.
    pub fn dtype(&self) -> Option<Dtype> {
        match self {
            Self::Plain(dtype, _) => Some(*dtype),
            Self::Decoded(_) => None,
        }
    }

    /// As f32; `None` if they are no floating-point numbers.
    pub fn values(&self) -> Option<Vec<f32>> {
        match self {
            Self::Plain(dtype, bytes) => convert::wide(bytes, *dtype),
            Self::Decoded(values) => Some(values.clone()),
        }
    }

    /// The same for a file, in another encoding. Numbers that are written so already are handed on as they are.
    ///
    /// # Errors
    /// If they do not fit: too large for f16, or not finite and to be quantised.
    pub fn encode(self, to: Encoding) -> Result<Encoded<'a>, EncodeError> {
        let values = match self {
            Self::Plain(dtype, bytes) if Encoding::Plain(dtype) == to => return Ok(Encoded { bytes, scales: Vec::new() }),
            Self::Plain(dtype, bytes) => convert::wide(&bytes, dtype).ok_or(EncodeError::Type)?,
            Self::Decoded(values) => values,
        };
        let bytes: Vec<u8> = match to {
            Encoding::Plain(Dtype::F32) => bytemuck::cast_slice(&values).to_vec(),
            Encoding::Plain(Dtype::F16) => {
                let narrow = convert::halves(&values);
                if narrow.iter().zip(&values).any(|(narrow, value)| narrow.is_infinite() && value.is_finite()) {
                    return Err(EncodeError::Overflow);
                }
                let bits = narrow.into_iter().flat_map(f16::to_le_bytes);
                bits.collect()
            }
            Encoding::Plain(Dtype::BF16) => {
                convert::brain_halves(&values).into_iter().flat_map(half::bf16::to_le_bytes).collect()
            }
            Encoding::Quantised(quant) => {
                let Quantised { codes, scales } = quant.encode(&values)?;
                return Ok(Encoded { bytes: codes.into(), scales });
            }
            Encoding::Plain(_) => return Err(EncodeError::Type),
        };
        Ok(Encoded { bytes: bytes.into(), scales: Vec::new() })
    }
}

/// A parameter's numbers for a file.
#[derive(Clone, Debug)]
pub struct Encoded<'a> {
    /// The numbers, or their codes.
    pub bytes: Cow<'a, [u8]>,
    /// The scales, if they are quantised.
    pub scales: Vec<u8>,
}
