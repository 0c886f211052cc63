//! How large the picture is: the model's own sizes, or any other.

use encaustic_protocol::{Param, Value};
use leptos::prelude::*;
use phosphor_leptos::SWAP;

use super::control::Number;
use crate::form;
use crate::page::maker::{Maker, control, param};
use crate::page::widgets::{ButtonSize, IconButton};

/// Presets, two boxes, and a button that lays the picture on its side.
#[component]
pub fn Size() -> impl IntoView {
    let maker = Maker::here();
    param("width").zip(param("height")).map(|(width, height)| sizes(maker, width, height))
}

fn sizes(maker: Maker, width: &'static Param, height: &'static Param) -> impl IntoView {
    let put = move |[w, h]: [u32; 2]| {
        maker.set(width, Value::Integer(w.into()));
        maker.set(height, Value::Integer(h.into()));
    };
    let meant = Memo::new(move |_| side(&maker.meant(width)).zip(side(&maker.meant(height))));
    let presets = Memo::new(move |_| maker.card().map(|card| card.sizes).unwrap_or_default());
    let preset = move |[w, h]: [u32; 2]| {
        let pressed = move || if meant.get() == Some((w, h)) { "true" } else { "false" };
        let label = format!("{w} \u{d7} {h}");
        view! {
            <button type="button" class="size" aria-pressed=pressed on:click=move |_| put([w, h])>
                <span class="size-shape" style:--ratio=(f64::from(w) / f64::from(h.max(1))).to_string() aria-hidden="true"></span>
                <span class="figures">{label}</span>
            </button>
        }
    };
    let swap = move || {
        if let Some((w, h)) = meant.get_untracked() {
            put([h, w]);
        }
    };
    let error = move |param: &'static Param| {
        let text = move || maker.fault(param).map(|fault| format!("{}: {fault}", form::title(param)));
        view! { <p class="field-error" id=format!("{}-error", control(param)) aria-live="polite">{text}</p> }
    };
    view! {
        <fieldset class="field">
            <legend class="field-label">"Size"</legend>
            <div class="sizes" hidden=move || presets.with(Vec::is_empty)>
                {move || presets.get().into_iter().map(preset).collect_view()}
            </div>
            <div class="sides">
                <Number param=width label="Width" />
                <IconButton icon=SWAP label="Swap width and height" size=ButtonSize::Small on_press=swap />
                <Number param=height label="Height" />
            </div>
            {error(width)}
            {error(height)}
        </fieldset>
    }
}

fn side(value: &Value) -> Option<u32> {
    if let Value::Integer(number) = value { u32::try_from(*number).ok() } else { None }
}
