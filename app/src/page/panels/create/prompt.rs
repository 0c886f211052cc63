//! What the picture shows, and what it should not show.

use std::time::Duration;

use encaustic_protocol::Param;
use leptos::prelude::*;

use crate::form;
use crate::page::history::HistoryButton;
use crate::page::maker::{Maker, control, param};
use crate::page::studio::{Engine, Studio};
use crate::page::widgets::{Field, TextArea};

/// How long nobody types before tokens are counted.
const PAUSE: Duration = Duration::from_millis(250);

/// How many tokens most models read at once.
const USUAL_CHUNK: u32 = 75;

/// Prompt and negative prompt, with their tokens.
#[component]
pub fn Prompts() -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let texts = Memo::new(move |_| studio.request.with(|request| vec![request.prompt.clone(), request.negative.clone()]));
    let chunk = Memo::new(move |_| maker.card().map(|card| card.chunk_tokens));
    let is_heard = Memo::new(move |_| studio.engine.get() == Engine::Ready);
    let mut count = debounce(PAUSE, move |texts| studio.count(texts));
    Effect::new(move || {
        let texts = texts.get();
        // A model has tokens of its own; before it is there, the worker counts with the tokenizer that most have.
        chunk.track();
        if is_heard.get() {
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
