//! Models on their way into the library: each on a thread of its own, few at a time, told to followers as they come.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::App;
use crate::events::News;
use crate::host::Transfer;
use crate::time::Millis;

/// How many may be on their way at once.
const MOST: usize = 3;
/// What the names of models on the hub begin with.
const HUB: &str = "hf:";
/// How often followers hear of one.
const PACE: Duration = Duration::from_millis(200);

/// A model on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pull {
    /// What was asked for.
    pub source: String,
    /// How far it is.
    pub transfer: Transfer,
    /// Since when.
    pub since: Millis,
}

/// Why a model does not set out, or is not stopped.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Too many are on their way.
    #[error("{0} models are on their way already; wait for one, or stop one")]
    TooMany(usize),
    /// It is on its way.
    #[error("{0:?} is on its way already")]
    UnderWay(String),
    /// It is not on its way.
    #[error("{0:?} is not on its way")]
    Unknown(String),
    /// The system gives us no thread.
    #[error("no thread could be started for the transfer: {0}")]
    Thread(std::io::Error),
}

#[derive(Debug)]
struct Running {
    pull: Pull,
    stop: Arc<AtomicBool>,
}

/// All models that are on their way.
#[derive(Debug, Default)]
pub struct Pulls(Mutex<BTreeMap<String, Running>>);

impl Pulls {
    /// They, in the order in which they set out.
    pub fn list(&self) -> Vec<Pull> {
        let mut pulls: Vec<Pull> = self.lock().values().map(|running| running.pull.clone()).collect();
        pulls.sort_by_key(|pull| pull.since);
        pulls
    }

    /// Whether the model of this name is on its way.
    pub fn is_on_its_way(&self, model: &str) -> bool {
        self.lock().keys().any(|source| plain(source) == plain(model))
    }

    /// Sends one on its way.
    ///
    /// # Errors
    /// See [`PullError`].
    pub fn start(&self, app: &App, source: String) -> Result<Pull, PullError> {
        let stop = Arc::new(AtomicBool::new(false));
        let pull = Pull { source: source.clone(), transfer: Transfer::default(), since: (app.clock)() };
        {
            let mut running = self.lock();
            if running.contains_key(&source) {
                return Err(PullError::UnderWay(source));
            }
            if running.len() >= MOST {
                return Err(PullError::TooMany(running.len()));
            }
            running.insert(source.clone(), Running { pull: pull.clone(), stop: Arc::clone(&stop) });
        }
        let its_app = app.clone();
        let its_source = source.clone();
        let thread = std::thread::Builder::new().name("pull".to_owned());
        if let Err(error) = thread.spawn(move || fetch(&its_app, &its_source, &stop)) {
            self.lock().remove(&source);
            return Err(PullError::Thread(error));
        }
        Ok(pull)
    }

    /// Stops one.
    ///
    /// # Errors
    /// [`PullError::Unknown`].
    pub fn stop(&self, source: &str) -> Result<(), PullError> {
        match self.lock().get(source) {
            Some(running) => {
                running.stop.store(true, Ordering::SeqCst);
                Ok(())
            }
            None => Err(PullError::Unknown(source.to_owned())),
        }
    }

    /// Stops all: the server ends.
    pub fn stop_all(&self) {
        self.lock().values().for_each(|running| running.stop.store(true, Ordering::SeqCst));
    }

    fn at(&self, source: &str, transfer: &Transfer) {
        if let Some(running) = self.lock().get_mut(source) {
            running.pull.transfer = transfer.clone();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a name is that of a model on the hub.
pub fn is_on_hub(model: &str) -> bool {
    model.starts_with(HUB)
}

/// A model of the hub may be asked for with and without its scheme.
fn plain(name: &str) -> &str {
    name.strip_prefix(HUB).unwrap_or(name)
}

/// Takes the entry out, however the thread ends.
struct Entry<'a>(&'a App, &'a str);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.pulls.lock().remove(self.1);
    }
}

fn fetch(app: &App, source: &str, stop: &AtomicBool) {
    let tell = |transfer: &Transfer, done: Option<bool>, problem: Option<String>| {
        app.hub.live(News::Pull { source: source.to_owned(), transfer: transfer.clone(), done, problem });
    };
    let mut last = Transfer::default();
    let mut told: Option<Instant> = None;
    let outcome = {
        let _entry = Entry(app, source);
        app.host.pull(source, &mut |transfer| {
            if told.is_none_or(|at| at.elapsed() >= PACE) {
                told = Some(Instant::now());
                app.pulls.at(source, &transfer);
                tell(&transfer, None, None);
            }
            last = transfer;
            if stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    match outcome {
        Ok(()) => {
            tell(&last, Some(true), None);
            app.hub.live(News::Models);
        }
        Err(failure) => {
            tracing::warn!("{source}: {}", failure.message);
            tell(&last, Some(false), Some(failure.message));
        }
    }
}
