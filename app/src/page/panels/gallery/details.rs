//! What is known of a picture, and what can be done with it.

use std::sync::Arc;

use encaustic_picture::infotext::Infotext;
use encaustic_protocol::Request;
use leptos::prelude::*;
use phosphor_leptos::{ARROW_U_UP_LEFT, CLIPBOARD_TEXT, COPY};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::Hall;
use crate::gallery::Record;
use crate::page::gallery::Gallery;
use crate::page::restore;
use crate::page::studio::Studio;
use crate::page::widgets::{Button, ButtonSize, IconButton, Tone};

/// What is told elsewhere, or to nobody.
const HIDDEN: &[&str] = &["Seed", "Size", "Model", "Version"];

/// The prompts, the settings, and the way back into the form.
#[component]
pub fn Details(
    /// The panel.
    hall: Hall,
    /// The picture.
    record: Arc<Record>,
) -> impl IntoView {
    let (studio, gallery) = (Studio::here(), Gallery::here());
    let id = record.id;
    let send = move |with_seed: bool| {
        spawn_local(async move {
            let record = match gallery.whole(id).await {
                Ok(record) => record,
                Err(message) => return studio.complain(message),
            };
            let whole = studio.catalog.with_untracked(|catalog| record.request(catalog));
            let (request, text) = if with_seed {
                (whole, "The picture's settings are in the form, with its seed.")
            } else {
                (Request { seed: None, ..whole }, "The picture's settings are in the form, with a new seed each time.")
            };
            hall.current.set(None);
            restore::fill(studio, request, text.to_owned());
        });
    };
    let made_at = js_sys::Date::new(&JsValue::from_f64(record.made_at as f64)).to_locale_string("default", &JsValue::UNDEFINED);
    let info = Infotext::parse(&record.parameters);
    let mut rows: Vec<(String, String)> = vec![
        ("Seed".to_owned(), record.seed.to_string()),
        ("Size".to_owned(), format!("{} \u{d7} {}", record.width, record.height)),
    ];
    rows.extend(record.model.clone().map(|model| ("Model".to_owned(), model)));
    rows.extend(info.settings.into_iter().filter(|(name, _)| !HIDDEN.contains(&name.as_str())));
    rows.push(("Made".to_owned(), String::from(made_at)));
    let row = |(name, value): (String, String)| {
        view! {
            <div class="facts-row">
                <dt>{name}</dt>
                <dd class="figures">{value}</dd>
            </div>
        }
    };
    let parameters = record.parameters.clone();
    let prompt = record.prompt.clone();
    let negative = (!record.negative.is_empty()).then(|| {
        view! {
            <div class="facts-text">
                <h3>"Negative prompt"</h3>
                <p>{record.negative.clone()}</p>
            </div>
        }
    });
    view! {
        <div class="facts-text">
            <div class="row spread">
                <h3>"Prompt"</h3>
                <IconButton
                    icon=COPY
                    label="Copy the prompt"
                    size=ButtonSize::Small
                    on_press={
                        let prompt = prompt.clone();
                        move || copy(studio, prompt.clone(), "The prompt is copied.")
                    }
                />
            </div>
            <p class="facts-prompt">{if prompt.is_empty() { "(none)".to_owned() } else { prompt }}</p>
        </div>
        {negative}
        <dl class="facts">{rows.into_iter().map(row).collect_view()}</dl>
        <div class="facts-actions">
            <Button tone=Tone::Primary icon=ARROW_U_UP_LEFT on_press=move || send(false)>"Use these settings"</Button>
            <Button on_press=move || send(true)>"With its seed"</Button>
            <Button
                tone=Tone::Quiet
                icon=CLIPBOARD_TEXT
                disabled=parameters.is_empty()
                on_press=move || copy(studio, parameters.clone(), "The settings are copied as text.")
            >
                "Copy as text"
            </Button>
        </div>
    }
}

/// Puts a text into the clipboard, and says so.
fn copy(studio: Studio, text: String, done: &'static str) {
    // It is missing where the page did not come over HTTPS.
    let navigator = window().navigator();
    let is_there = js_sys::Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|clipboard| clipboard.is_object());
    if !is_there {
        return studio.complain("this browser gives the page no clipboard: open it over https, or select the text and copy it");
    }
    let promise = navigator.clipboard().write_text(&text);
    spawn_local(async move {
        match JsFuture::from(promise).await {
            Ok(_) => studio.say(done),
            Err(_) => studio.complain("the browser did not let the page copy: select the text and copy it"),
        }
    });
}
