//! The parts of the page: each in a file of its own, registered here.

pub mod create;
pub mod gallery;
pub mod models;
pub mod settings;

use leptos::prelude::*;
use phosphor_leptos::{CUBE, IMAGES, IconData, PAINT_BRUSH, SLIDERS_HORIZONTAL};

/// A part of the page.
pub(super) struct Panel {
    /// Its name in addresses and styles.
    pub(super) id: &'static str,
    /// What people read.
    pub(super) label: &'static str,
    /// What they see where there is no room to read.
    pub(super) icon: IconData,
    /// What it shows.
    pub(super) view: fn() -> AnyView,
}

/// All parts, in the order of the navigation.
pub(super) static PANELS: &[Panel] = &[
    Panel { id: "create", label: "Create", icon: PAINT_BRUSH, view: || view! { <create::Create /> }.into_any() },
    Panel { id: "gallery", label: "Gallery", icon: IMAGES, view: || view! { <gallery::Gallery /> }.into_any() },
    Panel { id: "models", label: "Models", icon: CUBE, view: || view! { <models::Models /> }.into_any() },
    Panel { id: "settings", label: "Settings", icon: SLIDERS_HORIZONTAL, view: || view! { <settings::Settings /> }.into_any() },
];
