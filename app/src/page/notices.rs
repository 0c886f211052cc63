//! What the user is told, in a corner: good news go by themselves, bad ones stay until they are read.

use std::time::Duration;

use leptos::prelude::*;
use phosphor_leptos::{INFO, WARNING_CIRCLE, X};

use super::studio::{Notice, Studio};
use super::widgets::{Button, ButtonSize, Glyph, IconButton};

/// How long good news without a question stay.
const STAY: Duration = Duration::from_secs(8);

/// All notices, the newest below.
#[component]
pub fn Notices() -> impl IntoView {
    let studio = Studio::here();
    view! {
        <div class="notices" role="region" aria-label="Notices">
            <For each=move || studio.notices.get() key=|notice| notice.id let:notice>
                {one(studio, notice)}
            </For>
        </div>
    }
}

fn one(studio: Studio, notice: Notice) -> impl IntoView {
    let Notice { id, text, is_error, action } = notice;
    if !is_error && action.is_none() {
        set_timeout(move || studio.dismiss(id), STAY);
    }
    let action = action.map(|action| {
        let run = move || {
            studio.dismiss(id);
            action.run.run(());
        };
        view! { <Button size=ButtonSize::Small on_press=run>{action.label.clone()}</Button> }
    });
    view! {
        <div class="notice" class:is-bad=is_error role=if is_error { "alert" } else { "status" }>
            <Glyph icon=if is_error { WARNING_CIRCLE } else { INFO } />
            <div class="notice-text">
                <p>{text}</p>
                {action}
            </div>
            <IconButton icon=X label="Dismiss" size=ButtonSize::Small on_press=move || studio.dismiss(id) />
        </div>
    }
}
