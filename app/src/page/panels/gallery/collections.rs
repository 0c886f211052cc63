//! Collections of a server's pictures: which one is looked at, and what goes into which.

use leptos::prelude::*;
use phosphor_leptos::TRASH;

use crate::gallery::Selection;
use crate::page::gallery::Gallery;
use crate::page::gallery::shop::Shop;
use crate::page::widgets::{Button, ButtonSize, Choice, Confirm, Dialog, Field, IconButton, Press, Select, Tone};
use crate::remote::wire::Collection;

/// The field for a new one's name.
const NAME: &str = "collection-name";

/// All pictures, or those of a collection; nothing while there are no collections.
#[component]
pub fn WhichCollection(
    /// The server's gallery.
    shop: Shop,
    /// The collection that is looked at.
    collection: RwSignal<Option<u64>>,
) -> impl IntoView {
    let options = Signal::derive(move || {
        let all = std::iter::once(Choice::new("", "All pictures"));
        let choice = |known: Collection| Choice::new(known.id.to_string(), known.name);
        all.chain(shop.collections.get().into_iter().map(choice)).collect::<Vec<_>>()
    });
    let value = Signal::derive(move || collection.get().map(|id| id.to_string()).unwrap_or_default());
    let is_there = Memo::new(move |_| shop.collections.with(|known| !known.is_empty()));
    view! {
        <Show when=move || is_there.get()>
            <label class="gallery-collection">
                <span class="unseen">"Collection"</span>
                <Select id="gallery-collection" options value on_change=move |id: String| collection.set(id.parse().ok()) />
            </label>
        </Show>
    }
}

/// The window that asks into which collection the chosen pictures go.
#[component]
pub fn Collect(
    /// The server's gallery.
    shop: Shop,
    /// Whether it is open.
    open: RwSignal<bool>,
    /// The pictures.
    chosen: RwSignal<Selection>,
    /// They have gone in.
    #[prop(into)]
    on_done: Press,
) -> impl IntoView {
    let gallery = Gallery::here();
    let name = RwSignal::new(String::new());
    let wrong = RwSignal::new(None::<String>);
    let doomed = RwSignal::new(None::<Collection>);
    let asking = RwSignal::new(false);
    let done = move || {
        open.set(false);
        on_done.run(());
    };
    let make = move || {
        let text = name.get_untracked().trim().to_owned();
        if text.is_empty() {
            return wrong.set(Some("Give it a name.".to_owned()));
        }
        name.set(String::new());
        gallery.collect_new(text, chosen.with_untracked(Selection::ids));
        done();
    };
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        make();
    };
    let row = move |known: Collection| {
        let Collection { id, name, images } = known.clone();
        let into = move || {
            gallery.collect(id, chosen.with_untracked(Selection::ids));
            done();
        };
        let delete = move || {
            doomed.set(Some(known.clone()));
            asking.set(true);
        };
        let label = format!("Give up {name}");
        view! {
            <li class="models-row">
                <div class="models-words">
                    <h3>{name.clone()}</h3>
                    <p class="hint figures">{if images == 1 { "1 picture".to_owned() } else { format!("{images} pictures") }}</p>
                </div>
                <div class="row models-buttons">
                    <Button size=ButtonSize::Small on_press=into attr:aria-label=format!("Add to {name}")>"Add"</Button>
                    <IconButton size=ButtonSize::Small icon=TRASH label on_press=delete />
                </div>
            </li>
        }
    };
    let question = Signal::derive(move || {
        doomed.with(|known| known.as_ref().map(|known| format!("Give up {}?", known.name)).unwrap_or_default())
    });
    let give_up = move || {
        if let Some(known) = doomed.get_untracked() {
            gallery.disperse(known.id);
        }
    };
    let actions = move || view! { <Button on_press=move || open.set(false)>"Cancel"</Button> };
    view! {
        <Dialog open title="Add to a collection" actions>
            <div class="stack">
                <ul class="models-list">
                    <For each=move || shop.collections.get() key=|known| (known.id, known.images) let:known>
                        {row(known)}
                    </For>
                </ul>
                <form class="stack" on:submit=submit>
                    <Field id=NAME label="A new one" error=wrong>
                        <input
                            id=NAME
                            class="input"
                            type="text"
                            maxlength="80"
                            autocomplete="off"
                            aria-describedby=format!("{NAME}-error")
                            prop:value=move || name.get()
                            on:input:target=move |event| {
                                name.set(event.target().value());
                                wrong.set(None);
                            }
                        />
                    </Field>
                    <div class="row">
                        <Button tone=Tone::Primary on_press=make>"Make it and add"</Button>
                    </div>
                </form>
            </div>
        </Dialog>
        <Confirm open=asking title=question verb="Give it up" on_yes=give_up>
            "Its pictures stay in the gallery."
        </Confirm>
    }
}
