//! Pixels on a canvas.

use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

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
