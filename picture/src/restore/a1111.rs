//! A1111's settings, and ours, which are written in the same words.

use encaustic_protocol::{Catalog, Rng, Value};

use super::draft::{Draft, named};
use super::{Program, Restored};
use crate::infotext::Infotext;

/// Settings that have one of ours to go to.
const SAME: &[(&str, &str)] = &[
    ("Steps", "steps"),
    ("CFG scale", "cfg"),
    ("Seed", "seed"),
    ("Clip skip", "clip_skip"),
    ("Eta", "eta"),
    ("Eta DDIM", "eta"),
    ("Guidance rescale", "guidance_rescale"),
    ("Prompt 2", "prompt_2"),
    ("Negative prompt 2", "negative_2"),
];

/// Facts about the picture that ask for nothing.
const FACTS: &[&str] = &[
    "Version",
    "Model hash",
    "VAE hash",
    "Hashes",
    "User",
    "Created Date",
    "Batch size",
    "Batch pos",
    "Time taken",
    "Lora hashes",
    "TI hashes",
    "Emphasis",
    "Civitai resources",
    "Civitai metadata",
];

/// Reads the settings that a text holds.
pub(super) fn restore(info: &Infotext, catalog: &Catalog) -> Restored {
    let is_ours = info.get("Version").is_some_and(|version| version.starts_with("encaustic"));
    let mut draft = Draft::new(catalog);
    draft.set("prompt", Value::Text(info.prompt.clone()));
    draft.set("negative", Value::Text(info.negative.clone()));
    // Before 1.9 there was no such setting; then the sampler's name told, and a plain name meant even steps.
    let scheduled = info.get("Schedule type");
    // A1111 draws noise on the graphics card unless it says otherwise.
    draft.request.rng = if is_ours || info.settings.is_empty() { Rng::Cpu } else { Rng::Nv };
    for (name, value) in &info.settings {
        match name.as_str() {
            "Sampler" => draft.sampler(value),
            // Further down: it has the last word.
            "Schedule type" => {}
            "Size" => size(&mut draft, value),
            "Model" => draft.model = Some(value.clone()),
            "RNG" => rng(&mut draft, value),
            "Seed" if value.trim() == "-1" => {}
            name => match SAME.iter().find(|(known, _)| *known == name) {
                Some((_, id)) => draft.parse(id, value),
                None if FACTS.contains(&name) => {}
                None => draft.miss(name),
            },
        }
    }
    match scheduled {
        Some(name) => draft.schedule(name),
        None if draft.request.sampler.is_some() && draft.request.schedule.is_none() => {
            let is_solver = draft.request.sampler.as_deref().is_some_and(|name| name.starts_with("dpm"));
            draft.schedule(if is_solver { "normal" } else { "automatic" });
        }
        None => {}
    }
    for (kind, what) in [("<lora:", "LoRAs"), ("<lyco:", "LyCORIS adapters"), ("<hypernet:", "hypernetworks")] {
        if info.prompt.contains(kind) {
            draft.note(format!("The prompt names {what} ({}...>), which are not used here; take them out of it.", kind));
        }
    }
    if info.settings.is_empty() {
        draft.note("The picture tells its prompt only.".to_owned());
    }
    draft.finish(if is_ours { Program::Encaustic } else { Program::A1111 })
}

fn size(draft: &mut Draft<'_>, value: &str) {
    match value.split_once('x') {
        Some((width, height)) => {
            draft.parse("width", width);
            draft.parse("height", height);
        }
        None => draft.note(format!("Not taken over: the size {}.", named(value))),
    }
}

fn rng(draft: &mut Draft<'_>, value: &str) {
    draft.request.rng = match value.to_ascii_lowercase().as_str() {
        "cpu" => Rng::Cpu,
        "nv" | "gpu" => Rng::Nv,
        _ => {
            return draft
                .note(format!("Whose random numbers {} means is not known here; torch's on the CPU are used.", named(value)));
        }
    };
}
