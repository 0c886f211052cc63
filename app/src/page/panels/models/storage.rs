//! What this browser keeps: how much room there is, which models are there, and how to be rid of them.

use leptos::prelude::*;
use phosphor_leptos::{PACKAGE, TRASH};

use super::facts;
use super::family_label;
use super::sources::is_busy;
use crate::amount;
use crate::message::{Load, Place, Source, Storage, Stored};
use crate::page::studio::{Engine, Studio};
use crate::page::widgets::{Button, ButtonSize, Confirm, Glyph, IconButton};

/// The storage.
#[component]
pub fn Kept() -> impl IntoView {
    let studio = Studio::here();
    let doomed = RwSignal::new(None::<Stored>);
    let open = RwSignal::new(false);
    let forget = move || {
        if let Some(stored) = doomed.get_untracked() {
            studio.forget(&stored);
        }
    };
    let question = Signal::derive(move || {
        doomed.with(|stored| stored.as_ref().map(|stored| format!("Delete {}?", stored.title)).unwrap_or_default())
    });
    let meaning = move || {
        doomed.with(|stored| match stored {
            Some(Stored { address: Some(_), of, .. }) => {
                format!("It can be fetched again, {}. Your pictures stay.", amount::bytes(*of))
            }
            _ => "It came from a file of yours, and can be made from that again. Your pictures stay.".to_owned(),
        })
    };
    let models = move || {
        if !studio.knows_storage.get() {
            let words = match studio.engine.get() {
                Engine::Elsewhere => "What is kept is told by the engine, which another tab has.",
                Engine::Stopped(_) => "What is kept is told by the engine, which is off.",
                _ => "Asking the browser",
            };
            return view! { <p class="hint">{words}</p> }.into_any();
        }
        let storage = studio.storage.get();
        if storage.models.is_empty() {
            return view! {
                <div class="models-nothing">
                    <Glyph icon=PACKAGE />
                    <p class="hint">"Nothing yet. What you fetch or pack is kept here, so that it is there at once the next time."</p>
                </div>
            }
            .into_any();
        }
        let rows = storage.models.into_iter().map(|stored| {
            let delete = {
                let stored = stored.clone();
                move || {
                    doomed.set(Some(stored.clone()));
                    open.set(true);
                }
            };
            row(studio, stored, delete)
        });
        view! { <ul class="models-list">{rows.collect_view()}</ul> }.into_any()
    };
    view! {
        <section class="card stack" aria-labelledby="models-kept">
            <h2 id="models-kept">"Kept in this browser"</h2>
            {move || studio.knows_storage.get().then(|| studio.storage.with(room))}
            {models}
        </section>
        <Confirm open title=question verb="Delete" on_yes=forget>{meaning}</Confirm>
    }
}

/// How much room there is.
fn room(storage: &Storage) -> impl IntoView + use<> {
    let (used, quota) = (storage.used.unwrap_or_default(), storage.quota.unwrap_or_default());
    let part = if quota > 0 { (used as f64 / quota as f64).clamp(0.0, 1.0) } else { 0.0 };
    let is_full = part > 0.9;
    let words = if quota > 0 {
        format!("{} of {} used", amount::bytes(used), amount::bytes(quota))
    } else {
        "The browser does not tell how much room there is.".to_owned()
    };
    let promise = match (storage.place, storage.persistent) {
        (Place::Memory, _) => {
            "This browser stores nothing for this page (a private window, perhaps): models are gone with the tab."
        }
        (_, true) => "The browser has promised to keep it until you delete it.",
        (_, false) => "The browser may throw it away by itself when the disk is full.",
    };
    view! {
        <div class="models-room">
            <div
                class="models-meter"
                class:is-full=is_full
                role="meter"
                aria-label="Storage that is used"
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=format!("{:.0}", part * 100.0)
            >
                <div style:transform=format!("scaleX({part:.4})")></div>
            </div>
            <p class="hint figures">{words}</p>
            <p class="hint">{promise}</p>
        </div>
    }
}

/// A model that is kept, in whole or in part.
fn row(studio: Studio, stored: Stored, delete: impl Fn() + 'static) -> impl IntoView {
    let is_whole = stored.bytes >= stored.of;
    let load = Load {
        from: match &stored.address {
            Some(address) if !is_whole => Source::Address(address.clone()),
            _ => Source::Stored(stored.id.clone()),
        },
        precision: None,
        residency: None,
    };
    let size = if is_whole {
        amount::bytes(stored.bytes)
    } else {
        format!("{} of {} are here", amount::bytes(stored.bytes), amount::bytes(stored.of))
    };
    let verb = if is_whole { "Load" } else { "Resume" };
    let Stored { title, family, .. } = stored;
    let line = move || facts([if family.is_empty() { String::new() } else { family_label(studio, &family) }, size.clone()]);
    let label = format!("{verb} {title}");
    let delete_label = format!("Delete {title}");
    let name = title.clone();
    view! {
        <li class="models-row">
            <div class="models-words">
                <h3>{title}</h3>
                <p class="hint">{line}</p>
            </div>
            <div class="row models-buttons">
                <Button
                    size=ButtonSize::Small
                    disabled=is_busy(studio)
                    on_press=move || studio.look(load.clone(), None, &name)
                    attr:aria-label=label
                >
                    {verb}
                </Button>
                <IconButton size=ButtonSize::Small icon=TRASH label=delete_label disabled=is_busy(studio) on_press=delete />
            </div>
        </li>
    }
}
