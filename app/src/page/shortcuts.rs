//! Keys: what they do, and the window that says so.

use leptos::ev::{self, KeyboardEvent};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::Element;

use super::maker::Maker;
use super::studio::Studio;
use super::widgets::{Dialog, focus};

/// The prompt's box.
pub(super) const PROMPT: &str = "param-prompt";

/// What the keys do, as it is shown.
const KEYS: &[(&[&str], &str)] = &[
    (&["Ctrl", "Enter"], "Generate"),
    (&["Esc"], "Cancel the picture that is being made; close a window"),
    (&["/"], "To the prompt"),
    (&["\u{2190}", "\u{2192}"], "The picture before, the next one"),
    (&["Z"], "In the viewer: as large as fits, or pixel by pixel"),
    (&["?"], "This list"),
];

/// Listens to keys for as long as the page lives; `open` is for the list of them.
#[component]
pub fn Shortcuts(
    /// Whether the list is shown.
    open: RwSignal<bool>,
) -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let handle = window_event_listener(ev::keydown, move |event| {
        if event.default_prevented() || event.repeat() || event.is_composing() || is_in_dialog() {
            return;
        }
        match event.key().as_str() {
            "Enter" if event.ctrl_key() || event.meta_key() => {
                event.prevent_default();
                studio.panel.set("create");
                maker.generate();
            }
            "Escape" => maker.cancel(),
            "?" if is_plain(&event) && !is_typing(&event) => open.set(true),
            "/" if is_plain(&event) && !is_typing(&event) => {
                event.prevent_default();
                // What is hidden cannot be focused, and is shown a moment later.
                if studio.panel.get_untracked() == "create" {
                    focus(PROMPT);
                } else {
                    studio.panel.set("create");
                    request_animation_frame(|| focus(PROMPT));
                }
            }
            _ => {}
        }
    });
    on_cleanup(move || handle.remove());
    let row = |(keys, what): &(&'static [&'static str], &'static str)| {
        let keys = keys.iter().map(|key| view! { <kbd>{*key}</kbd> }).collect_view();
        view! {
            <div class="keys-row">
                <dt>{keys}</dt>
                <dd>{*what}</dd>
            </div>
        }
    };
    view! {
        <Dialog open title="Keys">
            <dl class="keys">{KEYS.iter().map(row).collect_view()}</dl>
        </Dialog>
    }
}

/// Whether a key is pressed on its own: with others it is the browser's, or the system's.
pub(super) fn is_plain(event: &KeyboardEvent) -> bool {
    !event.is_composing() && !event.ctrl_key() && !event.meta_key() && !event.alt_key()
}

/// Whether a key goes into a text.
fn is_typing(event: &KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    target.is_some_and(|target| target.matches("input:not([type=range]), textarea, select").unwrap_or_default())
}

fn is_in_dialog() -> bool {
    document().query_selector("dialog[open]").is_ok_and(|found| found.is_some())
}
