//! What the panels share: the form, the model, the jobs, and the way to the engine.
//!
//! The state and what may be asked of it are here; `engine` starts and replaces workers, `orders` sends, `hearing` takes in
//! what comes back, `memory` is what lasts from one visit to the next.

mod engine;
mod hearing;
mod memory;
mod orders;

use std::collections::HashMap;
use std::rc::Rc;

use encaustic_protocol::{Catalog, Failure, Request};
use leptos::prelude::*;
use web_sys::{AbortController, File};

pub(in crate::page) use memory::{USUAL, is_of};

use super::backend::Backend;
use super::server::Server;
use crate::jobs::Job;
use crate::message::{Load, Loaded, Loading, Outlook, Picture, Storage};
use crate::supervisor::Supervisor;

/// How it stands with the engine itself, whatever model it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// It is being started, or it is not clear yet whether another tab has it.
    Starting,
    /// It listens.
    Ready,
    /// It broke down, and a new one will be started in a moment.
    Resting,
    /// Another tab has it: [`Studio::use_here`].
    Elsewhere,
    /// It broke down again and again, which the sentence tells: [`Studio::try_again`].
    Stopped(String),
}

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

/// A model that somebody has asked about.
#[derive(Clone, Debug)]
pub struct Looked {
    /// What was asked.
    pub load: Load,
    /// The user's file, if it is one.
    pub file: Option<File>,
    /// What the page calls it.
    pub title: String,
    /// What came of it.
    pub found: Found,
}

/// What a look has found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing yet.
    Waiting,
    /// What a load would mean.
    Outlook(Box<Outlook>),
    /// It is no model that could be loaded.
    Nothing(Failure),
}

/// How far a file is on its way into the browser's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    /// What the model will be called.
    pub title: String,
    /// Bytes that have been read.
    pub bytes: u64,
    /// Bytes that there are to read.
    pub of: u64,
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
#[derive(Clone, Debug)]
pub struct Notice {
    /// Tells notices apart.
    pub id: u64,
    /// What has happened and what to do.
    pub text: String,
    /// Whether it is bad news.
    pub is_error: bool,
    /// What the user can do about it with one press.
    pub action: Option<Action>,
}

/// What a notice offers.
#[derive(Clone, Debug)]
pub struct Action {
    /// What its button says.
    pub label: String,
    /// What it does; the notice is gone after that.
    pub run: Callback<()>,
}

impl Action {
    /// A button that says `label` and does `run`.
    pub fn new(label: impl Into<String>, run: impl Fn() + 'static) -> Self {
        let label = label.into();
        let make = move || {
            let run = StoredValue::new_local(run);
            Self { label, run: Callback::new(move |()| run.with_value(|run| run())) }
        };
        match page_owner() {
            Some(owner) => owner.with(make),
            None => make(),
        }
    }
}

/// The owner of the whole page: a notice outlives the part of the page that gave it.
fn page_owner() -> Option<Owner> {
    let mut owner = Owner::current()?;
    while let Some(parent) = owner.parent() {
        owner = parent;
    }
    Some(owner)
}

/// A job that has come to pictures.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The job.
    pub job: Job,
    /// Its pictures, as far as they came, in their order.
    pub pictures: Vec<Pixels>,
    /// The model that made them.
    pub model: Option<Loaded>,
}

/// Is told of every job that has come to pictures.
type OnFinished = Rc<dyn Fn(&Finished)>;

/// What is done with a file that somebody drops or chooses.
pub type Taker = Callback<File>;

/// Who takes which files; nobody, until [`Studio::take_pictures`] and [`Studio::take_settings`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Takers {
    pub(super) picture: Option<Taker>,
    pub(super) settings: Option<Taker>,
}

/// What the panels share. It is copied like a number; what it holds is changed for all.
#[derive(Clone, Copy)]
pub struct Studio {
    /// The server that the page came from, and whose engine it has then; else the engine is in a worker.
    pub server: Option<Server>,
    /// The form.
    pub request: RwSignal<Request>,
    /// What the engine can do.
    pub catalog: RwSignal<Catalog>,
    /// The engine.
    pub engine: RwSignal<Engine>,
    /// The model.
    pub model: RwSignal<Model>,
    /// What the page calls the model that was asked for last.
    pub wanted: RwSignal<String>,
    /// What the browser keeps; nothing until it has told.
    pub storage: RwSignal<Storage>,
    /// Whether it has told.
    pub knows_storage: RwSignal<bool>,
    /// The model that is being looked at.
    pub looked: RwSignal<Option<Looked>, LocalStorage>,
    /// The file that is being packed.
    pub packing: RwSignal<Option<Packing>>,
    /// Jobs, the newest last.
    pub jobs: RwSignal<Vec<Job>>,
    /// Pixels by the names that events give pictures: previews while their job runs, and finished pictures until somebody says
    /// [`Studio::release`].
    pub pixels: RwSignal<HashMap<String, Pixels>, LocalStorage>,
    /// Tokens of the prompt and the negative prompt.
    pub tokens: RwSignal<(u32, u32)>,
    /// What the user is told.
    pub notices: RwSignal<Vec<Notice>>,
    /// The panel that is shown where there is room for one only: its id in `PANELS`.
    pub panel: RwSignal<&'static str>,
    backend: StoredValue<Option<Rc<dyn Backend>>, LocalStorage>,
    /// What has been sent and has not come to its end.
    books: StoredValue<Supervisor<File>, LocalStorage>,
    /// How many looks have not been answered: only the last one is shown.
    looking: StoredValue<usize>,
    /// How many models are on their way: likewise.
    coming: StoredValue<usize>,
    /// Which worker it is; what others still say is not heard.
    worker: StoredValue<u64>,
    /// Ends this tab's waiting for the engine.
    waiting: StoredValue<Option<AbortController>, LocalStorage>,
    /// The notice that tells of the engine: there is one at most.
    engine_notice: StoredValue<Option<u64>>,
    /// The count of tokens that was asked for last.
    counting: StoredValue<u64>,
    /// Whether the last visit's model has been thought of.
    is_resumed: StoredValue<bool>,
    on_finished: StoredValue<Vec<OnFinished>, LocalStorage>,
    takers: StoredValue<Takers>,
    /// The next number for jobs and notices.
    next: StoredValue<u64>,
}

impl Studio {
    /// An empty studio; [`Studio::open`] starts its engine.
    pub fn new() -> Self {
        Self {
            server: Server::of_page(),
            request: RwSignal::new(Request::default()),
            catalog: RwSignal::new(Catalog::default()),
            engine: RwSignal::new(Engine::Starting),
            model: RwSignal::new(Model::None),
            wanted: RwSignal::new(String::new()),
            storage: RwSignal::new(Storage::default()),
            knows_storage: RwSignal::new(false),
            looked: RwSignal::new_local(None),
            packing: RwSignal::new(None),
            jobs: RwSignal::new(Vec::new()),
            pixels: RwSignal::new_local(HashMap::new()),
            tokens: RwSignal::new((0, 0)),
            notices: RwSignal::new(Vec::new()),
            panel: RwSignal::new("create"),
            backend: StoredValue::new_local(None),
            books: StoredValue::new_local(Supervisor::default()),
            looking: StoredValue::new(0),
            coming: StoredValue::new(0),
            worker: StoredValue::new(0),
            waiting: StoredValue::new_local(None),
            engine_notice: StoredValue::new(None),
            counting: StoredValue::new(0),
            is_resumed: StoredValue::new(false),
            on_finished: StoredValue::new_local(Vec::new()),
            takers: StoredValue::new(Takers::default()),
            next: StoredValue::new(1),
        }
    }

    /// The studio of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }

    /// Calls `told` with every job that comes to pictures, for as long as the page lives. Whoever has put a picture away says
    /// so with [`Studio::release`].
    pub fn on_finished(self, told: impl Fn(&Finished) + 'static) {
        self.on_finished.update_value(|all| all.push(Rc::new(told)));
    }

    /// Drops a picture's pixels, which are somewhere else now.
    pub fn release(self, name: &str) {
        self.pixels.update(|known| {
            known.remove(name);
        });
    }

    /// Says who takes PNGs that somebody drops.
    pub fn take_pictures(self, taker: Taker) {
        self.takers.update_value(|takers| takers.picture = Some(taker));
    }

    /// Says who takes JSON that somebody drops.
    pub fn take_settings(self, taker: Taker) {
        self.takers.update_value(|takers| takers.settings = Some(taker));
    }

    pub(super) fn takers(self) -> Takers {
        self.takers.get_value()
    }

    /// Tells the user something.
    pub fn say(self, text: impl Into<String>) {
        self.notice(text.into(), false, None);
    }

    /// Tells the user something that can be answered with one press.
    pub fn offer(self, text: impl Into<String>, action: Action) {
        self.notice(text.into(), false, Some(action));
    }

    /// Tells the user what went wrong.
    pub fn complain(self, text: impl Into<String>) {
        self.notice(text.into(), true, None);
    }

    /// Tells the user what went wrong, and what can be done about it with one press.
    pub fn complain_with(self, text: impl Into<String>, action: Action) {
        self.notice(text.into(), true, Some(action));
    }

    /// Takes a notice away.
    pub fn dismiss(self, id: u64) {
        self.notices.update(|notices| notices.retain(|notice| notice.id != id));
    }

    /// Adds a notice and returns its id. One that says the same already makes room, as it would only be read twice; but not one that
    /// offers something, which is about another matter.
    pub fn notice(self, text: String, is_error: bool, action: Option<Action>) -> u64 {
        let text = sentence(&text);
        let id = self.number();
        self.notices.update(|notices| {
            notices.retain(|notice| notice.text != text || notice.action.is_some());
            notices.push(Notice { id, text, is_error, action });
        });
        id
    }

    fn number(self) -> u64 {
        let number = self.next.get_value();
        self.next.set_value(number + 1);
        number
    }
}

impl Default for Studio {
    fn default() -> Self {
        Self::new()
    }
}

/// A message as a sentence of its own: a capital at the beginning, unless it begins with a name, and a point at the end.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let first = text.split(' ').next().unwrap_or_default();
    // File names, addresses and settings keep their case.
    let is_word = first.chars().all(|c| c.is_ascii_lowercase() || ",:;".contains(c));
    let mut all = String::with_capacity(text.len() + 1);
    let mut chars = text.chars();
    if is_word && let Some(c) = chars.next() {
        all.extend(c.to_uppercase());
    }
    all.push_str(chars.as_str());
    if !all.is_empty() && !all.ends_with(['.', '!', '?']) {
        all.push('.');
    }
    all
}
