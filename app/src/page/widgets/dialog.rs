//! Windows over the page: the browser's own `<dialog>`, which keeps the focus inside and knows Esc.

use leptos::ev::MouseEvent;
use leptos::html;
use leptos::prelude::*;
use phosphor_leptos::X;

use super::{Button, IconButton, Press, Tone, unique};
use crate::page::notices::Notices;

/// A window with a title. What is inside exists while it is open.
#[component]
pub fn Dialog(
    /// Whether it is open; set by whoever opens it, and by itself when it is closed.
    open: RwSignal<bool>,
    /// Its title.
    #[prop(into)]
    title: Signal<String>,
    /// Whether it is to be wider than a text.
    #[prop(optional)]
    wide: bool,
    /// Buttons at its end.
    #[prop(optional, into)]
    actions: ViewFn,
    /// What is inside.
    children: ChildrenFn,
) -> impl IntoView {
    let node = NodeRef::<html::Dialog>::new();
    let title_id = unique("dialog");
    Effect::new(move || show(node, open.get()));
    // A press beside the window is one on the element itself, whose inside is covered. It has to begin there, too: whoever selects
    // words may let go of them anywhere.
    let begins_beside = StoredValue::new(false);
    let press = move |event: MouseEvent| {
        if begins_beside.get_value() && is_beside(&event) {
            open.set(false);
        }
    };
    let inside = move || {
        open.get().then(|| {
            view! {
                <div class="dialog-body">{children()}</div>
                <div class="dialog-foot">{actions.run()}</div>
            }
        })
    };
    view! {
        <dialog
            node_ref=node
            class="dialog"
            class:dialog-wide=wide
            aria-labelledby=title_id.clone()
            on:close=move |_| open.set(false)
            on:pointerdown=move |event| begins_beside.set_value(is_beside(&event))
            on:click=press
        >
            <div class="dialog-head">
                <h2 id=title_id.clone()>{move || title.get()}</h2>
                <IconButton icon=X label="Close" on_press=move || open.set(false) />
            </div>
            {inside}
            <Notices window=open />
        </dialog>
    }
}

/// Whether something happened on the window's element itself.
fn is_beside(event: &MouseEvent) -> bool {
    event.target().zip(event.current_target()).is_some_and(|(at, me)| at == me)
}

/// Opens or closes the browser's window.
pub(crate) fn show(node: NodeRef<html::Dialog>, is_open: bool) {
    let Some(dialog) = node.get() else { return };
    if is_open && !dialog.open() {
        // It fails for an element that is not in the page, which then cannot be seen either.
        let _ = dialog.show_modal();
    } else if !is_open && dialog.open() {
        dialog.close();
    }
}

/// Asks before something is done that cannot be taken back.
#[component]
pub fn Confirm(
    /// Whether it is asked.
    open: RwSignal<bool>,
    /// The question.
    #[prop(into)]
    title: Signal<String>,
    /// What is to be done, as its button says it.
    #[prop(into)]
    verb: Signal<String>,
    /// Do it.
    #[prop(into)]
    on_yes: Press,
    /// What that means.
    children: ChildrenFn,
) -> impl IntoView {
    let actions = move || {
        let yes = move || {
            open.set(false);
            on_yes.run(());
        };
        view! {
            <Button on_press=move || open.set(false)>"Cancel"</Button>
            <Button tone=Tone::Danger on_press=yes>{move || verb.get()}</Button>
        }
    };
    view! {
        <Dialog open title actions>
            <p class="quiet">{children()}</p>
        </Dialog>
    }
}
