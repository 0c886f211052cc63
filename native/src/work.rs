//! The engine at work, on a thread of its own.
//!
//! Burn orders a device's work by the thread that asks for it, and its calls block; so one thread opens the device,
//! loads the model and makes the pictures, and nothing else ever touches a tensor. What it tells goes through a bounded
//! channel to the thread that draws the progress.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use encaustic_engine::device::{self, Compute, DeviceInfo, DeviceName, Precision};
use encaustic_engine::engine::Engine;
use encaustic_engine::family::{Files, Keep};
use encaustic_engine::latent::Picture;
use encaustic_engine::pipeline::Outcome;
use encaustic_engine::settings::Settings;
use encaustic_protocol::Request;
use futures_lite::future::block_on;

use crate::dump::Dump;
use crate::failure::{Failure, Refusal};
use crate::interrupt;
use crate::library::ModelFiles;
use crate::watch::Watch;

/// How many pieces of news may wait to be drawn.
const NEWS: usize = 64;

/// How often to look for Ctrl-C while the engine cannot.
const GLANCE: Duration = Duration::from_millis(50);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Job {
    /// The model.
    pub model: ModelFiles,
    /// Another autoencoder.
    pub vae: Option<ModelFiles>,
    /// Where to compute.
    pub device: DeviceName,
    /// In what precision; `None` for the best that the device has.
    pub precision: Option<Precision>,
    /// What pictures.
    pub request: Request,
    /// The seed if the request names none.
    pub seed: u64,
    /// Where to write the tensors between noise and picture.
    pub dump: Option<PathBuf>,
}

/// How the work goes on.
#[derive(Clone, Debug)]
pub enum News {
    /// This device is open, to compute in this precision.
    Device(DeviceInfo, Precision),
    /// The model is there, and this is what will be done.
    Begin(Box<Settings>),
    /// The prompt has been read, and the UNet is being loaded.
    Read,
    /// The first step is under way.
    Denoising,
    /// So many of so many steps are done.
    Step(usize, usize),
    /// The pictures are being decoded.
    Decoding,
}

/// What came of it.
#[derive(Debug)]
pub struct Made {
    /// The pictures in the order of their seeds.
    pub pictures: Vec<Picture>,
    /// What was done.
    pub settings: Settings,
    /// On what, and in which precision.
    pub compute: Compute,
    /// The family of the model.
    pub family: &'static str,
    /// How long it took.
    pub seconds: Seconds,
    /// The most memory that the device's allocator has held, in bytes, if it tells.
    pub device_peak: Option<u64>,
    /// Where the tensors are.
    pub dump: Option<PathBuf>,
}

/// Seconds per stage.
#[derive(Clone, Debug, Default)]
pub struct Seconds {
    /// Finding and opening the device.
    pub device: f64,
    /// Reading the model and bringing it to the device.
    pub load: f64,
    /// Encoding the prompts.
    pub text: f64,
    /// Each step.
    pub steps: Vec<f64>,
    /// Decoding the latents.
    pub vae: f64,
}

/// Where the work is, for the message when it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The device is opened or the model loaded.
    Loading,
    /// The prompt is read.
    Text,
    /// So many of so many steps are done.
    Steps(usize, usize),
    /// The pictures are decoded.
    Decoding,
}

impl Place {
    pub(crate) fn stopped(self) -> Failure {
        let place = match self {
            Self::Loading => "while the model was loaded".to_owned(),
            Self::Text => "before the first step".to_owned(),
            Self::Steps(done, of) => format!("after step {done} of {of}"),
            Self::Decoding => "while the pictures were decoded".to_owned(),
        };
        Failure::Interrupted(format!("{place}; no picture was written"))
    }
}

/// Does a job, and hands what it tells to `show`, on the thread that calls this.
///
/// # Errors
/// What the job fails with. After Ctrl-C that is [`Failure::Interrupted`]: at once while the model is loaded, after the
/// step while the engine computes.
pub fn run(job: Job, mut show: impl FnMut(News)) -> Result<Made, Failure> {
    let (tell, news) = sync_channel(NEWS);
    let engine = thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || work(job, &tell))
        .map_err(|error| Failure::System(format!("no thread could be started: {error}")))?;
    follow(&news, &mut show)?;
    finish(engine)
}

/// Shows the news until no more come.
fn follow(news: &Receiver<News>, show: &mut impl FnMut(News)) -> Result<(), Failure> {
    let mut loading = true;
    loop {
        match news.recv_timeout(GLANCE) {
            Ok(item) => {
                loading &= !matches!(item, News::Denoising);
                show(item);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            // The engine looks for Ctrl-C at every step; before the first there is nothing that could be left half done.
            Err(RecvTimeoutError::Timeout) if loading && interrupt::asked() => return Err(Place::Loading.stopped()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The engine's result; a panic in it is told as a failure, for a driver may well be behind it.
fn finish(engine: JoinHandle<Result<Made, Failure>>) -> Result<Made, Failure> {
    engine.join().unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "it did not say why".to_owned());
        Err(Failure::Engine(format!("the engine broke down: {text}; smaller pictures, `--dtype f32` or another --device may do")))
    })
}

/// The engine's thread.
fn work(job: Job, news: &SyncSender<News>) -> Result<Made, Failure> {
    let begun = Instant::now();
    let compute = block_on(device::open(job.device, job.precision)).map_err(Failure::device)?;
    let opened = Instant::now();
    tell(news, News::Device(compute.info.clone(), compute.precision));
    tracing::info!(device = %compute.info, precision = %compute.precision, "device opened");
    let place = job.model.place();
    let model: Rc<dyn Files> = Rc::new(job.model);
    let vae = job.vae.map(|vae| Rc::new(vae) as Rc<dyn Files>);
    // A command makes one run, so nothing is read twice either way, and memory is spared.
    let mut engine = Engine::load(compute, &model, vae.as_ref(), Keep::InTurn)
        .map_err(|error| Refusal::new("model", format!("{place}: {error}")))?;
    let loaded = Instant::now();
    tracing::info!(seconds = (loaded - opened).as_secs_f64(), family = engine.model().family.id, "model found to be whole");
    let settings = engine.resolve(&job.request, job.seed).map_err(Failure::generate)?;
    tell(news, News::Begin(Box::new(settings.clone())));

    let compute = engine.compute().clone();
    let seconds = Seconds { device: (opened - begun).as_secs_f64(), load: (loaded - opened).as_secs_f64(), ..Seconds::default() };
    let mut watch = Watch::new(news, &compute, seconds, job.dump);
    let outcome = block_on(engine.generate(&settings, &mut watch));
    let seen = watch.finish()?;
    let Outcome::Finished(pictures) = outcome.map_err(Failure::generate)? else { return Err(seen.place.stopped()) };
    let dump = seen.dump.map(Dump::finish).transpose()?;
    let family = engine.model().family.id;
    Ok(Made { pictures, settings, compute, family, seconds: seen.seconds, device_peak: seen.device_peak, dump })
}

/// Nobody may be listening any more; then the process is about to end.
pub(crate) fn tell(news: &SyncSender<News>, item: News) {
    let _ = news.send(item);
}
