//! The widgets that all panels are made of, and how they are used.
//!
//! | widget | what it is | looks |
//! |---|---|---|
//! | [`Button`] | words, perhaps with an icon; [`Tone`] says how loud | `.button` |
//! | [`IconButton`] | an icon alone; its label is read out and shown when one lingers | `.button-icon` |
//! | [`Field`] | a label, a control, help and fault, tied together by the control's id | `.field` |
//! | [`NumberBox`], [`Slider`], [`TextArea`], [`Select`], [`Toggle`], [`Segmented`] | controls; the first four go into a [`Field`] | `.input`, `.slider`, `.select`, `.toggle`, `.choice` |
//! | [`Dialog`], [`Confirm`] | a window over the page, opened and closed by a signal | `.dialog` |
//! | [`ProgressBar`] | how far something is, or that nobody knows | `.progress` |
//! | [`Empty`] | what there is instead of nothing | `.empty` |
//! | [`Glyph`] | an icon of `phosphor_leptos`, which says nothing to screen readers | `.glyph` |
//!
//! What needs no component is a class: `.card`, `.badge` (`-good`, `-warn`, `-bad`, `-accent`), `.stack`, `.row`, `.spread`,
//! `.quiet`, `.hint`, `.figures`, `.clip`, `.unseen`. Values come from `app/styles/tokens.css` alone; a panel's own styles go
//! into the file of its name beside it. The page's policy forbids `style` attributes: what is computed is set with
//! `style:name=...`, which goes through the object model.
//!
//! A handler is a closure, which the property turns into a [`Press`] or an [`On`]:
//!
//! ```ignore
//! let name = RwSignal::new(String::new());
//! let is_open = RwSignal::new(false);
//! view! {
//!     <Field id="name" label="Name" help="What the model is called in lists.">
//!         <TextArea id="name" value=name on_text=move |text| name.set(text) />
//!     </Field>
//!     <Button icon=TRASH tone=Tone::Danger on_press=move || is_open.set(true)>"Delete"</Button>
//!     <Confirm open=is_open title="Delete the model?" verb="Delete" on_yes=move || studio.send(&order, None)>
//!         "It can be fetched again."
//!     </Confirm>
//! }
//! ```

pub mod button;
pub mod dialog;
pub mod empty;
pub mod field;
pub mod number;
pub mod progress;
pub mod select;
pub mod text;
pub mod toggle;

use std::cell::Cell;

use leptos::prelude::*;
use phosphor_leptos::{IconData, IconWeight};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

pub use button::{Button, ButtonSize, IconButton, Tone};
pub use dialog::{Confirm, Dialog};
pub use empty::Empty;
pub use field::Field;
pub use number::{NumberBox, Slider};
pub use progress::ProgressBar;
pub use select::{Choice, Segmented, Select};
pub use text::TextArea;
pub use toggle::Toggle;

/// What happens when something is pressed: `move || ...`.
pub type Press = UnsyncCallback<()>;

/// What happens with a new value: `move |value| ...`; it is called as `on.run((value,))`.
pub type On<T> = UnsyncCallback<(T,)>;

/// An icon, as tall as a line of the text around it.
#[component]
pub fn Glyph(
    /// Which one.
    icon: IconData,
    /// How it is drawn.
    #[prop(optional, into)]
    weight: Weight,
) -> impl IntoView {
    view! { <svg class="glyph" viewBox="0 0 256 256" aria-hidden="true" inner_html=icon.get(weight.0)></svg> }
}

/// How an icon is drawn: regular, if nobody says.
#[derive(Clone, Copy, Debug)]
pub struct Weight(IconWeight);

impl Default for Weight {
    fn default() -> Self {
        Self(IconWeight::Regular)
    }
}

impl From<IconWeight> for Weight {
    fn from(weight: IconWeight) -> Self {
        Self(weight)
    }
}

/// Gives the focus to the element with an id, if there is one that takes it.
pub fn focus(id: &str) {
    if let Some(element) = document().get_element_by_id(id).and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        let _ = element.focus();
    }
}

/// An id that no other element has.
pub fn unique(word: &str) -> String {
    thread_local!(static NEXT: Cell<u32> = const { Cell::new(0) });
    let number = NEXT.with(|next| next.replace(next.get() + 1));
    format!("{word}-{number}")
}
