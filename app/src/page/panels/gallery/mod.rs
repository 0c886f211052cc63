//! The gallery: every picture that was made here, to be found, looked at, used again and thrown away.

pub mod card;
pub mod collections;
pub mod details;
pub mod look;

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use phosphor_leptos::{
    CHECKS, DOWNLOAD_SIMPLE, HEART, IMAGES, LIST_CHECKS, MAGNIFYING_GLASS, STACK_MINUS, STACK_PLUS, TRASH, WARNING_CIRCLE, X,
};

use self::card::Card;
use self::collections::{Collect, WhichCollection};
use self::look::Look;
use crate::gallery::{Query, Selection};
use crate::page::gallery::{Gallery as Kept, Shelf};
use crate::page::studio::Studio;
use crate::page::widgets::{Button, ButtonSize, Empty, Glyph, IconButton, Tone};

/// How many cards are there at first, and how many more each time.
const PAGE: usize = 120;

/// What stands below the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    Opening,
    Nothing,
    NoMatch,
    Grid,
}

/// What the parts of the panel share. It is copied like a number.
#[derive(Clone, Copy)]
pub struct Hall {
    /// The pictures that the search has found, newest first.
    shown: Memo<Vec<u64>>,
    /// Whether pictures are being chosen.
    choosing: RwSignal<bool>,
    /// Those that are.
    chosen: RwSignal<Selection>,
    /// The picture that is looked at.
    current: RwSignal<Option<u64>>,
}

/// The panel.
#[component]
pub fn Gallery() -> impl IntoView {
    let kept = Kept::here();
    let text = RwSignal::new(String::new());
    let favourites = RwSignal::new(false);
    let pages = RwSignal::new(1_usize);
    let collection = RwSignal::new(None::<u64>);
    let query = Memo::new(move |_| Query::new(&text.get(), favourites.get()).within(collection.get()));
    let shown = Memo::new(move |_| kept.found(&query.get()));
    if let Some(shop) = kept.shop {
        // It searches by itself; a collection that is gone is not meant any more.
        Effect::new(move || shop.query.set(query.get()));
        Effect::new(move || {
            let is_gone = |id: u64| shop.collections.with(|known| !known.is_empty() && known.iter().all(|known| known.id != id));
            if collection.get_untracked().is_some_and(is_gone) {
                collection.set(None);
            }
        });
    }
    let hall =
        Hall { shown, choosing: RwSignal::new(false), chosen: RwSignal::new(Selection::default()), current: RwSignal::new(None) };
    provide_context(hall);
    // What is no longer shown is no longer chosen: nobody deletes what they do not see.
    Effect::new(move || {
        let shown = shown.get();
        if hall.chosen.with_untracked(|chosen| !chosen.is_empty()) {
            hall.chosen.update(|chosen| chosen.retain(|id| shown.contains(&id)));
        }
    });
    Effect::new(move || {
        query.track();
        pages.set(1);
    });
    let counts = Memo::new(move |_| kept.counts(shown.with(Vec::len)));
    let all = Memo::new(move |_| counts.get().1);
    let page = move || {
        let most = if kept.shop.is_some() { usize::MAX } else { pages.get() * PAGE };
        shown.with(|shown| shown.iter().copied().take(most).collect::<Vec<_>>())
    };
    let more = move || {
        if let Some(shop) = kept.shop {
            let there_is_more = Memo::new(move |_| shop.next.with(Option::is_some));
            return there_is_more.get().then(|| {
                view! {
                    <div class="gallery-more">
                        <Button on_press=move || kept.more()>"Show more"</Button>
                    </div>
                }
            });
        }
        let left = shown.with(Vec::len).saturating_sub(pages.get() * PAGE);
        (left > 0).then(|| {
            view! {
                <div class="gallery-more">
                    <Button on_press=move || pages.update(|pages| *pages += 1)>{format!("Show more ({left})")}</Button>
                </div>
            }
        })
    };
    // Only a change of scene is built anew: the cards stay where they are, and with them the focus.
    let scene = Memo::new(move |_| match (kept.shelf.get() == Shelf::Opening, all.get() == 0, shown.with(Vec::is_empty)) {
        (true, true, _) => Scene::Opening,
        (false, true, _) => Scene::Nothing,
        (_, false, true) => Scene::NoMatch,
        _ => Scene::Grid,
    });
    let body = move || match scene.get() {
        Scene::Opening => ().into_any(),
        Scene::Nothing => view! { <Nothing /> }.into_any(),
        Scene::NoMatch => view! { <NoMatch text favourites collection /> }.into_any(),
        Scene::Grid => view! {
            <ul class="grid" aria-label="Pictures">
                <For each=page key=|id| *id let:id>
                    <Card id />
                </For>
            </ul>
            {more}
        }
        .into_any(),
    };
    let keys = move |event: KeyboardEvent| {
        if event.key() == "Escape" && hall.choosing.get_untracked() {
            // Else it would cancel the picture that is being made.
            event.prevent_default();
            hall.choosing.set(false);
            hall.chosen.set(Selection::default());
        }
    };
    view! {
        <div class="gallery" on:keydown=keys>
            <Head hall text favourites collection counts />
            <Loose />
            {body}
            <Chosen hall collection />
            <Look hall />
        </div>
    }
}

/// The title, the search, and what stands beside them.
#[component]
fn Head(
    hall: Hall,
    text: RwSignal<String>,
    favourites: RwSignal<bool>,
    collection: RwSignal<Option<u64>>,
    counts: Memo<(usize, usize)>,
) -> impl IntoView {
    let kept = Kept::here();
    let count = move || match counts.get() {
        (_, 0) => String::new(),
        (1, 1) => "1 picture".to_owned(),
        (shown, all) if shown == all => format!("{all} pictures"),
        (shown, all) => format!("{shown} of {all} pictures"),
    };
    let choose = move || {
        hall.choosing.update(|choosing| *choosing = !*choosing);
        hall.chosen.set(Selection::default());
    };
    let favourites_label =
        move || if favourites.get() { "Show all pictures".to_owned() } else { "Show favourites only".to_owned() };
    let choose_label = move || if hall.choosing.get() { "Stop choosing".to_owned() } else { "Choose several".to_owned() };
    let escape = move |event: KeyboardEvent| {
        if event.key() != "Escape" {
            return;
        }
        // Here it is about the words alone: else it would cancel the picture that is being made.
        event.prevent_default();
        if text.with_untracked(|text| !text.is_empty()) {
            event.stop_propagation();
            text.set(String::new());
        }
    };
    view! {
        <header class="gallery-head">
            <div class="gallery-title">
                <h1>"Gallery"</h1>
                <p class="hint figures" aria-live="polite">{count}</p>
            </div>
            <div class="gallery-tools" class:is-idle=move || counts.get().1 == 0>
                <label class="gallery-search">
                    <span class="unseen">"Search prompts, models and seeds"</span>
                    <Glyph icon=MAGNIFYING_GLASS />
                    <input
                        class="input"
                        type="search"
                        placeholder="Search prompts, models, seeds"
                        prop:value=move || text.get()
                        on:input:target=move |event| text.set(event.target().value())
                        on:keydown=escape
                    />
                </label>
                {kept.shop.map(|shop| view! { <WhichCollection shop collection /> })}
                <IconButton
                    icon=HEART
                    label=Signal::derive(favourites_label)
                    pressed=Signal::derive(move || favourites.get())
                    on_press=move || favourites.update(|favourites| *favourites = !*favourites)
                />
                <IconButton
                    icon=LIST_CHECKS
                    label=Signal::derive(choose_label)
                    pressed=Signal::derive(move || hall.choosing.get())
                    on_press=choose
                />
            </div>
        </header>
    }
}

/// Says that nothing is kept, where that is so.
#[component]
fn Loose() -> impl IntoView {
    let kept = Kept::here();
    move || match kept.shelf.get() {
        Shelf::Loose(why) => Some(view! {
            <p class="gallery-warning" role="status">
                <Glyph icon=WARNING_CIRCLE />
                <span>{crate::page::studio::sentence(&why)}</span>
            </p>
        }),
        Shelf::Opening | Shelf::Ready => None,
    }
}

/// Before the first picture.
#[component]
fn Nothing() -> impl IntoView {
    let studio = Studio::here();
    let whose = if studio.server.is_some() {
        "Every picture that this server makes is kept there, with all that is needed to make it again."
    } else {
        "Every picture that you make is kept in this browser, with all that is needed to make it again. Nobody else sees it."
    };
    view! {
        <Empty icon=IMAGES title="Your pictures will hang here">
            <p>{whose}</p>
            <Button tone=Tone::Primary size=ButtonSize::Large on_press=move || studio.panel.set("create")>"Make the first one"</Button>
            <p class="hint">
                "Have one from A1111, ComfyUI or InvokeAI? Drop its PNG anywhere on this page, and its settings are in the form."
            </p>
        </Empty>
    }
}

/// When a search finds nothing.
#[component]
fn NoMatch(text: RwSignal<String>, favourites: RwSignal<bool>, collection: RwSignal<Option<u64>>) -> impl IntoView {
    let all = move || {
        text.set(String::new());
        favourites.set(false);
        collection.set(None);
    };
    let words = move || {
        if text.with(|text| text.trim().is_empty()) && collection.get().is_some() {
            "Nothing in this collection: choose pictures in the gallery, and press Collect."
        } else if text.with(|text| text.trim().is_empty()) {
            "No picture is a favourite yet: the heart on a picture makes it one, and then it is never cleared away to make room."
        } else {
            "No prompt, model or seed has all of these words."
        }
    };
    view! {
        <Empty icon=MAGNIFYING_GLASS title="No picture like that">
            <p>{words}</p>
            <Button on_press=all>"Show all"</Button>
        </Empty>
    }
}

/// What can be done with the pictures that are chosen.
#[component]
fn Chosen(hall: Hall, collection: RwSignal<Option<u64>>) -> impl IntoView {
    let kept = Kept::here();
    let none = Signal::derive(move || hall.chosen.with(Selection::is_empty));
    let done = move || {
        hall.choosing.set(false);
        hall.chosen.set(Selection::default());
    };
    let delete = move || {
        kept.remove(hall.chosen.with_untracked(Selection::ids));
        done();
    };
    let download = move || kept.download(hall.chosen.with_untracked(Selection::ids));
    let collecting = RwSignal::new(false);
    let collect = move || {
        kept.shop.map(|shop| {
            let take_out = move || {
                if let Some(collection) = collection.get_untracked() {
                    kept.take_out(collection, hall.chosen.with_untracked(Selection::ids));
                    done();
                }
            };
            view! {
                <Button tone=Tone::Quiet icon=STACK_PLUS disabled=none on_press=move || collecting.set(true)>"Collect"</Button>
                <Show when=move || collection.get().is_some()>
                    <Button tone=Tone::Quiet icon=STACK_MINUS disabled=none on_press=take_out>"Take out"</Button>
                </Show>
                <Collect shop open=collecting chosen=hall.chosen on_done=done />
            }
        })
    };
    let count = move || match hall.chosen.with(Selection::len) {
        0 => "Choose pictures".to_owned(),
        count => format!("{count} chosen"),
    };
    view! {
        <Show when=move || hall.choosing.get()>
            <div class="gallery-chosen" role="toolbar" aria-label="The pictures that are chosen">
                <IconButton icon=X label="Stop choosing" on_press=done />
                <span class="figures" aria-live="polite">{count}</span>
                <span class="gallery-gap"></span>
                <Button
                    tone=Tone::Quiet
                    icon=CHECKS
                    on_press=move || hall.chosen.update(|chosen| chosen.set(hall.shown.get_untracked()))
                >
                    "All"
                </Button>
                {collect}
                <Button tone=Tone::Quiet icon=DOWNLOAD_SIMPLE disabled=none on_press=download>"Save"</Button>
                <Button tone=Tone::Danger icon=TRASH disabled=none on_press=delete>"Delete"</Button>
            </div>
        </Show>
    }
}
