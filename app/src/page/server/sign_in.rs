//! The window that asks who this is, where the server wants to know.

use leptos::prelude::*;
use serde_json::json;
use wasm_bindgen_futures::spawn_local;

use super::{Link, Server, api};
use crate::page::studio::sentence;
use crate::page::widgets::{Button, Dialog, Field, Tone};

/// The field's id.
const KEY: &str = "sign-in-key";

/// Opens by itself when the server refuses to answer a stranger.
#[component]
pub fn SignIn(
    /// The server.
    server: Server,
) -> impl IntoView {
    let open = RwSignal::new(false);
    Effect::new(move || open.set(server.link.get() == Link::SignedOut));
    let key = RwSignal::new(String::new());
    let wrong = RwSignal::new(None::<String>);
    let busy = RwSignal::new(false);
    let enter = move || {
        let text = key.get_untracked().trim().to_owned();
        if text.is_empty() {
            return wrong.set(Some("Write the key that the server's owner gave you.".to_owned()));
        }
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        spawn_local(async move {
            let answer = api::tell("POST", "session", &json!({ "key": text })).await;
            busy.set(false);
            match answer {
                Ok(()) => {
                    key.set(String::new());
                    wrong.set(None);
                    server.link.set(Link::Opening);
                    server.try_now();
                }
                Err(api::Trouble::SignedOut) => wrong.set(Some("The server does not know this key.".to_owned())),
                Err(trouble) => wrong.set(Some(sentence(&trouble.failure().message))),
            }
        });
    };
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        enter();
    };
    let actions = move || view! { <Button tone=Tone::Primary busy on_press=enter>"Sign in"</Button> };
    view! {
        <Dialog open title="Sign in" actions>
            <form class="stack" on:submit=submit>
                <p class="quiet">
                    "This server answers those who have a key. Its owner makes one with " <code>"encaustic key add NAME"</code> "."
                </p>
                <Field id=KEY label="API key" error=wrong>
                    <input
                        id=KEY
                        class="input"
                        type="password"
                        autocomplete="current-password"
                        autocapitalize="off"
                        spellcheck="false"
                        aria-describedby=format!("{KEY}-error")
                        aria-invalid=move || wrong.with(Option::is_some).then_some("true")
                        prop:value=move || key.get()
                        on:input:target=move |event| key.set(event.target().value())
                    />
                </Field>
            </form>
        </Dialog>
    }
}
