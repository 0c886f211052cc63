//! A text of several lines, as high as what is in it.

use leptos::html::Textarea;
use leptos::prelude::*;

use super::On;
use super::field::described_by;

/// A text area that grows with its text.
#[component]
pub fn TextArea(
    /// Its id.
    #[prop(into)]
    id: String,
    /// The text.
    #[prop(into)]
    value: Signal<String>,
    /// What stands there while it is empty.
    #[prop(optional, into)]
    placeholder: Signal<String>,
    /// How many lines it has at least.
    #[prop(default = 2)]
    rows: u32,
    /// What is typed.
    #[prop(into)]
    on_text: On<String>,
    /// Whether what it says will not do.
    #[prop(optional, into)]
    invalid: Signal<bool>,
) -> impl IntoView {
    let area = NodeRef::<Textarea>::new();
    Effect::new(move || {
        value.track();
        // After the new text is in the element.
        request_animation_frame(move || {
            if let Some(area) = area.get_untracked() {
                grow(&area);
            }
        });
    });
    view! {
        <textarea
            node_ref=area
            id=id.clone()
            class="input"
            rows=rows
            aria-describedby=described_by(&id)
            aria-invalid=move || invalid.get().then_some("true")
            placeholder=move || placeholder.get()
            prop:value=move || value.get()
            on:input:target=move |event| on_text.run((event.target().value(),))
        ></textarea>
    }
}

/// Makes a text area as high as its text; the styles say how high it may be.
fn grow(area: &web_sys::HtmlTextAreaElement) {
    let style = (**area).style();
    let borders = area.offset_height() - area.client_height();
    // A property that cannot be set leaves a text area that scrolls.
    let _ = style.set_property("height", "auto");
    let height = area.scroll_height();
    if height > 0 {
        let _ = style.set_property("height", &format!("{}px", height + borders));
    }
}
