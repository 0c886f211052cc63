//! Follows a drawing: tells how far it is, keeps the latest look, and ends it where that is asked for.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encaustic_protocol::{Change, ImageRef, JobId, Progress, Stage};
use image::ImageEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;

use super::desk::Desk;
use super::hold::Hold;
use super::live::Look;
use crate::App;
use crate::events::News;
use crate::host::{Memory, Pixels, Watch};
use crate::queue::Standing;

/// The least time between two events of one stage.
const QUIET: Duration = Duration::from_millis(50);
/// The least time between two looks.
const BLIND: Duration = Duration::from_millis(500);
/// Looks of more pixels than this are JPEG.
const SMALL: usize = 128 * 128;
const QUALITY: u8 = 85;

/// Follows one attempt at a job.
pub(super) struct Follow<'a> {
    pub(super) app: &'a App,
    pub(super) desk: &'a Desk,
    pub(super) hold: &'a Hold,
    /// The seed of the first picture.
    pub(super) seed: u64,
    /// Pictures of the job.
    pub(super) batch: u32,
    /// Those of them that are drawn.
    pub(super) drawn: u32,
    /// Those that are drawn now.
    pub(super) now: u32,
    /// Why it was ended.
    pub(super) why: Option<Why>,
    pace: Pace,
    told: Option<(Stage, Instant)>,
    looked: Option<Instant>,
    looks: u32,
    last: Option<Progress>,
}

/// Why a drawing was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its client took it back.
    Cancelled,
    /// It is another worker's, or was ended over the head of this one.
    Lost,
    /// The server ends.
    Leaving,
    /// Its time is over.
    TimedOut,
}

impl<'a> Follow<'a> {
    pub(super) fn new(app: &'a App, desk: &'a Desk, hold: &'a Hold, batch: u32) -> Self {
        let pace = Pace::default();
        Self {
            app,
            desk,
            hold,
            seed: 0,
            batch,
            drawn: 0,
            now: 0,
            why: None,
            pace,
            told: None,
            looked: None,
            looks: 0,
            last: None,
        }
    }

    fn job(&self) -> JobId {
        self.hold.token.job
    }

    /// How far it came.
    pub(super) fn place(&self) -> String {
        match self.last {
            None => "before the first step".to_owned(),
            Some(Progress { stage: Stage::Text, .. }) => "before the first step".to_owned(),
            Some(Progress { stage: Stage::Denoise, done, of }) => format!("after step {done} of {of}"),
            Some(Progress { stage: Stage::Decode, done, of }) => format!("after decoding {done} of {of}"),
        }
    }

    /// Whether it has to end, and why.
    pub(super) fn has_to_end(&mut self) -> bool {
        // Between two signs of life, too: who takes a job back is not to wait for the next one.
        match self.app.queue.standing(&self.hold.token) {
            Ok(standing) => self.hold.tell(standing),
            Err(error) => tracing::debug!("how it stands with the claim is not known: {error}"),
        }
        let why = match self.hold.standing() {
            Standing::Lost => Some(Why::Lost),
            Standing::Cancelled => Some(Why::Cancelled),
            Standing::Held if self.app.crew.is_stopping() => Some(Why::Leaving),
            Standing::Held => self.hold.is_over().then_some(Why::TimedOut),
        };
        self.why = self.why.or(why);
        self.why.is_some()
    }

    /// How far the whole job is, from 0 to 1.
    fn part(&self, progress: Progress) -> f64 {
        let share = f64::from(progress.done) / f64::from(progress.of.max(1));
        let inner = match progress.stage {
            Stage::Text => 0.02 * share,
            Stage::Denoise => 0.02 + 0.88 * share,
            Stage::Decode => 0.9 + 0.1 * share,
        };
        ((f64::from(self.drawn) + f64::from(self.now) * inner) / f64::from(self.batch.max(1))).clamp(0.0, 1.0)
    }

    /// Seconds that its steps will still take.
    fn left(&self, progress: Progress) -> Option<f64> {
        let steps = match progress.stage {
            Stage::Text => return None,
            Stage::Denoise => progress.of.saturating_sub(progress.done),
            Stage::Decode => 0,
        };
        let later = self.batch.saturating_sub(self.drawn + self.now).div_ceil(self.now.max(1));
        let steps = f64::from(steps) + f64::from(later) * f64::from(self.pace.of);
        Some(steps / self.pace.per_second?)
    }
}

impl Watch for Follow<'_> {
    fn at(&mut self, progress: Progress) -> ControlFlow<()> {
        self.pace.note(progress);
        self.last = Some(progress);
        let has_to_end = self.has_to_end();
        if self.why == Some(Why::Lost) {
            // Its end has been told already.
            return ControlFlow::Break(());
        }
        let (part, left, pictures, pace) = (self.part(progress), self.left(progress), self.drawn, self.pace.per_second);
        self.app.crew.live.change(self.job(), |glance| {
            glance.progress = Some(progress);
            glance.part = part;
            glance.pictures = pictures;
            glance.steps_per_second = pace;
            glance.seconds_left = left;
        });
        let is_news = self.told.is_none_or(|(stage, at)| stage != progress.stage || at.elapsed() >= QUIET);
        if is_news || progress.done == progress.of {
            self.told = Some((progress.stage, Instant::now()));
            self.app.hub.live(News::Job { job: self.job(), change: Change::Progress(progress) });
        }
        if has_to_end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn wants_look(&mut self) -> bool {
        // Of the first picture, as long as it is the one that is drawn, and somebody waits for it.
        self.drawn == 0 && self.hold.standing() != Standing::Lost && self.looked.is_none_or(|looked| looked.elapsed() >= BLIND)
    }

    fn look(&mut self, picture: Pixels) {
        self.looked = Some(Instant::now());
        let Some(look) = encode(&picture, self.looks) else { return };
        self.looks += 1;
        let job = self.job();
        let name = format!("/api/v1/jobs/{}/preview?look={}", job.0, look.number);
        let reference = ImageRef { name, seed: self.seed, width: look.width, height: look.height };
        self.app.crew.live.change(job, |glance| glance.look = Some(Arc::new(look)));
        self.app.hub.live(News::Job { job, change: Change::Preview(reference) });
    }

    fn memory(&mut self, memory: Memory) {
        self.desk.set_memory(memory);
    }
}

fn encode(picture: &Pixels, number: u32) -> Option<Look> {
    let Pixels { width, height, rgb } = picture;
    let (width, height) = (*width, *height);
    let mut bytes = Vec::new();
    let color = image::ExtendedColorType::Rgb8;
    let is_small = rgb.len() / 3 <= SMALL;
    let written = if is_small {
        PngEncoder::new(&mut bytes).write_image(rgb, width, height, color)
    } else {
        JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(rgb, width, height, color)
    };
    match written {
        Ok(()) => {
            let mime = if is_small { "image/png" } else { "image/jpeg" };
            Some(Look { number, mime, bytes, width, height })
        }
        Err(error) => {
            tracing::warn!("a look could not be encoded: {error}");
            None
        }
    }
}

/// How fast steps go.
#[derive(Debug, Default)]
struct Pace {
    last: Option<(u32, Instant)>,
    per_second: Option<f64>,
    /// Steps of one round.
    of: u32,
}

impl Pace {
    fn note(&mut self, progress: Progress) {
        if progress.stage != Stage::Denoise {
            return;
        }
        let now = Instant::now();
        if let Some((done, at)) = self.last.filter(|(done, _)| *done < progress.done) {
            let rate = f64::from(progress.done - done) / (now - at).as_secs_f64().max(1e-6);
            // Later steps count more, and one that was disturbed does not count alone.
            self.per_second = Some(self.per_second.map_or(rate, |known| 0.7 * known + 0.3 * rate));
        }
        self.last = Some((progress.done, now));
        self.of = progress.of;
    }
}
