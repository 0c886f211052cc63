//! A list of actions behind a button.

use leptos::ev::{self, KeyboardEvent};
use leptos::html;
use leptos::prelude::*;
use phosphor_leptos::{DOTS_THREE_VERTICAL, IconData};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::{Glyph, IconButton, Press, unique};

/// Closes the menu around an item.
#[derive(Clone, Copy)]
struct Close(RwSignal<bool>);

/// A button that opens a list of [`MenuItem`]s.
#[component]
pub fn Menu(
    /// What the list is about.
    #[prop(into)]
    label: String,
    /// The button's icon.
    #[prop(default = DOTS_THREE_VERTICAL)]
    icon: IconData,
    /// Whether the list opens upwards.
    #[prop(optional)]
    above: bool,
    /// The items.
    children: ChildrenFn,
) -> impl IntoView {
    let open = RwSignal::new(false);
    let root = NodeRef::<html::Span>::new();
    let id = unique("menu");
    provide_context(Close(open));

    let outside = window_event_listener(ev::pointerdown, move |event| {
        let target = event.target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
        let is_inside = root.get_untracked().is_some_and(|root| root.contains(target.as_ref()));
        if !is_inside && open.get_untracked() {
            open.set(false);
        }
    });
    on_cleanup(move || outside.remove());

    let keys = move |event: KeyboardEvent| {
        if !open.get_untracked() {
            return;
        }
        match event.key().as_str() {
            "Escape" => {
                event.stop_propagation();
                open.set(false);
                if let Some(button) = root.get_untracked().and_then(|root| find(&root, "button")) {
                    let _ = button.focus();
                }
            }
            "ArrowDown" => step(root, event, 1),
            "ArrowUp" => step(root, event, -1),
            "Tab" => open.set(false),
            _ => {}
        }
    };
    Effect::new(move || {
        if open.get() {
            request_animation_frame(move || {
                if let Some(first) = root.get_untracked().and_then(|root| find(&root, ".menu-item")) {
                    let _ = first.focus();
                }
            });
        }
    });
    let name = label.clone();
    let list = move || {
        open.get().then(|| {
            view! { <div class="menu-list" class:is-above=above id=id.clone() role="menu" aria-label=name.clone()>{children()}</div> }
        })
    };
    view! {
        <span class="menu" node_ref=root on:keydown=keys>
            <IconButton
                icon
                label
                on_press=move || open.update(|open| *open = !*open)
                attr:aria-haspopup="menu"
                attr:aria-expanded=move || if open.get() { "true" } else { "false" }
            />
            {list}
        </span>
    }
}

/// An action in a [`Menu`].
#[component]
pub fn MenuItem(
    /// What it does.
    #[prop(into)]
    on_press: Press,
    /// An icon before the words.
    icon: IconData,
    /// Whether it cannot be taken back.
    #[prop(optional)]
    danger: bool,
    /// The words.
    children: Children,
) -> impl IntoView {
    let close = use_context::<Close>();
    let press = move |_| {
        if let Some(Close(open)) = close {
            open.set(false);
        }
        on_press.run(());
    };
    view! {
        <button type="button" class="menu-item" class:is-danger=danger role="menuitem" tabindex="-1" on:click=press>
            <Glyph icon />
            <span>{children()}</span>
        </button>
    }
}

fn find(root: &web_sys::Element, selector: &str) -> Option<HtmlElement> {
    root.query_selector(selector).ok()??.dyn_into().ok()
}

/// Moves the focus to the next item or the one before, around the ends.
fn step(root: NodeRef<html::Span>, event: KeyboardEvent, by: i32) {
    event.prevent_default();
    let Some(items) = root.get_untracked().and_then(|root| root.query_selector_all(".menu-item").ok()) else { return };
    let items: Vec<HtmlElement> = (0..items.length()).filter_map(|i| items.item(i)?.dyn_into().ok()).collect();
    let focused = document().active_element();
    let at = items.iter().position(|item| focused.as_ref() == Some(item.as_ref()));
    let count = i32::try_from(items.len()).unwrap_or(i32::MAX).max(1);
    let next =
        at.and_then(|at| i32::try_from(at).ok()).map_or(if by > 0 { 0 } else { count - 1 }, |at| (at + by).rem_euclid(count));
    if let Some(item) = usize::try_from(next).ok().and_then(|next| items.get(next)) {
        let _ = item.focus();
    }
}
