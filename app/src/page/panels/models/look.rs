//! What it would mean to load a model, told before anything is fetched.

use leptos::prelude::*;

use super::sources::is_busy;
use super::{facts, family_label};
use crate::amount;
use crate::message::{Load, Outlook, Pack, Residency, Source};
use crate::offers;
use crate::page::studio::{Found, Looked, Studio, sentence};
use crate::page::widgets::{Button, Choice, Dialog, Field, ProgressBar, Segmented, Tone};

/// Opens by itself with every look, and ends the look when it is closed.
#[component]
pub fn LookDialog() -> impl IntoView {
    let studio = Studio::here();
    let open = RwSignal::new(false);
    let is_there = Memo::new(move |_| studio.looked.with(Option::is_some));
    Effect::new(move || open.set(is_there.get()));
    Effect::new(move || {
        if !open.get() && studio.looked.with_untracked(Option::is_some) {
            studio.looked.set(None);
        }
    });
    let title = Signal::derive(move || {
        let looked = studio.looked.get();
        let own = |looked: &Looked| match &looked.found {
            Found::Outlook(outlook) => outlook.title.clone(),
            _ => None,
        };
        looked
            .and_then(|looked| own(&looked).or(Some(looked.title).filter(|title| !title.is_empty())))
            .unwrap_or_else(|| "A model".to_owned())
    });
    let body = move || {
        studio.looked.get().map(|looked| match looked.found.clone() {
            Found::Waiting => view! {
                <div class="stack">
                    <p class="quiet" aria-live="polite">"Looking at it"</p>
                    <ProgressBar label="Looking at the model" value=None />
                </div>
            }
            .into_any(),
            Found::Nothing(failure) => view! { <p class="models-bad" role="alert">{sentence(&failure.message)}</p> }.into_any(),
            Found::Outlook(outlook) => found(studio, &looked, &outlook).into_any(),
        })
    };
    let actions = move || {
        studio.looked.get().map(|looked| match &looked.found {
            Found::Outlook(outlook) => choices(studio, open, &looked, outlook).into_any(),
            _ => view! { <Button on_press=move || open.set(false)>"Close"</Button> }.into_any(),
        })
    };
    view! { <Dialog open title actions>{body}</Dialog> }
}

/// What was found.
fn found(studio: Studio, looked: &Looked, outlook: &Outlook) -> impl IntoView + use<> {
    let is_file = looked.load.from == Source::File;
    let family = outlook.family.clone();
    let license = outlook.license.clone().unwrap_or_else(|| "not stated: ask whoever made it".to_owned());
    let needs = memory(outlook);
    let device = facts([outlook.device.clone(), outlook.precision.clone()]);
    let obstacle = outlook.obstacle.as_deref().map(|why| {
        let why = sentence(why);
        view! { <p class="models-obstacle" role="alert">{why}</p> }
    });
    let caution = outlook.caution.as_deref().filter(|_| outlook.obstacle.is_none()).map(|why| {
        let why = sentence(why);
        view! { <p class="models-caution">{why}</p> }
    });
    let file = looked.file.clone().filter(|_| is_file).map(|file| {
        let file = StoredValue::new_local(file);
        view! { <KeepPacked file /> }
    });
    view! {
        <div class="stack">
            {obstacle}
            {caution}
            <dl class="models-facts">
                <dt>"Family"</dt>
                <dd>{move || family_label(studio, &family)}</dd>
                <dt>"Licence"</dt>
                <dd>{license}</dd>
                <dt>"Size"</dt>
                <dd>{amount::bytes(outlook.bytes)}</dd>
                <dt>"To fetch"</dt>
                <dd>{fetching(outlook, is_file)}</dd>
                <dt>"Graphics memory"</dt>
                <dd>{needs}</dd>
                <dt>"Device"</dt>
                <dd>{device}</dd>
            </dl>
            {file}
        </div>
    }
}

/// What has to come over the net, and whether there is room for it.
fn fetching(outlook: &Outlook, is_file: bool) -> String {
    if is_file {
        return "nothing: it is read from your disk".to_owned();
    }
    if outlook.to_fetch == 0 {
        return "nothing: it is kept in this browser".to_owned();
    }
    let what = match outlook.bytes.saturating_sub(outlook.to_fetch) {
        0 => amount::bytes(outlook.to_fetch),
        there => format!("{}, as {} are here already", amount::bytes(outlook.to_fetch), amount::bytes(there)),
    };
    match outlook.free {
        Some(free) => format!("{what}; this browser has room for {}", amount::bytes(free)),
        None => what,
    }
}

/// What it needs of the device.
fn memory(outlook: &Outlook) -> String {
    let (all, one) = (amount::bytes(outlook.needs_all), amount::bytes(outlook.needs_in_turn));
    let needs = match outlook.residency {
        // Where one network is nearly all there is, turns are of no use.
        _ if outlook.needs_in_turn >= outlook.needs_all / 10 * 9 => format!("needs {all}"),
        Residency::All => format!("needs {all}, or {one} with one network at a time"),
        Residency::InTurn => format!("needs {one} with one network at a time, {all} with all at once"),
    };
    match outlook.largest_buffer {
        Some(most) => format!("{needs}; your GPU allows buffers of {}", amount::bytes(most)),
        None => needs,
    }
}

/// What can be done with it.
fn choices(studio: Studio, open: RwSignal<bool>, looked: &Looked, outlook: &Outlook) -> impl IntoView + use<> {
    let file = StoredValue::new_local(looked.file.clone());
    let load = looked.load.clone();
    let title = outlook.title.clone().unwrap_or_else(|| looked.title.clone());
    let go = move |residency: Option<Residency>| {
        let load = Load { residency, ..load.clone() };
        open.set(false);
        studio.load_as(load, file.get_value().as_ref(), &title);
    };
    let (other, words) = match outlook.residency {
        Residency::All => (Residency::InTurn, "Load one at a time"),
        Residency::InTurn => (Residency::All, "Load all at once"),
    };
    let has_obstacle = outlook.obstacle.is_some();
    let busy = is_busy(studio);
    let disabled = Signal::derive(move || has_obstacle || busy.get());
    let go_other = go.clone();
    let verb = if outlook.to_fetch > 0 && looked.load.from != Source::File { "Fetch and load" } else { "Load" };
    view! {
        <Button tone=Tone::Quiet on_press=move || open.set(false)>"Cancel"</Button>
        <Button disabled on_press=move || go_other(Some(other))>{words}</Button>
        <Button tone=Tone::Primary disabled on_press=move || go(None)>{verb}</Button>
    }
}

/// Keeps a file of the user's in the browser's storage.
#[component]
fn KeepPacked(file: StoredValue<web_sys::File, LocalStorage>) -> impl IntoView {
    let studio = Studio::here();
    let name = RwSignal::new(file.with_value(|file| offers::title_of(&file.name())));
    let dtype = RwSignal::new("f16".to_owned());
    let wrong = move || name.with(|name| name.trim().is_empty()).then(|| "Give it a name.".to_owned());
    let busy = is_busy(studio);
    let pack = move || {
        let title = name.get_untracked().trim().to_owned();
        studio.looked.set(None);
        file.with_value(|file| studio.pack(Pack { title, dtype: dtype.get_untracked() }, file));
    };
    let kinds = vec![Choice::new("f16", "f16"), Choice::new("q8", "q8")];
    let about = move || match dtype.get().as_str() {
        "q8" => "8 bits a weight: half of f16, the pictures differ a little.",
        _ => "16 bits a weight: the pictures of the original.",
    };
    view! {
        <section class="models-pack stack" aria-labelledby="models-pack-title">
            <div>
                <h3 id="models-pack-title">"Keep it in this browser"</h3>
                <p class="hint">"Packed into the browser's storage, it is there on the next visit, without the file."</p>
            </div>
            <Field id="models-pack-name" label="Name" error=Signal::derive(wrong)>
                <input
                    id="models-pack-name"
                    class="input"
                    type="text"
                    maxlength="80"
                    autocomplete="off"
                    aria-describedby="models-pack-name-error"
                    prop:value=move || name.get()
                    on:input:target=move |event| name.set(event.target().value())
                />
            </Field>
            <div class="row spread">
                <Segmented label="How it is packed" options=kinds value=dtype on_change=move |kind| dtype.set(kind) />
                <Button disabled=Signal::derive(move || wrong().is_some() || busy.get()) on_press=pack>"Keep packed"</Button>
            </div>
            <p class="hint">{about}</p>
        </section>
    }
}
