//! What a model's configurations say before any network is built: enough to tell its family.

use serde_json::Value;

use super::files::{Files, LoadError, json, required_json};

/// A model in outline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// The class of pipeline that `model_index.json` names.
    pub class: String,
    /// The folders of its text encoders.
    pub encoders: Vec<String>,
    /// The non-linearity of the first text encoder.
    pub activation: String,
    /// Whether the UNet takes pooled text and sizes (`addition_embed_type` is `text_time`).
    pub takes_pooled_text: bool,
    /// The size of the pictures that it was trained on, in latents, as `[height, width]`.
    pub sample_size: Option<[usize; 2]>,
    /// Whether an empty negative prompt means zeros instead of the encoding of nothing.
    pub zeros_for_empty: bool,
}

/// The largest side, in latents, that a configuration may call usual.
const LARGEST_SAMPLE: u64 = 1024;

impl Sketch {
    /// Reads a model's configurations.
    pub fn read(files: &dyn Files) -> Result<Self, LoadError> {
        let index = required_json(files, "model_index.json")?;
        let unet = required_json(files, "unet/config.json")?;
        let folders = ["text_encoder", "text_encoder_2", "text_encoder_3"];
        let encoders: Vec<String> = folders.into_iter().filter(|&folder| names(&index, folder)).map(str::to_owned).collect();
        let activation = match encoders.first() {
            Some(folder) => json(files, &format!("{folder}/config.json"))?,
            None => None,
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self {
            class: text(index.get("_class_name")),
            encoders,
            activation: text(activation.as_ref().and_then(|config| config.get("hidden_act"))),
            takes_pooled_text: unet.get("addition_embed_type").and_then(Value::as_str) == Some("text_time"),
            sample_size: unet.get("sample_size").and_then(sample_size),
            zeros_for_empty: index.get("force_zeros_for_empty_prompt").and_then(Value::as_bool).unwrap_or(true),
        })
    }
}

/// Whether the index has a component: `["library", "Class"]`, and not `[null, null]`.
fn names(index: &Value, component: &str) -> bool {
    let class = index.get(component).and_then(|entry| entry.get(1)).and_then(Value::as_str);
    class.is_some()
}

/// A number, or height and width.
fn sample_size(value: &Value) -> Option<[usize; 2]> {
    let side = |value: &Value| value.as_u64().filter(|size| (1..=LARGEST_SAMPLE).contains(size)).map(|size| size as usize);
    match value.as_array().map(Vec::as_slice) {
        None => side(value).map(|size| [size, size]),
        Some([height, width]) => Some([side(height)?, side(width)?]),
        Some(_) => None,
    }
}
