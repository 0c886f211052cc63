//! Samplers and schedules under the names that other programs have for them.

use encaustic_protocol::{Catalog, Entry};

/// Names that the catalog does not list, because they mean something only with the program that uses them.
const SAMPLERS: &[(&str, &str)] = &[
    // InvokeAI
    ("kdpm_2", "dpm2"),
    ("kdpm_2_a", "dpm2-a"),
    ("plms", "pndm"),
    // ComfyUI: where the noise is drawn
    ("dpmpp_sde_gpu", "dpmpp-sde"),
    ("dpmpp_2m_sde_gpu", "dpmpp-2m-sde"),
    ("dpmpp_2m_sde_heun_gpu", "dpmpp-2m-sde-heun"),
    ("dpmpp_3m_sde_gpu", "dpmpp-3m-sde"),
];

/// Schedules that stand at the end of a sampler's name: A1111's before 1.9, and InvokeAI's `_k`.
const ENDINGS: &[(&str, &str)] = &[
    (" Karras", "karras"),
    (" Exponential", "exponential"),
    (" Polyexponential", "polyexponential"),
    (" SGM Uniform", "sgm-uniform"),
    ("_karras", "karras"),
    ("_k", "karras"),
];

/// The sampler that `name` means and, if it says one, the schedule: their ids.
pub fn sampler(name: &str, catalog: &Catalog) -> Option<(String, Option<String>)> {
    let name = name.trim();
    if let Some(found) = whole(name, catalog) {
        return Some((found, None));
    }
    for (ending, schedule) in ENDINGS {
        let Some(at) = name.len().checked_sub(ending.len()) else { continue };
        let (Some(front), Some(end)) = (name.get(..at), name.get(at..)) else { continue };
        if end.eq_ignore_ascii_case(ending)
            && let Some(found) = whole(front, catalog)
        {
            return Some((found, Some((*schedule).to_owned())));
        }
    }
    // Nobody knows yet which samplers there are.
    let is_plausible = catalog.samplers.is_empty() && !name.is_empty() && name.len() <= 64;
    is_plausible.then(|| {
        let ends = |ending: &str| name.to_ascii_lowercase().ends_with(&ending.to_ascii_lowercase());
        match ENDINGS.iter().find(|(ending, _)| ends(ending)) {
            Some((ending, schedule)) => {
                let front = name.get(..name.len().saturating_sub(ending.len())).unwrap_or(name);
                (front.to_owned(), Some((*schedule).to_owned()))
            }
            None => (name.to_owned(), None),
        }
    })
}

/// The schedule that `name` means: its id.
pub fn schedule(name: &str, catalog: &Catalog) -> Option<String> {
    let name = name.trim();
    let is_unknown = catalog.schedules.is_empty() && !name.is_empty() && name.len() <= 64;
    lookup(name, &catalog.schedules).or_else(|| is_unknown.then(|| name.to_owned()))
}

fn whole(name: &str, catalog: &Catalog) -> Option<String> {
    let special = SAMPLERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, id)| *id);
    lookup(special.unwrap_or(name), &catalog.samplers)
}

fn lookup(name: &str, entries: &[Entry]) -> Option<String> {
    entries.iter().find(|entry| entry.is_called(name)).map(|entry| entry.id.clone())
}
