//! What the picture shows, and what it should not show.

use std::time::Duration;

use encaustic_protocol::Param;
use leptos::prelude::*;

use crate::form;
use crate::page::history::HistoryButton;
use crate::page::maker::{Maker, control, param};
use crate::page::studio::{Engine, Studio};
use crate::page::widgets::{Field, TextArea};

/// Tokens that a text encoder takes at once, by itself: CLIP's, which all models here have.
const USUAL_CHUNK: u32 = 75;

/// How long nobody types before tokens are counted.
const PAUSE: Duration = Duration::from_millis(250);

/// Prompt and negative prompt, with their tokens.
#[component]
pub fn Prompts() -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let texts = Memo::new(move |_| studio.request.with(|request| vec![request.prompt.clone(), request.negative.clone()]));
    // Without a model the engine counts by CLIP's own vocabulary.
    let is_counted = Memo::new(move |_| studio.engine.get() == Engine::Ready);
    let usual = move || is_counted.get().then_some(USUAL_CHUNK);
    let card = Memo::new(move |_| maker.card());
    let chunk = Memo::new(move |_| card.with(|card| card.as_ref().map(|card| card.chunk_tokens)).or_else(usual));
    let mut count = debounce(PAUSE, move |texts| studio.count(texts));
    Effect::new(move || {
        let texts = texts.get();
        // A model may have a vocabulary of its own, so that each is asked.
        card.track();
        if chunk.get().is_some() {
            count(texts);
        }
    });
    let prompt = param("prompt").map(|param| {
        let tokens = Memo::new(move |_| studio.tokens.get().0);
        one(maker, param, "A lighthouse above the sea at dusk, oil painting", 4, tokens, chunk)
    });
    let negative = param("negative").map(|param| {
        let tokens = Memo::new(move |_| studio.tokens.get().1);
        one(maker, param, "Blurry, low quality", 2, tokens, chunk)
    });
    view! { <div class="prompts">{prompt} {negative}</div> }
}

fn one(
    maker: Maker,
    param: &'static Param,
    placeholder: &'static str,
    rows: u32,
    tokens: Memo<u32>,
    chunk: Memo<Option<u32>>,
) -> impl IntoView {
    let aside = move || {
        let count = move || {
            let tokens = tokens.get();
            // Without a model, only what has been counted is told.
            let chunk = chunk.get().or((tokens > 0).then_some(USUAL_CHUNK)).filter(|chunk| *chunk > 0)?;
            let parts = tokens.div_ceil(chunk).max(1);
            let label = format!("{tokens} of {} tokens", parts * chunk);
            let title = (parts > 1).then(|| format!("The prompt is read in {parts} parts of {chunk} tokens."));
            Some(view! { <span class="figures" aria-label=label title=title>{format!("{tokens} / {}", parts * chunk)}</span> })
        };
        view! { {count} {(param.id == "prompt").then(|| view! { <HistoryButton /> })} }
    };
    view! {
        <Field id=control(param) label=form::title(param) error=Memo::new(move |_| maker.fault(param)) aside>
            <TextArea
                id=control(param)
                rows
                placeholder=placeholder.to_owned()
                value=Memo::new(move |_| maker.text(param))
                invalid=Memo::new(move |_| maker.fault(param).is_some())
                on_text=move |text| maker.typed(param, text)
            />
        </Field>
    }
}
