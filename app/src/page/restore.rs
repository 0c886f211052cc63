//! Settings that come back into the form: from a picture that somebody drops, from a file of settings, from the gallery.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use encaustic_picture::png_text;
use encaustic_picture::restore::{self, Restored};
use encaustic_protocol::Request;
use js_sys::Uint8Array;
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, File};

use super::gallery::url;
use super::preferences::Wishes;
use super::studio::{Action, Studio};
use super::theme::{PageTheme, Theme};
use crate::preferences::{FILE_LIMIT, Preferences, Settings};

/// The largest picture whose texts are read, in bytes: it is in the browser's memory meanwhile.
const PICTURE_LIMIT: f64 = 256.0 * 1024.0 * 1024.0;

/// How long one can have the form as it was before.
const STAY: Duration = Duration::from_secs(30);

/// How much of a file's name is told.
const LONGEST_NAME: usize = 60;

/// Takes pictures and settings that are dropped on the page.
pub(super) fn take(studio: Studio, theme: PageTheme, wishes: Wishes) {
    studio.take_pictures(Callback::new(move |file| png(studio, file)));
    studio.take_settings(Callback::new(move |file| json(studio, file, theme, wishes)));
}

/// Takes the settings of a PNG, whoever made it, into the form, and tells what was found and what was not.
pub fn png(studio: Studio, file: File) {
    spawn_local(async move {
        let name = short(&file.name());
        match picture(studio, &file).await {
            Ok(found) => {
                let text = told(&name, &found);
                fill(studio, found.request, text);
            }
            Err(error) => studio.complain(format!("\"{name}\": {error}")),
        }
    });
}

/// Takes a file of settings: the form's, or all that [`export`] writes.
pub fn json(studio: Studio, file: File, theme: PageTheme, wishes: Wishes) {
    spawn_local(async move {
        let name = short(&file.name());
        match settings(studio, &file).await {
            Ok(settings) => {
                if let Some(known) = settings.theme.as_deref().and_then(Theme::of) {
                    theme.0.set(known);
                }
                if let Some(preferences) = settings.preferences {
                    // How many pictures are kept is this browser's own matter: another number could throw pictures away.
                    wishes.0.update(|own| *own = Preferences { keep: own.keep, ..preferences });
                }
                fill(studio, settings.request, format!("The settings of \"{name}\" are in the form."));
            }
            Err(error) => studio.complain(format!("\"{name}\" is not taken: {error}")),
        }
    });
}

/// Saves all settings as a file.
pub fn export(studio: Studio, theme: PageTheme, wishes: Wishes) {
    let settings = Settings {
        request: studio.request.get_untracked(),
        theme: Some(theme.0.get_untracked().id().to_owned()),
        preferences: Some(wishes.0.get_untracked()),
    };
    match super::gallery::blob(&JsValue::from_str(&settings.to_text()), "application/json") {
        Ok(blob) => url::save(&blob, "encaustic-settings.json"),
        Err(error) => studio.complain(format!("the settings cannot be saved: {error}")),
    }
}

/// Puts a request into the form, shows the form, and offers to have the one before back.
pub fn fill(studio: Studio, request: Request, text: String) {
    let before = studio.request.get_untracked();
    let is_same = before == request;
    studio.request.set(request);
    studio.panel.set("create");
    if is_same {
        studio.say(text);
    } else {
        let notice = studio.notice(text, false, Some(Action::new("Undo", move || studio.request.set(before.clone()))));
        set_timeout(move || studio.dismiss(notice), STAY);
    }
}

/// What was found in a picture, in sentences.
fn told(name: &str, found: &Restored) -> String {
    let mut text = format!("The settings of \"{name}\", which {} made, are in the form.", found.program);
    if let Some(model) = &found.model {
        text.push_str(&format!(" Its model was {model}."));
    }
    for note in &found.notes {
        text.push(' ');
        text.push_str(note);
    }
    text
}

async fn picture(studio: Studio, file: &File) -> Result<Restored, String> {
    if file.size() > PICTURE_LIMIT {
        return Err(format!("it is larger than the {} MB that are read of a picture", PICTURE_LIMIT / 1024.0 / 1024.0));
    }
    let bytes = bytes(file).await?;
    let texts = png_text::read(Bytes { bytes, at: 0 }).map_err(|error| error.to_string())?;
    restore::read(&texts, &studio.catalog.get_untracked()).map_err(|error| error.to_string())
}

async fn settings(studio: Studio, file: &File) -> Result<Settings, String> {
    if file.size() > FILE_LIMIT as f64 {
        return Err(format!("it is larger than the {} KB that settings have at most", FILE_LIMIT / 1024));
    }
    let bytes = bytes(file).await?.to_vec();
    let text = String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())?;
    Settings::from_text(text.trim_start_matches('\u{feff}'), &studio.catalog.get_untracked()).map_err(|error| error.to_string())
}

async fn bytes(blob: &Blob) -> Result<Uint8Array, String> {
    let unread = |_| "it cannot be read; it may have been moved, changed or deleted".to_owned();
    JsFuture::from(blob.array_buffer()).await.map(|buffer| Uint8Array::new(&buffer)).map_err(unread)
}

fn short(name: &str) -> String {
    let mut kept: String = name.chars().take(LONGEST_NAME).filter(|c| !c.is_control()).collect();
    if name.chars().nth(LONGEST_NAME).is_some() {
        kept.push('…');
    }
    kept
}

/// A file in the browser's memory, of which only what is asked for is copied into ours.
struct Bytes {
    bytes: Uint8Array,
    at: u64,
}

impl Read for Bytes {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let end = u64::from(self.bytes.length());
        let begin = self.at.min(end);
        let until = begin.saturating_add(to.len() as u64).min(end);
        let count = usize::try_from(until - begin).unwrap_or(0);
        let (Some(part), Ok(from), Ok(until)) = (to.get_mut(..count), u32::try_from(begin), u32::try_from(until)) else {
            return Ok(0);
        };
        self.bytes.subarray(from, until).copy_to(part);
        self.at = begin + count as u64;
        Ok(count)
    }
}

impl Seek for Bytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => u64::from(self.bytes.length()).checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
