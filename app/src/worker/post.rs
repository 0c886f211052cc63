//! The way out of the worker: messages to the page, and the time that things take.

use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, Url};

use crate::message::{News, Picture};

#[wasm_bindgen]
extern "C" {
    /// Of `boot.js`: lets messages that wait come in. It uses no timer, which a hidden tab would slow down.
    #[wasm_bindgen(js_name = breathe)]
    fn breathe_in_script() -> Promise;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(then: &Function, milliseconds: f64) -> JsValue;
}

/// Lets messages that wait come in.
pub(super) async fn breathe() {
    let _ = JsFuture::from(breathe_in_script()).await;
}

/// Waits. What must not wait longer where the tab is hidden does not use this.
pub(super) async fn pause(seconds: f64) {
    let passed = Promise::new(&mut |done, _| {
        set_timeout(&done, seconds * 1000.0);
    });
    let _ = JsFuture::from(passed).await;
}

/// The worker as the browser sees it.
pub(super) fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// An address in full: what is relative is so to the worker's script.
pub(super) fn absolute(address: &str) -> String {
    let location = Reflect::get(&scope(), &"location".into()).and_then(|location| Reflect::get(&location, &"href".into()));
    let base = location.ok().and_then(|href| href.as_string()).unwrap_or_default();
    Url::new_with_base(address, &base).map_or_else(|_| address.to_owned(), |url| url.href())
}

/// Tells the page something. A page that has gone hears nothing, which hurts nobody.
pub(super) fn tell(news: &News) {
    if let Ok(text) = serde_json::to_string(news) {
        let _ = scope().post_message(&JsValue::from_str(&text));
    }
}

/// Gives a picture away; `rgb` has three bytes per pixel.
pub(super) fn give(picture: Picture, rgb: &[u8]) -> Result<(), String> {
    let pixels: Vec<u8> = rgb.chunks_exact(3).flat_map(|pixel| pixel.iter().copied().chain([u8::MAX])).collect();
    let buffer = Uint8Array::from(pixels.as_slice()).buffer();
    let text = serde_json::to_string(&News::Picture(picture)).map_err(|error| error.to_string())?;
    let message = Object::new();
    Reflect::set(&message, &"news".into(), &text.into())
        .and_then(|_| Reflect::set(&message, &"pixels".into(), &buffer))
        .and_then(|_| scope().post_message_with_transfer(&message, &Array::of1(&buffer)))
        .map_err(|error| format!("the picture could not be handed to the page: {}", why(&error)))
}

/// What a value that JavaScript has thrown says.
pub(super) fn why(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    match message.or_else(|| error.as_string()) {
        Some(text) if !text.is_empty() => text.trim_end_matches('.').to_owned(),
        _ => format!("{error:?}"),
    }
}

/// Seconds on a clock that only goes forward.
pub(super) fn seconds() -> f64 {
    scope().performance().map_or(0.0, |clock| clock.now() / 1000.0)
}

/// Tells the page about a panic, which is the end of the worker: WebAssembly cannot unwind here, and what the engine was
/// in the middle of stays so.
pub(super) fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        let message = if text.to_lowercase().contains("out of memory") {
            format!(
                "the graphics card has no memory left: {text}; a smaller picture, fewer at once, or networks one at a time need less"
            )
        } else {
            format!("the engine broke down: {text}; a driver of the graphics card may be behind it")
        };
        let device_lost = flag("isLost");
        if !flag("isDead") {
            tell(&News::Dead { message, device_lost });
        }
        // The script around the worker sees the trap that follows, and knows by this that it has been told.
        let _ = Reflect::set(&js_sys::global(), &"isDead".into(), &JsValue::TRUE);
    }));
}

/// What `boot.js` has noted.
fn flag(name: &str) -> bool {
    Reflect::get(&js_sys::global(), &name.into()).is_ok_and(|value| value.is_truthy())
}
