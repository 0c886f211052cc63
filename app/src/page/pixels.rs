//! Pixels on a canvas.

use js_sys::Uint8ClampedArray;
use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, CanvasRenderingContext2d, HtmlCanvasElement, HtmlImageElement, ImageData};

use super::gallery::url::Held;
use super::studio::Pixels;

/// A canvas with a picture. What is drawn stays until there is something else to draw.
#[component]
pub fn PixelCanvas(
    /// The picture.
    #[prop(into)]
    pixels: Signal<Option<Pixels>, LocalStorage>,
    /// What it shows, in words.
    #[prop(into)]
    alt: Signal<String>,
) -> impl IntoView {
    let canvas = NodeRef::<Canvas>::new();
    Effect::new(move || {
        if let (Some(canvas), Some(pixels)) = (canvas.get(), pixels.get()) {
            draw(&canvas, &pixels);
        }
    });
    view! { <canvas node_ref=canvas class="pixels" role="img" aria-label=move || alt.get()></canvas> }
}

/// Draws a picture; a canvas that cannot be drawn on stays as it is.
fn draw(canvas: &HtmlCanvasElement, pixels: &Pixels) {
    let (width, height) = (pixels.about.width, pixels.about.height);
    let Ok(image) = ImageData::new_with_js_u8_clamped_array_and_sh(&pixels.rgba, width, height) else { return };
    let context = canvas.get_context("2d").ok().flatten().and_then(|context| context.dyn_into::<CanvasRenderingContext2d>().ok());
    if let Some(context) = context {
        canvas.set_width(width);
        canvas.set_height(height);
        let _ = context.put_image_data(&image, 0.0, 0.0);
    }
}

/// The pixels of a picture's file: width, height, and four bytes each. They are for showing: some browsers change a little what is
/// read from a canvas.
pub async fn read(file: &Blob) -> Option<(u32, u32, Uint8ClampedArray)> {
    let held = Held::new(file)?;
    let image = HtmlImageElement::new().ok()?;
    image.set_src(held.address());
    JsFuture::from(image.decode()).await.ok()?;
    let (width, height) = (image.natural_width(), image.natural_height());
    let canvas: HtmlCanvasElement = document().create_element("canvas").ok()?.dyn_into().ok()?;
    canvas.set_width(width);
    canvas.set_height(height);
    let context: CanvasRenderingContext2d = canvas.get_context("2d").ok()??.dyn_into().ok()?;
    context.draw_image_with_html_image_element(&image, 0.0, 0.0).ok()?;
    let whole = |side: u32| i32::try_from(side).ok().map(f64::from);
    let data = context.get_image_data(0.0, 0.0, whole(width)?, whole(height)?).ok()?;
    // The array itself: what the binding hands out would be a copy in our own memory.
    let data = js_sys::Reflect::get(&JsValue::from(data), &"data".into()).ok()?;
    Some((width, height, data.dyn_into().ok()?))
}
