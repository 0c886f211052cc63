//! How it stands with the jobs that run now: what an event stream tells once, for whoever asks later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use encaustic_protocol::{JobId, Progress};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::schema;
use crate::sync::lock;

/// The jobs that run.
#[derive(Debug, Default)]
pub struct Live(Mutex<BTreeMap<JobId, Glance>>);

/// A job that runs.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Glance {
    /// The device that works on it.
    pub device: String,
    /// The model that it is drawn with, once it is loaded.
    pub model: Option<String>,
    /// How far the pictures are that are drawn now.
    #[schema(value_type = Option<schema::Progress>)]
    pub progress: Option<Progress>,
    /// How far the whole job is, from 0 to 1.
    pub part: f64,
    /// Pictures that are drawn.
    pub pictures: u32,
    /// Denoising steps per second, lately.
    pub steps_per_second: Option<f64>,
    /// Seconds until its end, as far as can be told.
    pub seconds_left: Option<f64>,
    /// The latest look at its first picture.
    #[serde(skip)]
    pub look: Option<Arc<Look>>,
}

/// A rough look at a picture, as a small file.
#[derive(Debug, PartialEq, Eq)]
pub struct Look {
    /// Rises with every look.
    pub number: u32,
    /// `image/png` or `image/jpeg`.
    pub mime: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

impl Live {
    /// A job, if it runs.
    pub fn job(&self, job: JobId) -> Option<Glance> {
        lock(&self.0).get(&job).cloned()
    }

    /// All that run, the oldest first.
    pub fn jobs(&self) -> Vec<(JobId, Glance)> {
        lock(&self.0).iter().map(|(job, glance)| (*job, glance.clone())).collect()
    }

    pub(super) fn begin(&self, job: JobId, device: String) {
        lock(&self.0).insert(job, Glance { device, ..Glance::default() });
    }

    pub(super) fn change(&self, job: JobId, change: impl FnOnce(&mut Glance)) {
        if let Some(glance) = lock(&self.0).get_mut(&job) {
            change(glance);
        }
    }

    pub(super) fn end(&self, job: JobId) {
        lock(&self.0).remove(&job);
    }
}
