//! A label, a control, what it is for, and what is wrong with it.

use leptos::prelude::*;
use phosphor_leptos::QUESTION;

use super::Glyph;

/// What a control with this id refers to for help and fault: its `aria-describedby`.
pub(super) fn described_by(id: &str) -> String {
    format!("{id}-help {id}-error")
}

/// A labelled control. The control inside has to have the same id.
#[component]
pub fn Field(
    /// The control's id.
    #[prop(into)]
    id: String,
    /// Its name.
    #[prop(into)]
    label: String,
    /// What it is for, in a sentence or two, behind a question mark.
    #[prop(optional, into)]
    help: Option<String>,
    /// What is wrong with its value.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// What stands at the other end of the label's line: a count, a small button.
    #[prop(optional, into)]
    aside: ViewFnOnce,
    /// The control.
    children: Children,
) -> impl IntoView {
    let about = format!("About: {label}");
    let help_id = format!("{id}-help");
    let help = help.map(|text| {
        view! {
            <span class="help">
                <button type="button" class="help-button" aria-label=about aria-describedby=help_id.clone()>
                    <Glyph icon=QUESTION />
                </button>
                <span class="help-text" role="tooltip" id=help_id>{text}</span>
            </span>
        }
    });
    view! {
        <div class="field">
            <div class="field-head">
                <label class="field-label" for=id.clone()>{label}</label>
                {help}
                <span class="field-aside">{aside.run()}</span>
            </div>
            {children()}
            <p class="field-error" id=format!("{id}-error") aria-live="polite">{move || error.get()}</p>
        </div>
    }
}
