//! Files that are dropped anywhere on the page, or chosen: each kind goes to who can use it.

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::{DataTransfer, DragEvent, File, FileList};

use super::studio::Studio;
use crate::message::{Load, Source};
use crate::offers::{self, Kind};

/// The panel in which a model's file is looked at.
const MODELS: &str = "models";

/// Takes in what is dropped, and shows meanwhile that it may be.
#[component]
pub fn DropZone() -> impl IntoView {
    let studio = Studio::here();
    let over = RwSignal::new(false);
    let handles = [
        window_event_listener(ev::dragenter, move |event| {
            if has_files(&event) {
                event.prevent_default();
                over.set(true);
            }
        }),
        window_event_listener(ev::dragover, move |event| {
            if has_files(&event) {
                // Without this the browser would open the file instead of the page.
                event.prevent_default();
                if let Some(data) = event.data_transfer() {
                    data.set_drop_effect("copy");
                }
                over.set(true);
            }
        }),
        window_event_listener(ev::dragleave, move |event| {
            // Into an element of the page is not out of it.
            if event.related_target().is_none() {
                over.set(false);
            }
        }),
        window_event_listener(ev::drop, move |event| {
            over.set(false);
            if has_files(&event) {
                event.prevent_default();
                if let Some(files) = event.data_transfer().as_ref().and_then(DataTransfer::files) {
                    take_all(studio, &files);
                }
            }
        }),
    ];
    let what = if studio.server.is_some() {
        "A picture (.png) gives its settings back, a settings file (.json) is read."
    } else {
        "A checkpoint (.safetensors) is loaded, a picture (.png) gives its settings back, a settings file (.json) is read. Nothing \
         leaves this computer."
    };
    on_cleanup(move || handles.into_iter().for_each(WindowListenerHandle::remove));
    view! {
        <Show when=move || over.get()>
            <div class="drop" aria-hidden="true">
                <div class="drop-frame">
                    <p class="drop-title">"Drop it anywhere"</p>
                    <p class="drop-text">{what}</p>
                </div>
            </div>
        </Show>
    }
}

/// Whether files are being dragged, and not words or pictures of this page.
fn has_files(event: &DragEvent) -> bool {
    event.data_transfer().is_some_and(|data| data.types().includes(&JsValue::from_str("Files"), 0))
}

fn take_all(studio: Studio, files: &FileList) {
    let files: Vec<File> = (0..files.length()).filter_map(|place| files.get(place)).collect();
    let is_model = |file: &File| offers::kind(&file.name()) == Kind::Model;
    match files.as_slice() {
        [] => studio.complain("this is a folder or nothing that can be read: drop files"),
        files if studio.server.is_none() && files.iter().filter(|file| is_model(file)).count() > 1 => {
            studio.complain("these are several checkpoints, and only one can be loaded: drop a single file");
        }
        files => files.iter().for_each(|file| take(studio, file.clone())),
    }
}

/// Gives a file to who can use it.
pub(super) fn take(studio: Studio, file: File) {
    let name = file.name();
    let takers = studio.takers();
    match (offers::kind(&name), takers.picture, takers.settings) {
        (Kind::Model, ..) if studio.server.is_some() => studio.complain(format!(
            "\"{name}\" is a model: put it where this server looks for models, and it is in the panel Models"
        )),
        (Kind::Model, ..) => {
            studio.panel.set(MODELS);
            studio.look(Load { from: Source::File, precision: None, residency: None }, Some(&file), &name);
        }
        (Kind::Picture, Some(taker), _) | (Kind::Settings, _, Some(taker)) => taker.run(file),
        (Kind::Pickle, ..) => studio.complain(format!(
            "\"{name}\" is a pickle, or may be one: reading such a file can run programs in it, so this page does not; get the model as \
             .safetensors, or convert it where you trust it"
        )),
        (Kind::Foreign, ..) => {
            studio.complain(format!("\"{name}\" is a model in a format of other programs; get it as a single .safetensors file"));
        }
        _ => {
            let takes = match studio.server {
                Some(_) => "pictures with settings (.png) and settings (.json)",
                None => "checkpoints (.safetensors), pictures with settings (.png) and settings (.json)",
            };
            studio.complain(format!("\"{name}\" is nothing that this page can use: it takes {takes}"));
        }
    }
}
