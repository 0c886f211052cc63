//! Values of settings, as texts: what a flag, a variable and a file say in the same way.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A type that a setting can have. An empty text is an absent value.
pub trait Setting: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes it so that [`Setting::parse`] reads it.
    fn write(&self) -> String;
}

/// Several values; in a text, between commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

macro_rules! plain {
    ($($type:ty: $allowed:literal),+) => { $(
        impl Setting for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| format!(concat!("{:?} is not ", $allowed), text))
            }

            fn write(&self) -> String {
                self.to_string()
            }
        }
    )+ };
}

plain! {
    u32: "a whole number from 0 to 4294967295",
    u64: "a whole number, 0 or more",
    f64: "a number",
    SocketAddr: "an address with a port, like 127.0.0.1:7801 or [::1]:7801"
}

impl Setting for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn write(&self) -> String {
        self.clone()
    }
}

impl Setting for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn write(&self) -> String {
        self.display().to_string()
    }
}

impl<T: Setting> Setting for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn write(&self) -> String {
        self.as_ref().map(Setting::write).unwrap_or_default()
    }
}

impl<T: Setting> Setting for List<T> {
    fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Ok(Self(items.map(T::parse).collect::<Result<_, _>>()?))
    }

    fn write(&self) -> String {
        self.0.iter().map(Setting::write).collect::<Vec<_>>().join(",")
    }
}

/// A text that is told nobody: its value is used, never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::ops::Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.write())
    }
}

impl Setting for Secret {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.trim().to_owned()))
    }

    /// That there is one.
    fn write(&self) -> String {
        if self.0.is_empty() { String::new() } else { "***".to_owned() }
    }
}

/// Declares an enum as a setting with a few values.
macro_rules! choices {
    ($(#[$about:meta])* pub enum $name:ident { $( $(#[$help:meta])* $value:ident = $text:literal, )+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$help])* $value, )+ }

        impl $crate::config::Setting for $name {
            fn parse(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $( $text => Ok(Self::$value), )+
                    _ => Err(format!("{text:?} is none of {}", [$($text),+].join(", "))),
                }
            }

            fn write(&self) -> String {
                match self { $( Self::$value => $text, )+ }.to_owned()
            }
        }
    };
}
pub(crate) use choices;

/// The text of a value in a file.
pub(super) fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}

/// A text as a value in a file: bare if it is a number or a truth value.
pub(super) fn toml(text: &str) -> String {
    let is_bare = text.parse::<f64>().is_ok() || ["true", "false"].contains(&text);
    if is_bare { text.to_owned() } else { toml::Value::String(text.to_owned()).to_string() }
}
