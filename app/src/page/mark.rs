//! The mark: a drop of wax, which is a flame as well. `app/icons` has the same one for the system.

use leptos::prelude::*;

/// The mark, as large as the styles say.
#[component]
pub fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 64 64" aria-hidden="true">
            <path class="mark-drop" d="M33 4c3 13 19 20 19 36a20 20 0 0 1-40 0c0-9 5-14 9-19 1 4 3 6 6 7 4-8 2-16 6-24z"></path>
            <path class="mark-core" d="M33 34c2 6 9 8 9 15a10 10 0 0 1-20 0c0-4 2-6 4-9 1 2 2 3 4 3 2-3 1-6 3-9z"></path>
        </svg>
    }
}
