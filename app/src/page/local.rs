//! What the page keeps in `localStorage`: small things, as JSON, each under a name of its own.

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

fn key(name: &str) -> String {
    format!("encaustic.{name}")
}

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}
