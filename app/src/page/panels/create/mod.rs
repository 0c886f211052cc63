//! Where pictures are made: the form, the picture that is coming, and those of this session.

pub mod control;
pub mod easel;
pub mod prompt;
pub mod queue;
pub mod run;
pub mod seed;
pub mod size;
pub mod strip;
pub mod welcome;

use encaustic_protocol::{PARAMS, Param};
use leptos::prelude::*;
use phosphor_leptos::CARET_RIGHT;

use crate::form::{self, Place};
use crate::page::maker::Maker;
use crate::page::widgets::Glyph;
use control::Control;
use easel::Easel;
use prompt::Prompts;
use queue::Queue;
use run::Run;
use seed::Seed;
use size::Size;
use strip::Strip;

/// The panel.
#[component]
pub fn Create() -> impl IntoView {
    let settings = PARAMS.iter().filter(|param| form::place(param) == Place::Main);
    let form = view! {
        <div class="form">
            <Prompts />
            <Size />
            <div class="form-pair">{settings.map(|param| view! { <Control param /> }).collect_view()}</div>
            <Seed />
            <Advanced />
        </div>
        <Run />
    };
    let easel = view! { <Easel /> };
    let session = view! {
        <aside class="session" aria-label="This session">
            <Queue />
            <Strip />
        </aside>
    };
    // The keyboard goes as the eye does. A window that is made narrower later keeps its order.
    let parts = if is_narrow() { (easel, session, form).into_any() } else { (form, easel, session).into_any() };
    view! {
        <div class="create">
            <h1 class="unseen">"Create"</h1>
            {parts}
        </div>
    }
}

/// Whether the parts are below each other, the picture first, as `create.css` has it on phones.
fn is_narrow() -> bool {
    let query = window().match_media("(max-width: 759px)");
    query.ok().flatten().is_some_and(|query| query.matches())
}

/// The settings that few need.
#[component]
pub fn Advanced() -> impl IntoView {
    let maker = Maker::here();
    let family = Memo::new(move |_| maker.card().map(|card| card.family).unwrap_or_default());
    let is_here = |param: &&'static Param, family: &str| form::place(param) == Place::Advanced && form::is_for(param, family);
    let controls = move || {
        let family = family.get();
        PARAMS.iter().filter(|param| is_here(param, &family)).map(|param| view! { <Control param /> }).collect_view()
    };
    let expanded = move || if maker.advanced.get() { "true" } else { "false" };
    view! {
        <div class="fold" class:is-open=move || maker.advanced.get()>
            <button
                type="button"
                class="fold-head"
                aria-expanded=expanded
                aria-controls="advanced"
                on:click=move |_| maker.advanced.update(|is_open| *is_open = !*is_open)
            >
                <Glyph icon=CARET_RIGHT />
                "Advanced"
            </button>
            <div id="advanced" class="form-pair" hidden=move || !maker.advanced.get()>
                {controls}
            </div>
        </div>
    }
}
