//! The prompts that were used, and the button beside the prompt that brings them back.

use encaustic_protocol::JobId;
use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use phosphor_leptos::{CLOCK_COUNTER_CLOCKWISE, X};
use wasm_bindgen::JsCast;

use super::local;
use super::preferences::Wishes;
use super::shortcuts::PROMPT;
use super::studio::Studio;
use super::widgets::{ButtonSize, IconButton, focus, unique};
use crate::history::{History, Used};

/// Where they are kept.
const NAME: &str = "history";

/// How many the list shows at once; who looks further back types a word.
const MOST_SHOWN: usize = 60;

/// The prompts that were used.
#[derive(Clone, Copy)]
pub struct Prompts(pub RwSignal<History>);

impl Prompts {
    /// The last visit's, to which every job adds its own, put where components find them.
    pub fn provide(studio: Studio, wishes: Wishes) -> Self {
        let prompts = RwSignal::new(local::recall(NAME).unwrap_or_default());
        local::follow(NAME, prompts);
        Effect::watch(move || prompts.get(), |prompts: &History, _, _| local::keep(NAME, prompts), false);
        let last = StoredValue::new(None::<JobId>);
        Effect::new(move || {
            let newest = studio
                .jobs
                .with(|jobs| jobs.last().map(|job| (job.id, job.request.prompt.clone(), job.request.negative.clone())));
            let Some((id, prompt, negative)) = newest else { return };
            if last.get_value().is_none_or(|last| last < id) {
                last.set_value(Some(id));
                if wishes.0.with_untracked(|wishes| wishes.history) {
                    prompts.update(|prompts| {
                        // Another tab may have added its own a moment ago.
                        if let Some(kept) = local::recall(NAME) {
                            *prompts = kept;
                        }
                        prompts.add(&prompt, &negative);
                    });
                }
            }
        });
        provide_context(Self(prompts));
        Self(prompts)
    }

    /// Those of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }
}

/// A button that opens the list of prompts that were used; the one that is chosen goes into the form. Nothing is there until
/// a prompt was used.
#[component]
pub fn HistoryButton() -> impl IntoView {
    let prompts = Prompts::here();
    view! {
        <Show when=move || prompts.0.with(|prompts| !prompts.is_empty())>
            <HistoryMenu />
        </Show>
    }
}

#[component]
fn HistoryMenu() -> impl IntoView {
    let studio = Studio::here();
    let prompts = Prompts::here();
    let open = RwSignal::new(false);
    let text = RwSignal::new(String::new());
    let root = NodeRef::<html::Span>::new();
    let search = NodeRef::<html::Input>::new();
    let id = unique("history");
    let found = Memo::new(move |_| {
        let mut found = prompts.0.with(|prompts| prompts.find(&text.get()));
        found.truncate(MOST_SHOWN);
        found
    });
    let outside = window_event_listener(ev::pointerdown, move |event| {
        let target = event.target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
        let is_inside = root.get_untracked().is_some_and(|root| root.contains(target.as_ref()));
        if !is_inside && open.get_untracked() {
            open.set(false);
        }
    });
    on_cleanup(move || outside.remove());
    Effect::new(move || {
        if open.get() {
            text.set(String::new());
            request_animation_frame(move || {
                if let Some(search) = search.get_untracked() {
                    let _ = search.focus();
                }
            });
        }
    });
    let close = move || {
        open.set(false);
        let button = root.get_untracked().and_then(|root| root.query_selector("button").ok().flatten());
        if let Some(button) = button.and_then(|button| button.dyn_into::<web_sys::HtmlElement>().ok()) {
            let _ = button.focus();
        }
    };
    let take = move |used: &Used| {
        studio.request.update(|request| {
            request.prompt.clone_from(&used.prompt);
            request.negative.clone_from(&used.negative);
        });
        close();
    };
    let keys = move |event: ev::KeyboardEvent| {
        if !open.get_untracked() {
            return;
        }
        match event.key().as_str() {
            "Escape" => {
                event.stop_propagation();
                event.prevent_default();
                close();
            }
            "ArrowDown" => step(root, &event, 1),
            "ArrowUp" => step(root, &event, -1),
            _ => {}
        }
    };
    // Whoever forgets one by keys goes on with the next.
    let forget = move |prompt: &str| {
        let at = found.with_untracked(|found| found.iter().position(|used| used.prompt == prompt)).unwrap_or_default();
        prompts.0.update(|prompts| prompts.remove(prompt));
        request_animation_frame(move || stay(root, at));
    };
    let left = move |event: ev::FocusEvent| {
        let to = event.related_target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
        let is_outside = to.is_some_and(|to| root.get_untracked().is_some_and(|root| !root.contains(Some(&to))));
        if is_outside {
            open.set(false);
        }
    };
    let item = move |used: Used| {
        let prompt = used.prompt.clone();
        let negative = (!used.negative.is_empty())
            .then(|| view! { <span class="history-not clip">{format!("not: {}", used.negative)}</span> });
        let shown = used.prompt.clone();
        view! {
            <li class="history-item">
                <button type="button" class="history-take" on:click=move |_| take(&used)>
                    <span class="history-text">{shown}</span>
                    {negative}
                </button>
                <IconButton
                    icon=X
                    label="Forget this prompt"
                    size=ButtonSize::Small
                    on_press=move || forget(&prompt)
                />
            </li>
        }
    };
    let list = {
        let id = id.clone();
        move || {
            let id = id.clone();
            open.get().then(move || {
                let none = move || {
                    found.with(Vec::is_empty).then(|| view! { <p class="hint history-none">"No prompt has these words."</p> })
                };
                view! {
                    <div class="history-list" id=id role="dialog" tabindex="-1" aria-label="Prompts that were used">
                        <input
                            node_ref=search
                            class="input"
                            type="search"
                            placeholder="Search the prompts that were used"
                            aria-label="Search the prompts that were used"
                            prop:value=move || text.get()
                            on:input:target=move |event| text.set(event.target().value())
                        />
                        {none}
                        <ul>
                            <For each=move || found.get() key=Used::clone children=item />
                        </ul>
                    </div>
                }
            })
        }
    };
    view! {
        <span class="history" node_ref=root on:keydown=keys on:focusout=left>
            <IconButton
                icon=CLOCK_COUNTER_CLOCKWISE
                label="Prompts that were used"
                size=ButtonSize::Small
                on_press=move || open.update(|open| *open = !*open)
                attr:aria-haspopup="dialog"
                attr:aria-expanded=move || if open.get() { "true" } else { "false" }
            />
            {list}
        </span>
    }
}

/// Gives the focus to the button that forgets the prompt in place `at`, or the last one; to the search if there is none, and to the
/// prompt itself when nothing is remembered any more.
fn stay(root: NodeRef<html::Span>, at: usize) {
    let Some(root) = root.try_get_untracked().flatten() else { return focus(PROMPT) };
    let Ok(buttons) = root.query_selector_all(".history-item > .button") else { return };
    let last = buttons.length().checked_sub(1);
    let next = last.and_then(|last| buttons.item(last.min(u32::try_from(at).unwrap_or(last))));
    let next = next.or_else(|| root.query_selector("input").ok().flatten().map(Into::into));
    match next.and_then(|next| next.dyn_into::<web_sys::HtmlElement>().ok()) {
        Some(next) => {
            let _ = next.focus();
        }
        None => focus(PROMPT),
    }
}

/// Moves the focus from the search to the prompts, along them and back.
fn step(root: NodeRef<html::Span>, event: &ev::KeyboardEvent, by: i32) {
    event.prevent_default();
    let Some(stops) = root.get_untracked().and_then(|root| root.query_selector_all("input, .history-take").ok()) else { return };
    let stops: Vec<web_sys::HtmlElement> = (0..stops.length()).filter_map(|i| stops.item(i)?.dyn_into().ok()).collect();
    let focused = document().active_element();
    let at = stops.iter().position(|stop| focused.as_ref() == Some(stop.as_ref())).and_then(|at| i32::try_from(at).ok());
    let next = usize::try_from(at.unwrap_or(0) + by).ok().and_then(|next| stops.get(next));
    if let Some(stop) = next {
        let _ = stop.focus();
    }
}
