//! The engine behind a server: orders become questions to its interface, and what it tells becomes the news that a worker would
//! have told. A model is "loaded" as soon as it is chosen: the server brings it to a device when a job wants it.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use encaustic_protocol::{Change, Command, Event, Failure, FailureKind, ImageRef, JobId};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::File;

use super::{Arrival, Backend, Disconnected};
use crate::message::{Load, LoadSeconds, Loaded, News, Order, Picture, Place, Residency, Source, Storage, Stored};
use crate::page::pixels;
use crate::page::server::Server;
use crate::page::server::api::{self, Trouble};
use crate::page::studio::USUAL;
use crate::remote::ledger::{Cancel, Ledger};
use crate::remote::wire::{self, Model, NewJob};

/// Where the page's own jobs are kept over a reload: in this tab alone.
const KEPT: &str = "encaustic.jobs";

/// An engine behind a server.
pub struct RemoteBackend(Rc<Inner>);

struct Inner {
    server: Server,
    ledger: RefCell<Ledger>,
    /// The model that jobs are drawn with.
    model: RefCell<Option<String>>,
    /// Models that have been chosen and are not known yet, in their order.
    loads: RefCell<VecDeque<Load>>,
    is_loading: Cell<bool>,
    is_sending: Cell<bool>,
    /// Wishes that are on their way to the server.
    sent: RefCell<HashSet<JobId>>,
    /// Jobs whose pictures are being fetched.
    fetching: RefCell<HashSet<JobId>>,
    /// Jobs of which a preview is being fetched.
    looking: RefCell<HashSet<JobId>>,
    /// The number of the next preview.
    looks: Cell<u64>,
    knows_catalog: Cell<bool>,
    hear: Box<dyn Fn(Arrival)>,
}

impl RemoteBackend {
    /// Speaks for the server from now on; `hear` is told all that comes.
    pub fn start(server: Server, hear: impl Fn(Arrival) + 'static) -> Self {
        let kept = storage().and_then(|storage| storage.get_item(KEPT).ok().flatten()).unwrap_or_default();
        let inner = Rc::new(Inner {
            server,
            ledger: RefCell::new(Ledger::new(token(), &kept)),
            model: RefCell::default(),
            loads: RefCell::default(),
            is_loading: Cell::new(false),
            is_sending: Cell::new(false),
            sent: RefCell::default(),
            fetching: RefCell::default(),
            looking: RefCell::default(),
            looks: Cell::new(0),
            knows_catalog: Cell::new(false),
            hear: Box::new(hear),
        });
        let ear = Rc::clone(&inner);
        server.on_event(move |event| {
            let news = ear.ledger.borrow_mut().hear(event);
            if let Some((job, change)) = news {
                ear.pass(job, change);
            }
            if event.told == wire::Told::Models {
                ear.tell_models();
            }
        });
        let alarm = Rc::clone(&inner);
        server.on_anew(move || alarm.anew());
        // After whoever has started this knows of it.
        let first = Rc::clone(&inner);
        spawn_local(async move {
            first.say(News::Ready { version: env!("CARGO_PKG_VERSION").to_owned() });
            let jobs = first.ledger.borrow().jobs();
            for (job, request) in jobs {
                first.say(News::Recalled { job, request: Box::new(request) });
            }
        });
        Self(inner)
    }
}

impl Backend for RemoteBackend {
    fn send(&self, order: &Order, _file: Option<&File>) -> Result<(), Disconnected> {
        let inner = &self.0;
        let elsewhere =
            || failure("files are for the page without a server: put the model where this server looks for them, then choose it");
        match order {
            Order::Models => inner.tell_models(),
            Order::Look(_) => inner.say(News::NotSeen(elsewhere())),
            Order::Pack(_) => inner.say(News::NotPacked(elsewhere())),
            Order::Load(load) => inner.load(load.clone()),
            Order::Stop => inner.stop(),
            Order::Forget { id } => inner.forget(id.clone()),
            Order::Count { id, texts } => inner.count(*id, texts.clone()),
            Order::Command(Command::Describe) => inner.describe(),
            Order::Command(Command::Submit(submit)) => {
                let wish =
                    NewJob { request: (*submit.request).clone(), model: inner.model.borrow().clone(), ..NewJob::default() };
                inner.ledger.borrow_mut().submit(submit.job, wish);
                inner.keep();
                inner.flush();
            }
            Order::Command(Command::Cancel(job)) => inner.cancel(*job),
        }
        Ok(())
    }
}

impl Inner {
    fn say(&self, news: News) {
        (self.hear)(Arrival { news, pixels: None });
    }

    /// Tells something of a job in the page's own numbers.
    fn tell(&self, job: JobId, change: Change) {
        let event = self.ledger.borrow_mut().tell(job, change);
        if let Some(event) = event {
            if let Event::Job { change, .. } = &event
                && change.is_last()
            {
                self.keep();
            }
            self.say(News::Event(event));
        }
    }

    /// Keeps what is under way for the next visit of this tab.
    fn keep(&self) {
        if let Some(storage) = storage() {
            // Where nothing is kept (a private window), a reload forgets.
            let _ = storage.set_item(KEPT, &self.ledger.borrow().kept());
        }
    }

    /// The connection is there: asks for all that was not answered, or may have been missed.
    fn anew(self: &Rc<Self>) {
        self.ledger.borrow_mut().anew();
        if !self.knows_catalog.get() {
            self.describe();
        }
        self.tell_models();
        self.next_load();
        self.flush();
        let known = self.ledger.borrow().known();
        for id in known {
            let inner = Rc::clone(self);
            spawn_local(async move { inner.catch_up(id, true).await });
        }
    }

    /// Asks how one of the page's jobs stands.
    async fn catch_up(self: &Rc<Self>, id: JobId, anew: bool) {
        let answer = self.server.heard(api::job(id).await);
        let news = match &answer {
            Ok(job) => self.ledger.borrow_mut().found(job, anew),
            Err(Trouble::Refused { status: 404, failure }) => {
                self.ledger.borrow().page_job(id).map(|job| (job, Change::Failed(failure.clone())))
            }
            Err(_) => None,
        };
        if let Some((job, change)) = news {
            self.pass(job, change);
        }
    }

    /// Passes on what has happened to a job, with the pixels that belong to it ahead.
    fn pass(self: &Rc<Self>, job: JobId, change: Change) {
        let inner = Rc::clone(self);
        match change {
            Change::Finished(images) => {
                if self.fetching.borrow_mut().insert(job) {
                    spawn_local(async move { inner.fetch(job, images).await });
                }
            }
            Change::Preview(image) => {
                // Nobody sees one in a tab behind others, and one at a time is as many as a slow line carries.
                if !document().hidden() && self.looking.borrow_mut().insert(job) {
                    spawn_local(async move {
                        inner.look(job, image).await;
                        inner.looking.borrow_mut().remove(&job);
                    });
                }
            }
            change => self.tell(job, change),
        }
    }

    /// Fetches a job's pictures, then tells that it has finished.
    async fn fetch(&self, job: JobId, images: Vec<ImageRef>) {
        for image in &images {
            let found = self.server.heard(api::file(&format!("images/{}/file?format=png", image.name)).await);
            match found {
                Ok(file) => self.show(job, &image.name, &file).await,
                // The connection's return brings this up again.
                Err(trouble) if trouble.is_passing() => {
                    self.fetching.borrow_mut().remove(&job);
                    return;
                }
                // It was deleted meanwhile.
                Err(_) => {}
            }
        }
        self.fetching.borrow_mut().remove(&job);
        self.tell(job, Change::Finished(images));
    }

    /// Fetches a rough look at how far a job is.
    async fn look(&self, job: JobId, image: ImageRef) {
        let Some(id) = self.ledger.borrow().server_job(job) else { return };
        let Ok(file) = api::file(&format!("jobs/{}/preview", id.0)).await else { return };
        let number = self.looks.get();
        self.looks.set(number + 1);
        let name = format!("look-{number}");
        self.show(job, &name, &file).await;
        self.tell(job, Change::Preview(ImageRef { name, ..image }));
    }

    /// Hands a picture's pixels on.
    async fn show(&self, job: JobId, name: &str, file: &web_sys::Blob) {
        let Some((width, height, rgba)) = pixels::read(file).await else { return };
        let about = Picture { job, name: name.to_owned(), width, height, parameters: None };
        (self.hear)(Arrival { news: News::Picture(about), pixels: Some(rgba) });
    }

    /// Sends the wishes that the server has not answered, one after the other: their order is the user's.
    fn flush(self: &Rc<Self>) {
        if self.is_sending.replace(true) {
            return;
        }
        let inner = Rc::clone(self);
        spawn_local(async move {
            loop {
                let next = inner.ledger.borrow().unanswered().into_iter().next();
                let Some(wish) = next else { break };
                inner.sent.borrow_mut().insert(wish.job);
                match inner.server.heard(api::submit(&wish.wish, &wish.key).await) {
                    Ok(job) => {
                        inner.sent.borrow_mut().remove(&wish.job);
                        let is_unwanted = inner.ledger.borrow_mut().taken(wish.job, job.id);
                        inner.keep();
                        if is_unwanted {
                            inner.cancel(wish.job);
                        }
                        // What was told between the answer and now was nobody's.
                        inner.catch_up(job.id, false).await;
                    }
                    Err(trouble) if trouble.is_passing() => break,
                    Err(trouble) => {
                        inner.sent.borrow_mut().remove(&wish.job);
                        inner.tell(wish.job, Change::Failed(trouble.failure()));
                    }
                }
            }
            inner.is_sending.set(false);
        });
    }

    fn cancel(self: &Rc<Self>, job: JobId) {
        let is_sent = self.sent.borrow().contains(&job);
        let what = self.ledger.borrow_mut().cancel(job, is_sent);
        match what {
            Cancel::Tell(id) => {
                let inner = Rc::clone(self);
                spawn_local(async move {
                    match inner.server.heard(api::delete(&format!("jobs/{}", id.0)).await) {
                        // The end is told as an event. One that had come before is heard of here.
                        Ok(()) | Err(Trouble::Refused { .. }) => inner.catch_up(id, false).await,
                        Err(Trouble::Later { seconds, .. }) => {
                            set_timeout(move || inner.cancel(job), Duration::from_secs(seconds.into()));
                        }
                        Err(_) => {}
                    }
                });
            }
            Cancel::Gone => self.tell(job, Change::Cancelled),
            Cancel::Later => self.keep(),
            Cancel::Unknown => {}
        }
    }

    /// Takes a model: what it is and wants is asked for, nothing is brought anywhere.
    fn load(self: &Rc<Self>, load: Load) {
        if let Source::Stored(name) = &load.from {
            *self.model.borrow_mut() = Some(name.clone());
        }
        self.loads.borrow_mut().push_back(load);
        self.next_load();
    }

    /// Asks for the models that were chosen, one after the other.
    fn next_load(self: &Rc<Self>) {
        if self.is_loading.replace(true) {
            return;
        }
        let inner = Rc::clone(self);
        spawn_local(async move {
            loop {
                let next = inner.loads.borrow().front().cloned();
                let Some(load) = next else { break };
                let news = match &load.from {
                    Source::Stored(name) => match inner.server.heard(api::card(name).await) {
                        Ok(card) => News::Loaded(Box::new(inner.loaded(name, card))),
                        Err(trouble) if trouble.is_passing() => break,
                        Err(trouble) => {
                            if inner.model.borrow().as_ref() == Some(name) {
                                *inner.model.borrow_mut() = None;
                            }
                            News::NotLoaded(trouble.failure())
                        }
                    },
                    _ => News::NotLoaded(failure("a server draws with models of its own library: choose one of those")),
                };
                // A stop may have taken it back meanwhile.
                let is_wanted = inner.loads.borrow().front() == Some(&load);
                if is_wanted {
                    inner.loads.borrow_mut().pop_front();
                    inner.say(news);
                }
            }
            inner.is_loading.set(false);
        });
    }

    fn loaded(&self, name: &str, card: encaustic_protocol::Card) -> Loaded {
        let bytes = self.server.models.with_untracked(|models| {
            models.iter().flatten().find(|model| model.name == name).map(|model| model.bytes).unwrap_or_default()
        });
        let device = self.server.devices.with_untracked(|devices| match devices.as_slice() {
            [] => "this server".to_owned(),
            [one] => one.name.clone(),
            several => format!("{} devices", several.len()),
        });
        Loaded { card, bytes, device, precision: String::new(), residency: Residency::All, seconds: LoadSeconds::default() }
    }

    /// Takes back the models that are not known yet.
    fn stop(&self) {
        let loads = std::mem::take(&mut *self.loads.borrow_mut());
        for _ in loads {
            self.say(News::NotLoaded(failure("stopped before it had begun")));
        }
    }

    fn forget(self: &Rc<Self>, name: String) {
        let inner = Rc::clone(self);
        spawn_local(async move {
            let path = format!("models/{}", crate::remote::escaped(&name));
            if let Err(trouble) = inner.server.heard(api::delete(&path).await) {
                inner.say(News::Misunderstood { message: trouble.failure().message });
            }
            inner.server.ask_models();
            inner.tell_models();
        });
    }

    fn tell_models(self: &Rc<Self>) {
        let inner = Rc::clone(self);
        spawn_local(async move {
            if let Ok(models) = inner.server.heard(api::models().await) {
                let storage = storage_of(&models);
                inner.server.models.set(Some(models));
                inner.say(News::Models(storage));
            }
        });
    }

    fn count(self: &Rc<Self>, id: u64, texts: Vec<String>) {
        let inner = Rc::clone(self);
        spawn_local(async move {
            let model = inner.model.borrow().clone().unwrap_or_else(|| USUAL.to_owned());
            // How long a prompt is can be told with the next letter as well.
            if let Ok(tokens) = api::count(&model, &texts).await {
                inner.say(News::Counted { id, tokens });
            }
        });
    }

    fn describe(self: &Rc<Self>) {
        let inner = Rc::clone(self);
        spawn_local(async move {
            if let Ok(catalog) = inner.server.heard(api::catalog().await) {
                inner.knows_catalog.set(true);
                inner.say(News::Event(Event::Catalog(catalog)));
            }
        });
    }
}

/// The library as what is kept for the page.
fn storage_of(models: &[Model]) -> Storage {
    let stored = |model: &Model| Stored {
        id: model.name.clone(),
        title: if model.title.is_empty() { model.name.clone() } else { model.title.clone() },
        family: model.family.clone().unwrap_or_default(),
        address: None,
        bytes: model.bytes,
        of: model.bytes,
    };
    let models = models.iter().filter(|model| model.is_usable).map(stored).collect();
    Storage { models, used: None, quota: None, persistent: true, place: Place::Opfs }
}

fn failure(message: &str) -> Failure {
    Failure { kind: FailureKind::Model, message: message.to_owned() }
}

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.session_storage().ok().flatten()
}

/// What no other page's keys begin with.
fn token() -> String {
    let part = || (js_sys::Math::random() * f64::from(u32::MAX)) as u32;
    format!("page-{:x}-{:08x}{:08x}", js_sys::Date::now() as u64, part(), part())
}
