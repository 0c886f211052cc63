//! Devices that work the queue off: one OS thread each, which opens its device, takes a job at a time and draws it.
//!
//! ```text
//! submit ──> bell ──> worker ── claim ──> attempt ── pictures ──> end (one transaction)
//!                        │                   │ every step: cancelled? out of time? asked to leave?
//!   pulse ── beats ──────┴───────────────────┴──> Live: how far it is, and how it looks
//! ```
//!
//! [`Crew`] is all of them together, and what the rest of the server knows of them.

mod attempt;
mod bell;
mod desk;
mod hold;
mod live;
mod policy;
mod pulse;
mod watch;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use encaustic_protocol::Change;
use tokio::sync::broadcast::error::RecvError;

use crate::App;
use crate::events::News;
use crate::host::Device;
use crate::sync::lock;
use bell::Bell;
use hold::Holds;

pub use desk::{Desk, Doing, Standing};
pub use live::{Glance, Live, Look};

/// The devices and those who work at them.
#[derive(Debug, Default)]
pub struct Crew {
    /// How it stands with the jobs that run.
    pub live: Live,
    desks: Mutex<Vec<Arc<Desk>>>,
    holds: Holds,
    bell: Bell,
    leaving: AtomicU8,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// No job is begun any more.
const CLOSING: u8 = 1;
/// What runs stops at its next step.
const STOPPING: u8 = 2;
/// Nobody is waited for any more.
const GONE: u8 = 3;

impl Crew {
    /// Begins: finds the devices and opens them, on threads of their own, so that this returns at once.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub(crate) fn start(app: &App) -> std::io::Result<()> {
        tokio::spawn(ring(app.clone()));
        let spawn = |name: &str, work: fn(&App)| {
            let app = app.clone();
            thread::Builder::new().name(name.to_owned()).spawn(move || work(&app))
        };
        let threads = [spawn("pulse", pulse::run)?, spawn("devices", hire)?];
        lock(&app.crew.threads).extend(threads);
        Ok(())
    }

    /// The devices, in the order of the configuration.
    pub fn desks(&self) -> Vec<Standing> {
        lock(&self.desks).iter().map(|desk| desk.standing()).collect()
    }

    /// Whether a device is open.
    pub fn is_ready(&self) -> bool {
        self.desks().iter().any(|desk| !matches!(desk.doing, Doing::Opening | Doing::Broken { .. } | Doing::Gone))
    }

    /// Why no device works, if none does and none is on its way.
    pub fn problem(&self) -> Option<String> {
        let desks = self.desks();
        let mut broken = desks.iter().map(|desk| match &desk.doing {
            Doing::Broken { problem } => Some(format!("{}: {problem}", desk.name)),
            Doing::Gone => Some(format!("{}: the server is about to end", desk.name)),
            _ => None,
        });
        let first = broken.next()??;
        broken.all(|problem| problem.is_some()).then_some(first)
    }

    /// Has a device let go of its model as soon as it does not draw. `false` if there is no such device.
    pub fn unload(&self, name: &str) -> bool {
        let desk = lock(&self.desks).iter().find(|desk| desk.standing().name == name).cloned();
        let Some(desk) = desk else { return false };
        desk.ask_to_unload();
        self.bell.ring();
        true
    }

    /// Ends: no job is begun any more, running ones have `patience` to finish, then they stop at their next step and are put
    /// back into the queue. That step is waited for as well, for a `last_step` at most.
    pub fn stop(&self, patience: Duration, last_step: Duration) {
        self.leave(CLOSING);
        if !self.wait_for_workers(patience) {
            tracing::info!("what runs is stopped at its next step and will be begun again at the next start");
            self.leave(STOPPING);
            self.wait_for_workers(last_step);
        }
        self.leave(GONE);
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.is_finished() || thread.thread().name() == Some("pulse") {
                // It has said why it broke down, if it did.
                let _ = thread.join();
            } else {
                tracing::warn!(thread = thread.thread().name(), "it does not come to an end; its job is begun again later");
            }
        }
    }

    fn leave(&self, how: u8) {
        self.leaving.fetch_max(how, Ordering::SeqCst);
        self.bell.ring();
    }

    /// Whether no job may be begun.
    fn is_closing(&self) -> bool {
        self.leaving.load(Ordering::SeqCst) >= CLOSING
    }

    /// Whether what runs has to stop.
    fn is_stopping(&self) -> bool {
        self.leaving.load(Ordering::SeqCst) >= STOPPING
    }

    /// Whether nobody is left.
    fn is_gone(&self) -> bool {
        self.leaving.load(Ordering::SeqCst) >= GONE
    }

    fn wait_for_workers(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let at_work = |thread: &JoinHandle<()>| thread.thread().name() != Some("pulse") && !thread.is_finished();
        loop {
            if !lock(&self.threads).iter().any(at_work) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Rings where there may be something to do.
async fn ring(app: App) {
    let mut events = app.hub.follow();
    while !app.crew.is_closing() {
        match events.recv().await.as_deref() {
            Ok(event) => match event.news {
                News::Job { change: Change::Queued { .. }, .. } | News::Queue { is_paused: false } | News::Models => {
                    app.crew.bell.ring();
                }
                _ => {}
            },
            Err(RecvError::Lagged(_)) => app.crew.bell.ring(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Finds the devices that are meant and puts somebody at each.
fn hire(app: &App) {
    let wanted = &app.config.devices.0;
    for (name, candidates) in desks(wanted, &|| found(app)) {
        if app.crew.is_closing() {
            return;
        }
        let desk = Arc::new(Desk::new(name));
        lock(&app.crew.desks).push(Arc::clone(&desk));
        let thread = {
            let (app, desk) = (app.clone(), Arc::clone(&desk));
            let name = format!("device {}", desk.standing().name);
            thread::Builder::new().name(name).spawn(move || worker::run(&app, &desk, &candidates))
        };
        match thread {
            Ok(thread) => lock(&app.crew.threads).push(thread),
            Err(error) => desk.set(Doing::Broken { problem: format!("no thread could be started: {error}") }),
        }
    }
}

/// The devices that there are now, the best first.
fn found(app: &App) -> Vec<Device> {
    // Drivers are asked, and what they do is not ours.
    catch_unwind(AssertUnwindSafe(|| app.host.devices())).unwrap_or_else(|_| {
        tracing::error!("a driver broke down while devices were looked for; name those that work with `--devices`");
        Vec::new()
    })
}

/// The name of each desk, and the devices to try for it. Drivers are only asked where the configuration leaves a choice;
/// where they have none, there is a desk that asks them again.
fn desks(wanted: &[String], found: &dyn Fn() -> Vec<Device>) -> Vec<(String, Vec<String>)> {
    let mut desks: Vec<(String, Vec<String>)> = Vec::new();
    let usual = ["auto".to_owned()];
    for name in if wanted.is_empty() { &usual } else { wanted } {
        let meant: Vec<Vec<String>> = match name.as_str() {
            "auto" => vec![found().into_iter().map(|device| device.name).collect()],
            "all" => match all(&found()) {
                none if none.is_empty() => vec![none],
                all => all.into_iter().map(|name| vec![name]).collect(),
            },
            name => vec![vec![name.to_owned()]],
        };
        for candidates in meant {
            let first = candidates.first().cloned().unwrap_or_else(|| name.clone());
            let alike = desks.iter().filter(|(_, others)| others.first() == Some(&first)).count();
            let name = if alike == 0 { first } else { format!("{first}#{}", alike + 1) };
            desks.push((name, candidates));
        }
    }
    desks
}

/// All devices but the processor, also where it poses as a GPU; the best one where there are no others.
fn all(found: &[Device]) -> Vec<String> {
    let is_gpu = |device: &&Device| !["cpu", "software"].contains(&device.kind.as_str());
    let gpus: Vec<String> = found.iter().filter(is_gpu).map(|device| device.name.clone()).collect();
    if gpus.is_empty() { found.iter().take(1).map(|device| device.name.clone()).collect() } else { gpus }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_chosen() {
        let device =
            |(name, kind): (&str, &str)| Device { name: name.into(), label: name.into(), kind: kind.into(), memory: None };
        let gpus: Vec<_> =
            [("cuda:0", "discrete"), ("cuda:1", "discrete"), ("cpu", "cpu"), ("vulkan:0", "software")].map(device).into();
        let none: Vec<_> = [("cpu", "cpu"), ("vulkan:0", "software")].map(device).into();
        for (wanted, found, expected) in [
            ("auto", &gpus, "cuda:0=cuda:0/cuda:1/cpu/vulkan:0"),
            ("", &none, "cpu=cpu/vulkan:0"),
            ("all", &gpus, "cuda:0=cuda:0 cuda:1=cuda:1"),
            ("all", &none, "cpu=cpu"),
            ("auto", &Vec::new(), "auto="),
            ("all", &Vec::new(), "all="),
            ("cpu,cpu", &gpus, "cpu=cpu cpu#2=cpu"),
            ("cuda:1,cuda:7", &gpus, "cuda:1=cuda:1 cuda:7=cuda:7"),
        ] {
            let wanted: Vec<String> = wanted.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            let chosen = desks(&wanted, &|| found.clone());
            let chosen: Vec<_> = chosen.iter().map(|(name, of)| format!("{name}={}", of.join("/"))).collect();
            assert_eq!(chosen.join(" "), expected, "{wanted:?}");
        }
    }
}
