//! Follows a run on the engine's thread: takes times, writes the dump, tells the news, and stops it on Ctrl-C.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

use encaustic_engine::device::Compute;
use encaustic_engine::pipeline::{Moment, Observer};
use encaustic_engine::readback::Floats;

use crate::dump::Dump;
use crate::files::WriteError;
use crate::interrupt;
use crate::work::{News, Place, Seconds, tell};

/// An observer of one run.
pub(crate) struct Watch<'a> {
    news: &'a SyncSender<News>,
    compute: &'a Compute,
    /// When what is being timed began.
    since: Instant,
    dump_to: Option<PathBuf>,
    failed: Option<WriteError>,
    seen: Seen,
}

/// What an observer has seen.
pub(crate) struct Seen {
    /// Where the run is.
    pub(crate) place: Place,
    /// How long it took to get there.
    pub(crate) seconds: Seconds,
    /// The most memory that the device's allocator has held.
    pub(crate) device_peak: Option<u64>,
    /// The tensors, if they are wanted.
    pub(crate) dump: Option<Dump>,
}

impl<'a> Watch<'a> {
    /// An observer of a run that begins now; `seconds` are those before it.
    pub(crate) fn new(news: &'a SyncSender<News>, compute: &'a Compute, seconds: Seconds, dump_to: Option<PathBuf>) -> Self {
        let seen = Seen { place: Place::Text, seconds, device_peak: None, dump: None };
        let mut watch = Self { news, compute, since: Instant::now(), dump_to, failed: None, seen };
        watch.note_memory();
        watch
    }

    /// What was seen.
    ///
    /// # Errors
    /// Why the dump could not be written, which ended the run.
    pub(crate) fn finish(self) -> Result<Seen, WriteError> {
        self.failed.map_or(Ok(self.seen), Err)
    }

    /// The allocator gives pages back late if ever, so what it holds between steps is close to the most it has held.
    fn note_memory(&mut self) {
        let held = self.compute.device.memory_pool_usage().map(|usage| usage.bytes_reserved);
        self.seen.device_peak = self.seen.device_peak.max(held);
    }

    /// Seconds since the last moment.
    fn lap(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    fn dump(&mut self, name: &str, tensor: &Floats) -> Result<(), WriteError> {
        let Some(dump) = &mut self.seen.dump else { return Ok(()) };
        dump.begin(name, &tensor.shape);
        dump.values(&tensor.values)
    }

    fn note(&mut self, moment: Moment<'_>) -> Result<(), WriteError> {
        match moment {
            Moment::Loaded => self.seen.seconds.load += self.lap(),
            Moment::Text => {
                self.seen.seconds.text = self.lap();
                tell(self.news, News::Read);
            }
            Moment::Noise(noise) => {
                tracing::info!("denoising begins");
                tell(self.news, News::Denoising);
                if let Some(path) = self.dump_to.take() {
                    self.seen.dump = Some(Dump::create(path)?);
                }
                self.dump("noise", noise)?;
            }
            Moment::Step { done, of, latents, level, .. } => {
                let seconds = self.lap();
                self.seen.seconds.steps.push(seconds);
                self.seen.place = Place::Steps(done, of);
                tracing::debug!(done, of, seconds, timestep = level.timestep, "step");
                tell(self.news, News::Step(done, of));
                self.dump(&format!("step_{:03}", done.saturating_sub(1)), latents)?;
            }
            Moment::Latents(latents) => {
                self.seen.place = Place::Decoding;
                tell(self.news, News::Decoding);
                self.dump("latents", latents)?;
            }
            Moment::Picture { index, of, pixels } => {
                self.seen.seconds.vae += self.lap();
                if let Some(dump) = &mut self.seen.dump {
                    if index == 0 {
                        let shape: Vec<usize> = [of].iter().chain(pixels.shape.iter().skip(1)).copied().collect();
                        dump.begin("image", &shape);
                    }
                    dump.values(&pixels.values)?;
                }
            }
        }
        Ok(())
    }
}

impl Observer for Watch<'_> {
    fn at(&mut self, moment: Moment<'_>) -> ControlFlow<()> {
        if let Err(error) = self.note(moment) {
            self.failed = Some(error);
            return ControlFlow::Break(());
        }
        self.note_memory();
        // What happened in here is not the engine's time.
        self.since = Instant::now();
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
