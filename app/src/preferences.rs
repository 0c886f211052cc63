//! How a person wants the page to be, and the file in which all settings travel.

use encaustic_protocol::{Catalog, Request, validate};
use serde::{Deserialize, Serialize};

/// The version of the file that is written.
const VERSION: u32 = 1;

/// The longest file that is read, in bytes: two prompts of the greatest length have a tenth of it.
pub const FILE_LIMIT: usize = 1 << 20;

/// How a person wants the page to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Whether a picture is shown while it is being made.
    pub previews: bool,
    /// How many pictures the gallery keeps besides favourites; all, if nobody says.
    pub keep: Option<u32>,
    /// Whether prompts are remembered.
    pub history: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { previews: true, keep: None, history: true }
    }
}

/// All settings, as they travel.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The form.
    pub request: Request,
    /// The theme's name; none in a file that holds a request alone.
    pub theme: Option<String>,
    /// How the page is; none in a file that holds a request alone.
    pub preferences: Option<Preferences>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    encaustic_settings: u32,
    request: Request,
    #[serde(default)]
    theme: Option<String>,
    #[serde(default)]
    preferences: Option<Preferences>,
}

/// Why a file of settings is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Too long for one.
    #[error("it has {bytes} bytes, and settings have at most {FILE_LIMIT}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// No JSON, or other JSON.
    #[error("it holds no settings of Encaustic: {0}")]
    Malformed(String),
    /// Written by a later version.
    #[error(
        "it was written by a newer version of Encaustic (its format is {0}, and this version reads {VERSION}); reload the page to get the newest"
    )]
    Newer(u32),
    /// Settings that are not allowed.
    #[error("{0}")]
    Invalid(String),
}

impl Settings {
    /// The text of a file.
    pub fn to_text(&self) -> String {
        let file = File {
            encaustic_settings: VERSION,
            request: self.request.clone(),
            theme: self.theme.clone(),
            preferences: self.preferences.clone(),
        };
        // Nothing in it can fail to become JSON.
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// Reads a file: all settings, or a request alone.
    ///
    /// # Errors
    /// If it is something else, or holds what `catalog` does not allow. (An empty catalog allows every name.)
    pub fn from_text(text: &str, catalog: &Catalog) -> Result<Self, SettingsError> {
        if text.len() > FILE_LIMIT {
            return Err(SettingsError::TooLarge { bytes: text.len() });
        }
        let malformed = |error: serde_json::Error| SettingsError::Malformed(error.to_string());
        let json: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
        let version = json.get("encaustic_settings").map(|version| version.as_u64().unwrap_or_default());
        let settings = match version {
            None => Self { request: serde_json::from_value(json).map_err(malformed)?, theme: None, preferences: None },
            Some(newer) if newer > u64::from(VERSION) => {
                return Err(SettingsError::Newer(u32::try_from(newer).unwrap_or(u32::MAX)));
            }
            Some(_) => {
                let File { request, theme, preferences, .. } = serde_json::from_value(json).map_err(malformed)?;
                Self { request, theme, preferences }
            }
        };
        // Before the engine has told which samplers there are, their names cannot be looked at.
        let mut checked = settings.request.clone();
        if catalog.samplers.is_empty() {
            (checked.sampler, checked.schedule) = (None, None);
        }
        validate(&checked, catalog)
            .map_err(|faults| SettingsError::Invalid(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encaustic_protocol::Entry;

    fn catalog() -> Catalog {
        Catalog { samplers: vec![Entry::new("euler", "Euler")], ..Catalog::default() }
    }

    #[test]
    fn settings_come_back_from_their_file() {
        let settings = Settings {
            request: Request {
                prompt: "a \"fox\"\n".into(),
                seed: Some(u64::MAX),
                sampler: Some("euler".into()),
                ..Request::default()
            },
            theme: Some("dark".into()),
            preferences: Some(Preferences { previews: false, keep: Some(500), history: false }),
        };
        assert_eq!(Settings::from_text(&settings.to_text(), &catalog()), Ok(settings));
        let request = Settings::from_text(r#"{"prompt": "x", "steps": 4}"#, &catalog()).unwrap();
        assert_eq!((request.request.steps, request.theme, request.preferences), (Some(4), None, None));
        // Names that nobody knows yet.
        assert!(Settings::from_text(r#"{"sampler": "new"}"#, &Catalog::default()).is_ok());
    }

    #[test]
    fn what_is_no_settings_is_told() {
        for (text, part) in [
            ("", "it holds no settings of Encaustic: EOF"),
            ("[1]", "it holds no settings"),
            ("7", "it holds no settings"),
            (r#"{"promt": "x"}"#, "unknown field `promt`, expected one of `prompt`"),
            (r#"{"steps": 0}"#, "steps: 0 is not allowed; use a whole number from 1 to 1000"),
            (r#"{"steps": "many"}"#, "invalid type: string \"many\""),
            (r#"{"sampler": "eulr"}"#, "did you mean \"euler\"?"),
            (r#"{"encaustic_settings": 2, "wings": 1}"#, "newer version of Encaustic (its format is 2"),
            (r#"{"encaustic_settings": 99999999999, "wings": 1}"#, "newer version"),
            (r#"{"encaustic_settings": 1}"#, "missing field `request`"),
            (r#"{"encaustic_settings": 1, "request": {}, "wings": 1}"#, "unknown field `wings`"),
        ] {
            let message = Settings::from_text(text, &catalog()).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let long = " ".repeat(FILE_LIMIT + 1);
        assert_eq!(Settings::from_text(&long, &catalog()), Err(SettingsError::TooLarge { bytes: FILE_LIMIT + 1 }));
    }
}
