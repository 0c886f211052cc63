//! One attempt at a job: load its model, draw its pictures, write their files, end it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use encaustic_protocol::{Failure, FailureKind, Request};

use super::desk::{Desk, Doing};
use super::hold::Hold;
use super::policy::{self, Way};
use super::watch::{Follow, Why};
use crate::events::News;
use crate::host::{Broken, Drawn, Engine, Loaded};
use crate::images::{Made, NewImage};
use crate::job::Job;
use crate::queue::{Claim, End, QueueError};
use crate::{App, logs};

/// How often it is tried to enter the end of a job while the database fails, and how long is waited between.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(250);

/// How it stands with the device after an attempt.
pub(super) enum After {
    /// It is well.
    Well,
    /// It has to be opened anew.
    Broken(Failure),
}

/// Why there are no pictures.
enum Stop {
    /// The watch ended it.
    Asked(Why),
    /// The job cannot be done.
    Failed(Failure),
    /// The device broke down.
    Broken(Failure),
}

/// Works on a job until it has ended or is back in the queue.
pub(super) fn attempt(app: &App, desk: &Desk, engine: &mut dyn Engine, claim: Claim) -> After {
    let Claim { job, token } = claim;
    let name = desk.standing().name;
    let _span = logs::job(&job, &name).entered();
    logs::prompt(&app.config, &job);
    app.metrics.busy(&name, true);
    let begun = Instant::now();
    let hold = app.crew.holds.add(token);
    app.crew.live.begin(job.id, name.clone());
    let timeout = job.wish.timeout_secs.unwrap_or(app.settings.now().timeout_secs);
    let deadline = (timeout > 0).then(|| begun + Duration::from_secs(timeout.into()));
    let mut follow = Follow::new(app, desk, &hold, deadline, job.wish.request.batch.max(1));
    // What is left behind by a panic is the engine's, and that is dropped.
    let pictures = catch_unwind(AssertUnwindSafe(|| pictures(app, desk, engine, &job, &hold, &mut follow)));
    let pictures = pictures.unwrap_or_else(|panic| Err(Stop::Broken(broke_down(panic.as_ref()))));
    let place = follow.place();
    let after = finish(app, &job, &hold, pictures, (timeout, &place));
    app.crew.live.end(job.id);
    app.crew.holds.remove(&hold);
    app.metrics.busy(&name, false);
    app.metrics.memory(&name, desk.standing().memory);
    tracing::debug!(seconds = begun.elapsed().as_secs_f64(), "over");
    after
}

fn pictures(
    app: &App,
    desk: &Desk,
    engine: &mut dyn Engine,
    job: &Job,
    hold: &Hold,
    follow: &mut Follow<'_>,
) -> Result<Vec<NewImage>, Stop> {
    desk.set(Doing::Loading { job: job.id });
    let wanted = job.wish.model.as_deref().or(app.config.model.as_deref());
    let loaded = load(app, desk, engine, wanted)?;
    app.crew.live.change(job.id, |glance| glance.model = Some(loaded.name.clone()));
    if follow.has_to_end() {
        return Err(Stop::Asked(follow.why.unwrap_or(Why::Lost)));
    }
    desk.set(Doing::Drawing { job: job.id });
    let mut images = Vec::new();
    let mut way = Way::new(follow.batch);
    while follow.drawn < follow.batch {
        let request = part(&job.wish.request, follow.drawn, way.at_once);
        follow.now = request.batch;
        follow.seed = request.seed.unwrap_or_default();
        match engine.draw(&request, way.care, follow) {
            Ok(drawn) => {
                follow.drawn += request.batch;
                app.metrics.drawn(&desk.standing().name, &drawn);
                keep(app, job, hold, &loaded, drawn, &mut images)?;
            }
            Err(Broken::OutOfMemory { needed, available }) => {
                let Some((next, text)) = way.less(needed, available) else {
                    let size = request.width.zip(request.height).or(loaded.card.defaults.width.zip(loaded.card.defaults.height));
                    let size = size.map(|(width, height)| [width, height]);
                    return Err(Stop::Failed(policy::too_little(size, &desk.standing().name, needed, available)));
                };
                tracing::warn!("{text}");
                remark(app, hold, &text);
                way = next;
            }
            Err(Broken::Stopped) => return Err(Stop::Asked(follow.why.unwrap_or(Why::Leaving))),
            Err(Broken::Failed(failure)) => return Err(Stop::Failed(failure)),
            Err(Broken::Lost(failure)) => return Err(Stop::Broken(failure)),
        }
    }
    desk.set_memory(engine.memory());
    Ok(images)
}

fn load(app: &App, desk: &Desk, engine: &mut dyn Engine, wanted: Option<&str>) -> Result<Loaded, Stop> {
    let begun = Instant::now();
    let loaded = match engine.load(wanted) {
        Ok(loaded) => loaded,
        Err(broken) => {
            desk.set_model(None);
            return Err(match broken {
                Broken::OutOfMemory { needed, available } => {
                    let (device, model) = (desk.standing().name, wanted.unwrap_or("the usual model"));
                    let numbers = policy::numbers(needed, available);
                    let message = format!("{device} has too little memory to load {model}{numbers}; a quantised one may fit");
                    Stop::Failed(Failure { kind: FailureKind::Device, message })
                }
                Broken::Failed(failure) => Stop::Failed(failure),
                Broken::Lost(failure) => Stop::Broken(failure),
                Broken::Stopped => Stop::Asked(Why::Leaving),
            });
        }
    };
    if desk.standing().model.as_ref() != Some(&loaded.name) {
        app.metrics.stage("load", begun.elapsed().as_secs_f64());
    }
    tracing::debug!(model = loaded.name, seconds = begun.elapsed().as_secs_f64(), "model ready");
    desk.set_model(Some(loaded.name.clone()));
    desk.set_memory(engine.memory());
    Ok(loaded)
}

/// The pictures from number `start` on, at most so many.
fn part(request: &Request, start: u32, most: u32) -> Request {
    let left = request.batch.max(1).saturating_sub(start);
    let seed = request.seed.unwrap_or_default().wrapping_add(start.into());
    Request { seed: Some(seed), batch: left.min(most).max(1), ..request.clone() }
}

/// Writes the files of pictures.
fn keep(app: &App, job: &Job, hold: &Hold, loaded: &Loaded, drawn: Drawn, images: &mut Vec<NewImage>) -> Result<(), Stop> {
    let begun = Instant::now();
    let Drawn { pictures, settings, parameters, .. } = drawn;
    let mut parameters = parameters.into_iter();
    for (seed, pixels) in pictures {
        let text = parameters.next().unwrap_or_default();
        // Each is as if made alone.
        let settings = Request { seed: Some(seed), batch: 1, ..settings.clone() };
        let made = Made { job: Some(job.id.0), seed, model: &loaded.name, settings: &settings, parameters: &text };
        let stored = app.images.put(&pixels, &made).map_err(|error| Stop::Failed(error.into()))?;
        if let Some(text) = stored.remark {
            tracing::warn!("{text}");
            remark(app, hold, &text);
        }
        images.push(stored.image);
    }
    app.metrics.stage("save", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Ends the job, or puts it back.
fn finish(app: &App, job: &Job, hold: &Arc<Hold>, pictures: Result<Vec<NewImage>, Stop>, (timeout, place): (u32, &str)) -> After {
    let failed = |failure: Failure| {
        enter(|| app.queue.end(&hold.token, &End::Failed(failure.clone())));
    };
    match pictures {
        Ok(images) => {
            let end = End::Finished(images);
            enter(|| app.queue.end(&hold.token, &end));
            app.hub.live(News::Images);
        }
        Err(Stop::Asked(Why::Cancelled)) => {
            enter(|| app.queue.end(&hold.token, &End::Cancelled));
        }
        Err(Stop::Asked(Why::Lost)) => tracing::warn!("another worker has taken it over {place}; what was drawn is dropped"),
        Err(Stop::Asked(Why::Leaving)) => {
            tracing::info!("put back into the queue {place}");
            enter(|| app.queue.put_back(&hold.token));
        }
        Err(Stop::Asked(Why::TimedOut)) => {
            let message = format!(
                "it ran longer than the {timeout} s that it may and was stopped {place}; raise its `timeout_secs` (or the server's), or ask for less"
            );
            failed(Failure { kind: FailureKind::Device, message });
        }
        Err(Stop::Failed(failure)) => failed(failure),
        Err(Stop::Broken(failure)) => {
            if job.attempts >= app.config.attempts {
                let message = format!("{}; it was tried {} times", failure.message, job.attempts);
                failed(Failure { message, ..failure.clone() });
            } else {
                let text = format!("try {} of {} came to nothing: {}", job.attempts, app.config.attempts, failure.message);
                tracing::warn!("{text}");
                remark(app, hold, &text);
                enter(|| app.queue.give_back(&hold.token));
            }
            return After::Broken(failure);
        }
    }
    After::Well
}

/// Makes a change that must not be lost: a full disk may have room again in a moment. At worst its lease runs out, and the job
/// is begun again.
fn enter(change: impl Fn() -> Result<(), QueueError>) {
    let mut pause = PAUSE;
    for attempt in 1..=TRIES {
        match change() {
            Ok(()) => return,
            Err(QueueError::Database(error)) if attempt < TRIES => {
                tracing::error!("the end of the job cannot be written, it is tried again: {error}");
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(QueueError::Lost(_)) => {
                tracing::warn!("another worker has taken the job over; what was drawn is dropped");
                return;
            }
            Err(error) => {
                tracing::error!("the end of the job cannot be written; it will be begun again: {error}");
                return;
            }
        }
    }
}

/// Adds to the job's log.
fn remark(app: &App, hold: &Hold, text: &str) {
    if let Err(error) = app.queue.log(&hold.token, text) {
        tracing::warn!("the job's log cannot be written: {error}");
    }
}

/// What a panic says.
fn broke_down(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "it did not say why".to_owned());
    Failure { kind: FailureKind::Device, message: format!("the engine broke down: {text}") }
}
