//! The middle of the page: the picture that is being made, the newest one, or the one that was chosen.

use std::time::Duration;

use encaustic_protocol::{Failure, JobId, Value};
use leptos::prelude::*;
use phosphor_leptos::{CORNERS_OUT, GRID_NINE};

use super::welcome::{Failed, Ready, Welcome};
use crate::amount;
use crate::jobs::State;
use crate::message::{LoadStage, Loading};
use crate::pace::Pace;
use crate::page::local;
use crate::page::maker::{Maker, param};
use crate::page::mark::Mark;
use crate::page::pixels::PixelCanvas;
use crate::page::preferences::Wishes;
use crate::page::session::{Made, Session};
use crate::page::studio::{Model, Studio};
use crate::page::viewer::Viewer;
use crate::page::widgets::{Button, ButtonSize, IconButton, ProgressBar};

/// Where it is kept whether previews are shown pixel by pixel.
const BLOCKY: &str = "preview.blocky";

/// A side of a picture whose size nobody knows.
const USUAL_SIDE: u32 = 512;

/// What is on the easel.
#[derive(Clone, Debug, PartialEq)]
enum Scene {
    Welcome,
    Loading,
    Failed(Failure),
    Ready,
    Running(JobId),
    Picture(String),
}

/// The easel.
#[component]
pub fn Easel() -> impl IntoView {
    let (studio, maker, session) = (Studio::here(), Maker::here(), Session::here());
    let running =
        Memo::new(move |_| studio.jobs.with(|jobs| jobs.iter().find(|job| job.state == State::Running).map(|job| job.id)));
    let is_there = move |name: &String| session.find(name).is_some();
    let scene = Memo::new(move |_| {
        if let Some(name) = maker.shown.get().filter(is_there) {
            return Scene::Picture(name);
        }
        if let Some(id) = running.get() {
            return Scene::Running(id);
        }
        let newest = session.newest().map(|made| Scene::Picture(made.image.name));
        match studio.model.get() {
            Model::Loading(_) => Scene::Loading,
            Model::Failed(failure) => Scene::Failed(failure),
            Model::Ready(_) => newest.unwrap_or(Scene::Ready),
            Model::None => newest.unwrap_or(Scene::Welcome),
        }
    });
    let pace = follow(studio, running);
    let inside = move || match scene.get() {
        Scene::Welcome => view! { <Welcome /> }.into_any(),
        Scene::Loading => view! { <Coming /> }.into_any(),
        Scene::Failed(failure) => view! { <Failed failure /> }.into_any(),
        Scene::Ready => view! { <Ready /> }.into_any(),
        Scene::Running(id) => view! { <Running id pace /> }.into_any(),
        Scene::Picture(name) => session.find(&name).map(|made| view! { <Picture made /> }).into_any(),
    };
    view! {
        <section class="easel" aria-label="Picture">
            {inside}
            <p class="unseen" role="status">{move || spoken(studio, maker)}</p>
        </section>
    }
}

/// What is said when something has changed: begun, done, failed; not each step.
fn spoken(studio: Studio, maker: Maker) -> Option<&'static str> {
    if let Model::Loading(_) = studio.model.get() {
        return Some("The model is being loaded.");
    }
    if maker.busy().is_some() {
        return Some("A picture is being made.");
    }
    studio.jobs.with(|jobs| match jobs.last()?.state {
        State::Finished(_) => Some("The picture is finished."),
        State::Failed(_) => Some("The picture could not be made."),
        State::Cancelled => Some("The picture was cancelled."),
        State::Waiting { .. } | State::Running => None,
    })
}

/// The pace of the job that runs.
fn follow(studio: Studio, running: Memo<Option<JobId>>) -> RwSignal<Pace> {
    let pace = RwSignal::new(Pace::default());
    let progress = Memo::new(move |_| {
        let id = running.get()?;
        studio.jobs.with(|jobs| jobs.iter().find(|job| job.id == id).map(|job| (id, job.progress)))
    });
    Effect::new(move |before: Option<Option<JobId>>| {
        let now = progress.get();
        let id = now.map(|(id, _)| id);
        if before != Some(id) {
            pace.set(Pace::default());
        }
        if let Some((_, Some(progress))) = now {
            pace.update(|pace| pace.mark(progress, seconds()));
        }
        id
    });
    pace
}

/// Seconds on the page's clock.
fn seconds() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now() / 1000.0)
}

/// The time, told each second.
fn clock() -> RwSignal<f64> {
    let now = RwSignal::new(seconds());
    if let Ok(ticks) = set_interval_with_handle(move || now.set(seconds()), Duration::from_secs(1)) {
        on_cleanup(move || ticks.clear());
    }
    now
}

/// Width by height, as the styles want it.
fn ratio(width: u32, height: u32) -> String {
    (f64::from(width.max(1)) / f64::from(height.max(1))).to_string()
}

/// A picture that is being made.
#[component]
pub fn Running(
    /// Its job.
    id: JobId,
    /// How fast it goes.
    pace: RwSignal<Pace>,
) -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let now = clock();
    let job = move || studio.jobs.with(|jobs| jobs.iter().find(|job| job.id == id).cloned());
    let side = move |name: &str| {
        let param = param(name)?;
        let own = untrack(job).map(|job| (param.get)(&job.request)).filter(|value| *value != Value::Auto);
        match own.unwrap_or_else(|| untrack(|| maker.usual(param))) {
            Value::Integer(number) => u32::try_from(number).ok(),
            _ => None,
        }
    };
    let wishes = Wishes::here().0;
    let preview = Memo::new(move |_| {
        let is_wanted = wishes.with(|wishes| wishes.previews);
        job().and_then(|job| job.preview).filter(|_| is_wanted).map(|image| image.name)
    });
    let pixels = Signal::derive_local(move || {
        let name = preview.get()?;
        studio.pixels.with(|known| known.get(&name).cloned())
    });
    let prompt = untrack(job).map(|job| job.request.prompt.trim().to_owned()).unwrap_or_default();
    let (width, height) = (side("width").unwrap_or(USUAL_SIDE), side("height").unwrap_or(USUAL_SIDE));
    let cells = move || pixels.with(|pixels| pixels.as_ref().map_or(width / 8, |pixels| pixels.about.width).to_string());
    let blocky = RwSignal::new(local::recall(BLOCKY).unwrap_or_default());
    Effect::watch(move || blocky.get(), |blocky, _, _| local::keep(BLOCKY, blocky), false);
    let stage = Memo::new(move |_| pace.with(Pace::stage));
    let speed = move || pace.with(|pace| pace.speed(now.get()));
    view! {
        <div
            class="shown is-running"
            class:is-blocky=move || blocky.get()
            style:--ratio=ratio(width, height)
            style:--width=format!("{width}px")
            style:--cells=cells
        >
            <div class="frame">
                {move || preview.with(Option::is_none).then(|| view! { <div class="frame-wait"><Mark /></div> })}
                <PixelCanvas pixels alt="A rough look at how far the picture is" />
            </div>
            <div class="shown-foot">
                <ProgressBar label="The picture" value=Memo::new(move |_| pace.with(Pace::part)) />
                <div class="shown-facts figures">
                    <span>{move || stage.get()}</span>
                    <span class="shown-speed">{speed}</span>
                    <IconButton
                        icon=GRID_NINE
                        label="Show the preview's pixels"
                        size=ButtonSize::Small
                        pressed=blocky
                        on_press=move || blocky.update(|blocky| *blocky = !*blocky)
                    />
                </div>
                <p class="hint clip">{prompt}</p>
            </div>
        </div>
    }
}

/// A finished picture.
#[component]
pub fn Picture(
    /// Which one.
    made: Made,
) -> impl IntoView {
    let (session, viewer) = (Session::here(), Viewer::here());
    let (width, height, seed) = (made.image.width, made.image.height, made.image.seed);
    let alt = made.alt();
    let prompt = made.request.prompt.trim().to_owned();
    let actions = viewer.actions(&made.shown());
    let name = StoredValue::new(made.image.name.clone());
    let pixels = Signal::derive_local(move || Some(made.pixels.clone()));
    let open = move || session.view(viewer, &name.get_value());
    view! {
        <div class="shown" style:--ratio=ratio(width, height) style:--width=format!("{width}px")>
            <div class="frame">
                <button type="button" class="frame-button" aria-label="Open in the viewer" on:click=move |_| open()>
                    <PixelCanvas pixels alt />
                </button>
            </div>
            <div class="shown-foot">
                <div class="shown-bar">
                    <div class="shown-about">
                        <p class="clip">{prompt}</p>
                        <p class="hint figures clip">{format!("{width} \u{d7} {height} \u{b7} seed {seed}")}</p>
                    </div>
                    <div class="shown-actions">
                        {actions} <IconButton icon=CORNERS_OUT label="Open in the viewer" on_press=open />
                    </div>
                </div>
            </div>
        </div>
    }
}

/// A model that is being loaded.
#[component]
pub fn Coming() -> impl IntoView {
    let (studio, maker) = (Studio::here(), Maker::here());
    let loading = Memo::new(move |_| if let Model::Loading(loading) = studio.model.get() { loading } else { None });
    let pace = RwSignal::new(amount::Pace::default());
    Effect::new(move || {
        if let Some(Loading { stage: LoadStage::Files, bytes, .. }) = loading.get() {
            pace.update(|pace| pace.see(seconds(), bytes));
        }
    });
    let is_deaf = studio.is_deaf();
    let title = move || {
        let name = studio.wanted.get();
        if name.is_empty() { "The model is coming".to_owned() } else { name }
    };
    let part = Memo::new(move |_| {
        let Loading { stage, bytes, of } = loading.get()?;
        (stage != LoadStage::Device && of > 0).then(|| bytes as f64 / of as f64)
    });
    let stage = move || match loading.get().map(|loading| loading.stage) {
        None => "Looking at its files",
        Some(LoadStage::Files) => "Fetching its files and checking them",
        Some(LoadStage::Device) => "Opening the graphics card, which takes longest the first time",
        Some(LoadStage::Weights) => "Bringing it to the graphics card",
    };
    let amounts = move || {
        let Loading { stage, bytes, of } = loading.get()?;
        if stage == LoadStage::Device {
            return None;
        }
        let mut text = format!("{} of {}", amount::bytes(bytes), amount::bytes(of));
        if stage == LoadStage::Files
            && let Some((speed, left)) = pace.with(|pace| pace.speed().zip(pace.left(of)))
        {
            text = format!("{text} \u{b7} {}/s \u{b7} {} left", amount::bytes(speed as u64), amount::seconds(left));
        }
        Some(text)
    };
    view! {
        <div class="empty coming">
            <Mark />
            <h2>{title}</h2>
            <p>{stage}</p>
            <ProgressBar label="The model" value=part />
            <p class="hint figures">{amounts}</p>
            <Button disabled=is_deaf on_press=move || maker.stop_load()>"Stop"</Button>
        </div>
    }
}
