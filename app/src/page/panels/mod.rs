//! The parts of the page: each in a file of its own, registered here.

use leptos::prelude::*;

/// A part of the page.
pub(super) struct Panel {
    /// Its name in addresses and styles.
    pub(super) id: &'static str,
    /// What people read.
    pub(super) label: &'static str,
    /// What it shows.
    pub(super) view: fn() -> AnyView,
}

/// All parts, in the order of the navigation.
pub(super) static PANELS: &[Panel] = &[Panel { id: "create", label: "Create", view: || ().into_any() }];
