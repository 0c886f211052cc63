//! A generation setting as interfaces see it: a name, a line of help, limits and a default.

use serde::{Deserialize, Serialize};

use crate::Request;

/// A generation setting. The table of all of them is [`PARAMS`](crate::PARAMS).
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name: the field of [`Request`], the key in JSON and, with hyphens, the flag on a command line.
    pub id: &'static str,
    /// What it does, in a sentence or two.
    pub help: &'static str,
    /// What it may be.
    pub range: Range,
    /// What it is if nobody says; [`Value::Auto`] leaves it to the model.
    pub default: fn() -> Value,
    /// Its value in a request.
    pub get: fn(&Request) -> Value,
    /// Puts a value into a request, without looking at the limits.
    pub set: fn(&mut Request, Value) -> Result<(), WrongKind>,
}

impl Param {
    /// Reads a value of this setting from text, as from a command line, without looking at the limits.
    pub fn parse(&self, text: &str) -> Result<Value, WrongKind> {
        let parsed = match self.range {
            Range::Text { .. } | Range::Name(_) => Some(Value::Text(text.to_owned())),
            Range::Integer { .. } => text.trim().parse().ok().map(Value::Integer),
            Range::Number { .. } => text.trim().parse().ok().map(Value::Number),
        };
        parsed.ok_or(WrongKind)
    }
}

/// What a setting may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// A text of at most so many bytes.
    Text {
        /// The most bytes of UTF-8.
        max_bytes: usize,
    },
    /// A whole number from `min` to `max` that `multiple_of` divides.
    Integer {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What divides it.
        multiple_of: u64,
    },
    /// A finite number from `min` to `max`.
    Number {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// One of a list of names.
    Name(Names),
}

/// Which list of names a setting chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The samplers of the catalog.
    Samplers,
    /// The schedules of the catalog.
    Schedules,
    /// These.
    Fixed(&'static [&'static str]),
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Integer(u64),
    /// A number.
    Number(f64),
    /// A text or a name.
    Text(String),
    /// Left to the model.
    Auto,
}

/// A value that is not of the setting's kind: text for a number, a fraction for a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value of another kind is wanted")]
pub struct WrongKind;

/// A type that a setting can have.
pub(crate) trait Setting: Sized {
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Result<Self, WrongKind>;
}

impl Setting for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        if let Value::Text(text) = value { Ok(text) } else { Err(WrongKind) }
    }
}

impl Setting for u64 {
    fn to_value(&self) -> Value {
        Value::Integer(*self)
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        if let Value::Integer(number) = value { Ok(number) } else { Err(WrongKind) }
    }
}

impl Setting for u32 {
    fn to_value(&self) -> Value {
        Value::Integer(u64::from(*self))
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        u64::from_value(value)?.try_into().map_err(|_| WrongKind)
    }
}

impl Setting for f64 {
    fn to_value(&self) -> Value {
        Value::Number(*self)
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        match value {
            Value::Number(number) => Ok(number),
            Value::Integer(number) => Ok(number as f64),
            Value::Text(_) | Value::Auto => Err(WrongKind),
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Auto, Setting::to_value)
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        if value == Value::Auto { Ok(None) } else { T::from_value(value).map(Some) }
    }
}
