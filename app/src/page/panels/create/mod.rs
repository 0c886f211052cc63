//! Where pictures are made: the form, the picture that is coming, and those of this session.

use leptos::prelude::*;

/// The panel.
#[component]
pub fn Create() -> impl IntoView {
    view! { <div class="create"></div> }
}
