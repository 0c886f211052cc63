//! What has to happen all the time, whatever the devices do: signs of life, reclaiming what others have left, cleaning up.
//!
//! It has a thread of its own: a step that takes long must not cost a job its lease.

use std::time::{Duration, Instant};

use crate::App;
use crate::queue::BEAT_MS;
use crate::time::Millis;

/// How often old jobs are looked for.
const CLEANING: Duration = Duration::from_secs(3600);
/// How often to look whether the server ends.
const GLANCE: Duration = Duration::from_millis(100);
const DAY: Millis = 24 * 60 * 60 * 1000;

/// Until the workers have left.
pub(super) fn run(app: &App) {
    let beat = Duration::from_millis(u64::try_from(BEAT_MS).unwrap_or(1));
    let mut beaten = Instant::now();
    let mut cleaned: Option<Instant> = None;
    while !app.crew.is_gone() {
        if cleaned.is_none_or(|cleaned| cleaned.elapsed() >= CLEANING) {
            cleaned = Some(Instant::now());
            clean(app);
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
