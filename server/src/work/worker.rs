//! A device's thread: opens it, takes job after job, opens it anew when it has broken down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use encaustic_protocol::{Failure, FailureKind};

use super::attempt::{After, attempt, broke_down};
use super::desk::{Desk, Doing};
use super::found;
use crate::App;
use crate::host::Engine;
use crate::queue::Worker;

/// How long to wait for the bell: jobs whose moment comes do not ring.
const POLL: Duration = Duration::from_secs(1);
/// How long a device that broke down is left alone, at first and at most.
const REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Works until the server ends.
pub(super) fn run(app: &App, desk: &Desk, candidates: &[String]) {
    let mut rest = REST;
    // Once a device has opened, it alone is opened again: a driver that stumbles must not send all later work to a slower one.
    let mut own: Option<String> = None;
    while !app.crew.is_closing() {
        desk.set(Doing::Opening);
        let opened = match &own {
            Some(name) => open(app, std::slice::from_ref(name)),
            // A driver may not have been there yet when devices were looked for.
            None if candidates.is_empty() => open(app, &found(app).into_iter().map(|device| device.name).collect::<Vec<_>>()),
            None => open(app, candidates),
        };
        let problem = match opened {
            Ok((name, engine)) => {
                own = Some(name);
                serve(app, desk, engine, &mut rest)
            }
            Err(failure) => Some(failure),
        };
        let Some(failure) = problem else { break };
        tracing::error!(device = desk.standing().name, "{}; it is tried again in {:.1} s", failure.message, rest.as_secs_f64());
        desk.set_model(None);
        desk.set(Doing::Broken { problem: failure.message });
        sleep(app, rest);
        rest = (rest * 2).min(LONGEST_REST);
    }
    desk.set_model(None);
    desk.set(Doing::Gone);
}

/// The first device that opens, else why the first did not.
fn open(app: &App, candidates: &[String]) -> Result<(String, Box<dyn Engine>), Failure> {
    let mut first = None;
    for name in candidates {
        let opened = catch_unwind(AssertUnwindSafe(|| app.host.open(name)));
        match opened.unwrap_or_else(|_| Err(device(format!("{name}: its driver broke down while it was opened")))) {
            Ok(engine) => return Ok((name.clone(), engine)),
            Err(failure) => first = first.or(Some(failure)),
        }
    }
    Err(first.unwrap_or_else(|| device("there is no device to compute on".to_owned())))
}

fn device(message: String) -> Failure {
    Failure { kind: FailureKind::Device, message }
}

/// Works with an open device. Returns why it has to be opened anew, or nothing when the server ends.
fn serve(app: &App, desk: &Desk, mut engine: Box<dyn Engine>, rest: &mut Duration) -> Option<Failure> {
    // Drivers break down in whatever they are asked, also between jobs; then this thread goes on with the device opened anew.
    let worked = catch_unwind(AssertUnwindSafe(|| work(app, desk, engine.as_mut(), rest)));
    let lost = worked.unwrap_or_else(|panic| Some(broke_down(panic.as_ref())));
    // A device that is lost may well break down once more on the way out.
    if catch_unwind(AssertUnwindSafe(|| drop(engine))).is_err() {
        tracing::debug!("what was left of the engine broke down");
    }
    lost
}

/// Takes job after job, until the server ends or the device is lost.
fn work(app: &App, desk: &Desk, engine: &mut dyn Engine, rest: &mut Duration) -> Option<Failure> {
    desk.opened(engine.device());
    desk.set_memory(engine.memory());
    tracing::info!(device = desk.standing().name, label = engine.device().label, "device open");
    loop {
        if app.crew.is_closing() {
            return None;
        }
        if desk.is_to_unload() {
            engine.unload();
            desk.set_model(None);
            desk.set_memory(engine.memory());
        }
        let heard = app.crew.bell.rung();
        let standing = desk.standing();
        let away = app.pulls.awaited();
        let worker = Worker { name: &standing.name, loaded: standing.model.as_deref(), away: &away };
        match app.queue.claim(&worker) {
            Ok(Some(claim)) => {
                let after = attempt(app, desk, engine, claim);
                desk.set(Doing::Idle);
                match after {
                    After::Well => *rest = REST,
                    After::Broken(failure) => return Some(failure),
                }
            }
            Ok(None) => app.crew.bell.wait(heard, POLL),
            Err(error) => {
                tracing::error!("no job can be taken from the queue: {error}");
                app.crew.bell.wait(heard, POLL);
            }
        }
    }
}

/// Waits, unless the server ends.
fn sleep(app: &App, rest: Duration) {
    let until = std::time::Instant::now() + rest;
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() || app.crew.is_closing() {
            return;
        }
        let heard = app.crew.bell.rung();
        if !app.crew.is_closing() {
            app.crew.bell.wait(heard, left);
        }
    }
}
