//! How the page is: its looks, what it keeps, and what it is.

pub mod server;

use leptos::html;
use leptos::prelude::*;
use phosphor_leptos::{CIRCLE_HALF, CLOCK_COUNTER_CLOCKWISE, DOWNLOAD_SIMPLE, MOON, SUN, TRASH, UPLOAD_SIMPLE};

use self::server::OfServer;
use crate::history::History;
use crate::page::drop;
use crate::page::gallery::Gallery;
use crate::page::history::Prompts;
use crate::page::preferences::Wishes;
use crate::page::restore;
use crate::page::studio::Studio;
use crate::page::theme::{PageTheme, Theme};
use crate::page::widgets::{Button, Choice, Confirm, Field, Segmented, Select, Toggle, Tone};

/// How many pictures may be kept, as the menu offers it.
const KEEP: [u32; 4] = [100, 500, 1000, 5000];

/// The panel.
#[component]
pub fn Settings() -> impl IntoView {
    let server = Studio::here().server;
    // What a server keeps is not this browser's matter.
    let pictures = server.is_none().then(|| view! { <Pictures /> });
    let of_server = server.map(|server| view! { <OfServer server /> });
    view! {
        <div class="settings">
            <h1>"Settings"</h1>
            <Looks />
            {pictures}
            <Words />
            <Travel />
            {of_server}
            <About />
        </div>
    }
}

#[component]
fn Looks() -> impl IntoView {
    let theme = PageTheme::here().0;
    let wishes = Wishes::here().0;
    let icon = |theme| match theme {
        Theme::System => CIRCLE_HALF,
        Theme::Light => SUN,
        Theme::Dark => MOON,
    };
    let options = Theme::ALL.into_iter().map(|theme| Choice::new(theme.id(), theme.label()).with_icon(icon(theme))).collect();
    let choose = move |id: String| theme.set(Theme::of(&id).unwrap_or_default());
    view! {
        <section class="card settings-group" aria-labelledby="settings-looks">
            <h2 id="settings-looks">"Looks"</h2>
            <Segmented label="Theme" options value=Signal::derive(move || theme.get().id().to_owned()) on_change=choose />
            <div>
                <Toggle
                    value=Signal::derive(move || wishes.with(|wishes| wishes.previews))
                    on_change=move |previews| wishes.update(|wishes| wishes.previews = previews)
                >
                    "Show a picture while it is being made"
                </Toggle>
                <p class="hint settings-indent">"A small, rough look at every step."</p>
            </div>
        </section>
    }
}

#[component]
fn Pictures() -> impl IntoView {
    let wishes = Wishes::here().0;
    let gallery = Gallery::here();
    let asking = RwSignal::new(false);
    let count = Memo::new(move |_| gallery.records.with(|records| records.iter().filter(|record| record.is_shown()).count()));
    let mut options = vec![Choice::new("", "All")];
    options.extend(KEEP.map(|keep| Choice::new(keep.to_string(), format!("The newest {keep}"))));
    // A number that would throw pictures away, while the user is asked; with how many those are.
    let meant = RwSignal::new(None::<(u32, usize)>);
    let fewer = RwSignal::new(false);
    let value = Signal::derive(move || {
        let keep = meant.get().map(|(keep, _)| keep).or_else(|| wishes.with(|wishes| wishes.keep));
        keep.map(|keep| keep.to_string()).unwrap_or_default()
    });
    let choose = move |keep: String| {
        let keep: Option<u32> = keep.parse().ok();
        match (keep, gallery.spare(keep).len()) {
            (Some(keep), gone) if gone > 0 => {
                meant.set(Some((keep, gone)));
                fewer.set(true);
            }
            _ => wishes.update(|wishes| wishes.keep = keep),
        }
    };
    let keep_fewer = move || {
        if let Some((keep, _)) = meant.get_untracked() {
            wishes.update(|wishes| wishes.keep = Some(keep));
            gallery.sweep();
        }
    };
    Effect::new(move || {
        if !fewer.get() {
            meant.set(None);
        }
    });
    let fewer_title = move || match meant.get() {
        Some((_, 1)) => "Delete the oldest picture?".to_owned(),
        Some((_, gone)) => format!("Delete the {gone} oldest pictures?"),
        None => String::new(),
    };
    let told = move || match count.get() {
        0 => "There are none yet.".to_owned(),
        1 => "There is 1.".to_owned(),
        count => format!("There are {count}."),
    };
    let title = move || format!("Delete all {} pictures?", count.get());
    view! {
        <section class="card settings-group" aria-labelledby="settings-pictures">
            <h2 id="settings-pictures">"Pictures"</h2>
            <Field id="settings-keep" label="How many the gallery keeps">
                <Select id="settings-keep" options=Signal::stored(options) value on_change=choose />
            </Field>
            <Confirm open=fewer title=Signal::derive(fewer_title) verb="Delete them" on_yes=keep_fewer>
                "There are more than are to be kept. Those beyond go now and cannot be brought back; favourites stay."
            </Confirm>
            <p class="hint">
                "When there are more, the oldest go as new ones come. Favourites are kept in any case. " {told}
            </p>
            <div class="row">
                <Button
                    tone=Tone::Danger
                    icon=TRASH
                    disabled=Signal::derive(move || count.get() == 0)
                    on_press=move || asking.set(true)
                >
                    "Delete all pictures"
                </Button>
            </div>
            <Confirm open=asking title=Signal::derive(title) verb="Delete all" on_yes=move || gallery.clear()>
                "They go from this browser with their settings, favourites too, and cannot be brought back. Save first what you want to keep."
            </Confirm>
        </section>
    }
}

#[component]
fn Words() -> impl IntoView {
    let wishes = Wishes::here().0;
    let prompts = Prompts::here().0;
    let asking = RwSignal::new(false);
    let count = Memo::new(move |_| prompts.with(History::len));
    let told = move || match count.get() {
        0 => "None is remembered.".to_owned(),
        1 => "1 is remembered.".to_owned(),
        count => format!("{count} are remembered."),
    };
    view! {
        <section class="card settings-group" aria-labelledby="settings-words">
            <h2 id="settings-words">"Prompts"</h2>
            <div>
                <Toggle
                    value=Signal::derive(move || wishes.with(|wishes| wishes.history))
                    on_change=move |history| wishes.update(|wishes| wishes.history = history)
                >
                    "Remember the prompts that are used"
                </Toggle>
                <p class="hint settings-indent">"The clock beside the prompt brings them back. " {told}</p>
            </div>
            <div class="row">
                <Button
                    icon=CLOCK_COUNTER_CLOCKWISE
                    disabled=Signal::derive(move || count.get() == 0)
                    on_press=move || asking.set(true)
                >
                    "Forget all prompts"
                </Button>
            </div>
            <Confirm
                open=asking
                title="Forget all prompts?"
                verb="Forget them"
                on_yes=move || prompts.set(History::default())
            >
                "The list beside the prompt will be empty. Pictures keep their own prompts."
            </Confirm>
        </section>
    }
}

#[component]
fn Travel() -> impl IntoView {
    let studio = Studio::here();
    let (theme, wishes) = (PageTheme::here(), Wishes::here());
    let input = NodeRef::<html::Input>::new();
    let chosen = move || {
        let Some(input) = input.get_untracked() else { return };
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            drop::take(studio, file);
        }
        // The same file again is a choice, too.
        input.set_value("");
    };
    let choose = move || {
        if let Some(input) = input.get_untracked() {
            input.click();
        }
    };
    view! {
        <section class="card settings-group" aria-labelledby="settings-travel">
            <h2 id="settings-travel">"Take them along"</h2>
            <p class="quiet">
                "The form and these settings as a file of JSON, for another machine. What can be imported can also be dropped anywhere on \
             this page: such a file, or a picture (PNG) that says how it was made."
            </p>
            <div class="row">
                <Button icon=DOWNLOAD_SIMPLE on_press=move || restore::export(studio, theme, wishes)>"Export"</Button>
                <Button icon=UPLOAD_SIMPLE on_press=choose>"Import"</Button>
            </div>
            <input
                node_ref=input
                type="file"
                accept="application/json,.json,image/png,.png"
                hidden
                aria-label="A file of settings, or a picture"
                on:change=move |_| chosen()
            />
        </section>
    }
}

#[component]
fn About() -> impl IntoView {
    let what = if Studio::here().server.is_some() {
        "Images from words, made by the devices of the machine that this page comes from. Prompts, pictures and models stay on it."
    } else {
        "Images from words, made by your own graphics card, in this tab. Prompts, pictures and models never leave this machine."
    };
    view! {
        <section class="card settings-group" aria-labelledby="settings-about">
            <h2 id="settings-about">"Encaustic"</h2>
            <p class="quiet">{what}</p>
            <dl class="facts">
                <div class="facts-row">
                    <dt>"Version"</dt>
                    <dd class="figures">{env!("CARGO_PKG_VERSION")}</dd>
                </div>
                <div class="facts-row">
                    <dt>"Licence"</dt>
                    <dd>"MIT or Apache-2.0, as you like"</dd>
                </div>
            </dl>
            <p class="hint">"Icons: Phosphor (MIT). Models have terms of their own; the panel Models tells them."</p>
        </section>
    }
}
