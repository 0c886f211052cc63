//! Workers: the first, those after it, and none while another tab has the engine.

use std::rc::Rc;
use std::time::Duration;

use encaustic_protocol::{Command, Failure, FailureKind, JobId, Submit};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::File;

use super::{Action, Engine, Found, Model, Studio};
use crate::jobs::{Job, State};
use crate::message::Order;
use crate::page::backend::lock::{self, Claim, Way};
use crate::page::backend::{RemoteBackend, WorkerBackend};
use crate::supervisor::{Restart, Verdict, Work};

/// The worker's script, relative to the page.
const SCRIPT: &str = "worker.js";

/// A worker that has said nothing for so long will say nothing: its files take as long as the connection is slow.
const SILENCE: Duration = Duration::from_secs(120);

const ELSEWHERE: &str =
    "Encaustic is at work in another tab. Pictures and settings are here as well; to draw here, take the engine over";
const LOST: &str = "another tab has taken the engine, and this picture was not finished";

impl Studio {
    /// Starts the engine, unless another tab has it. A server's is there for any number of tabs.
    pub fn open(self) {
        let Some(server) = self.server else {
            spawn_local(self.occupy(Way::IfFree));
            return;
        };
        let backend = RemoteBackend::start(server, move |arrival| self.hear(arrival));
        self.backend.set_value(Some(Rc::new(backend)));
        self.post(&Order::Command(Command::Describe), None);
        self.post(&Order::Models, None);
        server.open();
    }

    /// Takes the engine from the tab that has it.
    pub fn use_here(self) {
        if self.engine.get_untracked() == Engine::Elsewhere {
            self.engine.set(Engine::Starting);
            self.end_waiting();
            self.tell_engine(None);
            spawn_local(self.occupy(Way::Steal));
        }
    }

    /// Starts a worker after too many have died.
    pub fn try_again(self) {
        if matches!(self.engine.get_untracked(), Engine::Stopped(_)) {
            self.tell_engine(None);
            self.start_anew();
        }
    }

    /// Gets the lock on the engine, starts a worker, and ends it when another tab takes the lock.
    async fn occupy(self, way: Way) {
        let is_wait = matches!(way, Way::Wait(_));
        let held = match lock::claim(way).await {
            Claim::Held(held) => Some(held),
            // Nobody waits any more.
            Claim::Taken | Claim::Unknown if is_wait => return,
            Claim::Unknown => None,
            Claim::Taken => {
                self.yield_engine();
                return;
            }
        };
        self.waiting.set_value(None);
        self.tell_engine(None);
        self.start_anew();
        if let Some(held) = held {
            held.lost().await;
            self.yield_engine();
        }
    }

    /// Starts a worker because the user, or the browser's lock, says so: what went wrong before is forgotten.
    fn start_anew(self) {
        let works = self.books.try_update_value(|books| books.revived()).unwrap_or_default();
        let has_load = works.iter().any(|work| matches!(work, Work::Load(..)));
        // A model that failed is no reason not to take the last visit's, and one that is not sent again does not come.
        if !has_load && matches!(self.model.get_untracked(), Model::Failed(_) | Model::Loading(_)) {
            self.model.set(Model::None);
        }
        self.start(&works);
    }

    /// Another tab has the engine: ends what was under way here, says so, and waits for the engine to be free.
    fn yield_engine(self) {
        self.end_worker();
        self.strand(LOST);
        if self.packing.get_untracked().is_some() {
            self.not_packed(&device_failure(
                "another tab has taken the engine; take it back, and choose the file again".to_owned(),
            ));
        }
        self.found_nothing("another tab has taken the engine");
        self.model.set(Model::None);
        self.engine.set(Engine::Elsewhere);
        self.remind();
        if let Some(controller) = lock::controller() {
            let signal = controller.signal();
            self.waiting.set_value(Some(controller));
            spawn_local(self.wait(signal));
        }
    }

    /// A future of its own, as it ends in another one of the same kind.
    fn wait(self, signal: web_sys::AbortSignal) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(self.occupy(Way::Wait(signal)))
    }

    fn end_waiting(self) {
        if let Some(controller) = self.waiting.get_value() {
            controller.abort();
        }
        self.waiting.set_value(None);
    }

    /// Starts a worker and gives it what there is to do.
    fn start(self, works: &[Work<File>]) {
        self.end_worker();
        let worker = self.worker.get_value();
        let is_this = move || self.worker.get_value() == worker;
        self.engine.set(Engine::Starting);
        let hear = move |arrival| {
            if is_this() {
                self.hear(arrival);
            }
        };
        match WorkerBackend::start(SCRIPT, hear) {
            Ok(backend) => self.backend.set_value(Some(Rc::new(backend))),
            Err(error) => {
                let what = error.to_string();
                self.strand(&format!("{what}; this picture waited for it"));
                self.stop_for_good(format!("{what}. The engine stays off for now"));
                return;
            }
        }
        let check = move || {
            if is_this() && self.engine.get_untracked() == Engine::Starting {
                let minutes = SILENCE.as_secs() / 60;
                self.died(&format!("the engine has not started within {minutes} minutes"), false);
            }
        };
        set_timeout(check, SILENCE);
        self.post(&Order::Command(Command::Describe), None);
        self.post(&Order::Models, None);
        works.iter().for_each(|work| self.send_again(work));
        self.look_again();
    }

    fn send_again(self, work: &Work<File>) {
        match work {
            Work::Load(load, file) => {
                self.model.set(Model::Loading(None));
                self.coming.update_value(|coming| *coming += 1);
                self.post(&Order::Load(load.clone()), file.as_ref());
            }
            Work::Job(id) => {
                let again = |jobs: &mut Vec<Job>| {
                    let job = jobs.iter_mut().find(|job| job.id == *id)?;
                    job.again();
                    Some(Box::new(job.request.clone()))
                };
                if let Some(request) = self.jobs.try_update(again).flatten() {
                    self.post(&Order::Command(Command::Submit(Submit { job: *id, request })), None);
                }
            }
        }
    }

    /// Asks once more what has been asked and not answered.
    fn look_again(self) {
        let Some(looked) = self.looked.get_untracked() else { return };
        if looked.found == Found::Waiting {
            self.looking.set_value(1);
            self.post(&Order::Look(looked.load), looked.file.as_ref());
        }
    }

    /// Ends the worker: what it still says is not heard.
    fn end_worker(self) {
        self.worker.update_value(|worker| *worker += 1);
        self.coming.set_value(0);
        self.looking.set_value(0);
        // This may be called from the worker's own ear, which must not go while it is used.
        if let Some(backend) = self.backend.get_value() {
            self.backend.set_value(None);
            spawn_local(async move { drop(backend) });
        }
    }

    /// The worker has died: sees to what it was doing and starts another, if that is of any use.
    pub(super) fn died(self, message: &str, device_lost: bool) {
        self.end_worker();
        let jobs = self.jobs.get_untracked();
        let running = jobs.iter().find(|job| job.state == State::Running).map(|job| job.id);
        let now = js_sys::Date::now() / 1000.0;
        let Some(verdict) = self.books.try_update_value(|books| books.died(now, running)) else { return };
        if self.packing.get_untracked().is_some() {
            self.not_packed(&device_failure("the engine broke down while it was at it".to_owned()));
        }
        let what = if device_lost {
            "the graphics device was lost, as happens when its driver is updated or reset, or the computer has slept".to_owned()
        } else {
            message.trim_end_matches('.').to_owned()
        };
        let guilty =
            format!("{what}. It has happened twice with this picture: make it smaller, or load the model one network at a time");
        let stranded = match verdict.restart {
            Restart::Never => format!("{what}; this picture waited for it"),
            _ => "the model for this picture could not be loaded again".to_owned(),
        };
        self.end_jobs(&verdict, &guilty, &stranded);
        let has_load = verdict.again.iter().any(|work| matches!(work, Work::Load(..)));
        let works = verdict.again;
        if verdict.load_is_lost {
            let why = format!(
                "{what}. It has happened twice with this model: it may be too large for the device, try it one network at a time"
            );
            self.model.set(Model::Failed(device_failure(why)));
        } else {
            self.model.set(if has_load { Model::Loading(None) } else { Model::None });
        }
        let has_job = works.iter().any(|work| matches!(work, Work::Job(_)));
        let again = match (has_job, has_load) {
            (true, _) => ", and goes on with what it was doing",
            (false, true) => ", and loads the model again",
            (false, false) => "",
        };
        match verdict.restart {
            Restart::Now => {
                self.tell_engine(Some((format!("{what}. The engine has been started again{again}"), false, None)));
                self.start(&works);
            }
            Restart::After(seconds) => {
                self.engine.set(Engine::Resting);
                let text = format!("{what}. The engine is started again in {seconds:.0} s{again}");
                self.tell_engine(Some((text, false, None)));
                let worker = self.worker.get_value();
                let start = move || {
                    if self.worker.get_value() == worker && self.engine.get_untracked() == Engine::Resting {
                        // More may have been asked for since.
                        let works = self.books.try_update_value(|books| books.pending()).unwrap_or_default();
                        self.start(&works);
                    }
                };
                set_timeout(start, Duration::from_secs_f64(seconds));
            }
            Restart::Never => {
                self.stop_for_good(format!("{what}. This has happened several times, so the engine stays off for now"));
            }
        }
    }

    /// No worker, until the user asks for one.
    fn stop_for_good(self, text: String) {
        if !matches!(self.model.get_untracked(), Model::Failed(_)) {
            self.model.set(Model::None);
        }
        self.found_nothing(&text);
        self.engine.set(Engine::Stopped(text));
        self.remind();
    }

    /// Tells, again if need be, why there is no engine here, and offers one.
    pub(super) fn remind(self) {
        match self.engine.get_untracked() {
            Engine::Elsewhere => {
                let take = Action::new("Use it here", move || self.use_here());
                self.tell_engine(Some((ELSEWHERE.to_owned(), false, Some(take))));
            }
            Engine::Stopped(text) => {
                self.tell_engine(Some((text, true, Some(Action::new("Try again", move || self.try_again())))));
            }
            Engine::Starting | Engine::Ready | Engine::Resting => {}
        }
    }

    /// Ends the jobs that no worker will do: only the model is kept for the next one.
    fn strand(self, why: &str) {
        if let Some(verdict) = self.books.try_update_value(|books| books.abandoned()) {
            self.end_jobs(&verdict, why, why);
        }
    }

    /// A look that nobody will answer.
    fn found_nothing(self, why: &str) {
        if self.looked.with_untracked(|looked| looked.as_ref().is_some_and(|looked| looked.found == Found::Waiting)) {
            self.found(Found::Nothing(device_failure(why.to_owned())));
        }
    }

    /// Ends the jobs that are not sent again.
    fn end_jobs(self, verdict: &Verdict<File>, guilty: &str, stranded: &str) {
        let fail = |why: &str| State::Failed(device_failure(why.to_owned()));
        verdict.guilty.iter().for_each(|id| self.close(*id, fail(guilty)));
        verdict.stranded.iter().for_each(|id| self.close(*id, fail(stranded)));
        verdict.cancelled.iter().for_each(|id| self.close(*id, State::Cancelled));
    }

    /// Ends a job that no engine will end.
    pub(super) fn close(self, id: JobId, state: State) {
        self.books.update_value(|books| books.ended(id, false));
        self.jobs.update(|jobs| {
            if let Some(job) = jobs.iter_mut().find(|job| job.id == id && !job.state.is_last()) {
                job.close(state);
            }
        });
        self.pixels.update(|known| known.retain(|_, pixels| pixels.about.job != id));
    }

    /// Tells how it stands with the engine, in place of what was told before.
    fn tell_engine(self, news: Option<(String, bool, Option<Action>)>) {
        if let Some(id) = self.engine_notice.get_value() {
            self.dismiss(id);
        }
        let id = news.map(|(text, is_error, action)| self.notice(text, is_error, action));
        self.engine_notice.set_value(id);
    }
}

fn device_failure(message: String) -> Failure {
    Failure { kind: FailureKind::Device, message }
}
