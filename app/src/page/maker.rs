//! From the form to jobs: what must be right before one is sent, and what is done when there is no model yet.

use std::collections::BTreeMap;

use encaustic_protocol::{Card, ImageRef, JobId, PARAMS, Param, Request, Value};
use leptos::prelude::*;

use super::local;
use super::studio::{Model, Studio, USUAL};
use super::webgpu;
use super::widgets::focus;
use crate::form;
use crate::jobs::State;
use crate::message::{Load, Source};

/// Where the model in the box lies, relative to the worker's script.
pub const DEMO: &str = "models/demo";

/// What the page calls it.
pub const DEMO_TITLE: &str = "The model in the box";

/// What it takes to fetch it. Only the length gets into the program.
pub const DEMO_BYTES: u64 = include_bytes!("../../../assets/demo/model-00001.safetensors").len() as u64;

/// Where the form is kept.
const NAME: &str = "request";

/// What the form knows beside the request. It is copied like a number.
#[derive(Clone, Copy)]
pub struct Maker {
    studio: Studio,
    /// What stands in boxes and is no value: texts by the ids of their settings.
    pub drafts: RwSignal<BTreeMap<&'static str, String>>,
    /// The name of this session's picture that is looked at; `None` for the newest.
    pub shown: RwSignal<Option<String>>,
    /// Whether the advanced settings are in sight.
    pub advanced: RwSignal<bool>,
}

impl Maker {
    /// The last visit's form, kept whenever it changes, and put where components find it.
    pub fn provide(studio: Studio) -> Self {
        if let Some(request) = local::recall::<Request>(NAME) {
            studio.request.set(request);
        }
        let maker =
            Self { studio, drafts: RwSignal::new(BTreeMap::new()), shown: RwSignal::new(None), advanced: RwSignal::new(false) };
        let changed = move |now: &Request, before: Option<&Request>, _| {
            local::keep(NAME, now);
            // What came from elsewhere takes the place of what was being typed.
            let is_old =
                |id: &str| before.is_none_or(|before| param(id).is_none_or(|param| (param.get)(before) == (param.get)(now)));
            if maker.drafts.with_untracked(|drafts| drafts.keys().any(|id| !is_old(id))) {
                maker.drafts.update(|drafts| drafts.retain(|id, _| is_old(id)));
            }
        };
        Effect::watch(move || studio.request.get(), changed, false);
        provide_context(maker);
        maker
    }

    /// The form of the component that asks.
    pub fn here() -> Self {
        expect_context()
    }

    /// The model's card, if one is ready.
    pub fn card(self) -> Option<Card> {
        self.studio.model.with(|model| if let Model::Ready(loaded) = model { Some(loaded.card.clone()) } else { None })
    }

    /// What a setting is when nobody says: the model's own.
    pub fn usual(self, param: &Param) -> Value {
        self.studio.model.with(|model| match model {
            Model::Ready(loaded) => (param.get)(&loaded.card.defaults),
            _ => (param.default)(),
        })
    }

    /// What a setting is in the form.
    pub fn value(self, param: &Param) -> Value {
        self.studio.request.with(param.get)
    }

    /// What a setting will be: the form's word, or else the model's.
    pub fn meant(self, param: &Param) -> Value {
        match self.value(param) {
            Value::Auto => self.usual(param),
            value => value,
        }
    }

    /// Puts a value into the form.
    pub fn set(self, param: &'static Param, value: Value) {
        self.drafts.update(|drafts| {
            drafts.remove(param.id);
        });
        // It fails for a number that the setting's type cannot hold, which is then a draft like any other.
        let text = form::show(&value);
        let fits = self.studio.request.try_update(|request| (param.set)(request, value).is_ok()).unwrap_or_default();
        if !fits {
            self.drafts.update(|drafts| {
                drafts.insert(param.id, text);
            });
        }
    }

    /// Takes in what was typed for a setting.
    pub fn typed(self, param: &'static Param, text: String) {
        let is_auto = text.trim().is_empty() && (param.default)() == Value::Auto;
        match if is_auto { Ok(Value::Auto) } else { param.parse(&form::pointed(param, &text)) } {
            Ok(value) => self.set(param, value),
            Err(_) => self.drafts.update(|drafts| {
                drafts.insert(param.id, text);
            }),
        }
    }

    /// What stands in a setting's box.
    pub fn text(self, param: &Param) -> String {
        let draft = self.drafts.with(|drafts| drafts.get(param.id).cloned());
        draft.unwrap_or_else(|| form::show(&self.value(param)))
    }

    /// What is wrong with a setting.
    pub fn fault(self, param: &Param) -> Option<String> {
        self.studio.catalog.with(|catalog| {
            if self.drafts.with(|drafts| drafts.contains_key(param.id)) {
                return Some(form::no_value(param, catalog));
            }
            let multiple_of = self.studio.model.with(|model| match model {
                Model::Ready(loaded) => loaded.card.multiple_of,
                _ => 0,
            });
            form::fault(param, &self.value(param), catalog, multiple_of)
        })
    }

    /// The settings that will not do.
    fn faults(self) -> Vec<&'static Param> {
        PARAMS.iter().filter(|param| self.fault(param).is_some()).collect()
    }

    /// Makes what the form says now: at once, or as soon as the model is there, for which the engine lets jobs wait; the model in the
    /// box is fetched if there is none.
    pub fn generate(self) {
        let faults = untrack(|| self.faults());
        if let [first, ..] = faults.as_slice() {
            self.refuse(first, &faults);
            return;
        }
        if let Some(why) = webgpu::obstacle() {
            self.studio.complain(why.join(" "));
            return;
        }
        let is_there = || matches!(self.studio.model.get_untracked(), Model::Ready(_) | Model::Loading(_));
        if !is_there() {
            self.load_demo();
        }
        // An engine that cannot even be asked says why in its own notice.
        if is_there() {
            self.shown.set(None);
            self.studio.generate();
        }
        to_the_easel();
    }

    /// Says which settings will not do and goes to the first of them.
    fn refuse(self, first: &'static Param, faults: &[&Param]) {
        let titles: Vec<_> = faults.iter().map(|param| form::title(param)).collect();
        let text = match titles.as_slice() {
            [one] => format!("{one} cannot be what it says: see below it what to use"),
            _ => format!("{} cannot be what they say: see below each what to use", form::listed(&titles)),
        };
        self.studio.complain(text);
        if form::place(first) == form::Place::Advanced {
            self.advanced.set(true);
        }
        self.studio.panel.set("create");
        let id = control(first);
        request_animation_frame(move || focus(&id));
    }

    /// Fetches and loads the model in the box.
    pub fn load_demo(self) {
        let from = match self.studio.server {
            Some(_) => Source::Stored(USUAL.to_owned()),
            None => Source::Address(DEMO.to_owned()),
        };
        let load = Load { from, precision: None, residency: None };
        self.studio.load_as(load, None, DEMO_TITLE);
    }

    /// Whether the model in the box need not be fetched any more.
    pub fn has_demo(self) -> bool {
        if self.studio.server.is_some() {
            return true;
        }
        let is_demo = |address: &str| address.trim_end_matches('/').ends_with(DEMO);
        self.studio.storage.with(|storage| {
            storage.models.iter().any(|stored| stored.address.as_deref().is_some_and(is_demo) && stored.bytes >= stored.of)
        })
    }

    /// Stops the model that is on its way, and the jobs that wait for it.
    pub fn stop_load(self) {
        let waiting = self.studio.jobs.with_untracked(|jobs| {
            jobs.iter().rev().filter(|job| matches!(job.state, State::Waiting { .. })).map(|job| job.id).collect::<Vec<_>>()
        });
        waiting.into_iter().for_each(|job| self.studio.cancel(job));
        self.studio.stop();
    }

    /// Stops the job that runs, or the one that is to begin.
    pub fn cancel(self) {
        if let Some(job) = untrack(|| self.busy()) {
            self.studio.cancel(job);
        }
    }

    /// The job at work, or else the first that waits.
    pub fn busy(self) -> Option<JobId> {
        self.studio.jobs.with(|jobs| {
            let running = jobs.iter().find(|job| job.state == State::Running);
            running.or_else(|| jobs.iter().find(|job| !job.state.is_last())).map(|job| job.id)
        })
    }

    /// The pictures of the last job that has come to some.
    pub fn last(self) -> Vec<ImageRef> {
        self.studio.jobs.with(|jobs| {
            let pictures = jobs.iter().rev().find_map(|job| match &job.state {
                State::Finished(pictures) if !pictures.is_empty() => Some(pictures.clone()),
                _ => None,
            });
            pictures.unwrap_or_default()
        })
    }
}

/// Where the picture is out of sight, as on a phone, goes to it.
fn to_the_easel() {
    let Ok(Some(easel)) = document().query_selector(".easel") else { return };
    if easel.get_bounding_client_rect().top() < 0.0 {
        easel.scroll_into_view();
    }
}

/// The id of a setting's control.
pub fn control(param: &Param) -> String {
    format!("param-{}", param.id)
}

/// A setting by its name; the form's own are all there.
pub fn param(id: &str) -> Option<&'static Param> {
    PARAMS.iter().find(|param| param.id == id)
}
