//! A job in the queue: who wants what, how far it is, and what can be done about it.

use encaustic_protocol::JobId;
use leptos::prelude::*;
use phosphor_leptos::{ARROW_CLOCKWISE, ARROW_DOWN, ARROW_UP, DOTS_SIX_VERTICAL, X};
use web_sys::DragEvent;

use crate::amount;
use crate::pace::Pace;
use crate::page::server::Server;
use crate::page::studio::{Studio, sentence};
use crate::page::widgets::{Button, ButtonSize, Choice, Glyph, IconButton, ProgressBar, Select};
use crate::remote::order::{self, Move};
use crate::remote::wire::{Job, State};

/// The priorities that the menu offers; a server knows more.
const PRIORITIES: [(i32, &str); 3] = [(10, "High"), (0, "Normal"), (-10, "Low")];

/// A job of the list, as it is told.
fn job(server: Server, id: JobId) -> Memo<Option<Job>> {
    Memo::new(move |_| server.jobs.with(|jobs| jobs.iter().find(|job| job.id == id).cloned()))
}

/// What it is to show.
fn prompt(job: Memo<Option<Job>>) -> String {
    let prompt = job.with(|job| job.as_ref().map(|job| job.wish.request.prompt.trim().to_owned())).unwrap_or_default();
    if prompt.is_empty() { "No prompt".to_owned() } else { prompt }
}

/// Who wants it, how many pictures, with which model.
fn about(server: Server, job: Memo<Option<Job>>) -> String {
    let own = server.about.with(|about| about.client.clone());
    job.with(|job| {
        let Some(job) = job else { return String::new() };
        let pictures = match job.wish.request.batch {
            0 | 1 => None,
            batch => Some(format!("{batch} pictures")),
        };
        let who = match job.client.as_str() {
            "" => None,
            client if own.as_deref() == Some(client) => Some("you".to_owned()),
            client => Some(client.to_owned()),
        };
        let facts = [Some(format!("#{}", job.id.0)), pictures, job.wish.model.clone(), who];
        facts.into_iter().flatten().collect::<Vec<_>>().join(" \u{b7} ")
    })
}

/// Whether this one's owner, or an administrator, sits here.
fn is_ours(server: Server, job: Memo<Option<Job>>) -> Signal<bool> {
    let is_admin = server.is_admin();
    Signal::derive(move || {
        let is_own = server.about.with(|about| job.with(|job| job.as_ref().map(|job| &job.client) == about.client.as_ref()));
        is_admin.get() || is_own
    })
}

/// A job at work.
#[component]
pub fn Running(
    /// What the panels share.
    studio: Studio,
    /// The server.
    server: Server,
    /// Which job.
    id: JobId,
) -> impl IntoView {
    let job = job(server, id);
    let is_ours = is_ours(server, job);
    let pace = Memo::new(move |_| {
        let mut pace = Pace::default();
        if let Some(live) = server.live.with(|live| live.get(&id).copied()) {
            pace.mark(live.progress, live.at);
        }
        pace
    });
    let facts = move || {
        let device = job.with(|job| job.as_ref().and_then(|job| job.device.clone()));
        let rate = server.rate(id).map(amount::rate);
        let log = job.with(|job| job.as_ref().and_then(|job| job.log.last().map(|line| sentence(&line.text))));
        [Some(about(server, job)), device, rate, log].into_iter().flatten().collect::<Vec<_>>().join(" \u{b7} ")
    };
    view! {
        <li class="card line-card">
            <div class="row spread models-title">
                <p class="line-prompt">{move || prompt(job)}</p>
                <Show when=move || is_ours.get()>
                    <Button
                        size=ButtonSize::Small
                        on_press=move || server.cancel(studio, id)
                        attr:aria-label=move || format!("Cancel {}", prompt(job))
                    >
                        "Cancel"
                    </Button>
                </Show>
            </div>
            <ProgressBar label=Signal::derive(move || prompt(job)) value=Memo::new(move |_| pace.with(Pace::part)) />
            <div class="row spread hint figures">
                <span>{facts}</span>
                <span>{move || pace.with(Pace::stage)}</span>
            </div>
        </li>
    }
}

/// A job that waits; it can be dragged to another place.
#[component]
pub fn Waiting(
    /// What the panels share.
    studio: Studio,
    /// The server.
    server: Server,
    /// Which job.
    id: JobId,
    /// The job that is being dragged.
    dragged: RwSignal<Option<JobId>>,
) -> impl IntoView {
    let job = job(server, id);
    let is_ours = is_ours(server, job);
    let go = move |to: Option<Move>| {
        if let Some(to) = to {
            server.place(studio, id, to.before());
        }
    };
    let seen = move |to: Option<Move>, jobs: &[Job]| order::in_sight(to, jobs, server.counts.with(|counts| counts.waiting));
    let stepped = move |step: fn(&[Job], JobId) -> Option<Move>| server.jobs.with(|jobs| seen(step(jobs, id), jobs));
    let can = move |step: fn(&[Job], JobId) -> Option<Move>| Signal::derive(move || stepped(step).is_none());
    let move_by = move |step: fn(&[Job], JobId) -> Option<Move>| move || go(untrack(|| stepped(step)));
    let target = move || {
        let other = dragged.get()?;
        server.jobs.with(|jobs| seen(order::over(jobs, other, id), jobs))
    };
    let is_target = Memo::new(move |_| target().is_some());
    let over = RwSignal::new(false);
    let start = move |event: DragEvent| {
        dragged.set(Some(id));
        if let Some(data) = event.data_transfer() {
            data.set_effect_allowed("move");
            // Some browsers drag nothing that carries nothing.
            let _ = data.set_data("text/plain", &id.0.to_string());
        }
    };
    let hover = move |event: DragEvent| {
        if is_target.get_untracked() {
            event.prevent_default();
            over.set(true);
        }
    };
    let drop = move |event: DragEvent| {
        event.prevent_default();
        over.set(false);
        if let Some(other) = dragged.get_untracked()
            && let Some(to) = untrack(target)
        {
            server.place(studio, other, to.before());
        }
        dragged.set(None);
    };
    let priority = Memo::new(move |_| job.with(|job| job.as_ref().map(|job| job.wish.priority).unwrap_or_default()));
    let options = Signal::derive(move || {
        let own = priority.get();
        let mut options: Vec<_> = PRIORITIES.iter().map(|(value, label)| Choice::new(value.to_string(), *label)).collect();
        if PRIORITIES.iter().all(|(value, _)| *value != own) {
            options.push(Choice::new(own.to_string(), format!("Priority {own}")));
        }
        options
    });
    let choose = move |value: String| {
        if let Ok(value) = value.parse() {
            server.prioritise(studio, id, value);
        }
    };
    let select = format!("line-priority-{}", id.0);
    let moment = move || {
        let at = job.with(|job| job.as_ref().and_then(|job| job.wish.not_before))?;
        let is_to_come = at as f64 > js_sys::Date::now();
        let time = js_sys::Date::new(&(at as f64).into()).to_locale_string("default", &wasm_bindgen::JsValue::UNDEFINED);
        is_to_come.then(|| view! { <span class="badge">{format!("not before {}", String::from(time))}</span> })
    };
    view! {
        <li
            class="line-row"
            class:is-over=move || over.get() && is_target.get()
            class:is-dragged=move || dragged.get() == Some(id)
            draggable=move || if is_ours.get() { "true" } else { "false" }
            on:dragstart=start
            on:dragend=move |_| dragged.set(None)
            on:dragover=hover
            on:dragleave=move |_| over.set(false)
            on:drop=drop
        >
            <span class="line-grip" aria-hidden="true">
                <Glyph icon=DOTS_SIX_VERTICAL />
            </span>
            <div class="line-words">
                <p class="clip">{move || prompt(job)}</p>
                <p class="hint figures clip">{move || about(server, job)} " " {moment}</p>
            </div>
            <Show when=move || is_ours.get()>
                <div class="line-tools">
                    <label class="line-priority">
                        <span class="unseen">{move || format!("Priority of {}", prompt(job))}</span>
                        <Select
                            id=select.clone()
                            options
                            value=Signal::derive(move || priority.get().to_string())
                            on_change=choose
                        />
                    </label>
                    <IconButton
                        icon=ARROW_UP
                        size=ButtonSize::Small
                        label=Signal::derive(move || format!("Move up {}", prompt(job)))
                        disabled=can(order::up)
                        on_press=move_by(order::up)
                    />
                    <IconButton
                        icon=ARROW_DOWN
                        size=ButtonSize::Small
                        label=Signal::derive(move || format!("Move down {}", prompt(job)))
                        disabled=can(order::down)
                        on_press=move_by(order::down)
                    />
                    <IconButton
                        icon=X
                        size=ButtonSize::Small
                        label=Signal::derive(move || format!("Cancel {}", prompt(job)))
                        on_press=move || server.cancel(studio, id)
                    />
                </div>
            </Show>
        </li>
    }
}

/// A job that came to nothing.
#[component]
pub fn Ended(
    /// What the panels share.
    studio: Studio,
    /// The server.
    server: Server,
    /// Which job.
    id: JobId,
) -> impl IntoView {
    let job = job(server, id);
    let why = move || {
        job.with(|job| match job {
            Some(Job { state: State::Failed, failure, .. }) => {
                failure.as_ref().map(|failure| sentence(&failure.message)).unwrap_or_else(|| "It failed.".to_owned())
            }
            _ => "It was cancelled.".to_owned(),
        })
    };
    let has_failed = Memo::new(move |_| job.with(|job| job.as_ref().is_some_and(|job| job.state == State::Failed)));
    let may = Memo::new(move |_| server.about.with(|about| about.may("generate")));
    let again = move || {
        if let Some(job) = job.get_untracked() {
            server.retry(studio, &job);
        }
    };
    view! {
        <li class="line-row is-over-and-done" class:is-bad=has_failed>
            <div class="line-words">
                <p class="clip">{move || prompt(job)}</p>
                <p class="line-why">{why}</p>
                <p class="hint figures clip">{move || about(server, job)}</p>
            </div>
            <Show when=move || may.get()>
                <Button
                    size=ButtonSize::Small
                    icon=ARROW_CLOCKWISE
                    on_press=again
                    attr:aria-label=move || format!("Try again {}", prompt(job))
                >
                    "Try again"
                </Button>
            </Show>
        </li>
    }
}
