//! What the user is told, in a corner: good news go by themselves, bad ones stay until they are read.
//!
//! While a window is open over the page, nothing else can be seen or pressed: so each window has a place for notices too, and they
//! are in the topmost one.

use std::time::Duration;

use leptos::prelude::*;
use phosphor_leptos::{INFO, WARNING_CIRCLE, X};

use super::studio::{Notice, Studio};
use super::widgets::{Button, ButtonSize, Glyph, IconButton, unique};

/// How long good news without a question stay.
const STAY: Duration = Duration::from_secs(8);

/// The windows that are open over the page, the topmost last. It is copied like a number.
#[derive(Clone, Copy)]
pub struct Windows(RwSignal<Vec<String>>);

impl Windows {
    /// None is open yet; put where components find it.
    pub fn provide() {
        provide_context(Self(RwSignal::new(Vec::new())));
    }

    fn close(self, name: &str) {
        // The page may be going.
        let _ = self.0.try_update(|open| open.retain(|known| known != name));
    }
}

/// All notices, the newest below, where the user is: in the page, or in the window that has this place.
#[component]
pub fn Notices(
    /// Whether the window is open that this place is in; the page itself has none.
    #[prop(optional, into)]
    window: Option<Signal<bool>>,
) -> impl IntoView {
    let studio = Studio::here();
    let windows = expect_context::<Windows>();
    let name = unique("notices");
    if let Some(window) = window {
        let name = name.clone();
        let gone = name.clone();
        Effect::new(move || {
            windows.close(&name);
            if window.get() {
                windows.0.update(|open| open.push(name.clone()));
            }
        });
        on_cleanup(move || windows.close(&gone));
    }
    let is_here =
        Memo::new(move |_| windows.0.with(|open| if window.is_some() { open.last() == Some(&name) } else { open.is_empty() }));
    view! {
        <Show when=move || is_here.get()>
            <div class="notices" role="region" aria-label="Notices">
                <For each=move || studio.notices.get() key=|notice| notice.id let:notice>
                    {one(studio, notice)}
                </For>
            </div>
        </Show>
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
