//! What the page keeps in `localStorage`: small things, as JSON, each under a name of its own.

use leptos::ev;
use leptos::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is kept under a name; `None` if nothing is, or nothing that can be read (an older page may have written it).
pub fn recall<T: DeserializeOwned>(name: &str) -> Option<T> {
    let text = storage()?.get_item(&key(name)).ok()??;
    serde_json::from_str(&text).ok()
}

/// Keeps something. Where the browser keeps nothing (a private window), it is as new on the next visit.
pub fn keep<T: Serialize>(name: &str, what: &T) {
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(what)) {
        let _ = storage.set_item(&key(name), &text);
    }
}

/// Takes over what another tab keeps under a name, for as long as the page lives: what this one keeps next does not undo it.
pub fn follow<T>(name: &'static str, signal: RwSignal<T>)
where
    T: DeserializeOwned + PartialEq + Send + Sync + 'static,
{
    let _listens = window_event_listener(ev::storage, move |event| {
        // Without a name, all of it was thrown away: this tab still has its own.
        if event.key().as_deref() != Some(key(name).as_str()) {
            return;
        }
        if let Some(kept) = recall::<T>(name).filter(|kept| signal.with_untracked(|known| known != kept)) {
            signal.set(kept);
        }
    });
}

fn key(name: &str) -> String {
    format!("encaustic.{name}")
}

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

    use super::*;

    wasm_bindgen_test_configure!(run_in_browser);

    #[wasm_bindgen_test]
    fn what_is_kept_is_recalled_and_what_is_strange_is_not() {
        assert_eq!(recall::<u64>("test-nothing"), None);
        keep("test", &u64::MAX);
        assert_eq!(recall::<u64>("test"), Some(u64::MAX));
        assert_eq!(recall::<Vec<String>>("test"), None);
        if let Some(storage) = storage() {
            let _ = storage.remove_item(&key("test"));
        }
    }
}
