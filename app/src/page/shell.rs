//! The frame around the panels.

use leptos::prelude::*;

use super::panels::PANELS;
use super::studio::Studio;

/// The whole page.
#[component]
pub fn Shell() -> impl IntoView {
    let studio = Studio::new();
    provide_context(studio);
    studio.open();
    PANELS.iter().map(|panel| view! { <section id=panel.id aria-label=panel.label>{(panel.view)()}</section> }).collect_view()
}
