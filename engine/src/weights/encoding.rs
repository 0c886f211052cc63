//! How a tensor's numbers are written: one by one in a type that files know, or quantised.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::header::Dtype;
use super::quant::Quant;

/// How a tensor's numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// One by one.
    Plain(Dtype),
    /// In blocks that share a scale.
    Quantised(Quant),
}

impl Encoding {
    /// The name that files use, such as `F16` or `Q8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain(dtype) => dtype.name(),
            Self::Quantised(quant) => quant.name(),
        }
    }

    /// Whether the numbers can be a network's parameters.
    pub fn is_float(self) -> bool {
        let is_float =
            |dtype| matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 | Dtype::F8E4M3 | Dtype::F8E5M2);
        match self {
            Self::Plain(dtype) => is_float(dtype),
            Self::Quantised(_) => true,
        }
    }

    /// Bytes of so many numbers (of quantised ones the codes); `None` beyond what 64 bits count.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        match self {
            Self::Plain(dtype) => elements.checked_mul(dtype.size()),
            Self::Quantised(quant) => Some(quant.code_bytes(elements)),
        }
    }

    /// The type of the tensor in a file that has the numbers, or their codes.
    pub fn stored(self) -> Dtype {
        match self {
            Self::Plain(dtype) => dtype,
            Self::Quantised(Quant::Q8) => Dtype::I8,
            Self::Quantised(Quant::Q4) => Dtype::U8,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no encoding has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no type of number that is known here")]
pub struct UnknownEncoding(pub String);

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Self, UnknownEncoding> {
        let plain = Dtype::parse(name).map(Self::Plain);
        let unknown = || UnknownEncoding(name.chars().take(40).collect());
        plain.or_else(|| name.parse().ok().map(Self::Quantised)).ok_or_else(unknown)
    }
}

impl Serialize for Encoding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}
