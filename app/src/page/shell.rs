//! The frame around the panels: the name, the navigation, the model, and one panel at a time.

use leptos::ev;
use leptos::prelude::*;
use phosphor_leptos::{CIRCLE_HALF, CUBE, KEYBOARD, MOON, SUN};
use wasm_bindgen::JsValue;

use super::drop::DropZone;
use super::gallery::Gallery;
use super::gallery::actions::Actions;
use super::history::Prompts;
use super::maker::Maker;
use super::mark::Mark;
use super::notices::{Notices, Windows};
use super::panels::{Panel, panels};
use super::preferences::Wishes;
use super::restore;
use super::server::{Banner, SignIn};
use super::session::Session;
use super::shortcuts::Shortcuts;
use super::studio::{Engine, Model, Studio};
use super::theme::{PageTheme, Theme};
use super::title;
use super::viewer::{Viewer, ViewerWindow};
use super::widgets::{Glyph, IconButton, focus};

/// The whole page.
#[component]
pub fn Shell() -> impl IntoView {
    let studio = Studio::new();
    provide_context(studio);
    Windows::provide();
    let theme = PageTheme::provide();
    let wishes = Wishes::provide();
    Maker::provide(studio);
    Session::provide(studio);
    let viewer = Viewer::provide();
    Prompts::provide(studio, wishes);
    provide_context(Gallery::open(studio, wishes));
    viewer.add_actions(|shown| view! { <Actions name=shown.key /> }.into_any());
    restore::take(studio, theme, wishes);
    title::follow(studio);
    route(studio);
    studio.open();
    let keys = RwSignal::new(false);
    let link = move |panel: &'static Panel| {
        let is_here = move || (studio.panel.get() == panel.id).then_some("page");
        view! {
            <a class="nav-item" href=format!("#{}", panel.id) aria-current=is_here>
                <Glyph icon=panel.icon />
                <span>{panel.label}</span>
            </a>
        }
    };
    let section = move |panel: &'static Panel| {
        view! {
            <section
                id=section_id(panel.id)
                class="stage-panel"
                tabindex="-1"
                aria-label=panel.label
                hidden=move || studio.panel.get() != panel.id
            >
                {(panel.view)()}
            </section>
        }
    };
    view! {
        <header class="masthead">
            <a class="name" href="#create">
                <Mark />
                <span>"Encaustic"</span>
            </a>
            <nav class="nav" aria-label="Parts of the page">
                {panels().map(link).collect_view()}
            </nav>
            <div class="masthead-tools">
                <ModelChip />
                <ThemeButton />
                <span class="wide-only">
                    <IconButton icon=KEYBOARD label="Keys" on_press=move || keys.set(true) />
                </span>
            </div>
        </header>
        {studio.server.map(|server| view! { <Banner server /> <SignIn server /> })}
        <main class="stage">{panels().map(section).collect_view()}</main>
        <Notices />
        <Shortcuts open=keys />
        <ViewerWindow />
        <DropZone />
    }
}

/// Keeps the panel and the address's fragment the same, so that a panel has an address and "back" works.
fn route(studio: Studio) {
    let here = || location().hash().ok().and_then(|hash| panel(hash.trim_start_matches('#')));
    if let Some(panel) = here() {
        studio.panel.set(panel);
    }
    // The page lives as long as it listens.
    let _listens = window_event_listener(ev::hashchange, move |_| studio.panel.set(here().unwrap_or("create")));
    Effect::watch(
        move || studio.panel.get(),
        move |panel, _, _| {
            if here() != Some(panel) && !(here().is_none() && *panel == "create") {
                let history = window().history();
                let _ = history.map(|history| history.push_state_with_url(&JsValue::NULL, "", Some(&format!("#{panel}"))));
            }
            window().scroll_to_with_x_and_y(0.0, 0.0);
            // What is hidden now can have been focused.
            let id = section_id(panel);
            request_animation_frame(move || settle(&id));
        },
        false,
    );
}

/// Gives the focus to a panel, if it would be nowhere: whoever goes on by keys goes on there.
fn settle(id: &str) {
    let is_lost = document().active_element().is_none_or(|focused| {
        focused.tag_name().eq_ignore_ascii_case("body") || focused.closest("[hidden]").is_ok_and(|hidden| hidden.is_some())
    });
    if is_lost {
        focus(id);
        window().scroll_to_with_x_and_y(0.0, 0.0);
    }
}

fn section_id(panel: &str) -> String {
    format!("panel-{panel}")
}

fn panel(id: &str) -> Option<&'static str> {
    panels().find(|panel| panel.id == id).map(|panel| panel.id)
}

/// Which model there is, in a word; it leads to the models.
#[component]
pub fn ModelChip() -> impl IntoView {
    let studio = Studio::here();
    let words = move || match (studio.engine.get(), studio.model.get()) {
        (Engine::Elsewhere, _) => "In another tab".to_owned(),
        (Engine::Stopped(_), _) => "The engine is off".to_owned(),
        (_, Model::None) => "No model".to_owned(),
        (_, Model::Failed(_)) => "Model not loaded".to_owned(),
        (_, Model::Loading(loading)) => match loading.filter(|loading| loading.of > 0) {
            Some(loading) => format!("Loading {:.0}%", 100.0 * loading.bytes as f64 / loading.of as f64),
            None => "Loading".to_owned(),
        },
        (_, Model::Ready(loaded)) => loaded.card.title.clone().unwrap_or_else(|| {
            let wanted = studio.wanted.get();
            if wanted.is_empty() { loaded.card.family.clone() } else { wanted }
        }),
    };
    let about = move || match studio.model.get() {
        Model::Ready(loaded) if loaded.precision.is_empty() => loaded.device.clone(),
        Model::Ready(loaded) => format!("{}, {}", loaded.device, loaded.precision),
        _ => String::new(),
    };
    let is_ready = move || matches!(studio.model.get(), Model::Ready(_));
    let is_bad = move || matches!(studio.model.get(), Model::Failed(_)) || matches!(studio.engine.get(), Engine::Stopped(_));
    view! {
        <a class="model-chip" class:is-ready=is_ready class:is-bad=is_bad href="#models" title=about>
            <Glyph icon=CUBE />
            <span class="unseen">"Model: "</span>
            <span class="clip figures">{words}</span>
        </a>
    }
}

/// Goes round the themes.
#[component]
pub fn ThemeButton() -> impl IntoView {
    let PageTheme(theme) = PageTheme::here();
    let icon = Signal::derive(move || match theme.get() {
        Theme::System => CIRCLE_HALF,
        Theme::Light => SUN,
        Theme::Dark => MOON,
    });
    let label = Signal::derive(move || format!("Theme: {}", theme.get().label().to_lowercase()));
    view! { <IconButton icon label on_press=move || theme.update(|theme| *theme = theme.next()) /> }
}
