//! The server that this page came from, if it came from one: how it stands, and what may be asked of it.
//!
//! A page of a server asks it over `fetch` ([`api`]) and hears from it over one WebSocket ([`feed`]). What the parts of the page
//! show of it is in signals here, asked for anew whenever something may have been missed. Jobs of this very page go another
//! way: `page::backend::remote` makes of them what an engine would have told.

pub mod api;
pub mod banner;
mod feed;
mod queue;
pub mod sign_in;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use encaustic_protocol::{JobId, Progress};
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;

use self::api::Trouble;
use crate::remote::wire::{self, About, Counts, Device, Event, Job, Model, Pull, Told};

pub use banner::Banner;
pub use sign_in::SignIn;

/// What the server writes into the page that it serves.
const MARK: &str = "meta[name='encaustic-server']";

/// How it stands with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is being made for the first time.
    Opening,
    /// It is there.
    Open,
    /// It is lost, and tried again by itself.
    Lost,
    /// The server wants to know who this is.
    SignedOut,
}

/// A job of whoever's, as it is told while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Live {
    /// How far it is.
    pub progress: Progress,
    /// When its first step was told, in seconds, and which that was.
    pub first: (f64, u32),
    /// When the newest was.
    pub at: f64,
}

/// Is told of every event.
type Ear = Rc<dyn Fn(&Event)>;
/// Is told that events may have been missed.
type Alarm = Rc<dyn Fn()>;

/// The server. It is copied like a number; what it holds is changed for all.
#[derive(Clone, Copy)]
pub struct Server {
    /// The connection.
    pub link: RwSignal<Link>,
    /// What it is, and what may be done here.
    pub about: RwSignal<About>,
    /// Jobs that run, those that wait in their order, then the last ones that failed or were cancelled.
    pub jobs: RwSignal<Vec<Job>>,
    /// How far the running ones are.
    pub live: RwSignal<HashMap<JobId, Live>>,
    /// How it stands with the queue.
    pub counts: RwSignal<Counts>,
    /// The devices.
    pub devices: RwSignal<Vec<Device>>,
    /// The library; `None` until it has been told.
    pub models: RwSignal<Option<Vec<Model>>>,
    /// Models that are on their way into it, or did not come.
    pub pulls: RwSignal<Vec<Pull>>,
    feed: StoredValue<feed::Feed, LocalStorage>,
    ears: StoredValue<Vec<Ear>, LocalStorage>,
    alarms: StoredValue<Vec<Alarm>, LocalStorage>,
    /// Whether the list of jobs is to be asked for in a moment.
    is_asking: StoredValue<bool>,
    /// Whether everything is to be asked for again in a while.
    is_put_off: StoredValue<bool>,
}

/// Whether this page came from a server, or from files.
pub fn is_here() -> bool {
    document().query_selector(MARK).is_ok_and(|mark| mark.is_some())
}

impl Server {
    /// The server of this page.
    pub fn of_page() -> Option<Self> {
        is_here().then(|| Self {
            link: RwSignal::new(Link::Opening),
            about: RwSignal::new(About::default()),
            jobs: RwSignal::new(Vec::new()),
            live: RwSignal::new(HashMap::new()),
            counts: RwSignal::new(Counts::default()),
            devices: RwSignal::new(Vec::new()),
            models: RwSignal::new(None),
            pulls: RwSignal::new(Vec::new()),
            feed: StoredValue::new_local(feed::Feed::default()),
            ears: StoredValue::new_local(Vec::new()),
            alarms: StoredValue::new_local(Vec::new()),
            is_asking: StoredValue::new(false),
            is_put_off: StoredValue::new(false),
        })
    }

    /// Calls `ear` with every event, for as long as the page lives.
    pub fn on_event(self, ear: impl Fn(&Event) + 'static) {
        self.ears.update_value(|ears| ears.push(Rc::new(ear)));
    }

    /// Calls `alarm` whenever the connection is there (again) or events were missed: what is shown has to be asked for anew.
    pub fn on_anew(self, alarm: impl Fn() + 'static) {
        self.alarms.update_value(|alarms| alarms.push(Rc::new(alarm)));
    }

    /// An event has come.
    fn hear(self, event: &Event) {
        match &event.told {
            Told::Job { job, change } => self.job_changed(*job, change),
            Told::Queue { is_paused } => {
                self.counts.update(|counts| counts.is_paused = *is_paused);
                self.ask_queue_soon();
            }
            Told::Models => self.ask_models(),
            Told::Pull(pull) => self.pulled(pull),
            Told::Resync => return self.anew(),
            Told::Images | Told::Other => {}
        }
        for ear in self.ears.get_value() {
            ear(event);
        }
    }

    /// Something may have been missed.
    fn anew(self) {
        self.live.set(HashMap::new());
        spawn_local(async move {
            if let Ok(about) = api::about().await {
                self.about.set(about);
            }
        });
        self.ask_queue_soon();
        self.ask_devices();
        self.ask_models();
        self.ask_pulls();
        for alarm in self.alarms.get_value() {
            alarm();
        }
    }

    /// Whether the one who sits here may change what is everybody's.
    pub fn is_admin(self) -> Signal<bool> {
        Memo::new(move |_| self.about.with(|about| about.may("admin"))).into()
    }

    /// Asks which models there are.
    pub fn ask_models(self) {
        spawn_local(async move {
            if let Ok(models) = self.heard(api::models().await) {
                self.models.set(Some(models));
            }
        });
    }

    /// Asks which models are on their way: of one that has come, or was stopped, the end may have gone unheard.
    fn ask_pulls(self) {
        spawn_local(async move {
            if let Ok(running) = self.heard(api::pulls().await) {
                let has_ended = self.pulls.try_update(|pulls| wire::renew(pulls, running)).unwrap_or_default();
                if has_ended {
                    self.ask_models();
                }
            }
        });
    }

    /// A model is on its way, has come, or has not.
    fn pulled(self, pull: &Pull) {
        self.pulls.update(|pulls| {
            pulls.retain(|known| known.source != pull.source);
            // One that has come is in the library now.
            if pull.done != Some(true) {
                pulls.push(pull.clone());
            }
        });
        if pull.done == Some(true) {
            self.ask_models();
        }
    }

    /// Forgets what is told of a pull that did not come.
    pub fn put_away(self, source: &str) {
        self.pulls.update(|pulls| pulls.retain(|known| known.source != source));
    }

    /// Hands an answer on; trouble with the connection is seen to.
    pub fn heard<T>(self, answer: Result<T, Trouble>) -> Result<T, Trouble> {
        match &answer {
            Err(Trouble::SignedOut) => self.link.set(Link::SignedOut),
            Err(Trouble::Offline) => self.stumbled(),
            Err(Trouble::Later { seconds, .. }) => self.anew_in(*seconds),
            _ => {}
        }
        answer
    }

    /// Asks for everything again in a while, once for all that was put off until then.
    fn anew_in(self, seconds: u32) {
        if self.is_put_off.get_value() {
            return;
        }
        self.is_put_off.set_value(true);
        let again = move || {
            self.is_put_off.set_value(false);
            if self.link.get_untracked() == Link::Open {
                self.anew();
            }
        };
        set_timeout(again, Duration::from_secs(seconds.into()));
    }
}
