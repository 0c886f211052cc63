//! The model that is there, or on its way.

use leptos::prelude::*;
use phosphor_leptos::{ARROW_CLOCKWISE, STOP};

use super::{facts, family_label};
use crate::amount::{self, Pace};
use crate::message::{LoadStage, Loaded, Loading, Residency};
use crate::page::maker::Maker;
use crate::page::studio::{Engine, Model, Studio, sentence};
use crate::page::widgets::{Button, ButtonSize, ProgressBar, Tone};

/// The card at the top of the panel.
#[component]
pub fn Now() -> impl IntoView {
    let studio = Studio::here();
    // Progress comes many times a second: the card is built anew only when something else begins.
    let kind = Memo::new(move |_| match (studio.engine.get(), studio.model.with(Kind::of)) {
        (Engine::Elsewhere, _) => Kind::Elsewhere,
        (Engine::Stopped(why), _) => Kind::Stopped(why),
        (_, kind) => kind,
    });
    move || {
        match kind.get() {
        Kind::Elsewhere => view! {
            <section class="card stack" aria-label="The engine">
                <h2>"At work in another tab"</h2>
                <p class="quiet">
                    "One tab at a time has the engine, as two would share one graphics card's memory. Your pictures and settings are here \
                     as well."
                </p>
                <div class="row">
                    <Button tone=Tone::Primary on_press=move || studio.use_here()>"Use it here"</Button>
                </div>
            </section>
        }
        .into_any(),
        Kind::Stopped(why) => view! {
            <section class="card stack" aria-label="The engine">
                <h2>"The engine is off"</h2>
                <p class="models-bad">{sentence(&why)}</p>
                <div class="row">
                    <Button tone=Tone::Primary icon=ARROW_CLOCKWISE on_press=move || studio.try_again()>"Try again"</Button>
                </div>
            </section>
        }
        .into_any(),
        Kind::Loading => view! { <Coming /> }.into_any(),
        Kind::Ready(loaded) => ready(studio, &loaded).into_any(),
        Kind::Failed(message) => view! {
            <section class="card stack" aria-label="The model">
                <h2>"It could not be loaded"</h2>
                <p class="models-bad">{sentence(&message)}</p>
            </section>
        }
        .into_any(),
        Kind::None => view! {
            <section class="card models-none" aria-label="The model">
                <p class="quiet">"No model is loaded. Take one from the list, or bring your own."</p>
            </section>
        }
        .into_any(),
    }
    }
}

/// What the card is about.
#[derive(Clone, PartialEq)]
enum Kind {
    Elsewhere,
    Stopped(String),
    Loading,
    Ready(Box<Loaded>),
    Failed(String),
    None,
}

impl Kind {
    fn of(model: &Model) -> Self {
        match model {
            Model::None => Self::None,
            Model::Loading(_) => Self::Loading,
            Model::Ready(loaded) => Self::Ready(loaded.clone()),
            Model::Failed(failure) => Self::Failed(failure.message.clone()),
        }
    }
}

/// A model that is on its way.
#[component]
fn Coming() -> impl IntoView {
    let studio = Studio::here();
    let loading = Memo::new(move |_| match studio.model.get() {
        Model::Loading(loading) => loading,
        _ => None,
    });
    let stage = Memo::new(move |_| loading.get().map(|loading| loading.stage));
    let pace = StoredValue::new(Pace::default());
    let begun = StoredValue::new(None);
    let figures = move || {
        let Some(Loading { stage, bytes, of }) = loading.get() else { return String::new() };
        if begun.get_value() != Some(stage) {
            begun.set_value(Some(stage));
            pace.set_value(Pace::default());
        }
        pace.update_value(|pace| pace.see(js_sys::Date::now() / 1000.0, bytes));
        if stage == LoadStage::Device {
            return String::new();
        }
        let (speed, left) = pace.with_value(|pace| (pace.speed(), pace.left(of)));
        facts([
            format!("{} of {}", amount::bytes(bytes), amount::bytes(of)),
            speed.map(|speed| format!("{}/s", amount::bytes(speed as u64))).unwrap_or_default(),
            left.map(|left| format!("{} left", amount::seconds(left))).unwrap_or_default(),
        ])
    };
    let part = Signal::derive(move || match loading.get() {
        Some(Loading { stage: LoadStage::Device, .. }) | None => None,
        Some(Loading { bytes, of, .. }) => (of > 0).then(|| bytes as f64 / of as f64),
    });
    let maker = Maker::here();
    let is_deaf = studio.is_deaf();
    let stage = move || match stage.get() {
        None => "Getting ready",
        Some(LoadStage::Files) => "Getting its files, and checking them",
        Some(LoadStage::Device) => "Opening the graphics device, which takes a while the first time",
        Some(LoadStage::Weights) => "Bringing it to the graphics card",
    };
    let title = move || studio.wanted.with(|title| if title.is_empty() { "The model".to_owned() } else { title.clone() });
    view! {
        <section class="card stack" aria-label="The model">
            <div class="row spread models-title">
                <h2>{title}</h2>
                <Button size=ButtonSize::Small icon=STOP disabled=is_deaf on_press=move || maker.stop_load()>
                    "Stop"
                </Button>
            </div>
            <ProgressBar label="Loading the model" value=part />
            <div class="row spread hint">
                <span aria-live="polite">{stage}</span>
                <span class="figures">{figures}</span>
            </div>
        </section>
    }
}

/// The model that is there.
fn ready(studio: Studio, loaded: &Loaded) -> impl IntoView + use<> {
    let title = loaded.card.title.clone().unwrap_or_else(|| studio.wanted.get_untracked());
    let title = if title.is_empty() { "Your model".to_owned() } else { title };
    let family = loaded.card.family.clone();
    let about = facts([amount::bytes(loaded.bytes), loaded.card.license.clone().unwrap_or_default()]);
    let device = facts([loaded.device.clone(), loaded.precision.clone()]);
    let residency = match loaded.residency {
        Residency::All => "all of it in graphics memory",
        Residency::InTurn => "one network at a time in graphics memory",
    };
    let seconds = loaded.seconds.files + loaded.seconds.device + loaded.seconds.model;
    let took = format!("loaded in {}", amount::seconds(seconds));
    view! {
        <section class="card stack" aria-label="The model">
            <div class="row spread models-title">
                <h2>{title}</h2>
                <span class="badge badge-good">"Loaded"</span>
            </div>
            <p class="quiet">{move || facts([family_label(studio, &family), about.clone()])}</p>
            <p class="hint">{facts([device, residency.to_owned(), took])}</p>
            <div class="row">
                <Button tone=Tone::Primary on_press=move || studio.panel.set("create")>"Make a picture"</Button>
            </div>
        </section>
    }
}
