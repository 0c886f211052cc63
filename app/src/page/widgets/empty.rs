//! What there is instead of nothing.

use leptos::prelude::*;
use phosphor_leptos::IconData;

use super::Glyph;

/// An invitation where nothing is yet.
#[component]
pub fn Empty(
    /// A large icon.
    icon: IconData,
    /// What it is about.
    #[prop(into)]
    title: String,
    /// A sentence, and a button perhaps.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="empty">
            <Glyph icon />
            <h2>{title}</h2>
            {children()}
        </div>
    }
}
