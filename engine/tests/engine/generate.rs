//! How runs behave: batches, long prompts, stopping, and the loop that serves jobs.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::common::folder::Folder;
use crate::common::run::{Watch, compute, load, load_on};
use burn::tensor::Tensor;
use encaustic_engine::device::{Compute, Precision};
use encaustic_engine::engine::Engine;
use encaustic_engine::error::GenerateError;
use encaustic_engine::family::{self, Files, FilesError, Keep, LatentDiffusion};
use encaustic_engine::host::{Line, serve};
use encaustic_engine::latent::Picture;
use encaustic_engine::pipeline::{Outcome, generate};
use encaustic_engine::readback::floats;
use encaustic_engine::settings::{Settings, resolve};
use encaustic_engine::weights::WeightSource;
use encaustic_protocol::{Change, Command, Event, FailureKind, JobId, Request, Stage, Submit};
use futures_lite::future::block_on;

fn sd15() -> LatentDiffusion {
    load(&Folder::open("models/sd15"))
}

/// Three steps of a sampler that adds noise.
fn request() -> Request {
    Request {
        prompt: "a red circle".into(),
        sampler: Some("euler-a".into()),
        seed: Some(40),
        steps: Some(3),
        width: Some(96),
        ..Request::default()
    }
}

fn run(model: &mut LatentDiffusion, request: &Request) -> (Vec<Picture>, Watch) {
    let mut watch = Watch::default();
    let settings = resolve(request, model, 0).unwrap();
    match block_on(generate(model, &settings, &mut watch)).unwrap() {
        Outcome::Finished(pictures) => (pictures, watch),
        Outcome::Cancelled => panic!("cancelled"),
    }
}

/// The greatest difference between two lists of numbers.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_picture_does_not_depend_on_its_batch() {
    let mut model = sd15();
    // One that treats pictures apart, one that draws from a Brownian path, one whose steps depend on the picture; that one
    // takes many, so it gets an easier task.
    for (sampler, cfg, batch) in [("euler-a", 7.0, 3), ("dpmpp-sde", 7.0, 2), ("dpm-adaptive", 1.0, 2)] {
        let request = Request { sampler: Some(sampler.into()), cfg: Some(cfg), batch, ..request() };
        let (together, seen) = run(&mut model, &request);
        assert_eq!(together.len(), batch as usize);
        for (index, seed) in (40..40 + u64::from(batch)).enumerate() {
            let (alone, watch) = run(&mut model, &Request { seed: Some(seed), batch: 1, ..request.clone() });
            let latents = seen.latents.as_ref().unwrap().item(index);
            let apart = difference(latents, watch.latents.as_ref().unwrap().item(0));
            assert!(apart < 1e-3, "{sampler}, picture {index}: {apart}");
            let noise = difference(seen.noise.as_ref().unwrap().item(index), watch.noise.as_ref().unwrap().item(0));
            assert_eq!(noise, 0.0);
            assert_eq!(alone.len(), 1);
        }
        assert_ne!(together[0], together[1]);
    }
}

#[test]
fn a_run_shows_all_of_its_moments_in_shape() {
    let (pictures, watch) = run(&mut sd15(), &Request { batch: 2, ..request() });
    assert_eq!(watch.text, 1);
    assert_eq!(watch.noise.unwrap().shape, [2, 4, 8, 12]);
    assert_eq!(watch.steps.len(), 3);
    assert_eq!(watch.steps[2], watch.latents.unwrap());
    assert_eq!(watch.pixels.len(), 2);
    for (picture, pixels) in pictures.iter().zip(&watch.pixels) {
        assert_eq!((picture.width, picture.height, &pixels.shape), (96, 64, &vec![1, 3, 64, 96]));
        assert!(pixels.values.iter().all(|value| (0.0..=1.0).contains(value)));
        assert_eq!(Picture::from_floats(pixels, 0).as_ref(), Some(picture));
    }
}

#[test]
fn prompts_may_be_longer_than_a_window() {
    let mut model = load(&Folder::open("models/sdxl"));
    let words = |count: usize| "a red circle above a blue square ".repeat(count);
    let long = Request { prompt: words(30), ..request() };
    let settings = resolve(&long, &model, 0).unwrap();
    let conditioning = model.reader().unwrap().condition(&settings.prompts, settings.guidance).unwrap();
    let negative = conditioning.negative.unwrap();
    let [_, tokens, features] = conditioning.positive.context.dims();
    assert_eq!((tokens, features), (3 * 77, 56), "210 tokens in three windows, two encoders side by side");
    assert_eq!(negative.context.dims(), conditioning.positive.context.dims());
    // The end of a long prompt counts.
    let (_, all) = run(&mut model, &long);
    let (_, most) = run(&mut model, &Request { prompt: words(24), ..long.clone() });
    assert!(difference(all.latents.unwrap().item(0), most.latents.unwrap().item(0)) > 1e-2);
    // A negative prompt may be the longer one.
    let (_, watch) = run(&mut model, &Request { negative: words(40), ..request() });
    assert!(watch.latents.unwrap().are_finite());
}

#[test]
fn settings_change_the_picture() {
    let mut model = load(&Folder::open("models/sdxl"));
    let base = Request { negative: "blurry".into(), ..request() };
    let latents = |request: &Request, model: &mut LatentDiffusion| run(model, request).1.latents.unwrap();
    let plain = latents(&base, &mut model);
    let changed = [
        Request { prompt: "a blue square".into(), ..base.clone() },
        Request { prompt_2: Some("a blue square".into()), ..base.clone() },
        Request { negative: "low quality".into(), ..base.clone() },
        Request { negative: String::new(), ..base.clone() },
        Request { negative_2: Some("low quality".into()), ..base.clone() },
        Request { seed: Some(41), ..base.clone() },
        Request { steps: Some(4), ..base.clone() },
        Request { cfg: Some(1.0), ..base.clone() },
        Request { sampler: Some("euler".into()), ..base.clone() },
        Request { schedule: Some("karras".into()), ..base.clone() },
        Request { clip_skip: Some(2), ..base.clone() },
        Request { rng: encaustic_protocol::Rng::Nv, ..base.clone() },
        Request { eta: Some(0.5), ..base.clone() },
        Request { guidance_rescale: Some(0.7), ..base.clone() },
        Request { original_width: Some(4096), ..base.clone() },
        Request { original_height: Some(4096), ..base.clone() },
        Request { crop_left: 256, ..base.clone() },
        Request { crop_top: 256, ..base.clone() },
        Request { target_width: Some(4096), ..base.clone() },
        Request { target_height: Some(4096), ..base.clone() },
    ];
    for request in changed {
        let other = latents(&request, &mut model);
        assert!(difference(plain.item(0), other.item(0)) > 1e-3, "{request:?}");
    }
    assert_eq!(latents(&base, &mut model), plain, "and the same settings give the same picture");
}

#[test]
fn a_run_stops_after_the_step_in_which_it_is_told_to() {
    let mut model = sd15();
    let settings = resolve(&request(), &model, 0).unwrap();
    let mut watch = Watch { stop_after: Some(2), ..Watch::default() };
    assert_eq!(block_on(generate(&mut model, &settings, &mut watch)).unwrap(), Outcome::Cancelled);
    assert_eq!((watch.steps.len(), watch.latents, watch.pixels.len()), (2, None, 0));
}

#[test]
fn numbers_beyond_their_range_are_an_error_and_no_black_picture() {
    let mut model = sd15();
    let settings = resolve(&request(), &model, 0).unwrap();
    model.latent.scale = 1e-37;
    let error = block_on(generate(&mut model, &settings, &mut Watch::default())).unwrap_err();
    assert!(matches!(error, GenerateError::VaeOverflow), "{error}");
}

/// The device under test need not have f16 for this: what overflows is the number, wherever it is computed.
#[test]
fn an_autoencoder_that_overflows_in_f16_is_run_in_f32() {
    let folder = Folder::open("models/sd15");
    let wide = compute();
    let narrow = Compute { precision: Precision::F16, ..wide.clone() };
    let latents = Tensor::<4>::full([1, 4, 8, 8], 1.5, &wide.device);
    let [mut half, mut full] = [&narrow, &wide].map(|compute| load_on(&folder, compute, Keep::All));
    // Beyond 65504 in f16, and unproblematic in f32.
    for model in [&mut half, &mut full] {
        model.latent.scale = 1e-5;
    }
    let pixels = |model: &LatentDiffusion| block_on(floats(model.decode(&model.decoder().unwrap(), latents.clone()))).unwrap();
    assert!(!pixels(&half).are_finite());
    assert_eq!(half.decoder_precision(), Precision::F16);
    let (pictures, _) = run(&mut half, &request());
    assert_eq!(pictures.len(), 1);
    assert_eq!(half.decoder_precision(), Precision::F32, "the run has seen to it");
    // The weights were stored in f16, so nothing is lost on the way.
    assert!(difference(pixels(&half).item(0), pixels(&full).item(0)) < 1e-3);
}

/// Weights that stay and weights that come in turn are the same weights.
#[test]
fn parts_may_come_and_go() {
    let folder = Folder::open("models/sdxl");
    let [mut staying, mut in_turn] = [Keep::All, Keep::InTurn].map(|keep| load_on(&folder, &compute(), keep));
    let request = Request { batch: 2, ..request() };
    let (expected, _) = run(&mut staying, &request);
    for _ in 0..2 {
        let (pictures, watch) = run(&mut in_turn, &request);
        assert_eq!(pictures, expected);
        assert_eq!((watch.loaded, watch.text), (3, 1), "text encoders, UNet, autoencoder");
    }
}

/// A model on a disk that is pulled out after `left` files of weights.
struct Leaving {
    folder: Folder,
    left: Cell<usize>,
}

impl Files for Leaving {
    fn list(&self, folder: &str) -> Vec<String> {
        self.folder.list(folder)
    }

    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        self.folder.text(path)
    }

    fn open(&self, path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        if self.left.replace(self.left.get().saturating_sub(1)) == 0 {
            return Err(FilesError { path: path.to_owned(), why: "the disk is gone".to_owned() });
        }
        self.folder.open(path)
    }
}

#[test]
fn a_part_that_cannot_be_read_when_its_turn_comes_is_an_error() {
    // Text encoder, UNet and autoencoder are looked at once each before the run, and once in it.
    for (left, part) in [(3, "text_encoder/"), (4, "unet/"), (5, "vae/")] {
        let files: Rc<dyn Files> = Rc::new(Leaving { folder: Folder::open("models/sd15"), left: Cell::new(left) });
        let mut model = family::load(&files, None, &compute(), Keep::InTurn).unwrap();
        let settings = resolve(&request(), &model, 0).unwrap();
        let error = block_on(generate(&mut model, &settings, &mut Watch::default())).unwrap_err();
        assert!(matches!(error, GenerateError::Load(_)), "{error}");
        let message = error.to_string();
        assert!(message.contains(part) && message.contains("the disk is gone"), "{left}: {message}");
    }
}

/// A line that has all commands from the start, but some only after a number of events.
#[derive(Default)]
struct Script {
    commands: VecDeque<(usize, Command)>,
    events: Vec<Event>,
    kept: Vec<Picture>,
    seen: Vec<Picture>,
    looks: bool,
    full: bool,
}

impl Line for Script {
    async fn next(&mut self) -> Option<Command> {
        self.commands.pop_front().map(|(_, command)| command)
    }

    fn poll(&mut self) -> Option<Command> {
        let is_due = self.commands.front().is_some_and(|(after, _)| self.events.len() >= *after);
        if is_due { self.commands.pop_front().map(|(_, command)| command) } else { None }
    }

    fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    fn keep(&mut self, job: JobId, index: usize, picture: Picture, _settings: &Settings) -> Result<String, String> {
        if self.full {
            return Err("the disk is full".to_owned());
        }
        self.kept.push(picture);
        Ok(format!("{}-{index}", job.0))
    }

    fn wants_preview(&mut self) -> bool {
        self.looks
    }

    fn preview(&mut self, job: JobId, step: usize, picture: Picture) -> Option<String> {
        self.seen.push(picture);
        Some(format!("{}-preview-{step}", job.0))
    }

    fn seed(&mut self) -> u64 {
        11
    }
}

impl Script {
    /// The changes of a job, whose numbers must rise by one, and of which exactly the last is a last one.
    fn changes(&self, job: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for event in &self.events {
            if let Event::Job { job: of, seq, change } = event
                && of.0 == job
            {
                assert_eq!(seq.0, changes.len() as u64);
                changes.push(change.clone());
            }
        }
        let ends: Vec<_> = changes.iter().map(Change::is_last).collect();
        assert_eq!(ends.iter().position(|end| *end), Some(ends.len() - 1), "{changes:?}");
        changes
    }
}

fn submit(job: u64, request: Request) -> Command {
    Command::Submit(Submit { job: JobId(job), request: Box::new(request) })
}

fn play(commands: impl IntoIterator<Item = (usize, Command)>, full: bool) -> Script {
    let mut engine = Engine::load(compute(), &Folder::open("models/sd15").files(), None, Keep::InTurn).unwrap();
    let mut script = Script { commands: commands.into_iter().collect(), full, ..Script::default() };
    block_on(serve(&mut engine, &mut script));
    script
}

#[test]
fn jobs_are_done_in_their_order() {
    let unseeded = Request { seed: None, batch: 2, ..request() };
    let script =
        play([(0, submit(1, unseeded)), (0, submit(2, request())), (0, Command::Describe), (0, submit(2, request()))], false);
    let first = script.changes(1);
    assert_eq!((&first[0], &first[1]), (&Change::Queued { ahead: 0 }, &Change::Started));
    let steps: Vec<_> = first
        .iter()
        .filter_map(|change| match change {
            Change::Progress(progress) if progress.stage == Stage::Denoise => Some((progress.done, progress.of)),
            _ => None,
        })
        .collect();
    assert_eq!(steps, [(1, 3), (2, 3), (3, 3)]);
    let Some(Change::Finished(images)) = first.last() else { panic!("{first:?}") };
    let told: Vec<_> = images.iter().map(|image| (image.name.as_str(), image.seed, image.width, image.height)).collect();
    assert_eq!(told, [("1-0", 11, 96, 64), ("1-1", 12, 96, 64)]);
    assert_eq!(script.changes(2)[0], Change::Queued { ahead: 1 });
    assert_eq!(script.kept.len(), 3);
    assert!(script.events.iter().any(|event| matches!(event, Event::Catalog(catalog) if catalog.samplers.len() > 10)));
}

#[test]
fn previews_are_looks_at_the_clean_latents() {
    let mut engine = Engine::load(compute(), &Folder::open("models/sd15").files(), None, Keep::InTurn).unwrap();
    // The reference model's autoencoder is no standard one: that its colours are told is enough.
    let mut script = Script { commands: [(0, submit(1, request()))].into(), looks: true, ..Script::default() };
    block_on(serve(&mut engine, &mut script));
    assert!(script.seen.is_empty(), "the colours of these latents are not known");

    let folder = Folder::open("models/sd15");
    let mut config: serde_json::Value = serde_json::from_slice(&folder.0["vae/config.json"]).unwrap();
    config["latent_rgb_factors"] = serde_json::json!([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1], [0.0, 0.0, 0.0]]);
    let folder = folder.with("vae/config.json", &serde_json::to_vec(&config).unwrap());
    let mut engine = Engine::load(compute(), &folder.files(), None, Keep::InTurn).unwrap();
    let mut script = Script { commands: [(0, submit(1, request()))].into(), looks: true, ..Script::default() };
    block_on(serve(&mut engine, &mut script));
    let shown: Vec<_> = script
        .changes(1)
        .into_iter()
        .filter_map(|change| match change {
            Change::Preview(look) => Some((look.name, look.seed, look.width, look.height)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = (1..=3).map(|step| (format!("1-preview-{step}"), 40, 12, 8)).collect();
    assert_eq!(shown, expected);
    // The last step's guess is what it returns.
    let last = run(&mut family::load(&Folder::open("models/sd15").files(), None, &compute(), Keep::InTurn).unwrap(), &request());
    let latents = last.1.latents.unwrap();
    let byte = |value: f32| ((value * 0.1 / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round();
    let red = f32::from(script.seen[2].pixels[0]);
    assert!((red - byte(latents.item(0)[0])).abs() <= 1.0, "{red} for {}", latents.item(0)[0]);
}

#[test]
fn a_tiny_autoencoder_shows_every_step_in_full() {
    let tiny = Folder::open("models/taesd").files();
    for (keep, looks) in [(Keep::All, 3), (Keep::InTurn, 0)] {
        let mut engine = Engine::load(compute(), &Folder::open("models/sd15").files(), Some(&tiny), keep).unwrap();
        let mut script = Script { commands: [(0, submit(1, request()))].into(), looks: true, ..Script::default() };
        block_on(serve(&mut engine, &mut script));
        // What is not on the device is not fetched for a look.
        assert_eq!(script.seen.len(), looks, "{keep:?}");
        for look in &script.seen {
            assert_eq!((look.width, look.height), (96, 64));
        }
        // The last step's guess is what is decoded in the end.
        if let Some(last) = script.seen.last() {
            assert_eq!(last, &script.kept[0]);
        }
    }
}

#[test]
fn a_card_tells_what_a_request_gets_that_asks_for_nothing() {
    let engine = Engine::load(compute(), &Folder::open("models/sd15").files(), None, Keep::InTurn).unwrap();
    let card = encaustic_engine::card::card(engine.model()).unwrap();
    assert_eq!((card.family.as_str(), card.multiple_of, card.sizes[0]), ("sd1", 8, [64, 64]));
    assert_eq!(card.chunk_tokens, 75);
    let settings = engine.resolve(&Request::default(), 7).unwrap();
    assert_eq!(Request { seed: Some(7), ..card.defaults.clone() }, settings.request());
    assert_eq!(card.defaults.seed, None);
    let survey = encaustic_engine::family::survey(&Folder::open("models/sd15").files()).unwrap();
    let names: Vec<_> = survey.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!((survey.family.id, names), ("sd1", vec!["text_encoder", "unet", "vae"]));
    let needs = survey.needs(Precision::F32);
    assert!(needs.in_turn < needs.all && needs.tensor < needs.in_turn, "{needs:?}");
}

#[test]
fn jobs_can_be_cancelled_while_they_wait_and_while_they_run() {
    let commands = [
        (0, submit(1, request())),
        (0, submit(2, request())),
        (0, submit(3, request())),
        (0, Command::Cancel(JobId(2))),
        // Queued three times, cancelled once, started, text, one step.
        (7, Command::Cancel(JobId(1))),
        (7, Command::Cancel(JobId(9))),
    ];
    let script = play(commands, false);
    let first = script.changes(1);
    assert_eq!(first.last(), Some(&Change::Cancelled));
    let steps = first.iter().filter(|change| matches!(change, Change::Progress(p) if p.stage == Stage::Denoise)).count();
    assert_eq!(steps, 1);
    assert_eq!(script.changes(2), [Change::Queued { ahead: 1 }, Change::Cancelled]);
    assert!(matches!(script.changes(3).last(), Some(Change::Finished(_))), "the next job is not touched");
}

#[test]
fn a_job_that_cannot_be_done_says_why() {
    let wrong = Request { sampler: Some("eulr".into()), ..request() };
    let deep = Request { clip_skip: Some(64), ..request() };
    let script = play([(0, submit(1, wrong)), (0, submit(2, deep)), (0, submit(3, request()))], true);
    for (job, kind, message) in [
        (1, FailureKind::Invalid, "did you mean \"euler\""),
        (2, FailureKind::Invalid, "clip_skip"),
        (3, FailureKind::Storage, "disk is full"),
    ] {
        let changes = script.changes(job);
        let Some(Change::Failed(failure)) = changes.last() else { panic!("{changes:?}") };
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains(message), "{}", failure.message);
    }
}
