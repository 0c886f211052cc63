//! What the server counts and measures, for Prometheus.
//!
//! Counters are counted where things happen: jobs in the [`Hub`](crate::events::Hub), which every stored event passes, drawings
//! by the threads of the devices, requests in [`http`](crate::http). What can be looked up (the queue, the database, memory) is
//! looked up when somebody asks ([`Metrics::look`]).
//!
//! All names begin with `encaustic_`; `docs/metrics.md` has the list, and a test that it is whole.

mod look;

use std::sync::atomic::AtomicU64;

use encaustic_protocol::{Change, FailureKind};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::events::{Event, News};
use crate::host::{Drawn, Memory};

/// What `/metrics` answers in.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label and its value.
type One = [(&'static str, String); 1];
/// A request's method, route and status.
type Answered = [(&'static str, String); 3];

fn one(label: &'static str, value: &str) -> One {
    [(label, value.to_owned())]
}

/// The limits of a histogram's buckets, in seconds.
#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// From a picture of the model in the box to a large batch on a slow processor.
const STAGES: Buckets = Buckets(&[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0]);
/// From an answer out of memory to one that somebody gave up waiting for.
const ANSWERS: Buckets = Buckets(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    jobs: Family<One, Counter>,
    begun: Counter,
    errors: Family<One, Counter>,
    pictures: Counter,
    stages: Family<One, Histogram, Buckets>,
    steps: Family<One, Counter>,
    speed: Family<One, Gauge<f64, AtomicU64>>,
    busy: Family<One, Gauge>,
    memory_used: Family<One, Gauge>,
    memory: Family<One, Gauge>,
    requests: Family<Answered, Counter>,
    answers: Family<One, Histogram, Buckets>,
    webhooks: Family<One, Counter>,
    found: look::Found,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("encaustic");
        let all = &mut registry;
        let seconds = Unit::Seconds;
        let stages = Family::new_with_constructor(STAGES);
        all.register_with_unit(
            "stage",
            "How long the parts of a drawing took: load, text, denoise, decode, save",
            seconds.clone(),
            stages.clone(),
        );
        let answers = Family::new_with_constructor(ANSWERS);
        all.register_with_unit("http", "How long requests took, until their answer began", seconds, answers.clone());
        let metrics = Self {
            jobs: family(all, "jobs", "Jobs that have ended, by how"),
            begun: counter(all, "jobs_begun", "Jobs that a device has begun, repeats counted"),
            errors: family(all, "errors", "Jobs that have failed, by what was at fault"),
            pictures: counter(all, "pictures", "Pictures that were made"),
            stages,
            steps: family(all, "steps", "Steps of the sampler, by device"),
            speed: family(all, "steps_per_second", "Steps per second in a device's last drawing"),
            busy: family(all, "device_busy", "Whether a device works on a job"),
            memory_used: family(all, "device_memory_used_bytes", "Memory of a device that is in use, as far as its driver tells"),
            memory: family(all, "device_memory_bytes", "All memory of a device, as far as its driver tells"),
            requests: family(all, "http_requests", "Requests that were answered"),
            answers,
            webhooks: family(all, "webhooks", "Calls of webhooks, by how they ended"),
            found: look::Found::new(all),
            registry,
        };
        metrics.begin();
        metrics
    }
}

fn family<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: Default + Clone + prometheus_client::registry::Metric,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    family(registry, name, help)
}

/// What a failure is called in `errors`.
fn kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Invalid => "invalid",
        FailureKind::Device => "device",
        FailureKind::Model => "model",
        FailureKind::Busy => "busy",
        FailureKind::Storage => "storage",
    }
}

impl Metrics {
    /// What has not happened yet is told as zero: a rate needs its beginning.
    fn begin(&self) {
        for outcome in ["finished", "failed", "cancelled"] {
            let _ = self.jobs.get_or_create(&one("outcome", outcome));
        }
        for at_fault in [FailureKind::Invalid, FailureKind::Device, FailureKind::Model, FailureKind::Busy, FailureKind::Storage] {
            let _ = self.errors.get_or_create(&one("kind", kind(at_fault)));
        }
        for stage in ["load", "text", "denoise", "decode", "save"] {
            let _ = self.stages.get_or_create(&one("stage", stage));
        }
        for outcome in ["delivered", "failed", "given_up"] {
            let _ = self.webhooks.get_or_create(&one("outcome", outcome));
        }
    }

    /// Counts a stored event.
    pub fn happened(&self, event: &Event) {
        let News::Job { change, .. } = &event.news else { return };
        let ended = |outcome| {
            self.jobs.get_or_create(&one("outcome", outcome)).inc();
        };
        match change {
            Change::Started => {
                self.begun.inc();
            }
            Change::Finished(pictures) => {
                self.pictures.inc_by(pictures.len() as u64);
                ended("finished");
            }
            Change::Failed(failure) => {
                self.errors.get_or_create(&one("kind", kind(failure.kind))).inc();
                ended("failed");
            }
            Change::Cancelled => ended("cancelled"),
            Change::Queued { .. } | Change::Progress(_) | Change::Preview(_) => {}
        }
    }

    /// A device has drawn.
    pub fn drawn(&self, device: &str, drawn: &Drawn) {
        // A drawing with everything in memory loads nothing; what it says then is only noise.
        let noise = |stage: &str, seconds: f64| stage == "load" && seconds < 0.001;
        for (stage, seconds) in drawn.seconds.iter().filter(|(stage, seconds)| !noise(stage, *seconds)) {
            self.stage(stage, *seconds);
        }
        let steps = drawn.settings.steps.unwrap_or(0);
        self.steps.get_or_create(&one("device", device)).inc_by(u64::from(steps));
        let denoise = drawn.seconds.iter().find(|(stage, _)| *stage == "denoise");
        if let Some((_, seconds)) = denoise.filter(|(_, seconds)| *seconds > 0.0) {
            self.speed.get_or_create(&one("device", device)).set(f64::from(steps) / seconds);
        }
    }

    /// A part of a drawing took so long: `load`, `text`, `denoise`, `decode`, `save`.
    pub fn stage(&self, stage: &str, seconds: f64) {
        self.stages.get_or_create(&one("stage", stage)).observe(seconds);
    }

    /// A device begins or ends its work on a job.
    pub fn busy(&self, device: &str, is_busy: bool) {
        self.busy.get_or_create(&one("device", device)).set(i64::from(is_busy));
    }

    /// What a device's memory holds.
    pub fn memory(&self, device: &str, memory: Memory) {
        let set = |family: &Family<One, Gauge>, bytes: Option<u64>| {
            if let Some(bytes) = bytes {
                family.get_or_create(&one("device", device)).set(i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        };
        set(&self.memory_used, memory.used);
        set(&self.memory, memory.total);
    }

    /// A request was answered. `route` is a pattern (`/api/v1/jobs/{id}`), so that there are not more than there are routes.
    pub fn answered(&self, method: &str, route: &str, status: u16, seconds: f64) {
        let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.answers.get_or_create(&one("route", route)).observe(seconds);
    }

    /// A webhook was called: `delivered`, `failed` (it will be tried again), `given_up`.
    pub fn webhook(&self, outcome: &str) {
        self.webhooks.get_or_create(&one("outcome", outcome)).inc();
    }
}
