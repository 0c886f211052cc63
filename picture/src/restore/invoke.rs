//! InvokeAI's settings: `invokeai_metadata` since version 3, `sd-metadata` before.

use encaustic_protocol::{Catalog, Rng};
use serde_json::{Map, Value};

use super::draft::{Draft, named};
use super::{Program, RestoreError, Restored, json};

/// Settings that have one of ours to go to, in the newer form and in the older.
const SAME: &[(&str, &str)] = &[
    ("positive_prompt", "prompt"),
    ("negative_prompt", "negative"),
    ("positive_style_prompt", "prompt_2"),
    ("negative_style_prompt", "negative_2"),
    ("seed", "seed"),
    ("steps", "steps"),
    ("cfg_scale", "cfg"),
    ("cfg_rescale_multiplier", "guidance_rescale"),
    ("width", "width"),
    ("height", "height"),
];

/// What is done to a picture beyond that, told if it is there and not empty.
const BEYOND: &[(&str, &str)] = &[
    ("loras", "LoRAs"),
    ("controlnets", "ControlNets"),
    ("control_layers", "control layers"),
    ("ipAdapters", "IP adapters"),
    ("t2iAdapters", "T2I adapters"),
    ("ref_images", "reference images"),
    ("regions", "regions"),
    ("canvas_v2_metadata", "the canvas"),
    ("refiner_model", "the refiner"),
    ("vae", "another VAE"),
    ("init_image", "the picture that it began from"),
    ("hrf_enabled", "the second pass at a higher resolution"),
    ("seamless_x", "tiling"),
    ("seamless_y", "tiling"),
    ("facetool", "repaired faces"),
    ("upscale", "enlargement"),
    ("variations", "variations"),
];

/// Reads the settings.
pub(super) fn restore(text: &str, catalog: &Catalog) -> Result<Restored, RestoreError> {
    let outer = json::object(text, Program::InvokeAi)?;
    // The older form has what the picture is made of in an object within.
    let settings = outer.get("image").and_then(Value::as_object).unwrap_or(&outer);
    let mut draft = Draft::new(catalog);
    for (theirs, ours) in SAME {
        // A style that is not set is an empty text, which would mean an empty second prompt.
        if let Some(value) = settings.get(*theirs).filter(|value| value.as_str() != Some("")) {
            draft.json(ours, value);
        }
    }
    if let Some(prompt) = settings.get("prompt") {
        draft.json("prompt", &Value::String(prompt_text(prompt)));
    }
    if let Some(name) = first_text(settings, &["scheduler", "sampler"]) {
        draft.sampler(name);
        if draft.request.sampler.is_some() && draft.request.schedule.is_none() {
            draft.schedule("normal");
        }
    }
    // It counts the layers that are left out, we count the one that is read.
    if let Some(skipped) = settings.get("clip_skip").and_then(Value::as_u64).filter(|skipped| *skipped > 0) {
        draft.json("clip_skip", &Value::from(skipped.saturating_add(1)));
    }
    draft.request.rng = match settings.get("rand_device").and_then(Value::as_str) {
        None | Some("cpu") => Rng::Cpu,
        Some(_) => Rng::Nv,
    };
    draft.model = model(settings.get("model")).or_else(|| model(outer.get("model_weights")));
    for (theirs, words) in BEYOND {
        if settings.get(*theirs).is_some_and(says_something) {
            draft.miss(words);
        }
    }
    if let Some(mode) = first_text(settings, &["generation_mode"]).filter(|mode| !mode.ends_with("txt2img")) {
        draft.note(format!("It was made in the mode {}; here a picture begins from words alone.", named(mode)));
    }
    Ok(draft.finish(Program::InvokeAi))
}

/// The older form weights the parts of a prompt; here they become one text.
fn prompt_text(prompt: &Value) -> String {
    match prompt {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.get("prompt").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}

fn first_text<'a>(settings: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| settings.get(*name).and_then(Value::as_str))
}

/// A model is a name, or an object that has one.
fn model(value: Option<&Value>) -> Option<String> {
    let value = value?;
    let named = ["name", "model_name"].into_iter().find_map(|name| value.get(name).and_then(Value::as_str));
    named.or(value.as_str()).map(str::to_owned)
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}
