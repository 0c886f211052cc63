//! Which models the page offers, and what people write when they mean one: `models.json` and the address field.

use serde::{Deserialize, Serialize};

/// The file beside the page that lists models; whoever hosts the page edits it.
pub const FILE: &str = "models.json";

/// The most bytes that are read of it.
pub const MOST_BYTES: u32 = 1 << 20;

/// `models.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// The models, in the order in which they are shown.
    pub models: Vec<Offer>,
}

/// A packed model that somebody serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What people read.
    pub title: String,
    /// The folder of its `manifest.json`, relative to the page, absolute, or `hf:owner/name`.
    pub address: String,
    /// The id of its family.
    #[serde(default)]
    pub family: String,
    /// Bytes of its files, if they are known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// A sentence on what it is good for.
    #[serde(default)]
    pub about: String,
    /// Under which terms it may be used.
    #[serde(default)]
    pub license: String,
}

/// Reads `models.json`.
///
/// # Errors
/// If it is no list of models: a sentence that says where.
pub fn parse(text: &str) -> Result<Offers, String> {
    let offers: Offers = serde_json::from_str(text).map_err(|error| {
        format!(
            "{FILE} cannot be read: {error}; it is {{\"models\": [{{\"title\", \"address\", ...}}]}}, and somebody has to mend it"
        )
    })?;
    match offers.models.iter().find_map(|offer| address(&offer.address).err().map(|why| (&offer.title, why))) {
        Some((title, why)) => Err(format!("{FILE}: the address of {title:?} is none: {why}")),
        None => Ok(offers),
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongAddress {
    /// Nothing was written.
    #[error("write where the model is: the address of the folder that manifest.json lies in, or hf:owner/name")]
    Empty,
    /// Not `owner/name`.
    #[error("write it as hf:owner/name, for example hf:lighthouse/painter, or hf:owner/name/folder")]
    Hub,
    /// A checkpoint, which is read from the user's disk only.
    #[error("this is the address of a single file: download it and drop it on this page; addresses are for packed models")]
    Checkpoint,
    /// Some other scheme.
    #[error("an address begins with https:// (or http:// on this machine), or it is a path beside this page")]
    Scheme,
}

/// The address of the folder that somebody means: the manifest's own address will do, and `hf:owner/name` means a model on the
/// hub of that name.
///
/// # Errors
/// If it cannot be one.
pub fn address(text: &str) -> Result<String, WrongAddress> {
    let text = text.trim();
    let text = text.strip_suffix("manifest.json").unwrap_or(text).trim_end_matches('/');
    if text.is_empty() {
        return Err(WrongAddress::Empty);
    }
    if let Some(name) = text.strip_prefix("hf:") {
        return hub(name.trim_matches('/')).ok_or(WrongAddress::Hub);
    }
    if [".safetensors", ".ckpt", ".pt", ".gguf"].iter().any(|end| text.to_lowercase().ends_with(end)) {
        return Err(WrongAddress::Checkpoint);
    }
    // A colon before the first slash ends a scheme.
    match text.split(['/', '?']).next().and_then(|first| first.split_once(':')) {
        None => Ok(text.to_owned()),
        Some((scheme, "")) if ["https", "http"].contains(&scheme.to_lowercase().as_str()) => {
            // What one copies from the address bar of the hub is a page about the folder, not the folder.
            Ok(text.replacen("/tree/", "/resolve/", usize::from(text.starts_with(HUB))))
        }
        Some(_) => Err(WrongAddress::Scheme),
    }
}

/// Where `hf:` leads.
const HUB: &str = "https://huggingface.co/";

/// The address of `owner/name` or of a folder in it.
fn hub(name: &str) -> Option<String> {
    let is_word = |word: &str| {
        !word.is_empty() && !word.starts_with('.') && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let mut words = name.split('/');
    let (owner, model) = (words.next().filter(|word| is_word(word))?, words.next().filter(|word| is_word(word))?);
    let folder: Vec<_> = words.collect();
    if !folder.iter().all(|word| is_word(word)) {
        return None;
    }
    let folder: String = folder.iter().map(|word| format!("/{word}")).collect();
    Some(format!("{HUB}{owner}/{model}/resolve/main{folder}"))
}

/// What a file is to this page, told by its name: what is inside is told by whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A checkpoint.
    Model,
    /// A picture with the settings that made it, perhaps.
    Picture,
    /// Settings.
    Settings,
    /// A checkpoint that can run programs when it is read.
    Pickle,
    /// A checkpoint that other programs use.
    Foreign,
    /// Anything else.
    Other,
}

/// What a file of this name is.
pub fn kind(name: &str) -> Kind {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_lowercase());
    match end.as_deref() {
        Some("safetensors" | "sft") => Kind::Model,
        Some("png") => Kind::Picture,
        Some("json") => Kind::Settings,
        Some("ckpt" | "pt" | "pth" | "bin" | "pkl" | "pickle") => Kind::Pickle,
        Some("gguf" | "onnx" | "engine" | "mlmodel") => Kind::Foreign,
        _ => Kind::Other,
    }
}

/// What a model made from a file of this name is called, to begin with.
pub fn title_of(file: &str) -> String {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let words: Vec<_> = stem.split(['_', ' ']).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "My model".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        for (text, expected) in [
            ("models/demo", "models/demo"),
            (" https://a.example/m/ ", "https://a.example/m"),
            ("https://a.example/m/manifest.json", "https://a.example/m"),
            ("HTTP://localhost:8080/m", "HTTP://localhost:8080/m"),
            ("hf:owner/name", "https://huggingface.co/owner/name/resolve/main"),
            ("hf:owner/na.me-1/a/b/", "https://huggingface.co/owner/na.me-1/resolve/main/a/b"),
            ("https://huggingface.co/o/n/tree/main/x", "https://huggingface.co/o/n/resolve/main/x"),
        ] {
            assert_eq!(address(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (text, wrong) in [
            ("", WrongAddress::Empty),
            ("manifest.json", WrongAddress::Empty),
            ("hf:name", WrongAddress::Hub),
            ("hf:a/b/../c", WrongAddress::Hub),
            ("hf:a b/c", WrongAddress::Hub),
            ("javascript:alert(1)", WrongAddress::Scheme),
            ("file:///etc/passwd", WrongAddress::Scheme),
            ("data:text/plain,x", WrongAddress::Scheme),
            ("https:a", WrongAddress::Scheme),
            ("https://a.example/x.safetensors", WrongAddress::Checkpoint),
        ] {
            assert_eq!(address(text), Err(wrong), "{text}");
        }
    }

    #[test]
    fn the_list_is_what_people_write() {
        let offers = parse(r#"{"models":[{"title":"Demo","address":"models/demo","note":"for editors"}]}"#).unwrap();
        assert_eq!(offers.models[0].bytes, None);
        assert!(parse("[]").unwrap_err().contains("models.json cannot be read"));
        let wrong = parse(r#"{"models":[{"title":"Demo","address":"data:x"}]}"#).unwrap_err();
        assert!(wrong.contains("\"Demo\""), "{wrong}");
    }

    #[test]
    fn the_list_in_the_box_is_good() {
        let offers = parse(include_str!("../models.json")).unwrap();
        assert_eq!(offers.models[0].address, "models/demo");
    }

    #[test]
    fn files_are_told_by_their_names() {
        for (name, expected) in [
            ("a.SafeTensors", Kind::Model),
            ("a.png", Kind::Picture),
            ("a.b.json", Kind::Settings),
            ("v1-5.ckpt", Kind::Pickle),
            ("q4.gguf", Kind::Foreign),
            ("png", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
        assert_eq!(title_of("light_house__v2.safetensors"), "light house v2");
        assert_eq!(title_of(".safetensors"), "My model");
    }
}
