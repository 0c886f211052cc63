//! The server's queue: what is in it, and what may be done to it.

use std::collections::HashSet;
use std::time::Duration;

use encaustic_protocol::{Change, JobId, Stage};
use leptos::prelude::*;
use serde_json::json;
use wasm_bindgen_futures::spawn_local;

use super::api::{self, Trouble};
use super::{Live, Server};
use crate::page::studio::Studio;
use crate::remote::wire::{Job, State};
use crate::remote::{escaped, order};

/// How long to collect events before the list is asked for.
const SOON: Duration = Duration::from_millis(150);

/// How many jobs that wait are shown.
const MOST_WAITING: u32 = 200;

/// How many of those that came to nothing.
const MOST_ENDED: u32 = 20;

impl Server {
    /// Something has happened to somebody's job.
    pub(super) fn job_changed(self, job: JobId, change: &Change) {
        match change {
            Change::Progress(progress) => {
                let now = js_sys::Date::now() / 1000.0;
                self.live.update(|live| {
                    let first = live.get(&job).filter(|known| known.progress.stage == progress.stage).map(|known| known.first);
                    let first = first.unwrap_or((now, progress.done));
                    live.insert(job, Live { progress: *progress, first, at: now });
                });
            }
            Change::Preview(_) => {}
            change => {
                if change.is_last() {
                    self.live.update(|live| {
                        live.remove(&job);
                    });
                }
                self.ask_queue_soon();
            }
        }
    }

    /// Asks for the queue in a moment, once for all that happens until then.
    pub(super) fn ask_queue_soon(self) {
        if self.is_asking.get_value() {
            return;
        }
        self.is_asking.set_value(true);
        let ask = move || {
            self.is_asking.set_value(false);
            spawn_local(async move {
                // What does not come now comes with the connection.
                let _ = self.heard(self.ask_queue().await);
            });
        };
        set_timeout(ask, SOON);
    }

    async fn ask_queue(self) -> Result<(), Trouble> {
        let counts = api::counts().await?;
        let mut jobs = api::jobs("running", MOST_WAITING).await?;
        // In the order in which they were asked for: they keep their places while they run.
        jobs.sort_by_key(|job| job.id);
        jobs.extend(api::jobs("waiting", MOST_WAITING).await?);
        jobs.extend(api::jobs("failed,cancelled", MOST_ENDED).await?);
        // One that went on between two questions is in two answers.
        let mut seen = HashSet::new();
        jobs.retain(|job| seen.insert(job.id));
        self.counts.set(counts);
        let running: HashSet<_> = jobs.iter().filter(|job| job.state == State::Running).map(|job| job.id).collect();
        self.live.update(|live| live.retain(|id, _| running.contains(id)));
        self.jobs.set(jobs);
        Ok(())
    }

    /// Asks what the devices do.
    pub fn ask_devices(self) {
        spawn_local(async move {
            if let Ok(devices) = self.heard(api::devices().await) {
                self.devices.set(devices);
            }
        });
    }

    /// Steps in a second of a job that runs, once two have been told.
    pub fn rate(self, job: JobId) -> Option<f64> {
        let live = self.live.with(|live| live.get(&job).copied())?;
        let steps = live.progress.done.saturating_sub(live.first.1);
        let seconds = live.at - live.first.0;
        (live.progress.stage == Stage::Denoise && steps > 0 && seconds > 0.0).then(|| f64::from(steps) / seconds)
    }

    /// Pauses the queue, or lets it go on.
    pub fn pause(self, studio: Studio, is_paused: bool) {
        self.ask_for(studio, async move { api::tell("POST", "queue", &json!({ "is_paused": is_paused })).await });
    }

    /// Cancels a job, whoever wants it.
    pub fn cancel(self, studio: Studio, job: JobId) {
        self.ask_for(studio, async move { api::delete(&format!("jobs/{}", job.0)).await });
    }

    /// Gives a job another priority.
    pub fn prioritise(self, studio: Studio, job: JobId, priority: i32) {
        let path = format!("jobs/{}/priority", job.0);
        self.ask_for(studio, async move { api::tell("POST", &path, &json!({ "priority": priority })).await });
    }

    /// Puts a waiting job before another of its priority, or behind all of them. It is shown at once where it will be.
    pub fn place(self, studio: Studio, job: JobId, before: Option<JobId>) {
        self.jobs.update(|jobs| order::place(jobs, job, before));
        let path = format!("jobs/{}/place", job.0);
        self.ask_for(studio, async move { api::tell("POST", &path, &json!({ "before": before })).await });
    }

    /// Puts a job that came to nothing into the queue again.
    pub fn retry(self, studio: Studio, job: &Job) {
        let path = format!("jobs/{}/retry", job.id.0);
        self.ask_for(studio, async move { api::tell("POST", &path, &json!({})).await });
    }

    /// Has a device let go of its model.
    pub fn unload(self, studio: Studio, device: String) {
        let path = format!("devices/{}/unload", escaped(&device));
        self.ask_for(studio, async move { api::tell("POST", &path, &json!({})).await });
        self.ask_devices();
    }

    /// Does something to the server, tells what came of it if that is bad, and looks how it stands then.
    fn ask_for(self, studio: Studio, what: impl Future<Output = Result<(), Trouble>> + 'static) {
        spawn_local(async move {
            if let Err(trouble) = self.heard(what.await) {
                studio.complain(trouble.failure().message);
            }
            self.ask_queue_soon();
        });
    }
}
