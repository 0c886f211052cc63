//! What all parts of the server share.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::auth::Keys;
use crate::config::Config;
use crate::db::Db;
use crate::events::Hub;
use crate::host::Host;
use crate::http::sdapi::Runs;
use crate::images::Store;
use crate::metrics::Metrics;
use crate::pulls::Pulls;
use crate::queue::Queue;
use crate::settings::Settings;
use crate::time::Clock;
use crate::webhooks::Webhooks;
use crate::work::Crew;

/// What all parts of the server share. It is copied like a pointer.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts.
pub struct Parts {
    /// The settings, as they were at the start.
    pub config: Config,
    /// The folder of the database and the pictures.
    pub data: PathBuf,
    /// Who draws, and keeps the models.
    pub host: Arc<dyn Host>,
    /// The database.
    pub db: Arc<Db>,
    /// The jobs.
    pub queue: Arc<dyn Queue>,
    /// The pictures' files.
    pub images: Store,
    /// Tells what happens.
    pub hub: Hub,
    /// The devices, and how it stands with what runs.
    pub crew: Arc<Crew>,
    /// The settings that change while it runs.
    pub settings: Settings,
    /// Who may ask for what.
    pub keys: Keys,
    /// Models on their way into the library.
    pub pulls: Pulls,
    /// Room for those who follow events.
    pub seats: Arc<Semaphore>,
    /// Becomes true when the server is about to end.
    pub stopped: watch::Receiver<bool>,
    /// The time.
    pub clock: Clock,
    /// Tells those who wanted to hear that a job has ended.
    pub webhooks: Webhooks,
    /// What clients of A1111's interface wait for.
    pub sdapi: Runs,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// An app of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Comes back when the server is about to end.
    pub async fn until_stopped(&self) {
        let mut stopped = self.stopped.clone();
        // An error means that whoever could stop it is gone, which is an end as well.
        let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
    }

    /// Does what blocks (the database, files, the library) where blocking is allowed.
    ///
    /// # Errors
    /// What `work` returns; [`Interrupted`] if it broke down.
    pub async fn blocking<T, E>(&self, work: impl FnOnce(&App) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Interrupted> + Send + 'static,
    {
        let app = self.clone();
        let span = tracing::Span::current();
        match tokio::task::spawn_blocking(move || span.in_scope(|| work(&app))).await {
            Ok(result) => result,
            Err(_) => Err(Interrupted.into()),
        }
    }
}

/// Work that did not come to its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server broke off what it was doing; its log says why")]
pub struct Interrupted;
