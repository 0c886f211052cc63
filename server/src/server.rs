//! A server, from its configuration to its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::app::Parts;
use crate::auth::Keys;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::events::Hub;
use crate::host::Host;
use crate::images::{Store, StoreError};
use crate::pulls::{self, Pulls};
use crate::queue::sqlite::{Rules, SqliteQueue, last_event};
use crate::queue::{Queue, QueueError};
use crate::settings::Settings;
use crate::webhooks::Webhooks;
use crate::work::Crew;
use crate::{App, descriptors, http, images, time, webhooks};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("{address}: {source}; give another with --listen")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others could reach it, and nothing would stop them.
    #[error(
        "{0}: there is no API key, so the server does not start where one is required: make one with `encaustic key add NAME \
         --scopes admin,generate,read`, or listen on this machine alone with --listen 127.0.0.1:{port}", port = .0.port()
    )]
    Open(SocketAddr),
    /// Others could read the metrics, and there is nobody yet whom the owner trusts.
    #[error(
        "{0}: there is no API key, so the server does not start where others can reach its metrics, which want none at that \
         address: make one with `encaustic key add NAME --scopes admin,generate,read`, or tell them to this machine alone with \
         --metrics-listen 127.0.0.1:{port}", port = .0.port()
    )]
    OpenMetrics(SocketAddr),
    /// The address for metrics is taken, or not this machine's.
    #[error("{address}: {source}; give another with --metrics-listen")]
    Metrics {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder for data cannot be made.
    #[error("{}: {source}; give another folder with --data", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no threads.
    #[error("no threads could be started: {0}")]
    Threads(std::io::Error),
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The pictures.
    #[error(transparent)]
    Images(#[from] StoreError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// What messages are signed with.
    #[error(transparent)]
    Webhooks(#[from] webhooks::SignerError),
}

/// A running server.
pub struct Server {
    /// What its parts share.
    pub app: App,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Starts one; `data` is the folder for its database and pictures.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(mut config: Config, data: &Path, host: Arc<dyn Host>) -> Result<Self, StartError> {
        std::fs::create_dir_all(data).map_err(|source| StartError::Folder { path: data.to_owned(), source })?;
        config.connections = descriptors::connections(config.connections.max(1));
        let db = Arc::new(Db::open(&data.join("encaustic.db"))?);
        let clock = time::system();
        let hub = Hub::new(last_event(&db)?);
        let queue = Arc::new(SqliteQueue::new(Arc::clone(&db), hub.clone(), clock.clone(), Rules::from(&config)));
        queue.reclaim(true)?;
        let images = Store::open(data, images::Options::of(&config))?;
        let address = config.listen;
        if !http::page::is_there(config.page.as_deref()) {
            tracing::warn!("there is no page to serve, only the interfaces for programs; http://{address}/ says how to get one");
        }
        let settings = Settings::open(Arc::clone(&db), config.clone())?;
        let seats = Arc::new(Semaphore::new(config.connections.max(1) as usize));
        let keys = Keys::new(Arc::clone(&db), clock.clone());
        if (config.require_key || !address.ip().to_canonical().is_loopback()) && keys.is_empty()? {
            return Err(StartError::Open(address));
        }
        if let Some(address) = config.metrics_listen
            && !address.ip().to_canonical().is_loopback()
            && keys.is_empty()?
        {
            return Err(StartError::OpenMetrics(address));
        }
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = watch::channel(false);
        let webhooks = Webhooks::new(&config, &db)?;
        let metrics = Arc::clone(hub.metrics());
        let app = App::new(Parts {
            config,
            data: data.to_owned(),
            host,
            db,
            queue,
            images,
            hub,
            crew: Arc::default(),
            keys,
            seats,
            settings,
            pulls: Pulls::default(),
            stopped: stopped.clone(),
            clock,
            metrics,
            webhooks,
            sdapi: Default::default(),
        });
        tokio::spawn(images::upkeep::run(app.clone()));
        tokio::spawn(webhooks::send::run(app.clone(), stopped));
        if let Some(address) = app.config.metrics_listen {
            let listener = TcpListener::bind(address).await.map_err(|source| StartError::Metrics { address, source })?;
            tokio::spawn(http::serve_apart(listener, app.clone()));
        }
        let serving = tokio::spawn(http::serve(listener, app.clone()));
        pulls::fetch_usual(&app).await;
        Crew::start(&app).map_err(StartError::Threads)?;
        Ok(Self { app, address, stop, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it: no job is begun any more, those that run have `shutdown_secs` to finish, or are put back into the queue.
    pub async fn stop(self) {
        let patience = Duration::from_secs(self.app.settings.now().shutdown_secs.into());
        let last_step = Duration::from_secs(self.app.config.hang_secs.into());
        let crew = Arc::clone(&self.app.crew);
        // Whoever follows still hears how the last job ends. A panic in there leaves the jobs for the next start.
        let _ = tokio::task::spawn_blocking(move || crew.stop(patience, last_step)).await;
        let _ = self.stop.send(true);
        self.app.pulls.stop_all();
        let _ = self.serving.await;
    }
}
