//! What the page asks of its engine.

use encaustic_protocol::{Command, Failure, FailureKind, JobId, Submit};
use leptos::prelude::*;
use web_sys::File;

use super::{Engine, Found, Looked, Model, Packing, Studio, is_of};
use crate::jobs::{Job, State};
use crate::message::{Load, LoadStage, Order, Pack, Source, Stored};
use crate::supervisor::Work;

/// How many jobs that have ended are remembered.
const MOST_ENDED: usize = 200;

impl Studio {
    /// Sends an order; that it cannot be done is told where its answer would have been.
    pub fn send(self, order: &Order, file: Option<&File>) {
        let has_worker = self.backend.with_value(Option::is_some);
        match self.engine.get_untracked() {
            Engine::Ready => self.hand(order, file),
            Engine::Starting if has_worker => {
                self.hand(order, file);
                // Nothing of it has been begun, and a worker that never comes would not say so.
                if let Order::Command(Command::Cancel(id)) = order {
                    self.close(*id, State::Cancelled);
                }
            }
            // What is in the books is sent to the next worker.
            Engine::Starting | Engine::Resting => match order {
                Order::Load(_) | Order::Command(Command::Submit(_)) => self.note(order, file),
                Order::Command(Command::Cancel(id)) => self.close(*id, State::Cancelled),
                Order::Stop => {
                    self.books.update_value(|books| books.stopped());
                    self.model.set(Model::None);
                }
                // The next worker is asked what nobody has answered.
                Order::Look(_) => {}
                _ => self.refuse(order, "the engine is being started; try again in a moment"),
            },
            Engine::Elsewhere => self.refuse(order, "Encaustic is at work in another tab: use it there, or take it here first"),
            Engine::Stopped(why) => self.refuse(order, &why),
        }
    }

    /// Gives an order to the worker, and writes it down.
    fn hand(self, order: &Order, file: Option<&File>) {
        self.note(order, file);
        self.post(order, file);
    }

    /// Loads a model as its size and the device suggest.
    pub fn load(self, from: Source, file: Option<&File>) {
        self.load_as(Load { from, precision: None, residency: None }, file, "");
    }

    /// Loads a model that the page calls `title`. Where there is no engine for it, that is what the user is told.
    pub fn load_as(self, load: Load, file: Option<&File>, title: &str) {
        if matches!(self.engine.get_untracked(), Engine::Elsewhere | Engine::Stopped(_)) {
            self.remind();
            return;
        }
        self.wanted.set(title.to_owned());
        if matches!(load.from, Source::Address(_)) {
            self.keep_for_good();
        }
        self.send(&Order::Load(load), file);
    }

    /// Asks what it would mean to load a model that the page calls `title`.
    pub fn look(self, load: Load, file: Option<&File>, title: &str) {
        let looked = Looked { load: load.clone(), file: file.cloned(), title: title.to_owned(), found: Found::Waiting };
        self.looked.set(Some(looked));
        self.send(&Order::Look(load), file);
    }

    /// Writes a file of the user's into the browser's storage.
    pub fn pack(self, pack: Pack, file: &File) {
        self.keep_for_good();
        self.packing.set(Some(Packing { title: pack.title.clone(), bytes: 0, of: file.size() as u64 }));
        self.send(&Order::Pack(pack), Some(file));
    }

    /// Whether the load that is under way hears no stop any more: what brings a model to the device takes the worker's thread.
    pub fn is_deaf(self) -> Signal<bool> {
        let model = self.model;
        let is_deaf = |model: &Model| matches!(model, Model::Loading(Some(loading)) if loading.stage == LoadStage::Weights);
        Memo::new(move |_| model.with(is_deaf)).into()
    }

    /// Stops the load or the packing that is under way.
    pub fn stop(self) {
        self.send(&Order::Stop, None);
    }

    /// Deletes a model from the browser's storage.
    pub fn forget(self, stored: &Stored) {
        self.forget_last(stored);
        self.books.update_value(|books| books.deleted(&stored.id, |load| is_of(load, stored)));
        self.send(&Order::Forget { id: stored.id.clone() }, None);
    }

    /// Counts the tokens of the prompt and the negative prompt, in that order, into [`Studio::tokens`]. Only the last count is
    /// heard.
    pub fn count(self, texts: Vec<String>) {
        let id = self.number();
        self.counting.set_value(id);
        self.send(&Order::Count { id, texts }, None);
    }

    /// Sends what the form says as a job.
    pub fn generate(self) -> JobId {
        let id = JobId(self.number());
        let request = self.request.get_untracked();
        self.jobs.update(|jobs| {
            jobs.push(Job::new(id, request.clone()));
            let mut ended = jobs.iter().filter(|job| job.state.is_last()).count();
            jobs.retain(|job| {
                let goes = job.state.is_last() && ended > MOST_ENDED;
                ended -= usize::from(goes);
                !goes
            });
        });
        self.send(&Order::Command(Command::Submit(Submit { job: id, request: Box::new(request) })), None);
        id
    }

    /// Stops a job.
    pub fn cancel(self, id: JobId) {
        self.send(&Order::Command(Command::Cancel(id)), None);
        // A job behind a load is heard of when the model is there, and nobody waits that long to see it go.
        let is_waiting = |job: &Job| job.id == id && matches!(job.state, State::Waiting { .. });
        let is_behind = matches!(self.model.get_untracked(), Model::Loading(_));
        if is_behind && self.jobs.with_untracked(|jobs| jobs.iter().any(is_waiting)) {
            self.close(id, State::Cancelled);
        }
    }

    /// Writes down what has to be answered.
    fn note(self, order: &Order, file: Option<&File>) {
        match order {
            Order::Load(load) => {
                self.model.set(Model::Loading(None));
                self.books.update_value(|books| books.sent(Work::Load(load.clone(), file.cloned())));
                self.coming.update_value(|coming| *coming += 1);
            }
            Order::Look(_) => self.looking.update_value(|looking| *looking += 1),
            // A packing is stopped first: what is under way is.
            Order::Stop if self.packing.with_untracked(Option::is_some) => {}
            Order::Stop => self.books.update_value(|books| books.stopped()),
            Order::Command(Command::Submit(submit)) => self.books.update_value(|books| books.sent(Work::Job(submit.job))),
            Order::Command(Command::Cancel(id)) => self.books.update_value(|books| books.cancelled(*id)),
            _ => {}
        }
    }

    /// Gives an order to the worker that is there.
    pub(super) fn post(self, order: &Order, file: Option<&File>) {
        // An engine that is not there yet hears of everything when it is.
        let Some(backend) = self.backend.get_value() else { return };
        if let Err(error) = backend.send(order, file) {
            self.complain(error.to_string());
        }
    }

    /// Answers an order that cannot be sent.
    fn refuse(self, order: &Order, why: &str) {
        let failure = || Failure { kind: FailureKind::Device, message: why.to_owned() };
        match order {
            // A model that was not asked for has not failed.
            Order::Load(_) => self.remind(),
            Order::Look(_) => self.found(Found::Nothing(failure())),
            Order::Pack(_) => self.not_packed(&failure()),
            Order::Forget { .. } => self.complain(why),
            Order::Command(Command::Submit(submit)) => self.close(submit.job, State::Failed(failure())),
            Order::Command(Command::Cancel(id)) => self.close(*id, State::Cancelled),
            Order::Models | Order::Stop | Order::Count { .. } | Order::Command(Command::Describe) => {}
        }
    }
}
