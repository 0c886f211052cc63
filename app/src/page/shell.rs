//! The frame around the panels.

use leptos::prelude::*;

use super::drop::DropZone;
use super::panels::PANELS;
use super::studio::Studio;
use super::title;

/// The whole page.
#[component]
pub fn Shell() -> impl IntoView {
    let studio = Studio::new();
    provide_context(studio);
    title::follow(studio);
    studio.open();
    let panels = PANELS
        .iter()
        .map(|panel| view! { <section id=panel.id aria-label=panel.label>{(panel.view)()}</section> })
        .collect_view();
    view! { {panels} <DropZone/> }
}
