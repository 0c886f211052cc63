//! Models on their way into the library: each on a thread of its own, few at a time, told to followers as they come.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use encaustic_protocol::{Card, Failure};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::App;
use crate::events::News;
use crate::host::Transfer;
use crate::sync::lock;
use crate::time::Millis;

/// How many may be on their way at once.
const MOST: usize = 3;
/// What the names of models on the hub begin with.
const HUB: &str = "hf:";
/// After how long it is tried again to fetch the usual model, at first and at most.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);
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
    /// It is not here yet, as far as is known: not a newer one of what is.
    is_missing: bool,
}

/// All models that are on their way.
#[derive(Debug, Default)]
pub struct Pulls {
    running: Mutex<BTreeMap<String, Running>>,
    /// Those that somebody has stopped.
    stopped: Mutex<BTreeSet<String>>,
}

impl Pulls {
    /// They, in the order in which they set out.
    pub fn list(&self) -> Vec<Pull> {
        let mut pulls: Vec<Pull> = self.lock().values().map(|running| running.pull.clone()).collect();
        pulls.sort_by_key(|pull| pull.since);
        pulls
    }

    /// The models, by all their names, that will be here: jobs for them wait.
    pub fn awaited(&self) -> Vec<String> {
        let names = |source: &String| [plain(source).to_owned(), format!("{HUB}{}", plain(source))];
        self.lock().iter().filter(|(_, running)| running.is_missing).flat_map(|(source, _)| names(source)).collect()
    }

    /// Whether a model is not here yet and will be.
    pub fn is_awaited(&self, model: &str) -> bool {
        self.awaited().iter().any(|name| name == model)
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
            let stop = Arc::clone(&stop);
            running.insert(source.clone(), Running { pull: pull.clone(), stop, is_missing: true });
        }
        lock(&self.stopped).remove(&source);
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
                lock(&self.stopped).insert(source.to_owned());
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

    /// It is here already, and comes once more.
    fn is_here(&self, source: &str) {
        if let Some(running) = self.lock().get_mut(source) {
            running.is_missing = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        lock(&self.running)
    }
}

/// What a model is and wants (`None`: the usual one); nothing yet if it is on its way. It blocks.
///
/// # Errors
/// If there is no such model, or it is damaged.
pub fn card(app: &App, model: Option<&str>) -> Result<Option<Card>, Failure> {
    let name = model.or(app.config.model.as_deref());
    match app.host.card(model) {
        Err(_) if name.is_some_and(|name| app.pulls.is_awaited(name)) => Ok(None),
        card => card.map(Some),
    }
}

/// Fetches the usual model if it is one of the hub's and not here. It is on its way when this returns; what fails is tried again.
pub(crate) async fn fetch_usual(app: &App) {
    let Some(model) = app.config.model.clone().filter(|model| is_on_hub(model)) else { return };
    if is_here(app, &model).await {
        return;
    }
    begin(app, &model);
    tokio::spawn(go_on(app.clone(), model));
}

fn begin(app: &App, model: &str) {
    match app.pulls.start(app, model.to_owned()) {
        Ok(_) => tracing::info!("{model} is not here yet and is fetched"),
        Err(error) => tracing::error!("{model}: {error}"),
    }
}

async fn is_here(app: &App, model: &str) -> bool {
    let (host, model) = (Arc::clone(&app.host), model.to_owned());
    tokio::task::spawn_blocking(move || host.card(Some(&model)).is_ok()).await.unwrap_or(false)
}

/// Begins again, later and later, until it is here, somebody stops it, or the server ends.
async fn go_on(app: App, model: String) {
    let mut stopped = app.stopped.clone();
    let mut pause = AGAIN;
    loop {
        while app.pulls.lock().contains_key(&model) {
            tokio::time::sleep(PACE).await;
        }
        if lock(&app.pulls.stopped).contains(&model) || is_here(&app, &model).await {
            return;
        }
        tracing::warn!("{model} could not be fetched; it is tried again in {} s", pause.as_secs());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => return,
        }
        pause = (pause * 2).min(LONGEST);
        begin(&app, &model);
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
        // Names of the hub are the same in the library.
        if app.host.card(Some(&format!("{HUB}{}", plain(source)))).is_ok() {
            app.pulls.is_here(source);
        }
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
