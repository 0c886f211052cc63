//! What comes from the engine, and where it goes.

use encaustic_protocol::{Change, Event, Failure, JobId, Seq};
use leptos::prelude::*;

use super::{Engine, Finished, Found, Model, Pixels, Studio};
use crate::amount;
use crate::jobs::{Job, State};
use crate::message::{News, Outlook, Stored};
use crate::page::backend::Arrival;

impl Studio {
    /// Takes in what comes from the engine.
    pub(super) fn hear(self, Arrival { news, pixels }: Arrival) {
        match news {
            News::Ready { .. } => self.engine.set(Engine::Ready),
            News::Models(storage) => {
                self.storage.set(storage);
                self.knows_storage.set(true);
                self.resume();
            }
            News::Outlook(outlook) => self.seen(outlook),
            News::Loading(loading) => {
                // What comes after a stop is not told: the answer to it is on its way.
                if matches!(self.model.get_untracked(), Model::Loading(_)) {
                    self.model.set(Model::Loading(Some(loading)));
                }
            }
            News::Loaded(loaded) => {
                self.coming.update_value(|coming| *coming = coming.saturating_sub(1));
                self.books.update_value(|books| books.loaded());
                self.remember();
                if !self.is_coming() {
                    self.model.set(Model::Ready(loaded));
                }
            }
            News::StillLoaded(loaded) => {
                self.coming.update_value(|coming| *coming = coming.saturating_sub(1));
                self.books.update_value(|books| books.withdrawn());
                if !self.is_coming() {
                    self.model.set(Model::Ready(loaded));
                }
            }
            News::NotSeen(failure) => {
                if self.is_newest_look() {
                    self.found(Found::Nothing(failure));
                }
            }
            News::NotLoaded(failure) => self.not_loaded(failure),
            News::Packing { bytes, of } => self.packing.update(|packing| {
                if let Some(packing) = packing {
                    (packing.bytes, packing.of) = (bytes, of);
                }
            }),
            News::Packed(stored) => self.packed(&stored),
            News::NotPacked(failure) => self.not_packed(&failure),
            News::Counted { id, tokens } => {
                if id == self.counting.get_value() {
                    let at = |place: usize| tokens.get(place).copied().unwrap_or_default();
                    self.tokens.set((at(0), at(1)));
                }
            }
            News::Recalled { job, request } => self.jobs.update(|jobs| jobs.push(Job::new(job, *request))),
            News::Event(Event::Catalog(catalog)) => self.catalog.set(catalog),
            News::Event(Event::Job { job, seq, change }) => self.changed(job, seq, change),
            News::Picture(about) => {
                // Of a job that has been put away nobody would take them.
                let is_wanted = |jobs: &Vec<Job>| jobs.iter().any(|job| job.id == about.job && !job.state.is_last());
                if let Some(rgba) = pixels.filter(|_| self.jobs.with_untracked(is_wanted)) {
                    self.pixels.update(|known| {
                        known.insert(about.name.clone(), Pixels { about, rgba });
                    });
                }
            }
            News::Misunderstood { message } => self.complain(message),
            News::Dead { message, device_lost } => self.died(&message, device_lost),
        }
    }

    /// Whether a model is still on its way.
    fn is_coming(self) -> bool {
        self.coming.get_value() > 0
    }

    fn seen(self, outlook: Box<Outlook>) {
        if self.is_newest_look() {
            self.found(Found::Outlook(outlook));
        }
    }

    /// Whether this is the answer to the last look: what was found for another one is of no interest any more.
    fn is_newest_look(self) -> bool {
        self.looking.update_value(|looking| *looking = looking.saturating_sub(1));
        self.looking.get_value() == 0
    }

    /// The answer to the look that is under way.
    pub(super) fn found(self, found: Found) {
        self.looked.update(|looked| {
            if let Some(looked) = looked {
                looked.found = found;
            }
        });
    }

    /// Nothing came of a load.
    fn not_loaded(self, failure: Failure) {
        self.coming.update_value(|coming| *coming = coming.saturating_sub(1));
        let was_unwanted = self.books.try_update_value(|books| books.not_loaded()).unwrap_or_default();
        if !self.is_coming() {
            // That a load was stopped is no news for the one who has stopped it.
            self.model.set(if was_unwanted { Model::None } else { Model::Failed(failure) });
        }
    }

    fn packed(self, stored: &Stored) {
        self.packing.set(None);
        self.say(format!("{} is kept in this browser, {}", stored.title, amount::bytes(stored.bytes)));
    }

    /// Nothing came of a packing.
    pub(super) fn not_packed(self, failure: &Failure) {
        let packing = self.packing.get_untracked();
        self.packing.set(None);
        let title = packing.map(|packing| packing.title).filter(|title| !title.is_empty());
        let message = &failure.message;
        self.complain(title.map_or_else(|| message.clone(), |title| format!("\"{title}\" was not kept: {message}")));
    }

    /// An event of a job.
    fn changed(self, id: JobId, seq: Seq, change: Change) {
        let is_last = change.is_last();
        let take = |jobs: &mut Vec<Job>| {
            let job = jobs.iter_mut().find(|job| job.id == id)?;
            let before = job.preview.clone();
            job.hear(seq, change).then(|| (job.clone(), before))
        };
        let Some((job, before)) = self.jobs.try_update(take).flatten() else { return };
        if let Some(old) = before.filter(|old| job.preview.as_ref().is_some_and(|new| new.name != old.name)) {
            self.release(&old.name);
        }
        if !is_last {
            return;
        }
        let pictures = match &job.state {
            State::Finished(pictures) => pictures.as_slice(),
            _ => &[],
        };
        self.books.update_value(|books| books.ended(id, !pictures.is_empty()));
        let is_kept = |name: &str| pictures.iter().any(|picture| picture.name == name);
        // Its previews have had their time.
        self.pixels.update(|known| known.retain(|name, pixels| pixels.about.job != id || is_kept(name)));
        if pictures.is_empty() {
            return;
        }
        let pictures =
            self.pixels.with_untracked(|known| pictures.iter().filter_map(|picture| known.get(&picture.name).cloned()).collect());
        let model = match self.model.get_untracked() {
            Model::Ready(loaded) => Some(*loaded),
            _ => None,
        };
        let finished = Finished { job, pictures, model };
        for told in self.on_finished.get_value() {
            told(&finished);
        }
    }
}
