//! Buttons, with words and with an icon alone.

use leptos::prelude::*;
use phosphor_leptos::IconData;

use super::{Glyph, Press};

/// How loud a button is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// The one thing to do here: at most one in sight.
    Primary,
    /// One of several.
    #[default]
    Plain,
    /// Beside the matter: no border.
    Quiet,
    /// What cannot be taken back.
    Danger,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Primary => "button-primary",
            Self::Plain => "button-plain",
            Self::Quiet => "button-quiet",
            Self::Danger => "button-danger",
        }
    }
}

/// How large a button is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ButtonSize {
    /// Within lines and lists.
    Small,
    /// As high as an input.
    #[default]
    Medium,
    /// What a view is about.
    Large,
}

impl ButtonSize {
    fn class(self) -> &'static str {
        match self {
            Self::Small => "button-small",
            Self::Medium => "",
            Self::Large => "button-large",
        }
    }
}

/// A button with words.
#[component]
pub fn Button(
    /// What it does.
    #[prop(into)]
    on_press: Press,
    /// How loud it is.
    #[prop(optional)]
    tone: Tone,
    /// How large it is.
    #[prop(optional)]
    size: ButtonSize,
    /// An icon before the words.
    #[prop(optional)]
    icon: Option<IconData>,
    /// Whether it can be pressed now.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// Whether what it does is under way: it turns, and cannot be pressed; it keeps the focus.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// The words.
    children: Children,
) -> impl IntoView {
    let mark = move || match (busy.get(), icon) {
        (true, _) => view! { <span class="spinner"></span> }.into_any(),
        (false, Some(icon)) => view! { <Glyph icon /> }.into_any(),
        (false, None) => ().into_any(),
    };
    view! {
        <button
            type="button"
            class=["button", tone.class(), size.class()].join(" ")
            disabled=move || disabled.get()
            aria-disabled=move || busy.get().then_some("true")
            on:click=move |_| {
                if !busy.get_untracked() {
                    on_press.run(());
                }
            }
        >
            {mark}
            {children()}
        </button>
    }
}

/// A button with an icon alone.
#[component]
pub fn IconButton(
    /// The icon.
    #[prop(into)]
    icon: Signal<IconData>,
    /// What it does, in words: read out, and shown when one lingers.
    #[prop(into)]
    label: Signal<String>,
    /// What it does.
    #[prop(into)]
    on_press: Press,
    /// How loud it is.
    #[prop(default = Tone::Quiet)]
    tone: Tone,
    /// How large it is.
    #[prop(optional)]
    size: ButtonSize,
    /// Whether it can be pressed now.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// For a button that stays down: whether it is.
    #[prop(optional, into)]
    pressed: Option<Signal<bool>>,
) -> impl IntoView {
    let pressed = move || pressed.map(|pressed| if pressed.get() { "true" } else { "false" });
    view! {
        <button
            type="button"
            class=["button button-icon", tone.class(), size.class()].join(" ")
            aria-label=move || label.get()
            title=move || label.get()
            aria-pressed=pressed
            disabled=move || disabled.get()
            on:click=move |_| on_press.run(())
        >
            {move || view! { <Glyph icon=icon.get() /> }}
        </button>
    }
}
