//! A picture of the gallery, large, with what is known of it beside it.

use std::rc::Rc;

use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use phosphor_leptos::{CARET_LEFT, CARET_RIGHT, DOWNLOAD_SIMPLE, TRASH, X};
use wasm_bindgen_futures::spawn_local;

use super::Hall;
use super::details::Details;
use crate::page::gallery::Gallery;
use crate::page::gallery::actions::Heart;
use crate::page::gallery::url::Held;
use crate::page::notices::Notices;
use crate::page::shortcuts::is_plain;
use crate::page::widgets::IconButton;

/// The window; it is open while a picture is looked at.
#[component]
pub fn Look(
    /// The panel.
    hall: Hall,
) -> impl IntoView {
    let gallery = Gallery::here();
    let node = NodeRef::<html::Dialog>::new();
    let exact = RwSignal::new(false);
    let held = RwSignal::new_local(None::<(u64, Rc<Held>)>);
    Effect::new(move || {
        let Some(dialog) = node.get() else { return };
        let is_open = hall.current.get().is_some();
        if is_open && !dialog.open() {
            // It fails for an element that is not in the page, which then cannot be seen either.
            let _ = dialog.show_modal();
        } else if !is_open && dialog.open() {
            dialog.close();
        }
    });
    Effect::new(move || {
        let Some(id) = hall.current.get() else { return held.set(None) };
        exact.set(false);
        gallery.know(id);
        spawn_local(async move {
            let found = gallery.picture(id).await.ok().and_then(|blob| Held::new(&blob));
            // Another one may be looked at by now.
            if hall.current.try_get_untracked() == Some(Some(id)) {
                held.set(found.map(|found| (id, Rc::new(found))));
            }
        });
    });
    // The one that is deleted makes room for its neighbour.
    let place = Memo::new(move |old: Option<&Option<usize>>| {
        let id = hall.current.get()?;
        let at = hall.shown.with(|shown| shown.iter().position(|known| *known == id));
        at.or(old.copied().flatten())
    });
    Effect::new(move || {
        let Some(id) = hall.current.get() else { return };
        let next = hall.shown.with(|shown| {
            if shown.contains(&id) {
                return Some(id);
            }
            let at = place.get_untracked().unwrap_or(0).min(shown.len().saturating_sub(1));
            shown.get(at).copied()
        });
        if next != Some(id) {
            hall.current.set(next);
        }
    });
    let step = move |by: isize| {
        let Some(at) = place.get_untracked() else { return };
        let next = at.checked_add_signed(by).and_then(|at| hall.shown.with_untracked(|shown| shown.get(at).copied()));
        if next.is_some() {
            hall.current.set(next);
        }
    };
    // Wherever the focus is: the button that had it may have gone.
    let keys = window_event_listener(ev::keydown, move |event| {
        if hall.current.get_untracked().is_none() || !is_plain(&event) {
            return;
        }
        match event.key().as_str() {
            "ArrowLeft" => step(-1),
            "ArrowRight" => step(1),
            // A key that is held down is pressed once: nobody means to delete all that follow.
            "z" | "Z" if !event.repeat() => exact.update(|exact| *exact = !*exact),
            "f" | "F" if !event.repeat() => toggle_favourite(gallery, hall),
            "Delete" if !event.repeat() => delete(gallery, hall),
            _ => return,
        }
        event.prevent_default();
    });
    on_cleanup(move || keys.remove());
    let count = move || place.get().map(|at| format!("{} of {}", at + 1, hall.shown.with(Vec::len)));
    let is_first = Signal::derive(move || place.get().is_none_or(|at| at == 0));
    let is_last = Signal::derive(move || place.get().is_none_or(|at| at + 1 >= hall.shown.with(Vec::len)));
    let record = Memo::new(move |_| hall.current.get().and_then(|id| gallery.record(id)));
    let image = move || {
        let record = record.get()?;
        let (_, held) = held.get().filter(|(id, _)| *id == record.id)?;
        Some(view! {
            <button
                type="button"
                class="look-picture"
                title=move || if exact.get() { "As large as fits (Z)" } else { "Pixel by pixel (Z)" }
                on:click=move |_| exact.update(|exact| *exact = !*exact)
            >
                <img
                    src=held.address().to_owned()
                    alt=record.prompt.clone()
                    width=record.width.to_string()
                    height=record.height.to_string()
                    style:--width=format!("{}px", record.width)
                    draggable="false"
                />
            </button>
        })
    };
    // From one picture to the next the window stays as it is, and the focus where it was.
    let is_open = Memo::new(move |_| hall.current.with(Option::is_some));
    let inside = move || {
        is_open.get().then(|| {
            view! {
                <div class="look-bar">
                    <span class="figures look-count">{count}</span>
                    <Heart id=hall.current />
                    <IconButton
                        icon=DOWNLOAD_SIMPLE
                        label="Save the picture"
                        on_press=move || gallery.download(hall.current.get_untracked().into_iter().collect())
                    />
                    <IconButton icon=TRASH label="Delete the picture" on_press=move || delete(gallery, hall) />
                    <IconButton icon=X label="Close" on_press=move || hall.current.set(None) />
                </div>
                <div class="look-stage" class:is-exact=exact>{image}</div>
                <div class="look-step is-before">
                    <IconButton icon=CARET_LEFT label="The picture before" disabled=is_first on_press=move || step(-1) />
                </div>
                <div class="look-step is-after">
                    <IconButton icon=CARET_RIGHT label="The next picture" disabled=is_last on_press=move || step(1) />
                </div>
                <aside class="look-details" aria-label="How it was made">
                    {move || record.get().map(|record| view! { <Details hall record /> })}
                </aside>
            }
        })
    };
    view! {
        <dialog
            node_ref=node
            class="look"
            aria-label="A picture of the gallery"
            on:close=move |_| hall.current.set(None)
        >
            {inside}
            <Notices window=is_open />
        </dialog>
    }
}

fn toggle_favourite(gallery: Gallery, hall: Hall) {
    if let Some(record) = hall.current.get_untracked().and_then(|id| gallery.record_untracked(id)) {
        gallery.set_favourite(record.id, !record.favourite);
    }
}

fn delete(gallery: Gallery, hall: Hall) {
    gallery.remove(hall.current.get_untracked().into_iter().collect());
}
