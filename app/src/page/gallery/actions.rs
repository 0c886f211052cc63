//! What can be done with a picture of this session, wherever it is shown, as soon as the gallery has it.

use leptos::prelude::*;
use phosphor_leptos::{DOWNLOAD_SIMPLE, HEART, IconWeight};

use super::Gallery;
use crate::page::widgets::{Glyph, IconButton};

/// A heart, and a button that saves the picture.
#[component]
pub fn Actions(
    /// The picture's name in events.
    name: String,
) -> impl IntoView {
    let gallery = Gallery::here();
    let id = Memo::new(move |_| gallery.named.with(|named| named.get(&name).copied()));
    let is_there = move || id.get().is_some_and(|id| gallery.record(id).is_some_and(|record| record.is_shown()));
    view! {
        <Show when=is_there>
            <Heart id />
            <IconButton
                icon=DOWNLOAD_SIMPLE
                label="Save the picture"
                on_press=move || gallery.download(id.get_untracked().into_iter().collect())
            />
        </Show>
    }
}

/// A button that makes a picture a favourite, or no longer.
#[component]
pub fn Heart(
    /// Which picture.
    #[prop(into)]
    id: Signal<Option<u64>>,
) -> impl IntoView {
    let gallery = Gallery::here();
    let is_on = Memo::new(move |_| id.get().and_then(|id| gallery.record(id)).is_some_and(|record| record.favourite));
    let label = move || if is_on.get() { "No longer a favourite" } else { "Make it a favourite" };
    let press = move |_| {
        if let Some(id) = id.get_untracked() {
            gallery.set_favourite(id, !is_on.get_untracked());
        }
    };
    view! {
        <button
            type="button"
            class="button button-icon button-quiet"
            aria-label=label
            title=label
            aria-pressed=move || if is_on.get() { "true" } else { "false" }
            on:click=press
        >
            {move || view! { <Glyph icon=HEART weight=if is_on.get() { IconWeight::Fill } else { IconWeight::Regular } /> }}
        </button>
    }
}
