//! What becomes of jobs at the devices: whatever goes wrong costs one job at most.

use std::ffi::OsString;
use std::fs;
use std::sync::atomic::Ordering;

use encaustic_protocol::{Change, FailureKind, JobId, Request};
use encaustic_server::config::Setting;
use encaustic_server::db::DbError;
use encaustic_server::events::News;
use encaustic_server::images::name::Pattern;
use encaustic_server::job::{Client, Job, NewJob, State};
use encaustic_server::work::Doing;
use serde_json::json;

use crate::support::{Easel, Trial};

fn wish(prompt: &str, batch: u32) -> NewJob {
    let request = Request { prompt: prompt.into(), batch, seed: Some(7), ..Request::default() };
    NewJob { request, ..NewJob::default() }
}

impl Trial {
    fn app(&self) -> &encaustic_server::App {
        &self.server.as_ref().unwrap().app
    }

    fn wish(&self, wish: &NewJob) -> JobId {
        self.app().queue.submit(wish, &Client::local(), None).unwrap().job
    }

    fn job(&self, job: JobId) -> Job {
        self.app().queue.job(job).unwrap()
    }

    fn ended(&self, job: JobId) -> Job {
        self.until("the end of a job", || Some(self.job(job)).filter(|job| job.state.is_last()))
    }

    /// The words for a job's stored events.
    fn told(&self, job: JobId) -> String {
        let word = |news: &News| match news {
            News::Job { change, .. } => match change {
                Change::Queued { .. } => "queued",
                Change::Started => "started",
                Change::Finished(_) => "finished",
                Change::Failed(_) => "failed",
                Change::Cancelled => "cancelled",
                Change::Progress(_) | Change::Preview(_) => "live",
            },
            _ => "other",
        };
        let events = self.app().queue.events(0, Some(job), 100).unwrap();
        events.iter().map(|event| word(&event.news)).collect::<Vec<_>>().join(" ")
    }
}

/// Every case is followed by a job that has to succeed.
#[test]
fn a_job_costs_nobody_else_anything() {
    let trial = Trial::start(|config| config.devices.0 = vec!["easel:0".into()]);
    let cases = [
        // prompt, pictures, end, events, words in the log, words in the failure
        ("a cat", 3, State::Finished, "queued started finished", "", ""),
        ("a cat oom:2", 5, State::Finished, "queued started finished", "too little memory for 3 pictures at once (2.00 GiB", ""),
        ("oom:1", 4, State::Finished, "queued started finished", ": 1 at once are tried", ""),
        ("oom:tiles", 2, State::Finished, "queued started finished", "its decoding is tried in tiles", ""),
        (
            "oom:0",
            2,
            State::Failed,
            "queued started failed",
            "in tiles",
            "64 x 64, decoded in tiles (2.00 GiB needed, 1.00 GiB there)",
        ),
        ("broken", 1, State::Failed, "queued started failed", "", "beyond the range of f16"),
        (
            "lost",
            1,
            State::Failed,
            "queued started queued started queued started failed",
            "try 2 of 3",
            "the device is lost; it was tried 3 times",
        ),
        ("panic", 1, State::Failed, "queued started queued started queued started failed", "try 1 of 3", "asked for"),
    ];
    for (prompt, batch, end, told, log, failure) in cases {
        let job = trial.wish(&wish(prompt, batch));
        let next = trial.wish(&wish("the next", 1));
        let (job, next) = (trial.ended(job), trial.ended(next));
        assert_eq!((job.state, trial.told(job.id).as_str()), (end, told), "{prompt}");
        assert_eq!(next.state, State::Finished, "after {prompt}");
        let lines: Vec<_> = job.log.iter().map(|line| line.text.as_str()).collect();
        assert!(lines.join("\n").contains(log), "{prompt}: {lines:?}");
        let message = job.failure.map(|failure| (failure.kind, failure.message));
        assert!(message.as_ref().is_none_or(|(kind, _)| *kind == FailureKind::Device), "{prompt}: {message:?}");
        assert!(message.unwrap_or((FailureKind::Device, String::new())).1.contains(failure), "{prompt}");
        let seeds: Vec<u64> = job.images.iter().map(|image| image.seed).collect();
        let pictures = if end == State::Finished { u64::from(batch) } else { 0 };
        assert_eq!(seeds, (7..7 + pictures).collect::<Vec<_>>(), "{prompt}");
        trial.until("nothing to run any more", || trial.app().crew.live.jobs().is_empty().then_some(()));
    }
}

#[test]
fn a_smaller_batch_makes_the_same_pictures() {
    let trial = Trial::start(|_| ());
    let whole = trial.ended(trial.wish(&wish("a cat", 4))).images;
    // Words that the quick engine obeys are part of the file's caption, so only one of both may be told apart by them.
    let parts = trial.ended(trial.wish(&wish("a cat oom:3", 4))).images;
    let named = |images: &[encaustic_protocol::ImageRef]| images.iter().map(|image| image.seed).collect::<Vec<_>>();
    assert_eq!(named(&whole), named(&parts));
    assert_eq!(whole.len(), 4);
}

#[test]
fn a_running_job_is_stopped_within_a_step() {
    let trial = Trial::start(|_| ());
    let long = NewJob { request: Request { steps: Some(1000), ..wish("slow:20", 1).request }, ..NewJob::default() };
    let runs =
        |job| trial.until("a look at the running job", || trial.app().crew.live.job(job).filter(|glance| glance.look.is_some()));

    let job = trial.wish(&long);
    let glance = runs(job);
    assert_eq!((glance.device.as_str(), glance.model.as_deref()), ("easel:0", Some("demo")));
    let look = glance.look.unwrap();
    assert_eq!((look.mime, look.width, look.height), ("image/png", 8, 8));
    assert_eq!(image::load_from_memory(&look.bytes).unwrap().width(), 8);
    assert!(matches!(trial.app().crew.desks()[0].doing, Doing::Drawing { job: at } if at == job));
    trial.app().queue.cancel(job).unwrap();
    let job = trial.ended(job);
    assert_eq!((job.state, trial.told(job.id).as_str()), (State::Cancelled, "queued started cancelled"));

    let job = trial.ended(trial.wish(&NewJob { timeout_secs: Some(1), ..long }));
    assert_eq!(job.state, State::Failed);
    let message = job.failure.unwrap().message;
    assert!(message.contains("longer than the 1 s") && message.contains(" of 1000;"), "{message}");
}

/// A step cannot be broken off; who waits for the end of the job does not wait for the step.
#[test]
fn a_device_that_hangs_holds_nobody_up() {
    let trial = Trial::start(|config| config.hang_secs = 1);
    let long = NewJob { request: Request { steps: Some(2), ..wish("slow:6000", 1).request }, ..NewJob::default() };
    for (timeout_secs, is_cancelled, end) in [(Some(1), false, State::Failed), (None, true, State::Cancelled)] {
        let job = trial.wish(&NewJob { timeout_secs, ..long.clone() });
        trial.until("the start", || (trial.job(job).state == State::Running).then_some(()));
        if is_cancelled {
            trial.app().queue.cancel(job).unwrap();
        }
        let next = trial.wish(&wish("the next", 1));
        let job = trial.ended(job);
        assert_eq!((job.state, trial.job(next).state), (end, State::Waiting), "{job:?}");
        let problem = trial.until("the problem to be told", || match &trial.app().crew.desks()[0].doing {
            Doing::Broken { problem } => Some(problem.clone()),
            _ => None,
        });
        assert!(problem.contains("it has not answered"), "{problem}");
        assert!(job.failure.is_none_or(|failure| failure.message.contains("easel:0 has not answered since")));
        assert!(trial.app().crew.live.jobs().is_empty());
        // When it comes back, it changes nothing about that job, and goes on.
        assert_eq!(trial.ended(next).state, State::Finished);
        assert_eq!(trial.told(job.id), format!("queued started {}", end.name()));
        assert!(trial.app().crew.is_ready());
    }
}

#[test]
fn jobs_wait_for_a_model_that_is_on_its_way() {
    let easel = Easel { models: ["demo", "hf:owner/gated"].map(str::to_owned).into(), ..Easel::default() };
    let (is_shut, is_down) = (easel.is_shut.clone(), easel.is_down.clone());
    is_shut.store(true, Ordering::SeqCst);
    is_down.store(true, Ordering::SeqCst);
    // It is the usual one and not here: the server sends for it.
    let trial = Trial::with(easel, |config| config.model = Some("hf:owner/gated".into()));
    let usual = trial.post("/api/v1/jobs", &json!({"request": {"prompt": "a cat"}}));
    let named = trial.post("/api/v1/jobs", &json!({"request": {"prompt": "a cat"}, "model": "hf:owner/gated"}));
    let jobs = [usual, named].map(|answer| {
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        JobId(answer.json()["id"].as_u64().unwrap())
    });
    // The device is not kept waiting.
    let other = NewJob { model: Some("demo".into()), ..wish("another", 1) };
    assert_eq!(trial.ended(trial.wish(&other)).state, State::Finished);
    assert!(jobs.iter().all(|job| trial.told(*job) == "queued"));
    // It does not come at the first try.
    is_shut.store(false, Ordering::SeqCst);
    assert!(jobs.iter().all(|job| trial.ended(*job).state == State::Failed));
    is_down.store(false, Ordering::SeqCst);
    trial.until("the model", || trial.app().host.card(Some("hf:owner/gated")).ok());
    assert_eq!(trial.ended(trial.wish(&wish("a cat", 1))).state, State::Finished);
}

#[test]
fn devices_draw_side_by_side() {
    let trial = Trial::with(Easel { devices: 3, ..Easel::default() }, |config| config.devices.0 = vec!["all".into()]);
    let jobs: Vec<_> = (0..3).map(|_| trial.wish(&wish("slow:100", 1))).collect();
    let jobs: Vec<_> = jobs.into_iter().map(|job| trial.ended(job)).collect();
    let last_start = jobs.iter().filter_map(|job| job.started).max();
    let first_end = jobs.iter().filter_map(|job| job.ended).min();
    assert!(last_start < first_end, "each began before any ended");
    let mut devices: Vec<_> = jobs.into_iter().filter_map(|job| job.device).collect();
    devices.sort();
    assert_eq!(devices, ["easel:0", "easel:1", "easel:2"]);
}

#[test]
fn one_device_can_have_two_workers_and_a_missing_one_disturbs_nobody() {
    let names = ["easel:0", "easel:0", "nothing:1"];
    let trial = Trial::start(|config| config.devices.0 = names.map(str::to_owned).into());
    let desks = trial.until("the devices", || Some(trial.app().crew.desks()).filter(|desks| desks.len() == 3));
    assert_eq!(desks.iter().map(|desk| desk.name.as_str()).collect::<Vec<_>>(), ["easel:0", "easel:0#2", "nothing:1"]);
    trial.until("the missing one to be told", || match &trial.app().crew.desks()[2].doing {
        Doing::Broken { problem } => problem.contains("no such device").then_some(()),
        _ => None,
    });
    assert!(trial.app().crew.is_ready());
    assert_eq!(trial.ended(trial.wish(&wish("a cat", 1))).state, State::Finished);
}

#[test]
fn a_model_can_be_let_go() {
    let trial = Trial::start(|_| ());
    trial.ended(trial.wish(&NewJob { model: Some("other".into()), ..wish("a cat", 1) }));
    let model = || trial.app().crew.desks()[0].model.clone();
    assert_eq!(model().as_deref(), Some("other"));
    assert!(trial.app().crew.unload("easel:0"));
    assert!(!trial.app().crew.unload("easel:9"));
    trial.until("the model to go", || model().is_none().then_some(()));
    let job = trial.ended(trial.wish(&NewJob { model: Some("nothing".into()), ..wish("a cat", 1) }));
    assert_eq!(job.failure.unwrap().kind, FailureKind::Model);
}

#[test]
fn a_device_that_stumbles_is_opened_again_and_no_other() {
    let easel = Easel { devices: 2, ..Easel::default() };
    let (hidden, refused) = (easel.hidden.clone(), easel.refused.clone());
    hidden.store(1, Ordering::SeqCst);
    let trial = Trial::with(easel, |config| config.attempts = 5);
    // When the server started, no driver was there.
    let by = |job: JobId| trial.ended(job).device;
    assert_eq!(by(trial.wish(&wish("a cat", 1))).as_deref(), Some("easel:0"));
    refused.store(2, Ordering::SeqCst);
    trial.ended(trial.wish(&wish("lost", 1)));
    assert_eq!(by(trial.wish(&wish("a cat", 1))).as_deref(), Some("easel:0"));
    assert_eq!(refused.load(Ordering::SeqCst), 0);
}

#[test]
fn a_device_that_breaks_down_between_jobs_is_opened_again() {
    let models = vec!["demo".to_owned(), "touchy".to_owned()];
    let trial = Trial::with(Easel { models, ..Easel::default() }, |_| ());
    trial.ended(trial.wish(&NewJob { model: Some("touchy".into()), ..wish("a cat", 1) }));
    assert!(trial.app().crew.unload("easel:0"));
    let problem = || match &trial.app().crew.desks()[0].doing {
        Doing::Broken { problem } => Some(problem.clone()),
        _ => None,
    };
    let told = trial.until("the break down to be told", problem);
    assert!(told.contains("asked for"), "{told}");
    assert_eq!(trial.ended(trial.wish(&wish("a cat", 1))).state, State::Finished);
}

#[test]
fn an_end_that_cannot_be_written_is_written_later() {
    let trial = Trial::start(|_| ());
    let change = |sql: &str| {
        let change = |change: &rusqlite::Transaction<'_>| Ok(change.execute_batch(sql)?);
        trial.app().db.write::<_, DbError>(change).unwrap();
    };
    change(
        "CREATE TRIGGER full BEFORE UPDATE OF ended ON jobs WHEN NEW.ended IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    let job = trial.wish(&wish("a cat", 2));
    trial.until("the problem to be told", || match &trial.app().crew.desks()[0].doing {
        Doing::Broken { problem } => problem.contains("no room").then_some(()),
        _ => None,
    });
    assert_eq!(trial.job(job).state, State::Running);
    change("DROP TRIGGER full");
    let job = trial.ended(job);
    assert_eq!((job.state, job.images.len(), trial.told(job.id).as_str()), (State::Finished, 2, "queued started finished"));
}

#[test]
fn pictures_for_people_are_written_when_the_job_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let trial = Trial::start(|config| {
        config.output = Some(output.clone());
        config.pattern = Pattern::parse("{job}-{seed}").unwrap();
    });
    let files = || {
        let mut names: Vec<_> = fs::read_dir(&output).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // What is drawn and then lost is not there.
    trial.ended(trial.wish(&wish("oom:1 lost", 2)));
    let stopped = trial
        .wish(&NewJob { request: Request { batch: 2, steps: Some(1000), ..wish("slow:20", 1).request }, ..NewJob::default() });
    trial.until("the start", || (trial.job(stopped).state == State::Running).then_some(()));
    trial.app().queue.cancel(stopped).unwrap();
    trial.ended(stopped);
    assert!(files().is_empty());
    let job = trial.ended(trial.wish(&wish("oom:1", 2)));
    let wanted = [7, 8].map(|seed| OsString::from(format!("{}-{seed}.png", job.id.0)));
    trial.until("the files, and none that is half written", || (files() == wanted).then_some(()));
    // A folder that fails costs no picture, and the job says so.
    fs::remove_dir_all(&output).unwrap();
    fs::write(&output, "a file").unwrap();
    let job = trial.ended(trial.wish(&wish("a cat", 1)));
    assert_eq!(job.state, State::Finished);
    trial.until("the remark", || trial.job(job.id).log.iter().any(|line| line.text.contains("output folder")).then_some(()));
}

#[test]
fn an_end_finishes_what_is_short_and_puts_back_what_is_long() {
    let steps =
        |steps: u32| NewJob { request: Request { steps: Some(steps), ..wish("slow:20", 1).request }, ..NewJob::default() };
    for (wish, patience, state) in [(steps(20), 30, State::Finished), (steps(2000), 0, State::Waiting)] {
        let trial = Trial::start(|config| config.shutdown_secs = patience);
        let (job, later) = (trial.wish(&wish), trial.wish(&steps(1)));
        trial.until("the start", || (trial.job(job).state == State::Running).then_some(()));
        let app = trial.app().clone();
        let folder = trial.stop();
        let found = app.queue.job(job).unwrap();
        assert_eq!((found.state, app.queue.job(later).unwrap().state), (state, State::Waiting));
        if state == State::Waiting {
            // Uncounted, and begun again by the next server.
            assert_eq!(found.attempts, 0);
            app.queue.cancel(job).unwrap();
        }
        drop(app);
        let trial = Trial::over(folder, Easel::default(), |_| ());
        assert_eq!(trial.ended(later).state, State::Finished);
        assert_eq!(trial.told(job).matches("finished").count() + trial.told(job).matches("cancelled").count(), 1);
    }
}

#[test]
fn a_job_waits_for_its_moment() {
    let trial = Trial::start(|_| ());
    let moment = encaustic_server::time::now() + 700;
    let job = trial.wish(&NewJob { not_before: Some(moment), ..wish("a cat", 1) });
    assert_eq!(trial.ended(trial.wish(&wish("another", 1))).state, State::Finished);
    let job = trial.ended(job);
    assert!(job.started >= Some(moment), "{job:?}");
}
