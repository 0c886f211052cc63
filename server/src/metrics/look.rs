//! What is looked up when somebody asks for the metrics.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::{Metrics, One, family, one};
use crate::App;
use crate::db::DbError;
use crate::queue::QueueError;

/// Values that are looked up.
#[derive(Debug)]
pub(super) struct Found {
    jobs: Family<One, Gauge>,
    capacity: Gauge,
    paused: Gauge,
    followers: Gauge,
    database: Gauge,
    images: Gauge,
    image_bytes: Gauge,
    resident: Gauge,
}

impl Found {
    pub(super) fn new(all: &mut Registry) -> Self {
        all.register("build", "The version of this program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let started: Gauge = family(all, "start_time_seconds", "When the server was started, in seconds since 1970");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        started.set(i64::try_from(since.as_secs()).unwrap_or_default());
        Self {
            jobs: family(all, "queue_jobs", "Jobs that have not ended: waiting (scheduled: for a moment of their own), running"),
            capacity: family(all, "queue_capacity", "How many jobs may wait"),
            paused: family(all, "queue_paused", "Whether the queue is paused"),
            followers: family(all, "followers", "Open streams of events"),
            database: family(all, "database_bytes", "Size of the database and its write-ahead log"),
            images: family(all, "images", "Pictures in the gallery"),
            image_bytes: family(all, "images_bytes", "Size of the files of the pictures in the gallery"),
            resident: family(all, "resident_memory_bytes", "Main memory that the server holds"),
        }
    }
}

impl Metrics {
    /// Looks up what is not counted. It blocks.
    ///
    /// # Errors
    /// If the database does not answer.
    pub fn look(&self, app: &App) -> Result<(), QueueError> {
        let set = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let found = &self.found;
        let counts = app.queue.counts()?;
        let waiting = counts.waiting.saturating_sub(counts.scheduled);
        for (state, jobs) in [("waiting", waiting), ("scheduled", counts.scheduled), ("running", counts.running)] {
            set(&found.jobs.get_or_create(&one("state", state)), jobs);
        }
        set(&found.capacity, counts.capacity);
        set(&found.paused, u64::from(counts.is_paused));
        set(&found.followers, app.hub.followers() as u64);
        for desk in app.crew.desks() {
            self.memory(&desk.name, desk.memory);
        }
        set(&found.database, database_bytes(app.db.path()));
        let (images, bytes) = images(app)?;
        set(&found.images, images);
        set(&found.image_bytes, bytes);
        if let Some(bytes) = resident() {
            set(&found.resident, bytes);
        }
        Ok(())
    }

    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string does not fail.
            Err(std::fmt::Error) => String::new(),
        }
    }
}

/// How many pictures there are, and their bytes; an index has the answer.
fn images(app: &App) -> Result<(u64, u64), DbError> {
    app.db.read(|reader| {
        let all = "SELECT count(*), coalesce(sum(bytes), 0) FROM images";
        Ok(reader.query_row(all, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    })
}

/// Bytes of the database and the files beside it.
fn database_bytes(path: &Path) -> u64 {
    let beside = ["", "-wal"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        std::fs::metadata(name).map_or(0, |file| file.len())
    });
    beside.iter().sum()
}

/// Bytes of main memory, where the system tells without much ado.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
