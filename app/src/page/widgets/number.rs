//! Numbers: a box to type them in, and a slider.

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;

use super::On;
use super::field::described_by;

/// A box for a number. It hands on what is typed as text: whoever asks knows what numbers it may be, and says so in the
/// field around it.
#[component]
pub fn NumberBox(
    /// Its id.
    #[prop(into)]
    id: String,
    /// Its name, where no [`Field`](super::Field) gives it one.
    #[prop(optional, into)]
    label: Option<String>,
    /// The number, or nothing.
    #[prop(into)]
    value: Signal<String>,
    /// What is meant by nothing.
    #[prop(optional, into)]
    placeholder: Signal<String>,
    /// What is typed.
    #[prop(into)]
    on_text: On<String>,
    /// The arrow keys: one up or down.
    #[prop(optional, into)]
    on_nudge: Option<On<i32>>,
    /// Whether what it says will not do.
    #[prop(optional, into)]
    invalid: Signal<bool>,
) -> impl IntoView {
    // What is typed stays as it is ("1." on the way to "1.5") while it means the same number.
    let typed = RwSignal::new(value.get_untracked());
    Effect::new(move || {
        let value = value.get();
        if !means_the_same(&typed.get_untracked(), &value) {
            typed.set(value);
        }
    });
    let nudge = move |event: KeyboardEvent| {
        let by = match event.key().as_str() {
            "ArrowUp" => 1,
            "ArrowDown" => -1,
            _ => return,
        };
        if let Some(on_nudge) = on_nudge {
            event.prevent_default();
            on_nudge.run((by,));
        }
    };
    view! {
        <input
            id=id.clone()
            class="input input-number"
            type="text"
            inputmode="decimal"
            autocomplete="off"
            spellcheck="false"
            aria-label=label
            aria-describedby=described_by(&id)
            aria-invalid=move || invalid.get().then_some("true")
            placeholder=move || placeholder.get()
            prop:value=move || typed.get()
            on:input:target=move |event| {
                let text = event.target().value();
                typed.set(text.clone());
                on_text.run((text,));
            }
            on:blur=move |_| typed.set(value.get_untracked())
            on:keydown=nudge
        />
    }
}

/// Whether two texts are the same number; long ones are compared letter by letter, as seeds have more digits than `f64`.
fn means_the_same(one: &str, other: &str) -> bool {
    const EXACT_DIGITS: usize = 15;
    let (one, other) = (one.trim(), other.trim());
    if one.len().max(other.len()) > EXACT_DIGITS {
        return one == other;
    }
    let number = |text: &str| text.replacen(',', ".", 1).parse::<f64>();
    match (number(one), number(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// A slider.
#[component]
pub fn Slider(
    /// Its name; the box beside it has the field's.
    #[prop(into)]
    label: String,
    /// Where it stands.
    #[prop(into)]
    value: Signal<f64>,
    /// The least.
    min: f64,
    /// The most; a value beyond it stands at the end.
    max: f64,
    /// How far apart the places are.
    step: f64,
    /// Whether it only shows what the model would take.
    #[prop(optional, into)]
    is_auto: Signal<bool>,
    /// It was moved.
    #[prop(into)]
    on_change: On<f64>,
) -> impl IntoView {
    let fill = move || format!("{:.2}%", ((value.get() - min) / (max - min)).clamp(0.0, 1.0) * 100.0);
    view! {
        <input
            class="slider"
            class:is-auto=move || is_auto.get()
            type="range"
            aria-label=label
            min=min.to_string()
            max=max.to_string()
            step=step.to_string()
            style:--fill=fill
            prop:value=move || value.get().clamp(min, max).to_string()
            on:input:target=move |event| {
                if let Ok(value) = event.target().value().parse() {
                    on_change.run((value,));
                }
            }
        />
    }
}
