//! The parts of the page: each in a file of its own, registered here.

pub mod create;
pub mod gallery;
pub mod models;
pub mod queue;
pub mod settings;

use leptos::prelude::*;
use phosphor_leptos::{CUBE, IMAGES, IconData, PAINT_BRUSH, QUEUE, SLIDERS_HORIZONTAL};

use super::server;

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
static PANELS: &[(Where, Panel)] = &[
    (
        Where::Everywhere,
        Panel { id: "create", label: "Create", icon: PAINT_BRUSH, view: || view! { <create::Create /> }.into_any() },
    ),
    (Where::Server, Panel { id: "queue", label: "Queue", icon: QUEUE, view: || view! { <queue::Queue /> }.into_any() }),
    (
        Where::Everywhere,
        Panel { id: "gallery", label: "Gallery", icon: IMAGES, view: || view! { <gallery::Gallery /> }.into_any() },
    ),
    (Where::Everywhere, Panel { id: "models", label: "Models", icon: CUBE, view: || view! { <models::Models /> }.into_any() }),
    (
        Where::Everywhere,
        Panel {
            id: "settings",
            label: "Settings",
            icon: SLIDERS_HORIZONTAL,
            view: || view! { <settings::Settings /> }.into_any(),
        },
    ),
];

/// Where a part makes sense.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// In every page.
    Everywhere,
    /// In the page of a server.
    Server,
}

/// The parts that this page has.
pub(super) fn panels() -> impl Iterator<Item = &'static Panel> {
    let has_server = server::is_here();
    PANELS.iter().filter(move |(place, _)| has_server || *place == Where::Everywhere).map(|(_, panel)| panel)
}
