//! One of several: from a menu, or from a few that lie open.

use leptos::prelude::*;
use phosphor_leptos::{CARET_DOWN, IconData};

use super::field::described_by;
use super::{Glyph, On, unique};

/// Something to choose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// What is handed on.
    pub value: String,
    /// What people read.
    pub label: String,
    /// An icon before it; in open ones only.
    pub icon: Option<IconData>,
}

impl Choice {
    /// A choice without an icon.
    pub fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into(), icon: None }
    }

    /// The same with an icon.
    #[must_use]
    pub fn with_icon(self, icon: IconData) -> Self {
        Self { icon: Some(icon), ..self }
    }
}

/// A menu to choose from: the system's own.
#[component]
pub fn Select(
    /// Its id.
    #[prop(into)]
    id: String,
    /// What there is.
    #[prop(into)]
    options: Signal<Vec<Choice>>,
    /// What is chosen.
    #[prop(into)]
    value: Signal<String>,
    /// Something was chosen.
    #[prop(into)]
    on_change: On<String>,
    /// Whether what is chosen will not do.
    #[prop(optional, into)]
    invalid: Signal<bool>,
) -> impl IntoView {
    let options = move || {
        let choice = |choice: Choice| {
            let is_it = choice.value.clone();
            view! { <option value=choice.value prop:selected=move || value.get() == is_it>{choice.label}</option> }
        };
        options.get().into_iter().map(choice).collect_view()
    };
    view! {
        <div class="select">
            <select
                id=id.clone()
                class="input"
                aria-describedby=described_by(&id)
                aria-invalid=move || invalid.get().then_some("true")
                on:change:target=move |event| on_change.run((event.target().value(),))
            >
                {options}
            </select>
            <Glyph icon=CARET_DOWN />
        </div>
    }
}

/// A few that lie open side by side.
#[component]
pub fn Segmented(
    /// What the choice is about.
    #[prop(into)]
    label: String,
    /// What there is.
    options: Vec<Choice>,
    /// What is chosen.
    #[prop(into)]
    value: Signal<String>,
    /// Something was chosen.
    #[prop(into)]
    on_change: On<String>,
) -> impl IntoView {
    let name = unique("choice");
    let item = move |choice: Choice| {
        let is_it = choice.value.clone();
        view! {
            <label class="choice-item">
                <input
                    class="unseen"
                    type="radio"
                    name=name.clone()
                    value=choice.value.clone()
                    prop:checked=move || value.get() == is_it
                    on:change=move |_| on_change.run((choice.value.clone(),))
                />
                <span>{choice.icon.map(|icon| view! { <Glyph icon /> })} {choice.label}</span>
            </label>
        }
    };
    view! { <div class="choice" role="radiogroup" aria-label=label>{options.into_iter().map(item).collect_view()}</div> }
}
