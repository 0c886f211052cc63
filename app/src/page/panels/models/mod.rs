//! Models: which one is there, where others come from, and what this browser keeps of them.

pub mod library;
pub mod look;
pub mod now;
pub mod packing;
pub mod sources;
pub mod storage;

use leptos::prelude::*;

use crate::page::studio::Studio;

use library::{Fetch, Library};
use look::LookDialog;
use now::Now;
use packing::PackingCard;
use sources::Sources;
use storage::Kept;

/// The panel.
#[component]
pub fn Models() -> impl IntoView {
    if let Some(server) = Studio::here().server {
        return view! {
            <div class="models">
                <header class="models-head">
                    <h1>"Models"</h1>
                    <p class="quiet">"They lie on the server's disk. The one in use is brought to a device when a picture wants it."</p>
                </header>
                <div class="models-main stack">
                    <Library server />
                </div>
                <aside class="models-side" aria-label="Models to come">
                    <Fetch server />
                </aside>
            </div>
        }
        .into_any();
    }
    view! {
        <div class="models">
            <header class="models-head">
                <h1>"Models"</h1>
                <p class="quiet">"A model is fetched once, kept in this browser, and runs on your own graphics card."</p>
            </header>
            <div class="models-main stack">
                <Now />
                <PackingCard />
                <Sources />
            </div>
            <aside class="models-side" aria-label="What this browser keeps">
                <Kept />
            </aside>
            <LookDialog />
        </div>
    }
    .into_any()
}

/// What people call a family; nothing while the engine has not told its names.
fn family_label(studio: Studio, id: &str) -> String {
    studio.catalog.with(|catalog| {
        let entry = catalog.families.iter().find(|family| family.id == id);
        let unknown = || if catalog.families.is_empty() { String::new() } else { id.to_owned() };
        entry.map_or_else(unknown, |family| family.label.clone())
    })
}

/// Facts side by side, those that are there.
fn facts(facts: impl IntoIterator<Item = String>) -> String {
    let facts: Vec<_> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    facts.join(" \u{b7} ")
}
