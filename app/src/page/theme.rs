//! Light, dark, or as the system has it. The styles read it from `data-theme` on the root element.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use super::local;

/// Where it is kept.
const NAME: &str = "theme";

/// How the page is lit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    /// Dark ink on paper.
    Light,
    /// Light ink on charcoal.
    Dark,
}

impl Theme {
    /// All, in the order of a menu.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// Its name in storage and in forms.
    pub fn id(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// What people read.
    pub fn label(self) -> &'static str {
        match self {
            Self::System => "As the system",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    /// The theme with an id.
    pub fn of(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.id() == id)
    }

    /// The next one, for a button that goes round.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }
}

/// The page's theme: whoever sets it changes the page and what is kept.
#[derive(Clone, Copy)]
pub struct PageTheme(pub RwSignal<Theme>);

impl PageTheme {
    /// The last visit's theme, applied now and whenever it changes, and put where components find it.
    pub fn provide() -> Self {
        let theme = RwSignal::new(local::recall(NAME).unwrap_or_default());
        apply(theme.get_untracked());
        local::follow(NAME, theme);
        Effect::watch(
            move || theme.get(),
            |theme, _, _| {
                apply(*theme);
                local::keep(NAME, theme);
            },
            false,
        );
        provide_context(Self(theme));
        Self(theme)
    }

    /// The theme of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }
}

fn apply(theme: Theme) {
    let Some(root) = document().document_element() else { return };
    let _ = match theme {
        Theme::System => root.remove_attribute("data-theme"),
        Theme::Light | Theme::Dark => root.set_attribute("data-theme", theme.id()),
    };
    // What the browser paints around the page: one colour for each theme.
    for own in [Theme::Light, Theme::Dark] {
        let Some(colour) = document().get_element_by_id(&format!("colour-{}", own.id())) else { continue };
        let when = match theme {
            Theme::System => format!("(prefers-color-scheme: {})", own.id()),
            chosen if chosen == own => "all".to_owned(),
            _ => "not all".to_owned(),
        };
        let _ = colour.set_attribute("media", &when);
    }
}
