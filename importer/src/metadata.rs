//! What trainers write beside the weights: Stability AI's ModelSpec (`modelspec.*`) and kohya's notes (`ss_*`).
//!
//! All of it is a stranger's text. Nothing is believed that the tensors contradict, and what does not parse is left out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// The notes of a training, as far as they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Training {
    /// What it is called.
    pub title: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Under which terms it may be used.
    pub license: Option<String>,
    /// What it is said to be.
    pub description: Option<String>,
    /// When it was made.
    pub date: Option<String>,
    /// The words that call it up.
    pub trigger: Option<String>,
    /// The size of the pictures that it was trained on.
    pub resolution: Option<String>,
    /// The model that it was trained on.
    pub base_model: Option<String>,
    /// The trainer's module, rank and alpha.
    pub network: Option<String>,
    /// How many steps and pictures it took.
    pub effort: Option<String>,
    /// The commonest words beside its pictures, with their counts.
    pub tags: Vec<(String, u64)>,
}

/// The longest note that is shown, in characters; the metadata has them whole.
const LONGEST: usize = 300;
/// How many words are shown.
const TAGS: usize = 12;

impl Training {
    /// Picks the notes out of a file's metadata.
    pub fn read(metadata: &BTreeMap<String, String>) -> Self {
        let entry = |keys: &[&str]| {
            let found = keys.iter().filter_map(|key| metadata.get(*key)).map(|value| value.trim());
            let mut told = found.filter(|value| !value.is_empty() && *value != "None");
            told.next().map(|value| value.chars().take(LONGEST).collect::<String>())
        };
        let listed = |parts: &[(&str, &str)]| {
            let told = parts.iter().filter_map(|(name, key)| Some(format!("{name}{}", entry(&[key])?)));
            Some(told.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
        };
        Self {
            title: entry(&["modelspec.title", "ss_output_name", "name", "title"]),
            author: entry(&["modelspec.author", "author"]),
            license: entry(&["modelspec.license", "license"]),
            description: entry(&["modelspec.description", "description"]),
            date: entry(&["modelspec.date"]),
            trigger: entry(&["modelspec.trigger_phrase", "ss_trigger_words"]),
            resolution: entry(&["modelspec.resolution", "ss_resolution"]),
            base_model: entry(&["ss_sd_model_name", "ss_base_model_version", "modelspec.architecture"]),
            network: listed(&[("", "ss_network_module"), ("rank ", "ss_network_dim"), ("alpha ", "ss_network_alpha")]),
            effort: listed(&[("steps ", "ss_steps"), ("epochs ", "ss_epoch"), ("pictures ", "ss_num_train_images")]),
            tags: metadata.get("ss_tag_frequency").map(|text| tags(text)).unwrap_or_default(),
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The commonest of the words that `ss_tag_frequency` counts, folder by folder.
fn tags(text: &str) -> Vec<(String, u64)> {
    let folders: Value = serde_json::from_str(text).unwrap_or_default();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (tag, count) in folders.as_object().into_iter().flatten().filter_map(|(_, tags)| tags.as_object()).flatten() {
        let sum = counts.entry(tag.trim()).or_default();
        *sum = sum.saturating_add(count.as_u64().unwrap_or(0));
    }
    let mut counts: Vec<_> = counts.into_iter().filter(|(tag, _)| !tag.is_empty()).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let short = |tag: &str| tag.chars().take(LONGEST).collect();
    counts.into_iter().take(TAGS).map(|(tag, count)| (short(tag), count)).collect()
}
