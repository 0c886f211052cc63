//! The engine in a worker of this page.

use std::rc::Rc;

use js_sys::{Reflect, Uint8ClampedArray};
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, Event, File, MessageEvent, Worker};

use super::{Arrival, Backend, Disconnected};
use crate::message::{News, Order};

/// A worker and the ears for what it says. It ends when this is dropped.
pub struct WorkerBackend {
    worker: Worker,
    /// Called by the browser for as long as the worker lives.
    _ear: Closure<dyn Fn(MessageEvent)>,
    /// Likewise, when it breaks down without a word.
    _alarm: Closure<dyn Fn(Event)>,
}

impl WorkerBackend {
    /// Starts a worker from a script; `hear` is told all that comes from it. A worker that cannot tell any more what has
    /// befallen it is heard as [`News::Dead`].
    ///
    /// # Errors
    /// If the browser does not let it.
    pub fn start(script: &str, hear: impl Fn(Arrival) + 'static) -> Result<Self, Disconnected> {
        let worker = Worker::new(script).map_err(|error| Disconnected(format!("{script} cannot be started: {error:?}")))?;
        let hear = Rc::new(hear);
        let tell = Rc::clone(&hear);
        let ear = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| tell(read(&message.data())));
        let name = script.to_owned();
        let alarm = Closure::<dyn Fn(Event)>::new(move |event: Event| {
            // The console has it from the browser already; what bubbles up from here would be told twice.
            event.prevent_default();
            let message = match event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message).filter(|message| !message.is_empty()) {
                Some(message) => format!("the engine broke down: {}", message.trim_start_matches("Uncaught ")),
                None => format!("{name} cannot be fetched or is no script: look whether you are connected, then try again"),
            };
            hear(Arrival { news: News::Dead { message, device_lost: false }, pixels: None });
        });
        worker.set_onmessage(Some(ear.as_ref().unchecked_ref()));
        worker.set_onerror(Some(alarm.as_ref().unchecked_ref()));
        Ok(Self { worker, _ear: ear, _alarm: alarm })
    }
}

impl Drop for WorkerBackend {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

impl Backend for WorkerBackend {
    fn send(&self, order: &Order, file: Option<&File>) -> Result<(), Disconnected> {
        let text = serde_json::to_string(order).map_err(|error| Disconnected(error.to_string()))?;
        let message: JsValue = match file {
            None => text.into(),
            Some(file) => {
                let message = js_sys::Object::new();
                let _ = Reflect::set(&message, &"order".into(), &text.into());
                let _ = Reflect::set(&message, &"file".into(), file);
                message.into()
            }
        };
        self.worker.post_message(&message).map_err(|error| Disconnected(format!("{error:?}")))
    }
}

/// A message of the worker's. One that cannot be read comes from a worker of another version, which is told.
fn read(data: &JsValue) -> Arrival {
    let (text, pixels) = match data.as_string() {
        Some(text) => (Some(text), None),
        None => (property(data, "news").and_then(|text| text.as_string()), property(data, "pixels")),
    };
    let news = text.and_then(|text| serde_json::from_str(&text).ok());
    match news {
        Some(news) => Arrival { news, pixels: pixels.map(|pixels| Uint8ClampedArray::new(&pixels)) },
        None => {
            let message =
                "the engine said something that this page does not understand: they are of different versions, reload the page";
            Arrival { news: News::Misunderstood { message: message.to_owned() }, pixels: None }
        }
    }
}

/// A property that is there.
fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok().filter(|value| !value.is_undefined() && !value.is_null())
}
