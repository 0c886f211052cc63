//! What has to happen all the time, whatever the devices do: signs of life, reclaiming what others have left, cleaning up.
//!
//! It has a thread of its own: a step that takes long must not cost a job its lease.

use std::time::{Duration, Instant};

use super::attempt::timed_out;
use super::hold::Hold;
use crate::App;
use crate::queue::{BEAT_MS, End, QueueError, Standing};
use crate::sync::lock;
use crate::time::Millis;

/// How often old jobs are looked for.
const CLEANING: Duration = Duration::from_secs(3600);
/// How often to look whether the server ends.
const GLANCE: Duration = Duration::from_millis(100);
/// How often to look whether jobs that run were cancelled, and whether their devices have heard of it.
const LOOK: Duration = Duration::from_secs(1);
const DAY: Millis = 24 * 60 * 60 * 1000;

/// Until the workers have left.
pub(super) fn run(app: &App) {
    let beat = Duration::from_millis(u64::try_from(BEAT_MS).unwrap_or(1));
    let mut beaten = Instant::now();
    let mut looked = Instant::now();
    let mut cleaned: Option<Instant> = None;
    while !app.crew.is_gone() {
        if cleaned.is_none_or(|cleaned| cleaned.elapsed() >= CLEANING) {
            cleaned = Some(Instant::now());
            clean(app);
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            look(app);
        }
        if beaten.elapsed() >= beat {
            beaten = Instant::now();
            // Ours first: after the machine has slept, all leases have run out.
            let mut is_written = true;
            for hold in app.crew.holds.all() {
                match app.queue.beat(&hold.token) {
                    Ok(standing) => hold.tell(standing),
                    Err(error) => {
                        is_written = false;
                        tracing::warn!(job = hold.token.job.0, "no sign of life could be given: {error}");
                    }
                }
            }
            if !is_written {
                // What looks left may be ours.
                continue;
            }
            match app.queue.reclaim(false) {
                Ok(0) => {}
                Ok(count) => tracing::warn!("{count} jobs were left by their workers and are taken back"),
                Err(error) => tracing::warn!("{error}"),
            }
        }
        std::thread::sleep(GLANCE);
    }
}

/// Asks how it stands with what runs; its own worker asks only between steps.
fn look(app: &App) {
    let patience = Duration::from_secs(app.config.hang_secs.into());
    for hold in app.crew.holds.all() {
        if let Ok(standing) = app.queue.standing(&hold.token) {
            hold.tell(standing);
        }
        if let Some(late) = hold.late().filter(|late| *late >= patience) {
            abandon(app, &hold, late);
        }
    }
}

/// Ends a job over the head of its device, which does not answer: a thread in the depths of a driver cannot be broken off. When it
/// comes back, its claim is worth nothing, and it goes on with the next job.
fn abandon(app: &App, hold: &Hold, late: Duration) {
    let (job, device) = (hold.token.job, &hold.device);
    let end = match hold.standing() {
        Standing::Lost => return,
        Standing::Cancelled => End::Cancelled,
        Standing::Held => End::Failed(timed_out(hold, &format!("{device} has not answered since"))),
    };
    match app.queue.end(&hold.token, &end) {
        Ok(()) => {}
        // It has come to its end by itself, a moment ago.
        Err(QueueError::Lost(_)) => return,
        // It is tried again in a moment.
        Err(error) => return tracing::warn!(job = job.0, "its end cannot be written: {error}"),
    }
    tracing::error!(job = job.0, device, "the device does not answer; its job is ended without it");
    hold.tell(Standing::Lost);
    app.crew.live.end(job);
    let problem = format!("it has not answered since job {} was to end, {} s ago", job.0, late.as_secs());
    for desk in lock(&app.crew.desks).iter().filter(|desk| desk.standing().name == *device) {
        desk.hang(job, problem.clone());
    }
}

/// Forgets what ended long ago.
fn clean(app: &App) {
    let days = Millis::from(app.settings.now().keep_jobs_days);
    if days == 0 {
        return;
    }
    match app.queue.forget((app.clock)() - days * DAY) {
        Ok(0) => {}
        Ok(count) => tracing::info!("{count} jobs that ended more than {days} days ago were forgotten"),
        Err(error) => tracing::warn!("old jobs could not be forgotten: {error}"),
    }
}
