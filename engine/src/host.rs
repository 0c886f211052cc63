//! An engine at work: commands in, events out.
//!
//! The same loop runs on a thread of its own in a native program and in a browser's worker; what differs between them
//! is the [`Line`] to whoever gives the commands. Jobs are done one after another in the order in which they came.
//! Every job that is taken on ends with exactly one event of the last kind.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use encaustic_protocol::{Change, Command, Event, Failure, FailureKind, ImageRef, JobId, Progress, Seq, Stage, Submit};

use crate::catalog::catalog;
use crate::engine::Engine;
use crate::latent::Picture;
use crate::pipeline::{Moment, Observer, Outcome};
use crate::settings::Settings;

/// How many jobs may wait.
pub const MOST_WAITING: usize = 1000;

/// The connection to whoever gives the commands.
pub trait Line {
    /// The next command, as soon as there is one; `None` when no more will come.
    fn next(&mut self) -> impl Future<Output = Option<Command>>;

    /// A command that is there already; never waits.
    fn poll(&mut self) -> Option<Command>;

    /// Takes an event away.
    fn tell(&mut self, event: Event);

    /// Keeps a finished picture, number `index` of its job, and says under which name; or why it cannot.
    fn keep(&mut self, job: JobId, index: usize, picture: Picture, settings: &Settings) -> Result<String, String>;

    /// Whether it would take a rough look at a running job now; asked once per step.
    fn wants_preview(&mut self) -> bool {
        false
    }

    /// Keeps such a look, after step `step`, and says under which name, if it does.
    fn preview(&mut self, _job: JobId, _step: usize, _picture: Picture) -> Option<String> {
        None
    }

    /// A seed for a job that names none.
    fn seed(&mut self) -> u64;
}

/// Serves commands until no more come.
pub async fn serve<L: Line>(engine: &mut Engine, line: &mut L) {
    let mut jobs = Jobs::default();
    loop {
        // What has come meanwhile is taken in before the next job begins: it may cancel that job.
        while let Some(command) = line.poll() {
            jobs.take(command, line);
        }
        match jobs.waiting.pop_front() {
            Some(job) => run(engine, job, &mut jobs, line).await,
            None => match line.next().await {
                Some(command) => jobs.take(command, line),
                None => return,
            },
        }
    }
}

/// A job with the number of its next event.
struct Job {
    submit: Submit,
    seq: Seq,
}

impl Job {
    fn tell<L: Line>(&mut self, change: Change, line: &mut L) {
        line.tell(Event::Job { job: self.submit.job, seq: self.seq, change });
        self.seq.0 += 1;
    }
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    running: Option<JobId>,
    cancelled: bool,
}

impl Jobs {
    fn take<L: Line>(&mut self, command: Command, line: &mut L) {
        match command {
            Command::Describe => line.tell(Event::Catalog(catalog())),
            Command::Cancel(id) if self.running == Some(id) => self.cancelled = true,
            Command::Cancel(id) => {
                let place = self.waiting.iter().position(|job| job.submit.job == id);
                if let Some(mut job) = place.and_then(|place| self.waiting.remove(place)) {
                    job.tell(Change::Cancelled, line);
                }
            }
            Command::Submit(submit) => {
                let id = submit.job;
                // Sent twice, a job is still one job.
                if self.running == Some(id) || self.waiting.iter().any(|job| job.submit.job == id) {
                    return;
                }
                let ahead = self.waiting.len() + usize::from(self.running.is_some());
                let mut job = Job { submit, seq: Seq(0) };
                if self.waiting.len() >= MOST_WAITING {
                    let message = format!("{MOST_WAITING} jobs are waiting already; try again later");
                    job.tell(Change::Failed(Failure { kind: FailureKind::Busy, message }), line);
                    return;
                }
                job.tell(Change::Queued { ahead: u32::try_from(ahead).unwrap_or(u32::MAX) }, line);
                self.waiting.push_back(job);
            }
        }
    }
}

async fn run<L: Line>(engine: &mut Engine, mut job: Job, jobs: &mut Jobs, line: &mut L) {
    jobs.running = Some(job.submit.job);
    jobs.cancelled = false;
    job.tell(Change::Started, line);
    let last = attempt(engine, &mut job, jobs, line).await.unwrap_or_else(Change::Failed);
    job.tell(last, line);
    jobs.running = None;
}

async fn attempt<L: Line>(engine: &mut Engine, job: &mut Job, jobs: &mut Jobs, line: &mut L) -> Result<Change, Failure> {
    let seed = line.seed();
    let settings = engine.resolve(&job.submit.request, seed).map_err(|error| error.failure())?;
    let mut watch = Watch { job, jobs, line, seed: settings.seed };
    let outcome = engine.generate(&settings, &mut watch).await.map_err(|error| error.failure())?;
    let Outcome::Finished(pictures) = outcome else { return Ok(Change::Cancelled) };
    let mut kept = Vec::new();
    for ((index, picture), seed) in pictures.into_iter().enumerate().zip(settings.seeds()) {
        let (width, height) = (picture.width as u32, picture.height as u32);
        let name = line.keep(job.submit.job, index, picture, &settings);
        let name = name.map_err(|message| Failure { kind: FailureKind::Storage, message })?;
        kept.push(ImageRef { name, seed, width, height });
    }
    Ok(Change::Finished(kept))
}

/// Tells how a run goes on, and listens between its steps.
struct Watch<'a, L> {
    job: &'a mut Job,
    jobs: &'a mut Jobs,
    line: &'a mut L,
    seed: u64,
}

impl<L: Line> Watch<'_, L> {
    /// Shows the first picture as it looks now.
    fn show(&mut self, step: usize, picture: Picture) {
        let (width, height) = (picture.width as u32, picture.height as u32);
        if let Some(name) = self.line.preview(self.job.submit.job, step, picture) {
            let look = ImageRef { name, seed: self.seed, width, height };
            self.job.tell(Change::Preview(look), self.line);
        }
    }
}

impl<L: Line> Observer for Watch<'_, L> {
    fn wants_look(&mut self) -> bool {
        self.line.wants_preview()
    }

    fn at(&mut self, moment: Moment<'_>) -> ControlFlow<()> {
        let progress = |stage, done: usize, of: usize| {
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            Some(Progress { stage, done: count(done), of: count(of) })
        };
        let progress = match moment {
            Moment::Text => progress(Stage::Text, 1, 1),
            Moment::Step { done, of, .. } => progress(Stage::Denoise, done, of),
            Moment::Picture { index, of, .. } => progress(Stage::Decode, index + 1, of),
            Moment::Loaded | Moment::Noise(_) | Moment::Latents(_) => None,
        };
        if let Some(progress) = progress {
            self.job.tell(Change::Progress(progress), self.line);
        }
        if let Moment::Step { done, look: Some(look), .. } = moment {
            self.show(done, look.clone());
        }
        while let Some(command) = self.line.poll() {
            self.jobs.take(command, self.line);
        }
        if self.jobs.cancelled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
