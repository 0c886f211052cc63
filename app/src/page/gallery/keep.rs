//! From finished jobs to kept pictures: encoded one at a time, while the page has nothing better to do.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use encaustic_picture::caption::{self, Tools};
use futures_channel::oneshot;
use leptos::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::Blob;

use super::{Gallery, Shelf, encode, now, url};
use crate::gallery::{self, Record};
use crate::jobs::State;
use crate::page::studio::{Action, Finished, Pixels};

/// Pictures that wait to be kept.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Record, Pixels)>,
    /// The id that was given last.
    last: u64,
    is_busy: bool,
    /// Whether the user has been told that pictures are not kept.
    is_told: bool,
}

impl Gallery {
    /// Keeps a job's pictures.
    pub(super) fn keep(self, finished: &Finished) {
        let State::Finished(images) = &finished.job.state else { return };
        let request = &finished.job.request;
        let model = finished.model.as_ref().map(|model| model.card.title.clone().unwrap_or_else(|| model.card.family.clone()));
        for pixels in &finished.pictures {
            let Some(image) = images.iter().find(|image| image.name == pixels.about.name) else { continue };
            let parameters = pixels.about.parameters.clone().unwrap_or_else(|| {
                let tools = Tools { model: model.clone(), ..Tools::default() };
                let catalog = self.studio.catalog.get_untracked();
                caption::infotext(request, image.seed, &tools, &catalog).to_string()
            });
            let made_at = now();
            let mut record = Record {
                made_at,
                width: image.width,
                height: image.height,
                seed: image.seed,
                prompt: request.prompt.clone(),
                negative: request.negative.clone(),
                model: model.clone(),
                parameters,
                request: serde_json::to_value(request).unwrap_or_default(),
                ..Record::default()
            };
            self.queue.update_value(|queue| {
                queue.last = gallery::id_after(queue.last, made_at, js_sys::Math::random());
                record.id = queue.last;
                queue.waiting.push_back((record, pixels.clone()));
            });
        }
        self.work();
    }

    /// Works through the queue, unless that is being done, or the gallery is not open yet.
    pub(super) fn work(self) {
        let begins = self.queue.try_update_value(|queue| !std::mem::replace(&mut queue.is_busy, true)).unwrap_or_default();
        if !begins {
            return;
        }
        spawn_local(async move {
            while self.shelf.get_untracked() != Shelf::Opening {
                let next = self.queue.try_update_value(|queue| queue.waiting.pop_front()).flatten();
                let Some((record, pixels)) = next else { break };
                // The picture is shown first; its file can wait for a moment.
                pause(Duration::from_millis(60)).await;
                self.put(record, &pixels).await;
            }
            self.queue.update_value(|queue| queue.is_busy = false);
        });
    }

    async fn put(self, record: Record, pixels: &Pixels) {
        let file = encode::picture(record.width, record.height, &pixels.rgba, &record.parameters);
        let file = match file {
            Ok(file) => file,
            Err(error) => {
                self.studio.release(&pixels.about.name);
                return self.studio.complain(format!("the picture with the seed {} cannot be kept: {error}", record.seed));
            }
        };
        let small = encode::small(record.width, record.height, &pixels.rgba).await;
        let stored = match self.store.get_value() {
            Some(store) => store.add(&record, &file, small.as_ref()).await.map_err(|error| error.to_string()),
            None => Err(match self.shelf.get_untracked() {
                Shelf::Loose(why) => why,
                Shelf::Opening | Shelf::Ready => String::new(),
            }),
        };
        let name = pixels.about.name.clone();
        self.named.update(|named| {
            named.insert(name.clone(), record.id);
        });
        match stored {
            Ok(()) => self.tell(),
            Err(why) => self.lose(&record, file, &why),
        }
        self.records.update(|records| {
            records.insert(0, Arc::new(record));
            // Pictures of another tab may have come in between.
            records.sort_by_key(|record| std::cmp::Reverse(record.id));
        });
        self.studio.release(&name);
        self.sweep();
    }

    /// Holds a picture that could not be stored, and says so once.
    fn lose(self, record: &Record, file: Blob, why: &str) {
        let name = record.file_name();
        self.loose.update_value(|loose| {
            loose.insert(record.id, file.clone());
        });
        let was_told = self.queue.try_update_value(|queue| std::mem::replace(&mut queue.is_told, true)).unwrap_or_default();
        if was_told {
            return;
        }
        let file = Rc::new(file);
        let save = Action::new("Save it", move || url::save(&file, &name));
        self.studio.complain_with(format!("The picture is not kept: {why}"), save);
    }
}

/// Lets the page do other things.
async fn pause(time: Duration) {
    let (sender, receiver) = oneshot::channel();
    set_timeout(
        move || {
            let _ = sender.send(());
        },
        time,
    );
    // The timer always comes.
    let _ = receiver.await;
}
