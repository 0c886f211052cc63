//! On or off.

use leptos::prelude::*;

use super::On;

/// A switch with its label.
#[component]
pub fn Toggle(
    /// Whether it is on.
    #[prop(into)]
    value: Signal<bool>,
    /// It was switched.
    #[prop(into)]
    on_change: On<bool>,
    /// Whether it can be switched now.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// The label.
    children: Children,
) -> impl IntoView {
    view! {
        <label class="toggle">
            <input
                type="checkbox"
                role="switch"
                prop:checked=move || value.get()
                disabled=move || disabled.get()
                on:change:target=move |event| on_change.run((event.target().checked(),))
            />
            <span>{children()}</span>
        </label>
    }
}
