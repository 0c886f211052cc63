//! What stands where the picture will be, before there is one.

use encaustic_protocol::Failure;
use leptos::prelude::*;
use phosphor_leptos::{CUBE, WARNING_CIRCLE};

use crate::amount;
use crate::page::maker::{DEMO_BYTES, Maker};
use crate::page::mark::Mark;
use crate::page::studio::{Studio, sentence};
use crate::page::webgpu;
use crate::page::widgets::{Button, Empty, Tone};

/// What the model in the box draws well.
const EXAMPLES: &[&str] =
    &["a house on a hill at night with a moon", "three yellow stars on a blue background", "a red circle above a blue square"];

/// What the model in the box is called by its own manifest.
const DEMO_MODEL: &str = "Encaustic's model in the box";

/// On a first visit: what this is, and a picture to begin with.
#[component]
pub fn Welcome() -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    if let Some(why) = webgpu::obstacle() {
        let why = why.into_iter().map(|sentence| view! { <p>{sentence}</p> }).collect_view();
        return view! {
            <Empty icon=WARNING_CIRCLE title="It needs a browser with WebGPU">{why}</Empty>
        }
        .into_any();
    }
    if studio.server.is_some() {
        return view! {
            <div class="empty welcome">
                <Mark />
                <h2>"Pictures from words, made on your own machine"</h2>
                <p>"The server behind this page draws them on its own devices, and keeps them. Nothing is sent anywhere else."</p>
                <Examples />
                <Button tone=Tone::Quiet icon=CUBE on_press=move || studio.panel.set("models")>"Models"</Button>
            </div>
        }
        .into_any();
    }
    let cost = move || {
        if maker.has_demo() {
            "The small model is in this browser already.".to_owned()
        } else {
            format!("The first one fetches a small model, {}, once.", amount::bytes(DEMO_BYTES))
        }
    };
    view! {
        <div class="empty welcome">
            <Mark />
            <h2>"Pictures from words, made on your own machine"</h2>
            <p>
                "The whole model runs in this tab, on your graphics card. What you write and what you make stays here: nothing is sent anywhere."
            </p>
            <Examples />
            <p class="hint">
                {cost} " It draws simple shapes and landscapes; larger models come from an address or a file of yours."
            </p>
            <Button tone=Tone::Quiet icon=CUBE on_press=move || studio.panel.set("models")>"Other models"</Button>
        </div>
    }
    .into_any()
}

/// Prompts to begin with: a press makes the picture.
#[component]
pub fn Examples() -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let example = move |text: &'static str| {
        let press = move || {
            studio.request.update(|request| request.prompt = text.to_owned());
            maker.generate();
        };
        view! {
            <li>
                <Button on_press=press>{text}</Button>
            </li>
        }
    };
    view! { <ul class="examples" aria-label="Prompts to begin with">{EXAMPLES.iter().copied().map(example).collect_view()}</ul> }
}

/// A model is there, a picture not yet.
#[component]
pub fn Ready() -> impl IntoView {
    let maker = Maker::here();
    let is_demo = Memo::new(move |_| maker.card().is_some_and(|card| card.title.as_deref() == Some(DEMO_MODEL)));
    view! {
        <div class="empty welcome">
            <Mark />
            <h2>"Describe a picture"</h2>
            <p>"Say what it shows, then press Generate or Ctrl+Enter."</p>
            {move || is_demo.get().then(|| view! { <Examples /> })}
        </div>
    }
}

/// A model could not be had.
#[component]
pub fn Failed(
    /// Why.
    failure: Failure,
) -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let explanation = webgpu::obstacle().map(|why| why.into_iter().map(|line| view! { <p>{line}</p> }).collect_view());
    view! {
        <Empty icon=WARNING_CIRCLE title="The model could not be loaded">
            <p role="alert">{sentence(&failure.message)}</p>
            {explanation}
            <div class="row">
                <Button icon=CUBE on_press=move || studio.panel.set("models")>"Choose a model"</Button>
                <Button tone=Tone::Quiet on_press=move || maker.load_demo()>"Load the small model"</Button>
            </div>
        </Empty>
    }
}
