//! A picture in the grid.

use leptos::ev::MouseEvent;
use leptos::prelude::*;
use phosphor_leptos::{CHECK, HEART, IconWeight};

use super::Hall;
use crate::page::gallery::Gallery;
use crate::page::gallery::url::Small;
use crate::page::widgets::Glyph;

/// How much of a prompt is read out for a picture, in characters.
const WORDS: usize = 160;

/// A picture: pressed, it is looked at, or chosen while pictures are being chosen.
#[component]
pub fn Card(
    /// Which picture.
    id: u64,
) -> impl IntoView {
    let gallery = Gallery::here();
    let hall = expect_context::<Hall>();
    let record = gallery.record_untracked(id);
    let words = record.map(|record| record.prompt.chars().take(WORDS).collect::<String>()).unwrap_or_default();
    let alt = if words.trim().is_empty() { "A picture without a prompt".to_owned() } else { words };
    let is_favourite = Memo::new(move |_| gallery.record(id).is_some_and(|record| record.favourite));
    let is_chosen = Memo::new(move |_| hall.chosen.with(|chosen| chosen.has(id)));
    let press = move |event: MouseEvent| {
        if event.shift_key() || event.ctrl_key() || event.meta_key() {
            hall.choosing.set(true);
        }
        if !hall.choosing.get_untracked() {
            hall.current.set(Some(id));
        } else if event.shift_key() {
            let shown = hall.shown.get_untracked();
            hall.chosen.update(|chosen| chosen.extend(id, &shown));
        } else {
            hall.chosen.update(|chosen| chosen.toggle(id));
        }
    };
    let heart = move || {
        let weight = if is_favourite.get() { IconWeight::Fill } else { IconWeight::Regular };
        view! { <Glyph icon=HEART weight /> }
    };
    let heart_label = move || if is_favourite.get() { "No longer a favourite" } else { "Make it a favourite" };
    let pressed = move || hall.choosing.get().then(|| if is_chosen.get() { "true" } else { "false" });
    view! {
        <li class="card-picture" class:is-chosen=is_chosen>
            <button type="button" class="card-open" aria-pressed=pressed data-picture=id.to_string() on:click=press>
                <Small id alt />
            </button>
            <Show when=move || hall.choosing.get()>
                <span class="card-mark" class:is-on=is_chosen aria-hidden="true">
                    <Glyph icon=CHECK weight=IconWeight::Bold />
                </span>
            </Show>
            <Show when=move || !hall.choosing.get()>
                <button
                    type="button"
                    class="card-heart"
                    class:is-on=is_favourite
                    aria-label=heart_label
                    title=heart_label
                    aria-pressed=move || if is_favourite.get() { "true" } else { "false" }
                    on:click=move |_| gallery.set_favourite(id, !is_favourite.get_untracked())
                >
                    {heart}
                </button>
            </Show>
        </li>
    }
}
