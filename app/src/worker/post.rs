//! The way out of the worker: messages to the page, and the time that things take.

use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DedicatedWorkerGlobalScope;

use crate::message::{News, Picture};

/// The worker as the browser sees it.
pub(super) fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
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
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => error.as_string().unwrap_or_else(|| format!("{error:?}")),
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
        let message = format!("the engine broke down: {panic}; a driver of the graphics card may be behind it");
        tell(&News::Dead { message, device_lost: false });
        // The script around the worker sees the trap that follows, and knows by this that it has been told.
        let _ = Reflect::set(&js_sys::global(), &"isDead".into(), &JsValue::TRUE);
    }));
}
