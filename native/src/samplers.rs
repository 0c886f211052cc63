//! `encaustic samplers`: the names that `--sampler` and `--schedule` take.

use encaustic_engine::catalog::catalog;
use encaustic_protocol::Entry;
use serde_json::json;

use crate::failure::Failure;
use crate::terminal;

/// Prints all samplers and schedules.
///
/// # Errors
/// If the output cannot be written.
pub fn run(json: bool) -> Result<(), Failure> {
    let catalog = catalog();
    if json {
        return terminal::tell(json!({"samplers": catalog.samplers, "schedules": catalog.schedules}));
    }
    terminal::tell(list("Samplers (--sampler):", &catalog.samplers))?;
    terminal::tell(list("Schedules (--schedule):", &catalog.schedules))?;
    terminal::tell("Case, spaces, hyphens and underscores do not matter: `DPM++ 2M`, `dpm++_2m` and `dpmpp-2m` are one.")
}

fn list(title: &str, entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0);
    let mut text = format!("{title}\n");
    for entry in entries {
        text += &format!("  {:width$}  {}\n", entry.id, entry.label);
        if !entry.help.is_empty() {
            text += &format!("  {:width$}  {}\n", "", entry.help);
        }
        if !entry.aliases.is_empty() {
            text += &format!("  {:width$}  also: {}\n", "", entry.aliases.join(", "));
        }
    }
    text
}
