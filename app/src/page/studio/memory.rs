//! What lasts from one visit to the next: which model was used, and the browser's promise to keep what it stores.

use leptos::prelude::*;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::{Model, Studio};
use crate::message::{Load, Order, Source, Stored};

/// Where the last model's load is kept, as JSON, in `localStorage`.
const LAST: &str = "encaustic.model";

/// What a server calls the model in the box.
pub(in crate::page) const USUAL: &str = "demo";

impl Studio {
    /// Keeps in mind which model is used now. A file of the user's is gone with the page, so it is not kept.
    pub(super) fn remember(self) {
        let load = self.books.with_value(|books| books.first_load().cloned());
        let Some(load) = load else { return };
        match (&load.from, serde_json::to_string(&load), storage()) {
            (Source::File, _, Some(storage)) => {
                let _ = storage.remove_item(LAST);
            }
            (_, Ok(text), Some(storage)) => {
                let _ = storage.set_item(LAST, &text);
            }
            _ => {}
        }
    }

    /// Whether a model is loaded that this load means, too.
    pub(in crate::page) fn is_loaded(self, load: &Load) -> bool {
        if !self.model.with(|model| matches!(model, Model::Ready(_))) {
            return false;
        }
        let Some(current) = self.books.with_value(|books| books.first_load().cloned()) else { return false };
        let is_both = |stored: &Stored| is_of(load, stored) && is_of(&current, stored);
        load.from == current.from || self.storage.with(|storage| storage.models.iter().any(is_both))
    }

    /// On a new visit: loads the last visit's model, if all of it is in the browser's storage. Nothing is fetched unasked.
    pub(super) fn resume(self) {
        if self.is_resumed.get_value() {
            return;
        }
        self.is_resumed.set_value(true);
        if self.model.get_untracked() != Model::None {
            return;
        }
        // A server has a model in any case.
        let usual = || self.server.map(|_| Load { from: Source::Stored(USUAL.to_owned()), precision: None, residency: None });
        let is_there =
            |load: &Load| self.storage.with_untracked(|storage| storage.models.iter().any(|stored| is_of(load, stored)));
        let Some(load) = last().filter(|load| self.server.is_none() || is_there(load)).or_else(usual) else { return };
        let stored = self.storage.with_untracked(|storage| {
            storage
                .models
                .iter()
                .find(|stored| stored.bytes >= stored.of && is_of(&load, stored))
                .map(|stored| stored.title.clone())
        });
        if let Some(title) = stored {
            self.wanted.set(title);
            self.send(&Order::Load(load), None);
        }
    }

    /// A model is deleted: it will not be loaded on the next visit.
    pub(super) fn forget_last(self, stored: &Stored) {
        if last().is_some_and(|load| is_of(&load, stored))
            && let Some(storage) = storage()
        {
            let _ = storage.remove_item(LAST);
        }
    }

    /// Asks the browser not to throw away by itself what is kept; some browsers ask the user.
    pub(super) fn keep_for_good(self) {
        if self.storage.with_untracked(|storage| storage.persistent) {
            return;
        }
        let asked =
            web_sys::window().filter(|window| window.is_secure_context()).map(|window| window.navigator().storage().persist());
        let Some(Ok(promise)) = asked else { return };
        spawn_local(async move {
            if JsFuture::from(promise).await.is_ok_and(|is_granted| JsValue::is_truthy(&is_granted)) {
                self.send(&Order::Models, None);
            }
        });
    }
}

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}

fn last() -> Option<Load> {
    serde_json::from_str(&storage()?.get_item(LAST).ok()??).ok()
}

/// Whether a load means a stored model.
pub(in crate::page) fn is_of(load: &Load, stored: &Stored) -> bool {
    match &load.from {
        Source::Stored(id) => *id == stored.id,
        Source::Address(address) => stored.address.as_deref().is_some_and(|other| absolute(address) == absolute(other)),
        Source::File => false,
    }
}

/// An address as the browser would fetch it.
fn absolute(address: &str) -> String {
    let base = document().base_uri().ok().flatten().unwrap_or_default();
    let address = address.trim_end_matches('/');
    web_sys::Url::new_with_base(address, &base).map_or_else(|_| address.to_owned(), |url| url.href())
}
