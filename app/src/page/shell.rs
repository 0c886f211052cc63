//! The frame around the panels: the name, the navigation, and one panel at a time.

use leptos::prelude::*;

use super::drop::DropZone;
use super::gallery::Gallery;
use super::history::Prompts;
use super::panels::PANELS;
use super::preferences::Wishes;
use super::restore;
use super::studio::Studio;
use super::theme::PageTheme;
use super::title;
use super::widgets::Glyph;

/// The whole page.
#[component]
pub fn Shell() -> impl IntoView {
    let studio = Studio::new();
    provide_context(studio);
    let theme = PageTheme::provide();
    let wishes = Wishes::provide();
    Prompts::provide(studio, wishes);
    provide_context(Gallery::open(studio, wishes));
    restore::take(studio, theme, wishes);
    title::follow(studio);
    studio.open();
    let link = move |panel: &'static super::panels::Panel| {
        let is_here = move || (studio.panel.get() == panel.id).then_some("page");
        view! {
            <a class="nav-item" href=format!("#{}", panel.id) aria-current=is_here on:click=move |_| studio.panel.set(panel.id)>
                <Glyph icon=panel.icon />
                <span>{panel.label}</span>
            </a>
        }
    };
    let section = move |panel: &'static super::panels::Panel| {
        view! {
            <section id=format!("panel-{}", panel.id) aria-label=panel.label hidden=move || studio.panel.get() != panel.id>
                {(panel.view)()}
            </section>
        }
    };
    view! {
        <header class="masthead">
            <span class="name">"Encaustic"</span>
            <nav class="nav" aria-label="Parts of the page">{PANELS.iter().map(link).collect_view()}</nav>
        </header>
        <main class="stage">{PANELS.iter().map(section).collect_view()}</main>
        <DropZone />
    }
}
