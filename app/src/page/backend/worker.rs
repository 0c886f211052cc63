//! The engine in a worker of this page.

use js_sys::{Reflect, Uint8ClampedArray};
use wasm_bindgen::prelude::*;
use web_sys::{File, MessageEvent, Worker};

use super::{Arrival, Backend, Disconnected};
use crate::message::Order;

/// A worker and the ear for what it says.
pub struct WorkerBackend {
    worker: Worker,
    /// Called by the browser for as long as the worker lives.
    _ear: Closure<dyn Fn(MessageEvent)>,
}

impl WorkerBackend {
    /// Starts a worker from a script; `hear` is told all that comes from it.
    pub fn start(script: &str, hear: impl Fn(Arrival) + 'static) -> Result<Self, Disconnected> {
        let worker = Worker::new(script).map_err(|error| Disconnected(format!("{script} cannot be started: {error:?}")))?;
        let ear = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
            if let Some(arrival) = read(&message.data()) {
                hear(arrival);
            }
        });
        worker.set_onmessage(Some(ear.as_ref().unchecked_ref()));
        Ok(Self { worker, _ear: ear })
    }
}

impl Drop for WorkerBackend {
    fn drop(&mut self) {
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

/// A message of the worker's.
fn read(data: &JsValue) -> Option<Arrival> {
    if let Some(text) = data.as_string() {
        return Some(Arrival { news: serde_json::from_str(&text).ok()?, pixels: None });
    }
    let text = Reflect::get(data, &"news".into()).ok()?.as_string()?;
    let pixels = Uint8ClampedArray::new(&Reflect::get(data, &"pixels".into()).ok()?);
    Some(Arrival { news: serde_json::from_str(&text).ok()?, pixels: Some(pixels) })
}
