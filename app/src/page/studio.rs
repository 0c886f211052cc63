//! What the panels share: the form, the model, the jobs, and the way to the engine.

use std::collections::HashMap;
use std::rc::Rc;

use encaustic_protocol::{Catalog, Command, Event, Failure, JobId, Request, Submit};
use leptos::prelude::*;
use web_sys::File;

use super::backend::{Arrival, Backend, Disconnected, WorkerBackend};
use crate::jobs::Job;
use crate::message::{Load, Loaded, Loading, News, Order, Outlook, Picture, Source, Storage};

/// How it stands with the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// None is there.
    None,
    /// One is coming; `None` until the first news of it.
    Loading(Option<Loading>),
    /// It is ready.
    Ready(Box<Loaded>),
    /// It could not be had.
    Failed(Failure),
}

/// A picture's pixels with what is known of it.
#[derive(Clone, Debug)]
pub struct Pixels {
    /// Which picture.
    pub about: Picture,
    /// Four bytes per pixel.
    pub rgba: js_sys::Uint8ClampedArray,
}

/// A sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Tells notices apart.
    pub id: u64,
    /// What has happened and what to do.
    pub text: String,
    /// Whether it is bad news.
    pub is_error: bool,
}

/// What the panels share. It is copied like a number; what it holds is changed for all.
#[derive(Clone, Copy)]
pub struct Studio {
    /// The form.
    pub request: RwSignal<Request>,
    /// What the engine can do.
    pub catalog: RwSignal<Catalog>,
    /// The model.
    pub model: RwSignal<Model>,
    /// What the browser keeps.
    pub storage: RwSignal<Storage>,
    /// What the last look found.
    pub outlook: RwSignal<Option<Outlook>>,
    /// Jobs, the newest last.
    pub jobs: RwSignal<Vec<Job>>,
    /// Pixels by the names that events give pictures: previews and finished pictures until the gallery has them.
    pub pixels: RwSignal<HashMap<String, Pixels>, LocalStorage>,
    /// Tokens of the prompt and the negative prompt.
    pub tokens: RwSignal<(u32, u32)>,
    /// What the user is told.
    pub notices: RwSignal<Vec<Notice>>,
    /// The panel that is shown where there is room for one only: its id in `PANELS`.
    pub panel: RwSignal<&'static str>,
    backend: StoredValue<Option<Rc<dyn Backend>>, LocalStorage>,
    /// The next number for jobs and notices.
    next: StoredValue<u64>,
}

impl Studio {
    /// An empty studio; [`Studio::open`] starts its engine.
    pub fn new() -> Self {
        Self {
            request: RwSignal::new(Request::default()),
            catalog: RwSignal::new(Catalog::default()),
            model: RwSignal::new(Model::None),
            storage: RwSignal::new(Storage::default()),
            outlook: RwSignal::new(None),
            jobs: RwSignal::new(Vec::new()),
            pixels: RwSignal::new_local(HashMap::new()),
            tokens: RwSignal::new((0, 0)),
            notices: RwSignal::new(Vec::new()),
            panel: RwSignal::new("create"),
            backend: StoredValue::new_local(None),
            next: StoredValue::new(1),
        }
    }

    /// The studio of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }

    /// Starts the worker.
    pub fn open(self) {
        match WorkerBackend::start("worker.js", move |arrival| self.hear(arrival)) {
            Ok(worker) => self.backend.set_value(Some(Rc::new(worker))),
            Err(error) => self.complain(error.to_string()),
        }
        self.send(&Order::Command(Command::Describe), None);
        self.send(&Order::Models, None);
    }

    /// Sends an order; that nobody hears it is told.
    pub fn send(self, order: &Order, file: Option<&File>) {
        let backend = self.backend.get_value();
        let sent = backend.map_or(Err(Disconnected("it has not been started".to_owned())), |backend| backend.send(order, file));
        if let Err(error) = sent {
            self.complain(error.to_string());
        }
    }

    /// Loads a model.
    pub fn load(self, from: Source, file: Option<&File>) {
        self.model.set(Model::Loading(None));
        self.send(&Order::Load(Load { from, precision: None, residency: None }), file);
    }

    /// Sends what the form says as a job.
    pub fn generate(self) -> JobId {
        let id = JobId(self.number());
        let request = self.request.get_untracked();
        self.jobs.update(|jobs| jobs.push(Job::new(id, request.clone())));
        self.send(&Order::Command(Command::Submit(Submit { job: id, request: Box::new(request) })), None);
        id
    }

    /// Stops a job.
    pub fn cancel(self, id: JobId) {
        self.send(&Order::Command(Command::Cancel(id)), None);
    }

    /// Tells the user something.
    pub fn say(self, text: impl Into<String>) {
        self.notice(text.into(), false);
    }

    /// Tells the user what went wrong.
    pub fn complain(self, text: impl Into<String>) {
        self.notice(text.into(), true);
    }

    fn notice(self, text: String, is_error: bool) {
        let notice = Notice { id: self.number(), text, is_error };
        self.notices.update(|notices| notices.push(notice));
    }

    fn number(self) -> u64 {
        let number = self.next.get_value();
        self.next.set_value(number + 1);
        number
    }

    /// Takes in what comes from the engine.
    fn hear(self, Arrival { news, pixels }: Arrival) {
        match news {
            News::Ready { .. } | News::Packing { .. } | News::Packed(_) | News::NotPacked(_) | News::Counted { .. } => {}
            News::Models(storage) => self.storage.set(storage),
            News::Outlook(outlook) => self.outlook.set(Some(*outlook)),
            News::Loading(loading) => self.model.set(Model::Loading(Some(loading))),
            News::Loaded(loaded) => self.model.set(Model::Ready(loaded)),
            News::NotLoaded(failure) => self.model.set(Model::Failed(failure)),
            News::Event(Event::Catalog(catalog)) => self.catalog.set(catalog),
            News::Event(Event::Job { job, seq, change }) => self.jobs.update(|jobs| {
                if let Some(job) = jobs.iter_mut().find(|known| known.id == job) {
                    job.hear(seq, change);
                }
            }),
            News::Picture(about) => {
                if let Some(rgba) = pixels {
                    self.pixels.update(|known| {
                        known.insert(about.name.clone(), Pixels { about, rgba });
                    });
                }
            }
            News::Misunderstood { message } => self.complain(message),
            News::Dead { message, .. } => self.complain(message),
        }
    }
}

impl Default for Studio {
    fn default() -> Self {
        Self::new()
    }
}
