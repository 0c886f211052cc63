//! The tab's title: how far the work is, for whoever looks at another tab meanwhile.

use encaustic_protocol::Stage;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;

use super::studio::{Model, Studio};
use crate::jobs::{Job, State};

/// What the page is called.
const NAME: &str = "Encaustic";

/// Keeps the title true for as long as the page lives.
pub(super) fn follow(studio: Studio) {
    let hidden = RwSignal::new(document().hidden());
    // The newest job that had ended when the tab was left: what ends after it is news.
    let left = RwSignal::new(0_usize);
    let ended = move || studio.jobs.with(|jobs| jobs.iter().filter(|job| job.state.is_last()).count());
    let change = Closure::<dyn Fn()>::new(move || {
        left.set(untrack(ended));
        hidden.set(document().hidden());
    });
    let _ = document().add_event_listener_with_callback("visibilitychange", change.as_ref().unchecked_ref());
    // It listens as long as the page lives.
    change.forget();
    Effect::new(move |_| {
        let words = hidden.get().then(|| {
            studio
                .jobs
                .with(|jobs| working(jobs))
                .or_else(|| loading(&studio.model.get()))
                .or_else(|| (ended() > left.get()).then(|| studio.jobs.with(|jobs| outcome(jobs)).to_owned()))
        });
        let title = words.flatten().map_or_else(|| NAME.to_owned(), |words| format!("{words} \u{b7} {NAME}"));
        document().set_title(&title);
    });
}

/// How far the job is that is at work.
fn working(jobs: &[Job]) -> Option<String> {
    let job = jobs.iter().find(|job| job.state == State::Running)?;
    Some(match job.progress {
        Some(progress) if progress.stage == Stage::Denoise && progress.of > 0 => {
            format!("{} %", u64::from(progress.done) * 100 / u64::from(progress.of))
        }
        _ => "Working".to_owned(),
    })
}

/// How far the model is that is coming.
fn loading(model: &Model) -> Option<String> {
    match model {
        Model::Loading(Some(loading)) if loading.of > 0 => {
            Some(format!("Loading {} %", loading.bytes.saturating_mul(100) / loading.of))
        }
        Model::Loading(_) => Some("Loading".to_owned()),
        _ => None,
    }
}

/// What became of the last job.
fn outcome(jobs: &[Job]) -> &'static str {
    match jobs.iter().rev().find(|job| job.state.is_last()).map(|job| &job.state) {
        Some(State::Failed(_)) => "Failed",
        Some(State::Cancelled) => "Stopped",
        _ => "Done",
    }
}
