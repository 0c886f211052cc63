//! What runs for whom: how far it is, and how to stop it. A1111 knows one run at a time and no number for it; here it is the
//! caller's oldest.

use std::sync::Mutex;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encaustic_protocol::{JobId, Stage};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::auth::{Caller, Scope};
use crate::http::ApiError;
use crate::http::extract::{AnyBody, Params};
use crate::job::{Client, State as JobState};
use crate::queue::QueueError;
use crate::time::{Millis, civil};

/// All runs that somebody waits for.
#[derive(Debug, Default)]
pub struct Runs(Mutex<Vec<Run>>);

/// A run: one request, whose jobs are drawn one after another.
#[derive(Clone, Debug)]
struct Run {
    client: Client,
    jobs: Vec<JobId>,
    steps: u32,
    begun: Millis,
    is_interrupted: bool,
    is_skipped: bool,
}

/// A run that is entered; it goes when this is dropped.
pub(super) struct Entered {
    app: App,
    first: Option<JobId>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.app.sdapi.lock().retain(|run| run.jobs.first() != self.first.as_ref());
    }
}

impl Runs {
    pub(super) fn enter(app: &App, client: &Client, jobs: &[JobId], steps: u32) -> Entered {
        let run = Run {
            client: client.clone(),
            jobs: jobs.to_vec(),
            steps,
            begun: (app.clock)(),
            is_interrupted: false,
            is_skipped: false,
        };
        app.sdapi.lock().push(run);
        Entered { app: app.clone(), first: jobs.first().copied() }
    }

    /// The caller's oldest run, after `change`.
    fn oldest(&self, client: &Client, change: impl FnOnce(&mut Run)) -> Option<Run> {
        let mut runs = self.lock();
        let run = runs.iter_mut().find(|run| run.client == *client)?;
        change(run);
        Some(run.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Run>> {
        crate::sync::lock(&self.0)
    }
}

/// How far a run is.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = A1111Progress)]
pub(super) struct Progress {
    /// From 0 to 1; 0 when nothing runs.
    progress: f64,
    /// Seconds that it will take still, as far as can be told.
    eta_relative: f64,
    state: RunState,
    /// How the picture looks that is drawn now: a small file in Base64.
    current_image: Option<String>,
    /// What it waits for.
    textinfo: Option<String>,
}

/// Where a run is.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = A1111State)]
pub(super) struct RunState {
    skipped: bool,
    interrupted: bool,
    stopping_generation: bool,
    /// What runs; empty if nothing does.
    job: String,
    /// How many batches there are.
    job_count: u32,
    /// When it was begun.
    job_timestamp: String,
    /// How many of them are done.
    job_no: u32,
    /// Steps of this batch that are done.
    sampling_step: u32,
    /// Steps of a batch.
    sampling_steps: u32,
}

/// What is wanted of it.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Leave the picture out.
    skip_current_image: bool,
}

/// How far your oldest run is.
#[utoipa::path(get, path = "/sdapi/v1/progress", tag = "A1111", params(Wanted), responses(
    (status = 200, description = "how far it is", body = Progress)))]
pub(super) async fn progress(
    State(app): State<App>,
    caller: Caller,
    Params(Wanted { skip_current_image }): Params<Wanted>,
) -> Result<Json<Progress>, ApiError> {
    caller.needs_any(&[Scope::Read, Scope::Generate])?;
    let Some(run) = app.sdapi.oldest(&caller.client, |_| ()) else { return Ok(Json(Progress::default())) };
    let told = app.blocking(move |app| tell(app, &run, !skip_current_image));
    Ok(Json(told.await?))
}

fn tell(app: &App, run: &Run, with_image: bool) -> Result<Progress, ApiError> {
    let jobs = run.jobs.iter().map(|job| app.queue.job(*job));
    let jobs: Vec<_> = jobs.filter(|job| !matches!(job, Err(QueueError::Unknown(_)))).collect::<Result<_, _>>()?;
    let count = u32::try_from(run.jobs.len()).unwrap_or(u32::MAX).max(1);
    let ended = u32::try_from(jobs.iter().filter(|job| job.state.is_last()).count()).unwrap_or(count);
    let running = jobs.iter().find(|job| job.state == JobState::Running);
    let live = running.and_then(|job| app.crew.live.job(job.id));
    let part = live.as_ref().map_or(0.0, |live| live.part);
    let progress = ((f64::from(ended) + part) / f64::from(count)).min(1.0);
    let begun = jobs.iter().filter_map(|job| job.started).min();
    let spent = begun.map_or(0.0, |begun| ((app.clock)() - begun).max(0) as f64 / 1000.0);
    let left = if progress > 0.0 { spent / progress - spent } else { 0.0 };
    // The engine knows its own pace better, if this is the last batch.
    let known = live.as_ref().and_then(|live| live.seconds_left).filter(|_| ended + 1 == count);
    let step = live.as_ref().and_then(|live| live.progress).map_or(0, |progress| match progress.stage {
        Stage::Text => 0,
        Stage::Denoise => progress.done,
        Stage::Decode => run.steps,
    });
    let waiting = jobs.iter().find(|job| job.state == JobState::Waiting).filter(|_| running.is_none());
    Ok(Progress {
        progress,
        eta_relative: known.unwrap_or(left),
        state: RunState {
            skipped: run.is_skipped,
            interrupted: run.is_interrupted,
            stopping_generation: run.is_interrupted,
            job: "txt2img".to_owned(),
            job_count: count,
            job_timestamp: timestamp(run.begun),
            job_no: ended.min(count.saturating_sub(1)),
            sampling_step: step,
            sampling_steps: run.steps,
        },
        current_image: live.and_then(|live| live.look).filter(|_| with_image).map(|look| STANDARD.encode(&look.bytes)),
        textinfo: waiting.map(|job| match job.ahead {
            Some(ahead) if ahead > 0 => format!("It waits in the queue; {ahead} come first."),
            _ => "It waits in the queue.".to_owned(),
        }),
    })
}

/// A moment as A1111 writes it: `20260102030405`.
pub(super) fn timestamp(at: Millis) -> String {
    let at = civil(at);
    format!("{:04}{:02}{:02}{:02}{:02}{:02}", at.year, at.month, at.day, at.hour, at.minute, at.second)
}

/// Stop your oldest run.
///
/// Its pictures that are finished are sent.
#[utoipa::path(post, path = "/sdapi/v1/interrupt", tag = "A1111", responses((status = 200, description = "it stops, if there is one")))]
pub(super) async fn interrupt(State(app): State<App>, caller: Caller, _: AnyBody) -> Result<Json<Value>, ApiError> {
    caller.needs(Scope::Generate)?;
    if let Some(run) = app.sdapi.oldest(&caller.client, |run| run.is_interrupted = true) {
        app.blocking(move |app| run.jobs.iter().try_for_each(|job| cancel(app, *job))).await?;
    }
    Ok(Json(Value::Object(serde_json::Map::new())))
}

/// Skip the batch of your oldest run that is drawn now.
#[utoipa::path(post, path = "/sdapi/v1/skip", tag = "A1111", responses((status = 200, description = "it is skipped, if there is one")))]
pub(super) async fn skip(State(app): State<App>, caller: Caller, _: AnyBody) -> Result<Json<Value>, ApiError> {
    caller.needs(Scope::Generate)?;
    if let Some(run) = app.sdapi.oldest(&caller.client, |run| run.is_skipped = true) {
        let skipped = app.blocking(move |app| {
            for job in &run.jobs {
                match app.queue.job(*job).map(|job| job.state) {
                    Ok(JobState::Running) => return cancel(app, *job),
                    Ok(_) | Err(QueueError::Unknown(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        });
        skipped.await?;
    }
    Ok(Json(Value::Null))
}

fn cancel(app: &App, job: JobId) -> Result<(), ApiError> {
    match app.queue.cancel(job) {
        Ok(_) | Err(QueueError::Over { .. } | QueueError::Unknown(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
