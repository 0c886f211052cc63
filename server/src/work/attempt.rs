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

/// How long is waited before it is tried again to enter the end of a job while the database fails, at first and at most.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How often it is still tried when the server is about to end.
const TRIES: u32 = 6;

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
    let timeout = job.wish.timeout_secs.unwrap_or(app.settings.now().timeout_secs);
    let seat = Seat { app, name: &name, hold: app.crew.holds.add(token, &name, timeout) };
    let hold = &seat.hold;
    app.crew.live.begin(job.id, name.clone());
    let mut follow = Follow::new(app, desk, hold, job.wish.request.batch.max(1));
    // What is left behind by a panic is the engine's, and that is dropped.
    let pictures = catch_unwind(AssertUnwindSafe(|| pictures(app, desk, engine, &job, hold, &mut follow)));
    let pictures = pictures.unwrap_or_else(|panic| Err(Stop::Broken(broke_down(panic.as_ref()))));
    // However long it takes to write the end, it is not the device that holds it up.
    hold.end();
    let place = follow.place();
    let after = finish(app, desk, &job, hold, pictures, &place);
    app.metrics.memory(&name, desk.standing().memory);
    tracing::debug!(seconds = begun.elapsed().as_secs_f64(), "over");
    after
}

/// What is known of an attempt while it lasts. It ends with it, also in a panic: then nobody gives signs of life for the claim
/// any more, and the job is taken back.
struct Seat<'a> {
    app: &'a App,
    name: &'a str,
    hold: Arc<Hold>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.app.crew.live.end(self.hold.token.job);
        self.app.crew.holds.remove(&self.hold);
        self.app.metrics.busy(self.name, false);
    }
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
                keep(app, hold, &loaded, drawn, &mut images)?;
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

/// Writes the files of pictures. Those for people are written when the job has ended: whatever is drawn again must not be there
/// twice.
fn keep(app: &App, hold: &Hold, loaded: &Loaded, drawn: Drawn, images: &mut Vec<NewImage>) -> Result<(), Stop> {
    let begun = Instant::now();
    let Drawn { pictures, settings, parameters, .. } = drawn;
    let mut parameters = parameters.into_iter();
    for (seed, pixels) in pictures {
        let text = parameters.next().unwrap_or_default();
        // Each is as if made alone.
        let settings = Request { seed: Some(seed), batch: 1, ..settings.clone() };
        let made = Made { seed, model: &loaded.name, settings: &settings, parameters: &text };
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
fn finish(app: &App, desk: &Desk, job: &Job, hold: &Hold, pictures: Result<Vec<NewImage>, Stop>, place: &str) -> After {
    let enter = |change: &dyn Fn() -> Result<(), QueueError>| {
        let doing = desk.standing().doing;
        let show = |problem: String| desk.set(Doing::Broken { problem });
        let is_entered = enter(change, &|| app.crew.is_closing(), &std::thread::sleep, &show);
        desk.set(doing);
        is_entered
    };
    let failed = |failure: Failure| {
        enter(&|| app.queue.end(&hold.token, &End::Failed(failure.clone())));
    };
    match pictures {
        Ok(images) => {
            let end = End::Finished(images);
            if enter(&|| app.queue.end(&hold.token, &end)) {
                app.hub.live(News::Images);
                if let End::Finished(images) = &end {
                    publish(app, job, hold, images);
                }
            }
        }
        Err(Stop::Asked(Why::Cancelled)) => {
            enter(&|| app.queue.end(&hold.token, &End::Cancelled));
        }
        Err(Stop::Asked(Why::Lost)) => {
            tracing::warn!("it has been ended or taken over meanwhile, {place}; what was drawn is dropped");
        }
        Err(Stop::Asked(Why::Leaving)) => {
            tracing::info!("put back into the queue {place}");
            enter(&|| app.queue.put_back(&hold.token));
        }
        Err(Stop::Asked(Why::TimedOut)) => {
            failed(timed_out(hold, &format!("was stopped {place}")));
        }
        Err(Stop::Failed(failure)) => failed(failure),
        Err(Stop::Broken(failure)) => {
            let tried = job.attempts - job.crashes;
            if tried >= app.config.attempts {
                let message = format!("{}; it was tried {tried} times", failure.message);
                failed(Failure { message, ..failure.clone() });
            } else {
                let text = format!("try {tried} of {} came to nothing: {}", app.config.attempts, failure.message);
                tracing::warn!("{text}");
                remark(app, hold, &text);
                enter(&|| app.queue.give_back(&hold.token));
            }
            return After::Broken(failure);
        }
    }
    After::Well
}

/// Why a job fails whose time is over; `what` was done about it.
pub(super) fn timed_out(hold: &Hold, what: &str) -> Failure {
    let timeout = hold.limit.map_or(0, |(secs, _)| secs);
    let message = format!(
        "it ran longer than the {timeout} s that it may and {what}; raise its `timeout_secs` (or the server's), or ask for less"
    );
    Failure { kind: FailureKind::Device, message }
}

/// Writes an ended job's pictures into the folder for people.
fn publish(app: &App, job: &Job, hold: &Hold, images: &[NewImage]) {
    for image in images {
        if let Err(error) = app.images.publish(image, job.id.0, job.created) {
            tracing::warn!("the picture is in the gallery, but could not be written into the output folder: {error}");
            let text =
                format!("The picture is in the gallery, but could not be written into the output folder: {}.", error.told());
            remark(app, hold, &text);
        }
    }
}

/// Makes a change that must not be lost, and returns whether it is made. While the database fails it is tried again: the disk may
/// have room again in a moment, and the claim is kept by its signs of life. Only a server that ends does not wait for ever; then
/// the job is begun again.
fn enter(
    change: &dyn Fn() -> Result<(), QueueError>,
    is_closing: &dyn Fn() -> bool,
    wait: &dyn Fn(Duration),
    show: &dyn Fn(String),
) -> bool {
    let mut pause = PAUSE;
    let mut left = TRIES;
    loop {
        match change() {
            Ok(()) => return true,
            Err(QueueError::Database(error)) => {
                tracing::error!("the end of the job cannot be written, it is tried again: {error}");
                show(format!("the end of its job cannot be written, it is tried again: {error}"));
            }
            Err(QueueError::Lost(_)) => {
                tracing::warn!("the job has been ended or taken over meanwhile; what was drawn is dropped");
                return false;
            }
            Err(error) => {
                tracing::error!("the end of the job cannot be written; it will be begun again: {error}");
                return false;
            }
        }
        if is_closing() {
            left -= 1;
            if left == 0 {
                tracing::error!("the server ends before the end of the job could be written; it will be begun again");
                return false;
            }
            pause = pause.min(PAUSE * 4);
        }
        wait(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Adds to the job's log.
fn remark(app: &App, hold: &Hold, text: &str) {
    if let Err(error) = app.queue.log(&hold.token, text) {
        tracing::warn!("the job's log cannot be written: {error}");
    }
}

/// What a panic says.
pub(super) fn broke_down(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "it did not say why".to_owned());
    Failure { kind: FailureKind::Device, message: format!("the engine broke down: {text}") }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::path::PathBuf;

    use encaustic_protocol::JobId;

    use super::*;
    use crate::db::DbError;

    #[test]
    fn an_end_is_tried_as_long_as_it_has_to_be() {
        let full = || QueueError::Database(DbError::TooNew { path: PathBuf::new(), found: 2, known: 1 });
        // failures before it works, tries after which the server ends, whether another has the job, whether it is entered, tries
        for (failures, closing, is_lost, is_entered, tries) in [
            (0, 1000, false, true, 1),
            (300, 1000, false, true, 301),
            (300, 1000, true, false, 301),
            (300, 100, false, false, 105),
            (3, 1, false, true, 4),
        ] {
            let tried = Cell::new(0);
            let waits = RefCell::new(Vec::new());
            let change = || {
                tried.set(tried.get() + 1);
                match tried.get() > failures {
                    true if is_lost => Err(QueueError::Lost(JobId(1))),
                    true => Ok(()),
                    false => Err(full()),
                }
            };
            let shown = Cell::new(0);
            let wait = |pause| waits.borrow_mut().push(pause);
            let entered = enter(&change, &|| tried.get() >= closing, &wait, &|_| shown.set(shown.get() + 1));
            assert_eq!((entered, tried.get(), shown.get()), (is_entered, tries, tries.min(failures)), "{failures} {closing}");
            assert!(waits.borrow().iter().all(|pause| *pause <= LONGEST_PAUSE));
        }
    }
}
