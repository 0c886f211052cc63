//! How far something is.

use leptos::prelude::*;

/// A bar that fills, or one that wanders while nobody knows how long it takes.
#[component]
pub fn ProgressBar(
    /// What it is about.
    #[prop(into)]
    label: Signal<String>,
    /// The part that is done, from 0 to 1, if that is known.
    #[prop(into)]
    value: Signal<Option<f64>>,
) -> impl IntoView {
    let percent = move || value.get().map(|part| format!("{:.0}", part.clamp(0.0, 1.0) * 100.0));
    let length = move || value.get().map(|part| format!("scaleX({:.4})", part.clamp(0.0, 1.0))).unwrap_or_default();
    view! {
        <div
            class="progress"
            role="progressbar"
            aria-label=move || label.get()
            aria-valuemin="0"
            aria-valuemax="100"
            aria-valuenow=percent
        >
            <div class="progress-bar" class:is-unknown=move || value.get().is_none() style:transform=length></div>
        </div>
    }
}
