//! The server's own settings: those that can be changed while it runs, and what the others are.

use leptos::prelude::*;
use serde_json::json;
use wasm_bindgen_futures::spawn_local;

use crate::form;
use crate::page::server::{Link, Server, api};
use crate::page::studio::{Studio, sentence};
use crate::page::widgets::{Button, ButtonSize, Field, Toggle};
use crate::remote::wire::{Setting, Settings};

/// The settings, in their groups; nothing for those who may not see them.
#[component]
pub fn OfServer(
    /// The server.
    server: Server,
) -> impl IntoView {
    let studio = Studio::here();
    let is_admin = server.is_admin();
    let settings = RwSignal::new(Vec::<Setting>::new());
    let wrong = RwSignal::new(None::<String>);
    let ask = move || {
        if !untrack(|| is_admin.get()) {
            return;
        }
        spawn_local(async move {
            match server.heard(api::get::<Settings>("settings").await) {
                Ok(found) => {
                    settings.set(found.items);
                    wrong.set(None);
                }
                Err(trouble) if trouble.is_passing() => {}
                Err(trouble) => wrong.set(Some(sentence(&trouble.failure().message))),
            }
        });
    };
    Effect::new(move || {
        if is_admin.get() && studio.panel.get() == "settings" {
            ask();
        }
    });
    let changeable = move || settings.get().into_iter().filter(|setting| setting.can_change).collect::<Vec<_>>();
    let fixed = move || settings.get().into_iter().filter(|setting| !setting.can_change).collect::<Vec<_>>();
    let key = |setting: &Setting| (setting.id.clone(), setting.value.clone());
    let version = move || server.about.with(|about| about.version.clone());
    let client = move || server.about.with(|about| about.client.clone().unwrap_or_else(|| "nobody that it knows".to_owned()));
    // Whoever sits at the machine itself has not signed in.
    let is_guest = Memo::new(move |_| server.about.with(|about| about.client.as_ref().is_some_and(|client| client != "local")));
    let sign_out = move || {
        spawn_local(async move {
            match server.heard(api::delete("session").await) {
                Ok(()) => server.link.set(Link::SignedOut),
                Err(trouble) => studio.complain(trouble.failure().message),
            }
        });
    };
    let fact = |setting: Setting| {
        view! {
            <div class="facts-row">
                <dt title=setting.help.clone()>{form::capital(&setting.id.replace('_', " "))}</dt>
                <dd class="figures">{if setting.value.is_empty() { "not set".to_owned() } else { setting.value.clone() }}</dd>
            </div>
        }
    };
    view! {
        <section class="card settings-group" aria-labelledby="settings-server">
            <h2 id="settings-server">"This server"</h2>
            <dl class="facts">
                <div class="facts-row">
                    <dt>"Version"</dt>
                    <dd class="figures">{version}</dd>
                </div>
                <div class="facts-row">
                    <dt>"You are"</dt>
                    <dd>{client}</dd>
                </div>
            </dl>
            <Show when=move || is_guest.get()>
                <div class="row">
                    <Button on_press=sign_out>"Sign out"</Button>
                </div>
            </Show>
            <p class="models-bad" role="alert">{move || wrong.get()}</p>
            <For each=changeable key=key let:setting>
                <One studio server setting on_done=Callback::new(move |()| ask()) />
            </For>
            <Show when=move || !fixed().is_empty()>
                <details class="settings-fixed">
                    <summary>"Settings that are read when it starts"</summary>
                    <dl class="facts">
                        <For each=fixed key=key let:setting>
                            {fact(setting)}
                        </For>
                    </dl>
                </details>
            </Show>
            <p class="hint">"Its interface is described at " <a href="api/docs/">"api/docs"</a> "."</p>
        </section>
    }
}

/// A setting that can be changed.
#[component]
fn One(studio: Studio, server: Server, setting: Setting, on_done: Callback<()>) -> impl IntoView {
    let Setting { id, value, help, .. } = setting;
    let field = format!("server-{id}");
    let title = form::capital(&id.replace('_', " "));
    let before = value.clone();
    let text = RwSignal::new(value.clone());
    let wrong = RwSignal::new(None::<String>);
    let name = StoredValue::new(id);
    let save = move |value: String| {
        let body = json!({ name.get_value(): value });
        spawn_local(async move {
            match server.heard(api::tell("PATCH", "settings", &body).await) {
                Ok(()) => {
                    wrong.set(None);
                    studio.say("The server has taken the setting.");
                    on_done.run(());
                }
                Err(trouble) => wrong.set(Some(sentence(&trouble.failure().message))),
            }
        });
    };
    if value == "true" || value == "false" {
        let is_on = Signal::derive(move || text.get() == "true");
        let change = move |is_on: bool| {
            text.set(is_on.to_string());
            save(is_on.to_string());
        };
        return view! {
            <div>
                <Toggle value=is_on on_change=change>{title}</Toggle>
                <p class="hint settings-indent">{help}</p>
                <p class="field-error" aria-live="polite">{move || wrong.get()}</p>
            </div>
        }
        .into_any();
    }
    let is_changed = Memo::new(move |_| text.get() != before);
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        save(text.get_untracked());
    };
    view! {
        <form on:submit=submit>
            <Field id=field.clone() label=title help=help error=wrong>
                <div class="row settings-one">
                    <input
                        id=field.clone()
                        class="input"
                        type="text"
                        autocomplete="off"
                        spellcheck="false"
                        aria-describedby=format!("{field}-help {field}-error")
                        aria-invalid=move || wrong.with(Option::is_some).then_some("true")
                        prop:value=move || text.get()
                        on:input:target=move |event| text.set(event.target().value())
                    />
                    <Show when=move || is_changed.get()>
                        <Button size=ButtonSize::Small on_press=move || save(text.get_untracked())>"Save"</Button>
                    </Show>
                </div>
            </Field>
        </form>
    }
    .into_any()
}
