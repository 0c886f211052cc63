//! Jobs that wait or run, and those that came to nothing and have not been put away.

use encaustic_protocol::JobId;
use leptos::prelude::*;
use phosphor_leptos::X;

use crate::jobs::{Job, State};
use crate::page::studio::{Studio, sentence};
use crate::page::widgets::{Button, ButtonSize, IconButton, Tone};

/// The list; nothing while there is nothing to list.
#[component]
pub fn Queue() -> impl IntoView {
    let studio = Studio::here();
    let listed = Memo::new(move |_| {
        studio.jobs.with(|jobs| {
            let is_listed = |job: &&Job| matches!(job.state, State::Waiting { .. } | State::Running | State::Failed(_));
            jobs.iter().filter(is_listed).map(|job| job.id).collect::<Vec<_>>()
        })
    });
    let waiting = Memo::new(move |_| {
        studio.jobs.with(|jobs| jobs.iter().filter(|job| !job.state.is_last()).map(|job| job.id).collect::<Vec<_>>())
    });
    let all = move || {
        (waiting.with(Vec::len) > 1).then(|| {
            let cancel = move || waiting.get_untracked().into_iter().rev().for_each(|id| studio.cancel(id));
            view! { <Button tone=Tone::Quiet size=ButtonSize::Small on_press=cancel>"Cancel all"</Button> }
        })
    };
    view! {
        <section class="queue" aria-label="Queue" hidden=move || listed.with(Vec::is_empty)>
            <div class="row spread">
                <h2 class="side-title">"Queue"</h2>
                {all}
            </div>
            <ol>
                <For each=move || listed.get() key=|id| *id let:id>
                    {one(studio, id)}
                </For>
            </ol>
        </section>
    }
}

fn one(studio: Studio, id: JobId) -> impl IntoView {
    let job = Memo::new(move |_| studio.jobs.with(|jobs| jobs.iter().find(|job| job.id == id).cloned()));
    let before = Memo::new(move |_| {
        studio.jobs.with(|jobs| jobs.iter().take_while(|job| job.id != id).filter(|job| !job.state.is_last()).count())
    });
    let prompt = move || {
        let prompt = job.with(|job| job.as_ref().map(|job| job.request.prompt.trim().to_owned())).unwrap_or_default();
        if prompt.is_empty() { "No prompt".to_owned() } else { prompt }
    };
    let state = move || {
        job.with(|job| match &job.as_ref()?.state {
            State::Waiting { .. } => Some(match before.get() {
                0 | 1 => "Next".to_owned(),
                before => format!("{before} before it"),
            }),
            State::Running => Some("At work".to_owned()),
            State::Failed(failure) => Some(sentence(&failure.message)),
            State::Finished(_) | State::Cancelled => None,
        })
    };
    let has_failed = Memo::new(move |_| job.with(|job| job.as_ref().is_some_and(|job| job.state.is_last())));
    let label = Signal::derive(move || if has_failed.get() { "Put away" } else { "Cancel" }.to_owned());
    let press = move || {
        if has_failed.get_untracked() {
            studio.jobs.update(|jobs| jobs.retain(|job| job.id != id));
        } else {
            studio.cancel(id);
        }
    };
    view! {
        <li class="queue-item" class:is-bad=move || has_failed.get()>
            <div class="queue-text">
                <p class="clip">{prompt}</p>
                <p class="queue-state">{state}</p>
            </div>
            <IconButton icon=X label size=ButtonSize::Small on_press=press />
        </li>
    }
}
