//! Pictures as large as the screen: one at a time, with the others to the left and to the right.
//!
//! Whoever has pictures opens it with [`Viewer::open`]. What can be done with a picture is added with [`Viewer::add_actions`]:
//! each such function is asked for every picture that is shown, and what it returns stands beside the zoom.

use std::rc::Rc;

use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use phosphor_leptos::{CARET_LEFT, CARET_RIGHT, CORNERS_IN, CORNERS_OUT, IconData, X};

use super::notices::Notices;
use super::pixels::PixelCanvas;
use super::shortcuts::is_plain;
use super::studio::Pixels;
use super::widgets::{IconButton, Tone, dialog};

/// A picture to be shown.
#[derive(Clone)]
pub struct Shown {
    /// What its owner calls it.
    pub key: String,
    /// What it shows, for those who do not see it.
    pub alt: String,
    /// What stands above it.
    pub caption: String,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Its seed.
    pub seed: u64,
    /// How it looks.
    pub pixels: Pixels,
}

type Actions = Rc<dyn Fn(Shown) -> AnyView>;

/// The page's viewer. It is copied like a number.
#[derive(Clone, Copy)]
pub struct Viewer {
    pictures: RwSignal<Vec<Shown>, LocalStorage>,
    at: RwSignal<usize>,
    open: RwSignal<bool>,
    actions: StoredValue<Vec<Actions>, LocalStorage>,
}

impl Viewer {
    /// A viewer, put where components find it.
    pub fn provide() -> Self {
        let viewer = Self {
            pictures: RwSignal::new_local(Vec::new()),
            at: RwSignal::new(0),
            open: RwSignal::new(false),
            actions: StoredValue::new_local(Vec::new()),
        };
        provide_context(viewer);
        viewer
    }

    /// The viewer of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }

    /// Adds what can be done with a picture.
    pub fn add_actions(self, actions: impl Fn(Shown) -> AnyView + 'static) {
        self.actions.update_value(|all| all.push(Rc::new(actions)));
    }

    /// What can be done with a picture, wherever it is shown.
    pub fn actions(self, shown: &Shown) -> Vec<AnyView> {
        self.actions.with_value(|all| all.iter().map(|actions| actions(shown.clone())).collect())
    }

    /// Shows pictures, beginning with number `at`.
    pub fn open(self, pictures: Vec<Shown>, at: usize) {
        if pictures.is_empty() {
            return;
        }
        self.at.set(at.min(pictures.len() - 1));
        self.pictures.set(pictures);
        self.open.set(true);
    }

    /// Closes it.
    pub fn close(self) {
        self.open.set(false);
    }

    /// Takes a picture out, as when it is deleted.
    pub fn remove(self, key: &str) {
        self.pictures.update(|pictures| pictures.retain(|shown| shown.key != key));
        match self.pictures.with_untracked(Vec::len) {
            0 => self.close(),
            count => self.at.update(|at| *at = (*at).min(count - 1)),
        }
    }

    /// The picture that is shown.
    pub fn current(self) -> Option<Shown> {
        let at = self.at.get();
        self.pictures.with(|pictures| pictures.get(at).cloned())
    }

    fn step(self, by: isize) {
        let count = self.pictures.with_untracked(Vec::len);
        if let Some(next) = self.at.get_untracked().checked_add_signed(by).filter(|next| *next < count) {
            self.at.set(next);
        }
    }

    fn has(self, by: isize) -> bool {
        let count = self.pictures.with(Vec::len);
        self.at.get().checked_add_signed(by).is_some_and(|next| next < count)
    }
}

/// The window itself: once in the page.
#[component]
pub fn ViewerWindow() -> impl IntoView {
    let viewer = Viewer::here();
    let node = NodeRef::<html::Dialog>::new();
    let is_exact = RwSignal::new(false);
    Effect::new(move || dialog::show(node, viewer.open.get()));
    // Wherever the focus is: the button that had it may have gone with the picture before.
    let keys = window_event_listener(ev::keydown, move |event| {
        if !viewer.open.get_untracked() || !is_plain(&event) {
            return;
        }
        match event.key().as_str() {
            "ArrowLeft" => viewer.step(-1),
            "ArrowRight" => viewer.step(1),
            "z" | "Z" if !event.repeat() => is_exact.update(|is_exact| *is_exact = !*is_exact),
            _ => {}
        }
    });
    on_cleanup(move || keys.remove());
    let inside = move || viewer.open.get().then(|| inside(viewer, is_exact));
    view! {
        <dialog node_ref=node class="viewer" aria-label="Viewer" on:close=move |_| viewer.close()>
            {inside}
            <Notices window=viewer.open />
        </dialog>
    }
}

fn inside(viewer: Viewer, is_exact: RwSignal<bool>) -> impl IntoView {
    let actions = move || viewer.current().map(|shown| viewer.actions(&shown));
    let about = move || {
        let shown = viewer.current()?;
        let place = viewer.pictures.with(|pictures| format!("{} of {}", viewer.at.get() + 1, pictures.len()));
        let facts = format!("{place} \u{b7} {} \u{d7} {} \u{b7} seed {}", shown.width, shown.height, shown.seed);
        Some(view! {
            <p class="viewer-caption clip">{shown.caption.clone()}</p>
            <p class="hint figures clip">{facts}</p>
        })
    };
    let zoom_icon = Signal::derive(move || if is_exact.get() { CORNERS_IN } else { CORNERS_OUT });
    let zoom_label = Signal::derive(move || if is_exact.get() { "As large as fits" } else { "Pixel by pixel" }.to_owned());
    let turn = move |by: isize, icon: IconData, label: &'static str, class: &'static str| {
        view! {
            <div class=class>
                <IconButton icon label tone=Tone::Plain disabled=Signal::derive(move || !viewer.has(by)) on_press=move || viewer.step(by) />
            </div>
        }
    };
    view! {
        <div class="viewer-head">
            <div class="viewer-about" aria-live="polite">{about}</div>
            <div class="viewer-actions">
                {actions}
                <IconButton
                    icon=zoom_icon
                    label=zoom_label
                    on_press=move || is_exact.update(|is_exact| *is_exact = !*is_exact)
                />
                <IconButton icon=X label="Close" on_press=move || viewer.close() />
            </div>
        </div>
        <div class="viewer-stage" class:is-exact=move || is_exact.get() tabindex="0" autofocus>
            {move || viewer.current().map(picture)}
        </div>
        {turn(-1, CARET_LEFT, "The picture before", "viewer-turn is-before")}
        {turn(1, CARET_RIGHT, "The next picture", "viewer-turn is-after")}
    }
}

fn picture(shown: Shown) -> impl IntoView {
    let Shown { alt, width, height, pixels, .. } = shown;
    let pixels = Signal::derive_local(move || Some(pixels.clone()));
    view! {
        <div
            class="frame"
            style:--ratio=(f64::from(width.max(1)) / f64::from(height.max(1))).to_string()
            style:--width=format!("{width}px")
        >
            <PixelCanvas pixels alt />
        </div>
    }
}
