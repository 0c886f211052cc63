//! A server's library: which models there are, which one draws, how others come, and how they go.

use leptos::prelude::*;
use phosphor_leptos::{STOP, TRASH, X};
use wasm_bindgen_futures::spawn_local;

use super::{facts, family_label};
use crate::amount::{self, Pace};
use crate::message::{Load, Source};
use crate::page::server::{Server, api};
use crate::page::studio::{Studio, sentence};
use crate::page::widgets::{Button, ButtonSize, Confirm, Field, IconButton, ProgressBar, Tone};
use crate::remote::escaped;
use crate::remote::wire::{Model, Pull};

/// The field for a source.
const SOURCE: &str = "models-source";

/// A load of a model of the library.
fn of(name: &str) -> Load {
    Load { from: Source::Stored(name.to_owned()), precision: None, residency: None }
}

/// What people call it.
fn title(model: &Model) -> String {
    if model.title.is_empty() { model.name.clone() } else { model.title.clone() }
}

/// All models, the one that draws marked.
#[component]
pub fn Library(
    /// The server.
    server: Server,
) -> impl IntoView {
    let studio = Studio::here();
    let doomed = RwSignal::new(None::<Model>);
    let open = RwSignal::new(false);
    let forget = move || {
        if let Some(model) = doomed.get_untracked() {
            studio.send(&crate::message::Order::Forget { id: model.name }, None);
        }
    };
    let question = Signal::derive(move || {
        doomed.with(|model| model.as_ref().map(|model| format!("Delete {}?", title(model))).unwrap_or_default())
    });
    let meaning = move || {
        let bytes = doomed.with(|model| model.as_ref().map(|model| amount::bytes(model.bytes)).unwrap_or_default());
        format!("Its files ({bytes}) go from the server's disk, for everybody. Pictures stay.")
    };
    let delete = move |model: Model| {
        doomed.set(Some(model));
        open.set(true);
    };
    let rows = move |is_usable: bool| {
        let models = server.models.get().unwrap_or_default();
        let rows = models.into_iter().filter(|model| model.is_usable == is_usable);
        rows.map(|model| view! { <Row studio server model on_delete=Callback::new(delete) /> }).collect_view()
    };
    let knows = Memo::new(move |_| server.models.with(Option::is_some));
    let has_others = Memo::new(move |_| server.models.with(|models| models.iter().flatten().any(|model| !model.is_usable)));
    view! {
        <section class="card stack" aria-labelledby="models-library">
            <h2 id="models-library">"Library"</h2>
            <Show when=move || !knows.get()>
                <p class="hint">"Asking the server"</p>
            </Show>
            <ul class="models-list">{move || rows(true)}</ul>
        </section>
        <Show when=move || has_others.get()>
            <section class="card stack" aria-labelledby="models-others">
                <h2 id="models-others">"Other files"</h2>
                <p class="hint">"Parts of models, and files that nothing here draws with."</p>
                <ul class="models-list">{move || rows(false)}</ul>
            </section>
        </Show>
        <Confirm open title=question verb="Delete" on_yes=forget>{meaning}</Confirm>
    }
}

#[component]
fn Row(studio: Studio, server: Server, model: Model, on_delete: Callback<Model>) -> impl IntoView {
    let name = StoredValue::new(model.name.clone());
    let is_used = Memo::new(move |_| name.with_value(|name| studio.is_loaded(&of(name))));
    let holders = move || {
        let held = server.devices.with(|devices| {
            let holds = devices.iter().filter(|device| name.with_value(|name| device.model.as_ref() == Some(name)));
            holds.map(|device| device.name.clone()).collect::<Vec<_>>().join(", ")
        });
        (!held.is_empty()).then(|| view! { <span class="badge">{format!("On {held}")}</span> })
    };
    let words = title(&model);
    let called = if words == model.name { String::new() } else { model.name.clone() };
    let line = {
        let model = model.clone();
        move || {
            let family = model.family.as_deref().map(|family| family_label(studio, family)).unwrap_or_else(|| model.kind.clone());
            facts([family, amount::bytes(model.bytes), model.license.clone().unwrap_or_default(), called.clone()])
        }
    };
    let label = format!("Use {words}");
    let delete_label = format!("Delete {words}");
    let heading = words.clone();
    let choose = move || studio.load_as(name.with_value(|name| of(name)), None, &words);
    let is_admin = server.is_admin();
    let is_own = model.is_own;
    let is_usable = model.is_usable;
    let model = StoredValue::new(model);
    view! {
        <li class="models-row">
            <div class="models-words">
                <h3>
                    {heading} " "
                    <Show when=move || is_used.get()>
                        <span class="badge badge-good">"In use"</span>
                    </Show> " " {holders}
                </h3>
                <p class="hint">{line}</p>
            </div>
            <div class="row models-buttons">
                {is_usable
                    .then(|| {
                        view! {
                            <Button size=ButtonSize::Small disabled=is_used on_press=choose attr:aria-label=label>
                                "Use"
                            </Button>
                        }
                    })}
                <Show when=move || is_admin.get() && is_own>
                    <IconButton
                        size=ButtonSize::Small
                        icon=TRASH
                        label=delete_label.clone()
                        on_press=move || on_delete.run(model.get_value())
                    />
                </Show>
            </div>
        </li>
    }
}

/// Fetching models: asking for one, and those that are on their way.
#[component]
pub fn Fetch(
    /// The server.
    server: Server,
) -> impl IntoView {
    let studio = Studio::here();
    let is_admin = server.is_admin();
    let text = RwSignal::new(String::new());
    let wrong = RwSignal::new(None::<String>);
    let ask = move || {
        let source = text.get_untracked().trim().to_owned();
        if source.is_empty() {
            return wrong.set(Some("Write which one: OWNER/NAME of the hub, or an address.".to_owned()));
        }
        spawn_local(async move {
            let asked = api::tell("POST", "models/pull", &serde_json::json!({ "source": source })).await;
            match server.heard(asked) {
                Ok(()) => text.set(String::new()),
                Err(trouble) => wrong.set(Some(sentence(&trouble.failure().message))),
            }
        });
    };
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        ask();
    };
    let sources = Memo::new(move |_| server.pulls.with(|pulls| pulls.iter().map(|pull| pull.source.clone()).collect::<Vec<_>>()));
    view! {
        <section class="card stack" aria-labelledby="models-fetch">
            <h2 id="models-fetch">"Fetch another"</h2>
            <Show
                when=move || is_admin.get()
                fallback=|| view! { <p class="hint">"Whoever administers this server can fetch models into it."</p> }
            >
                <form class="stack" on:submit=submit>
                    <Field id=SOURCE label="A model of the hub, or its address" error=wrong>
                        <input
                            id=SOURCE
                            class="input"
                            type="text"
                            autocomplete="off"
                            autocapitalize="off"
                            spellcheck="false"
                            placeholder="owner/name"
                            aria-describedby=format!("{SOURCE}-error")
                            aria-invalid=move || wrong.with(Option::is_some).then_some("true")
                            prop:value=move || text.get()
                            on:input:target=move |event| {
                                text.set(event.target().value());
                                wrong.set(None);
                            }
                        />
                    </Field>
                    <div class="row">
                        <Button on_press=ask>"Fetch"</Button>
                    </div>
                </form>
            </Show>
            <ul class="models-list" aria-label="On their way">
                <For each=move || sources.get() key=Clone::clone let:source>
                    <Coming studio server source />
                </For>
            </ul>
        </section>
    }
}

/// A model that is on its way, or did not come.
#[component]
fn Coming(studio: Studio, server: Server, source: String) -> impl IntoView {
    let name = source.clone();
    let pull = Memo::new(move |_| server.pulls.with(|pulls| pulls.iter().find(|pull| pull.source == name).cloned()));
    let is_over = Memo::new(move |_| pull.with(|pull| pull.as_ref().is_some_and(|pull| pull.done.is_some())));
    let pace = StoredValue::new(Pace::default());
    let part = Signal::derive(move || {
        let Pull { transfer, .. } = pull.get()?;
        (transfer.of > 0).then(|| transfer.bytes as f64 / transfer.of as f64)
    });
    let figures = move || {
        let Some(Pull { transfer, .. }) = pull.get() else { return String::new() };
        pace.update_value(|pace| pace.see(js_sys::Date::now() / 1000.0, transfer.bytes));
        let (speed, left) = pace.with_value(|pace| (pace.speed(), pace.left(transfer.of)));
        let amount = if transfer.of > 0 {
            format!("{} of {}", amount::bytes(transfer.bytes), amount::bytes(transfer.of))
        } else {
            String::new()
        };
        facts([
            amount,
            speed.map(|speed| format!("{}/s", amount::bytes(speed as u64))).unwrap_or_default(),
            left.map(|left| format!("{} left", amount::seconds(left))).unwrap_or_default(),
        ])
    };
    let file = move || pull.with(|pull| pull.as_ref().map(|pull| pull.transfer.file.clone()).unwrap_or_default());
    let problem = move || {
        pull.with(|pull| pull.as_ref().and_then(|pull| pull.problem.as_deref().map(sentence)))
            .unwrap_or_else(|| "It did not come.".to_owned())
    };
    let own = StoredValue::new(source.clone());
    let stop = move || {
        let path = format!("models/pull?source={}", own.with_value(|source| escaped(source)));
        spawn_local(async move {
            if let Err(trouble) = server.heard(api::delete(&path).await) {
                studio.complain(trouble.failure().message);
            }
        });
    };
    let put_away = move || server.put_away(&own.get_value());
    let heading = source.clone();
    let stop_label = format!("Stop {source}");
    let away_label = format!("Put away {source}");
    view! {
        <li class="stack models-coming">
            <div class="row spread models-title">
                <h3>{heading}</h3>
                <Show
                    when=move || is_over.get()
                    fallback={
                        move || {
                            view! {
                                <Button
                                    tone=Tone::Plain
                                    size=ButtonSize::Small
                                    icon=STOP
                                    on_press=stop
                                    attr:aria-label=stop_label.clone()
                                >
                                    "Stop"
                                </Button>
                            }
                        }
                    }
                >
                    <IconButton icon=X size=ButtonSize::Small label=away_label.clone() on_press=put_away />
                </Show>
            </div>
            <Show
                when=move || is_over.get()
                fallback=move || {
                    view! {
                        <ProgressBar label="Fetching the model" value=part />
                        <div class="row spread hint">
                            <span class="clip">{file}</span>
                            <span class="figures">{figures}</span>
                        </div>
                    }
                }
            >
                <p class="models-bad" role="alert">{problem}</p>
            </Show>
        </li>
    }
}
