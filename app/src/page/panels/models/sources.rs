//! Where models come from: the page's list, an address, a file of the user's.

use leptos::prelude::*;
use phosphor_leptos::HARD_DRIVES;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{HtmlInputElement, Response};

use super::{facts, family_label};
use crate::amount;
use crate::message::{Load, Source};
use crate::offers::{self, Offer, Offers};
use crate::page::drop;
use crate::page::studio::{Engine, Model, Studio, is_of, sentence};
use crate::page::widgets::{Button, Field, Tone};

/// The three ways.
#[component]
pub fn Sources() -> impl IntoView {
    view! {
        <Listed />
        <div class="models-own">
            <FromAddress />
            <FromFile />
        </div>
    }
}

/// A load of what lies at an address, as the device suggests.
fn at(address: String) -> Load {
    Load { from: Source::Address(address), precision: None, residency: None }
}

/// The page's own list.
#[component]
fn Listed() -> impl IntoView {
    let studio = Studio::here();
    let list = RwSignal::new(None::<Result<Offers, String>>);
    spawn_local(async move { list.set(Some(read().await)) });
    let body = move || match list.get() {
        None => view! { <p class="hint">"Reading the list"</p> }.into_any(),
        Some(Err(why)) => view! { <p class="models-bad">{sentence(&why)}</p> }.into_any(),
        Some(Ok(offers)) if offers.models.is_empty() => view! { <p class="hint">"This page lists no models."</p> }.into_any(),
        Some(Ok(offers)) => {
            let rows = offers.models.into_iter().map(|offer| view! { <Row offer studio /> }).collect_view();
            view! { <ul class="models-list">{rows}</ul> }.into_any()
        }
    };
    view! {
        <section class="card stack" aria-labelledby="models-listed">
            <h2 id="models-listed">"Ready to fetch"</h2>
            {body}
        </section>
    }
}

/// One of the list.
#[component]
fn Row(offer: Offer, studio: Studio) -> impl IntoView {
    let Offer { title, address, family, bytes, about, license } = offer;
    let load = offers::address(&address).map(at);
    let kept = {
        let load = load.clone().ok();
        move || {
            let load = load.as_ref()?;
            if studio.is_loaded(load) {
                return Some(view! { <span class="badge badge-good">"Loaded"</span> });
            }
            let stored = studio.storage.with(|storage| storage.models.iter().find(|stored| is_of(load, stored)).cloned())?;
            let badge = if stored.bytes < stored.of {
                view! { <span class="badge badge-warn">"Partly here"</span> }
            } else {
                view! { <span class="badge">"Kept here"</span> }
            };
            Some(badge)
        }
    };
    let line = move || {
        facts([
            if family.is_empty() { String::new() } else { family_label(studio, &family) },
            bytes.map(amount::bytes).unwrap_or_default(),
            license.clone(),
        ])
    };
    let name = title.clone();
    let press = move || match &load {
        Ok(load) => studio.look(load.clone(), None, &name),
        Err(why) => studio.complain(why.to_string()),
    };
    let label = format!("Load {title}");
    view! {
        <li class="models-row">
            <div class="models-words">
                <h3>{title} " " {kept}</h3>
                <p class="quiet">{about}</p>
                <p class="hint">{line}</p>
            </div>
            <Button on_press=press disabled=is_busy(studio) attr:aria-label=label>"Load"</Button>
        </li>
    }
}

/// Whether another model is on its way, so that none can be asked for.
pub(super) fn is_busy(studio: Studio) -> Signal<bool> {
    let is_loading = Memo::new(move |_| studio.model.with(|model| matches!(model, Model::Loading(_))));
    let is_packing = Memo::new(move |_| studio.packing.with(Option::is_some));
    Signal::derive(move || {
        is_loading.get() || is_packing.get() || matches!(studio.engine.get(), Engine::Elsewhere | Engine::Stopped(_))
    })
}

/// A packed model that somebody serves.
#[component]
fn FromAddress() -> impl IntoView {
    let studio = Studio::here();
    let text = RwSignal::new(String::new());
    let wrong = RwSignal::new(None::<String>);
    let ask = move || match offers::address(&text.get_untracked()) {
        Ok(address) => {
            wrong.set(None);
            let title = address.rsplit('/').find(|word| !["main", "resolve"].contains(word)).unwrap_or_default().to_owned();
            studio.look(at(address), None, &title);
        }
        Err(why) => wrong.set(Some(sentence(&why.to_string()))),
    };
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        if !is_busy(studio).get_untracked() {
            ask();
        }
    };
    view! {
        <section class="card stack" aria-labelledby="models-address-title">
            <h2 id="models-address-title">"From an address"</h2>
            <p class="quiet">
                "A packed model on any server that lets other pages read it, or "
                <code>"hf:owner/name"</code> " for one on Hugging Face."
            </p>
            <form class="stack" on:submit=submit>
                <Field id="models-address" label="Address of the folder with manifest.json" error=wrong>
                    <input
                        id="models-address"
                        class="input"
                        type="text"
                        inputmode="url"
                        autocomplete="off"
                        autocapitalize="off"
                        spellcheck="false"
                        placeholder="https://example.org/models/lighthouse"
                        aria-describedby="models-address-error"
                        aria-invalid=move || wrong.with(Option::is_some).then_some("true")
                        prop:value=move || text.get()
                        on:input:target=move |event| {
                            text.set(event.target().value());
                            wrong.set(None);
                        }
                    />
                </Field>
                <div class="row">
                    <Button on_press=ask disabled=is_busy(studio)>"Look"</Button>
                </div>
            </form>
        </section>
    }
}

/// A checkpoint on the user's disk.
#[component]
fn FromFile() -> impl IntoView {
    let studio = Studio::here();
    let input = NodeRef::<leptos::html::Input>::new();
    let choose = move || {
        if let Some(input) = input.get_untracked() {
            input.click();
        }
    };
    let chosen = move |event: web_sys::Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else { return };
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            drop::take(studio, file);
        }
        // The same file can be chosen again.
        input.set_value("");
    };
    view! {
        <section class="card stack" aria-labelledby="models-file-title">
            <h2 id="models-file-title">"Your own file"</h2>
            <p class="quiet">
                "A Stable Diffusion 1, 2 or XL checkpoint in one " <code>".safetensors"</code>
                " file. Drop it anywhere on this page, or choose it. It is read where it lies and goes nowhere."
            </p>
            <input
                node_ref=input
                class="unseen"
                type="file"
                tabindex="-1"
                aria-label="A checkpoint"
                accept=".safetensors,.sft"
                on:change=chosen
            />
            <div class="row models-foot">
                <Button tone=Tone::Plain icon=HARD_DRIVES on_press=choose disabled=is_busy(studio)>"Choose a file"</Button>
            </div>
        </section>
    }
}

/// Reads the list beside the page.
async fn read() -> Result<Offers, String> {
    let file = offers::FILE;
    let failed = |_| format!("{file} cannot be fetched: look whether you are connected, then reload the page");
    let window = web_sys::window().ok_or_else(|| failed(wasm_bindgen::JsValue::NULL))?;
    let response: Response = JsFuture::from(window.fetch_with_str(file)).await.map_err(failed)?.dyn_into().map_err(failed)?;
    if !response.ok() {
        return Err(format!("{file} cannot be fetched: the server answers {} {}", response.status(), response.status_text()));
    }
    let text = JsFuture::from(response.text().map_err(failed)?).await.map_err(failed)?.as_string().unwrap_or_default();
    if text.len() > offers::MOST_BYTES as usize {
        return Err(format!("{file} is longer than any list of models"));
    }
    offers::parse(&text)
}
