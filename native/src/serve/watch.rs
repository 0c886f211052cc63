//! Follows a run of the engine's for the server: progress, looks, times, memory, and the wish to stop.

use std::ops::ControlFlow;
use std::time::Instant;

use encaustic_engine::device::Compute;
use encaustic_engine::pipeline::{Moment, Observer};
use encaustic_protocol::{Progress, Stage};
use encaustic_server::host::{Memory, Watch};

use super::engine::pixels;

/// An observer of one run.
pub(super) struct Follow<'a> {
    watch: &'a mut dyn Watch,
    compute: &'a Compute,
    total: Option<u64>,
    /// When what is being timed began.
    since: Instant,
    load: f64,
    text: f64,
    denoise: f64,
    decode: f64,
}

impl<'a> Follow<'a> {
    pub(super) fn new(watch: &'a mut dyn Watch, compute: &'a Compute, total: Option<u64>) -> Self {
        Self { watch, compute, total, since: Instant::now(), load: 0.0, text: 0.0, denoise: 0.0, decode: 0.0 }
    }

    /// How long the parts took.
    pub(super) fn seconds(&self) -> Vec<(&'static str, f64)> {
        vec![("load", self.load), ("text", self.text), ("denoise", self.denoise), ("decode", self.decode)]
    }
}

impl Observer for Follow<'_> {
    fn at(&mut self, moment: Moment<'_>) -> ControlFlow<()> {
        let lap = self.since.elapsed().as_secs_f64();
        let progress = |stage, done: usize, of: usize| {
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            Some(Progress { stage, done: count(done), of: count(of) })
        };
        let progress = match moment {
            Moment::Loaded => {
                self.load += lap;
                None
            }
            Moment::Text => {
                self.text += lap;
                progress(Stage::Text, 1, 1)
            }
            Moment::Step { done, of, look, .. } => {
                self.denoise += lap;
                if let Some(look) = look {
                    self.watch.look(pixels(look.clone()));
                }
                progress(Stage::Denoise, done, of)
            }
            Moment::Picture { index, of, .. } => {
                self.decode += lap;
                progress(Stage::Decode, index + 1, of)
            }
            Moment::Noise(_) | Moment::Latents(_) => None,
        };
        if let Some(usage) = self.compute.device.memory_pool_usage() {
            self.watch.memory(Memory { used: Some(usage.bytes_reserved), total: self.total });
        }
        let flow = progress.map_or(ControlFlow::Continue(()), |progress| self.watch.at(progress));
        // What happened in here is not the engine's time.
        self.since = Instant::now();
        flow
    }

    fn wants_look(&mut self) -> bool {
        self.watch.wants_look()
    }
}
