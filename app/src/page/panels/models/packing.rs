//! A file of the user's on its way into the browser's storage.

use leptos::prelude::*;
use phosphor_leptos::STOP;

use super::facts;
use crate::amount::{self, Pace};
use crate::page::studio::Studio;
use crate::page::widgets::{Button, ButtonSize, ProgressBar};

/// How far the packing is, while there is one.
#[component]
pub fn PackingCard() -> impl IntoView {
    let studio = Studio::here();
    let title = Memo::new(move |_| studio.packing.with(|packing| packing.as_ref().map(|packing| packing.title.clone())));
    move || {
        let title = title.get()?;
        let pace = StoredValue::new(Pace::default());
        let figures = move || {
            let Some(packing) = studio.packing.get() else { return String::new() };
            pace.update_value(|pace| pace.see(js_sys::Date::now() / 1000.0, packing.bytes));
            let left = pace.with_value(|pace| pace.left(packing.of));
            facts([
                format!("{} of {}", amount::bytes(packing.bytes), amount::bytes(packing.of)),
                left.map(|left| format!("{} left", amount::seconds(left))).unwrap_or_default(),
            ])
        };
        let part = Signal::derive(move || {
            studio.packing.with(|packing| packing.as_ref().filter(|it| it.of > 0).map(|it| it.bytes as f64 / it.of as f64))
        });
        Some(view! {
            <section class="card stack" aria-label="A file that is being packed">
                <div class="row spread models-title">
                    <h2>{format!("Packing {title}")}</h2>
                    <Button size=ButtonSize::Small icon=STOP on_press=move || studio.stop()>"Stop"</Button>
                </div>
                <ProgressBar label="Packing the file" value=part />
                <div class="row spread hint">
                    <span>"Writing it into this browser's storage"</span>
                    <span class="figures">{figures}</span>
                </div>
            </section>
        })
    }
}
