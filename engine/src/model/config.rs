//! Reading `config.json`: the libraries' defaults for what is missing, and refusals that name the field.
//!
//! The numbers in a configuration come from a stranger and decide how large tensors are, so each is checked before a
//! network is built from it.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The largest configuration file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The largest number of channels, tokens or positions.
pub const MAX_SIZE: usize = 1 << 20;
/// The largest number of layers or blocks of a kind.
pub const MAX_LAYERS: usize = 256;

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not the JSON that it must be.
    #[error("{component}: config.json is not valid: {reason}")]
    Json {
        /// Which part of the model, as in `unet`.
        component: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A variant that is not implemented.
    #[error("{component}: `{field}` is {value}, which is not supported; {supported}")]
    Unsupported {
        /// Which part of the model.
        component: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be.
        supported: String,
    },
    /// A value that makes no sense.
    #[error("{component}: `{field}` is {value}, but {expected}")]
    Invalid {
        /// Which part of the model.
        component: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: String,
    },
}

/// Parses the text of a `config.json`. Every field of `T` has a default.
pub(crate) fn parse<T: DeserializeOwned>(component: &'static str, text: &[u8]) -> Result<T, ConfigError> {
    let refuse = |reason: String| ConfigError::Json { component, reason };
    if text.len() > MAX_BYTES {
        return Err(refuse(format!("it has {} bytes, and at most {MAX_BYTES} are read", text.len())));
    }
    // Through a map, for a list would be taken as the fields in order.
    let fields: Fields = serde_json::from_slice(text).map_err(|error| refuse(error.to_string()))?;
    serde_json::from_value(fields.clone().into())
        .map_err(|error| refuse(at_fault::<T>(fields).unwrap_or_else(|| error.to_string())))
}

type Fields = serde_json::Map<String, serde_json::Value>;

/// The first field that cannot be read even alone, with its value: serde's message would give only its place.
fn at_fault<T: DeserializeOwned>(fields: Fields) -> Option<String> {
    fields.into_iter().find_map(|(name, value)| {
        let shown: String = value.to_string().chars().take(80).collect();
        let alone = serde_json::Value::Object([(name.clone(), value)].into_iter().collect());
        let error = serde_json::from_value::<T>(alone).err()?;
        Some(format!("`{name}` is {shown}: {error}"))
    })
}

/// Checks on one configuration; carries the component's name into the errors.
#[derive(Clone, Copy)]
pub(crate) struct Check(pub &'static str);

impl Check {
    /// A field whose value is not implemented.
    pub(crate) fn unsupported(self, field: &'static str, value: impl ToString, supported: impl ToString) -> ConfigError {
        ConfigError::Unsupported { component: self.0, field, value: value.to_string(), supported: supported.to_string() }
    }

    /// A field whose value makes no sense.
    pub(crate) fn invalid(self, field: &'static str, value: impl ToString, expected: impl ToString) -> ConfigError {
        ConfigError::Invalid { component: self.0, field, value: value.to_string(), expected: expected.to_string() }
    }

    /// A size in `1..=max`.
    pub(crate) fn within(self, field: &'static str, value: usize, max: usize) -> Result<usize, ConfigError> {
        if (1..=max).contains(&value) {
            return Ok(value);
        }
        Err(self.invalid(field, value, format_args!("it must be between 1 and {max}")))
    }

    /// A number of channels, tokens or the like.
    pub(crate) fn size(self, field: &'static str, value: usize) -> Result<usize, ConfigError> {
        self.within(field, value, MAX_SIZE)
    }

    /// A number of layers or blocks.
    pub(crate) fn layers(self, field: &'static str, value: usize) -> Result<usize, ConfigError> {
        self.within(field, value, MAX_LAYERS)
    }

    /// `whole` must be a multiple of `part`.
    pub(crate) fn divides(self, field: &'static str, part: usize, of: &str, whole: usize) -> Result<(), ConfigError> {
        self.size(field, part)?;
        if whole.is_multiple_of(part) {
            return Ok(());
        }
        Err(self.invalid(field, part, format_args!("it must divide {of}, which is {whole}")))
    }

    /// A positive, finite number.
    pub(crate) fn positive(self, field: &'static str, value: f64) -> Result<f64, ConfigError> {
        if value.is_finite() && value > 0.0 {
            return Ok(value);
        }
        Err(self.invalid(field, value, "it must be positive and finite"))
    }

    /// A list that must have one entry per block.
    pub(crate) fn per_block<T>(self, field: &'static str, list: &[T], blocks: usize) -> Result<(), ConfigError> {
        if list.len() == blocks {
            return Ok(());
        }
        Err(self.invalid(field, format_args!("a list of {}", list.len()), format_args!("there are {blocks} blocks")))
    }

    /// A field that must be absent or null.
    pub(crate) fn absent<T: std::fmt::Debug>(self, field: &'static str, value: &Option<T>) -> Result<(), ConfigError> {
        match value {
            None => Ok(()),
            Some(value) => Err(self.unsupported(field, format_args!("{value:?}"), "only null is")),
        }
    }
}

/// A value that configurations write once for all blocks, or as a list with one entry per block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One per block. Tried first: where the entries may be lists themselves, a list is still one entry per block.
    Many(Vec<T>),
    /// The same for every block.
    One(T),
}

impl<T: Clone> OneOrMany<T> {
    /// One value per block.
    pub(crate) fn expand(&self, check: Check, field: &'static str, blocks: usize) -> Result<Vec<T>, ConfigError> {
        match self {
            Self::One(value) => Ok(vec![value.clone(); blocks]),
            Self::Many(values) => {
                check.per_block(field, values, blocks)?;
                Ok(values.clone())
            }
        }
    }
}
