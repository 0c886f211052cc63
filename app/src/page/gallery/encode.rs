//! From pixels to files: the picture with its settings inside, and a small image for the grid.
//!
//! The PNG is written here and not by a canvas, because some browsers change a canvas's pixels against tracking. It is the
//! same writer as the command line's, so the same picture gives the same bytes.

use encaustic_picture::png;
use futures_channel::oneshot;
use js_sys::{Array, Uint8Array, Uint8ClampedArray};
use leptos::prelude::document;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, BlobPropertyBag, CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

/// The longest side of a small image, in pixels: twice what the grid shows, for fine screens.
const SMALL_SIDE: u32 = 512;

/// A picture as a PNG file; `rgba` has four bytes per pixel.
pub(super) fn picture(width: u32, height: u32, rgba: &Uint8ClampedArray, parameters: &str) -> Result<Blob, String> {
    let rgb: Vec<u8> = rgba.to_vec().chunks_exact(4).flat_map(|pixel| pixel.iter().copied().take(3)).collect();
    let mut file = Vec::new();
    // A prompt may hold what a PNG cannot.
    let parameters = parameters.replace('\0', "");
    png::write(png::Pixels { width, height, rgb: &rgb }, &parameters, &mut file).map_err(|error| error.to_string())?;
    blob(&Uint8Array::from(file.as_slice()), "image/png")
}

/// A blob of some bytes, or of a text.
pub(crate) fn blob(content: &JsValue, kind: &str) -> Result<Blob, String> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    Blob::new_with_buffer_source_sequence_and_options(&Array::of1(content), &options).map_err(|error| format!("{error:?}"))
}

/// A small image of a large picture; `None` if it is small itself, or the browser makes none.
pub(super) async fn small(width: u32, height: u32, rgba: &Uint8ClampedArray) -> Option<Blob> {
    let side = width.max(height);
    if side <= SMALL_SIDE {
        return None;
    }
    let image = ImageData::new_with_js_u8_clamped_array_and_sh(rgba, width, height).ok()?;
    let (whole, context) = canvas(width, height)?;
    context.put_image_data(&image, 0.0, 0.0).ok()?;
    let scale = |length: u32| (u64::from(length) * u64::from(SMALL_SIDE) / u64::from(side)).clamp(1, 1 << 16) as u32;
    let (small, context) = canvas(scale(width), scale(height))?;
    let (to_width, to_height) = (f64::from(small.width()), f64::from(small.height()));
    context.draw_image_with_html_canvas_element_and_dw_and_dh(&whole, 0.0, 0.0, to_width, to_height).ok()?;
    let (sender, receiver) = oneshot::channel();
    let done = Closure::once(move |blob: JsValue| {
        let _ = sender.send(blob.dyn_into::<Blob>().ok());
    });
    small.to_blob_with_type(done.as_ref().unchecked_ref(), "image/webp").ok()?;
    receiver.await.ok().flatten()
}

fn canvas(width: u32, height: u32) -> Option<(HtmlCanvasElement, CanvasRenderingContext2d)> {
    let canvas: HtmlCanvasElement = document().create_element("canvas").ok()?.dyn_into().ok()?;
    canvas.set_width(width);
    canvas.set_height(height);
    let context = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    Some((canvas, context))
}
