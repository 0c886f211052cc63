//! ComfyUI's graph: the nodes that were run and how they were linked.
//!
//! There is no list of settings in it. They are looked up where the sampler's inputs lead: texts behind `positive` and
//! `negative`, the size behind `latent_image`, the checkpoint behind `model`. A graph is a stranger's: it may have
//! cycles and links to nowhere, so each way is followed for a number of steps only.

use std::collections::HashSet;

use encaustic_protocol::{Catalog, Rng, Value as Setting};
use serde_json::{Map, Value};

use super::draft::{Draft, named};
use super::{Program, RestoreError, Restored, json};

/// How many links are followed in one direction.
const FAR: usize = 64;

/// Nodes that ask for nothing beyond what is read: they show, save and carry.
const CARRIERS: &[&str] = &[
    "CLIPLoader",
    "DualCLIPLoader",
    "LoadImage",
    "MarkdownNote",
    "Note",
    "PreviewImage",
    "PrimitiveNode",
    "Reroute",
    "SaveImage",
    "ShowText|pysssss",
    "VAEDecode",
    "VAEDecodeTiled",
    "VAELoader",
];

/// Under which names nodes that hold one value hold it.
const VALUES: [&str; 9] = ["value", "Value", "text", "string", "String", "number", "int", "float", "seed"];

type Node = Map<String, Value>;

struct Graph {
    nodes: Map<String, Value>,
}

/// Reads the settings of a graph's first pass.
pub(super) fn restore(text: &str, catalog: &Catalog) -> Result<Restored, RestoreError> {
    let graph = Graph { nodes: json::object(text, Program::ComfyUi)? };
    let mut samplers = graph.samplers();
    samplers.sort_by_key(|id| (!graph.begins_empty(id), id.parse::<u64>().unwrap_or(u64::MAX)));
    let Some(&sampler) = samplers.first() else { return Err(RestoreError::NoSampler) };
    let mut draft = Draft::new(catalog);
    // ComfyUI draws its noise on the CPU.
    draft.request.rng = Rng::Cpu;
    let mut seen = HashSet::from([sampler]);
    seen.extend(samplers.iter().copied());
    if samplers.len() > 1 {
        draft.note(format!("The graph has {} samplers; the settings are those of the first.", samplers.len()));
    }
    // Newer samplers have their settings in nodes of their own.
    let around = ["noise", "guider", "sampler", "sigmas"].into_iter().filter_map(|input| graph.behind(sampler, input));
    let parts: Vec<&str> = [sampler].into_iter().chain(around).collect();
    seen.extend(parts.iter().copied());
    let setting = |names: &[&str]| parts.iter().find_map(|part| names.iter().find_map(|name| graph.value(part, name)));
    for (ours, theirs) in [("seed", &["seed", "noise_seed"][..]), ("steps", &["steps"]), ("cfg", &["cfg"])] {
        if let Some(value) = setting(theirs) {
            draft.json(ours, value);
        }
    }
    if let Some(name) = setting(&["sampler_name"]).and_then(Value::as_str) {
        draft.sampler(name);
    }
    if let Some(name) = setting(&["scheduler"]).and_then(Value::as_str) {
        draft.schedule(name);
    }
    if setting(&["denoise"]).and_then(Value::as_f64).is_some_and(|share| share < 1.0) {
        draft.note("It began from a picture (denoise below 1); here a picture begins from words alone.".to_owned());
    }
    let is_partial = setting(&["start_at_step"]).and_then(Value::as_u64).is_some_and(|step| step > 0);
    if is_partial || setting(&["add_noise"]).and_then(Value::as_str) == Some("disable") {
        draft.note("The sampler took over from another one in the middle; here all steps are taken.".to_owned());
    }
    for (sides, ours) in
        [(&["positive", "conditioning"][..], ["prompt", "prompt_2"]), (&["negative"], ["negative", "negative_2"])]
    {
        let start = parts.iter().find_map(|part| sides.iter().find_map(|side| graph.behind(part, side)));
        let Some(start) = start else { continue };
        let texts = graph.texts(start, sides, &mut seen, &mut draft);
        draft.set(ours[0], Setting::Text(texts.first));
        if let Some(second) = texts.second {
            draft.set(ours[1], Setting::Text(second));
        }
    }
    graph.latents(sampler, &mut seen, &mut draft);
    let model = parts.iter().find_map(|part| graph.behind(part, "model"));
    graph.model(model, &mut seen, &mut draft);
    for (id, node) in &graph.nodes {
        let class = class(node);
        if !seen.contains(id.as_str()) && !class.is_empty() && !CARRIERS.contains(&class) {
            draft.miss(class);
        }
    }
    Ok(draft.finish(Program::ComfyUi))
}

/// The texts behind an input.
#[derive(Default)]
struct Texts {
    first: String,
    second: Option<String>,
}

impl Graph {
    fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id)?.get("inputs")?.as_object()
    }

    fn class(&self, id: &str) -> &str {
        self.nodes.get(id).map_or("", class)
    }

    /// The node that an input is linked to.
    fn behind(&self, id: &str, input: &str) -> Option<&str> {
        self.linked(self.node(id)?.get(input)?)
    }

    /// The node that a link `["id", output]` leads to.
    fn linked(&self, link: &Value) -> Option<&str> {
        let [Value::String(id), Value::Number(_)] = link.as_array()?.as_slice() else { return None };
        self.nodes.get_key_value(id.as_str()).map(|(id, _)| id.as_str())
    }

    /// The value of an input, which may be that of a node elsewhere.
    fn value(&self, id: &str, input: &str) -> Option<&Value> {
        let mut value = self.node(id)?.get(input)?;
        for _ in 0..FAR {
            let Some(next) = self.linked(value) else {
                return Some(value).filter(|value| !value.is_array());
            };
            let node = self.node(next)?;
            value = [input].into_iter().chain(VALUES).find_map(|name| node.get(name))?;
        }
        None
    }

    fn samplers(&self) -> Vec<&str> {
        let is_sampler = |id: &str, node: &Value| {
            let class = class(node);
            let inputs = self.node(id);
            let has = |name: &str| inputs.is_some_and(|inputs| inputs.contains_key(name));
            class.starts_with("KSampler") && class != "KSamplerSelect"
                || class.starts_with("SamplerCustom")
                || has("positive") && has("steps") && has("sampler_name")
        };
        self.nodes.iter().filter(|(id, node)| is_sampler(id, node)).map(|(id, _)| id.as_str()).collect()
    }

    /// Whether a sampler starts from noise alone.
    fn begins_empty(&self, sampler: &str) -> bool {
        self.behind(sampler, "latent_image").is_some_and(|id| is_empty_latent(self.class(id)))
    }

    /// The texts from a node on, against the direction of the links.
    fn texts<'a>(&'a self, start: &'a str, sides: &[&str], seen: &mut HashSet<&'a str>, draft: &mut Draft<'_>) -> Texts {
        let mut texts = Texts::default();
        let mut parts = Vec::new();
        let mut visited = HashSet::new();
        let mut waiting = vec![start];
        while let Some(id) = waiting.pop() {
            if visited.len() >= FAR || !visited.insert(id) {
                continue;
            }
            let Some(node) = self.node(id) else { continue };
            let class = self.class(id);
            let text = |name: &str| self.value(id, name).and_then(Value::as_str).map(str::to_owned);
            let encoded = ["text", "text_l", "t5xxl", "clip_l", "prompt"].into_iter().find_map(text);
            if class == "ConditioningZeroOut" {
                seen.insert(id);
            } else if let Some(encoded) = encoded {
                seen.insert(id);
                texts.second = text("text_g").filter(|second| *second != encoded).or(texts.second);
                if !parts.contains(&encoded) {
                    parts.push(encoded);
                }
                self.sdxl(id, draft);
                self.clip(id, seen, draft);
            } else {
                let is_way = |name: &str| name.starts_with("conditioning") || sides.contains(&name);
                // The last is looked at first.
                let ways: Vec<_> =
                    node.iter().filter(|(name, _)| is_way(name)).filter_map(|(_, link)| self.linked(link)).collect();
                waiting.extend(ways.into_iter().rev());
            }
        }
        if parts.len() > 1 {
            draft.note("Several texts led the picture in one place; here they are one prompt.".to_owned());
        }
        texts.first = parts.join(", ");
        texts
    }

    /// The sizes that SDXL is told.
    fn sdxl(&self, id: &str, draft: &mut Draft<'_>) {
        if self.class(id) != "CLIPTextEncodeSDXL" {
            return;
        }
        for (theirs, ours) in [
            ("width", "original_width"),
            ("height", "original_height"),
            ("crop_w", "crop_left"),
            ("crop_h", "crop_top"),
            ("target_width", "target_width"),
            ("target_height", "target_height"),
        ] {
            if let Some(value) = self.value(id, theirs) {
                draft.json(ours, value);
            }
        }
    }

    /// What is done to the text encoder.
    fn clip<'a>(&'a self, text: &'a str, seen: &mut HashSet<&'a str>, draft: &mut Draft<'_>) {
        let mut at = self.behind(text, "clip");
        for _ in 0..FAR {
            let Some(id) = at else { return };
            if let Some(layer) = self.value(id, "stop_at_clip_layer").and_then(Value::as_i64) {
                seen.insert(id);
                draft.json("clip_skip", &Value::from(layer.unsigned_abs()));
            }
            at = self.behind(id, "clip");
        }
    }

    /// The size and what the picture began from.
    fn latents<'a>(&'a self, sampler: &'a str, seen: &mut HashSet<&'a str>, draft: &mut Draft<'_>) {
        let mut at = self.behind(sampler, "latent_image");
        for _ in 0..FAR {
            let Some(id) = at else { return };
            seen.insert(id);
            let class = self.class(id);
            if is_empty_latent(class) {
                for side in ["width", "height"] {
                    if let Some(value) = self.value(id, side) {
                        draft.json(side, value);
                    }
                }
                if let Some(count) = self.value(id, "batch_size").and_then(Value::as_u64).filter(|count| *count > 1) {
                    draft.note(format!("It was made in a batch of {count}; only the first of them has this noise here."));
                }
                return;
            }
            if class.starts_with("VAEEncode") {
                return draft.note("It began from a picture; here a picture begins from words alone.".to_owned());
            }
            at = ["samples", "latent", "latent_image"].into_iter().find_map(|input| self.behind(id, input));
        }
    }

    /// The checkpoint and what is done to it.
    fn model<'a>(&'a self, start: Option<&'a str>, seen: &mut HashSet<&'a str>, draft: &mut Draft<'_>) {
        let mut at = start;
        for _ in 0..FAR {
            let Some(id) = at else { return };
            seen.insert(id);
            if let Some(name) = ["ckpt_name", "unet_name"].into_iter().find_map(|name| self.value(id, name)?.as_str()) {
                draft.model = Some(name.to_owned());
                return;
            }
            match (self.class(id), self.value(id, "lora_name").and_then(Value::as_str)) {
                (_, Some(lora)) => draft.note(format!("The LoRA {} is not used here.", named(lora))),
                ("RescaleCFG", None) => {
                    if let Some(value) = self.value(id, "multiplier") {
                        draft.json("guidance_rescale", value);
                    }
                }
                (class, None) => draft.miss(class),
            }
            at = self.behind(id, "model");
        }
    }
}

fn class(node: &Value) -> &str {
    node.get("class_type").and_then(Value::as_str).unwrap_or("")
}

/// `EmptyLatentImage`, `EmptySD3LatentImage` and their like.
fn is_empty_latent(class: &str) -> bool {
    class.starts_with("Empty") && class.contains("Latent")
}
