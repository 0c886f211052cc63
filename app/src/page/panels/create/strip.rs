//! The pictures of this session in small, the newest first.

use leptos::prelude::*;

use crate::page::maker::Maker;
use crate::page::pixels::PixelCanvas;
use crate::page::session::{Made, Session};

/// The strip; nothing while there are no pictures.
#[component]
pub fn Strip() -> impl IntoView {
    let (maker, session) = (Maker::here(), Session::here());
    let at = Memo::new(move |_| {
        let newest = || session.newest().filter(|_| maker.busy().is_none()).map(|made| made.image.name);
        maker.shown.get().or_else(newest)
    });
    let one = move |made: Made| {
        let name = made.image.name.clone();
        let alt = made.alt();
        let label = format!("Show: {alt}");
        let is_shown = {
            let name = name.clone();
            move || if at.get().as_ref() == Some(&name) { "true" } else { "false" }
        };
        let pixels = Signal::derive_local(move || Some(made.pixels.clone()));
        view! {
            <button
                type="button"
                class="thumb"
                aria-label=label
                aria-pressed=is_shown
                on:click=move |_| maker.shown.set(Some(name.clone()))
            >
                <PixelCanvas pixels alt />
            </button>
        }
    };
    view! {
        <section class="strip" aria-label="Pictures of this session" hidden=move || session.all().is_empty()>
            <h2 class="side-title">"This session"</h2>
            <div class="strip-list">
                <For each=move || session.all() key=|made| made.image.name.clone() let:made>
                    {one(made)}
                </For>
            </div>
        </section>
    }
}
