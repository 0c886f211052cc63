//! How this browser's user wants the page to be: kept in `localStorage`.

use leptos::prelude::*;

use super::local;
use crate::preferences::Preferences;

/// Where they are kept.
const NAME: &str = "preferences";

/// The preferences: whoever sets them changes what they are about, and what is kept.
#[derive(Clone, Copy)]
pub struct Wishes(pub RwSignal<Preferences>);

impl Wishes {
    /// The last visit's, kept whenever they change, and put where components find them.
    pub fn provide() -> Self {
        let wishes = RwSignal::new(local::recall(NAME).unwrap_or_default());
        local::follow(NAME, wishes);
        Effect::watch(move || wishes.get(), |wishes, _, _| local::keep(NAME, wishes), false);
        provide_context(Self(wishes));
        Self(wishes)
    }

    /// Those of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }
}
