//! The engine in a dedicated worker of a browser.
//!
//! One thread does everything: messages come in between two tasks of the worker's event loop, which is whenever the engine
//! waits for the device. So a cancel is heard after the step that runs, and nothing here needs a lock.

mod fetch;
mod line;
mod load;
mod post;
mod store;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use encaustic_engine::engine::Engine;
use encaustic_engine::{catalog, host};
use encaustic_protocol::{Change, Command, Event, Failure, FailureKind, Seq};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::MessageEvent;

use crate::inbox::{Inbox, MOST_ORDERS};
use crate::message::{News, Order};
use line::PageLine;
use load::Loader;
use post::tell;

/// Listens to the page until the worker ends.
pub fn start() {
    post::tell_panics();
    let inbox = Rc::new(RefCell::new(Inbox::default()));
    let hears = Rc::clone(&inbox);
    let hear = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
        if let Err(message) = take(&message, &hears) {
            tell(&News::Misunderstood { message });
        }
    });
    post::scope().set_onmessage(Some(hear.as_ref().unchecked_ref()));
    // It listens as long as the worker lives.
    hear.forget();
    wasm_bindgen_futures::spawn_local(work(inbox));
    tell(&News::Ready { version: env!("CARGO_PKG_VERSION").to_owned() });
}

/// Puts a message's order into the inbox.
fn take(message: &MessageEvent, inbox: &RefCell<Inbox>) -> Result<(), String> {
    let text = message.data().as_string().ok_or("a message to the worker is a text of JSON")?;
    let order = serde_json::from_str(&text).map_err(|error| format!("a message to the worker is no order: {error}"))?;
    if inbox.borrow_mut().push(order) {
        Ok(())
    } else {
        Err(format!("{MOST_ORDERS} orders are waiting already; try again later"))
    }
}

/// Does what is asked for, in turn.
async fn work(inbox: Rc<RefCell<Inbox>>) {
    let mut loader = Loader::default();
    let mut line = PageLine::new(Rc::clone(&inbox));
    let mut engine: Option<Engine> = None;
    loop {
        if let Some(engine) = &mut engine {
            host::serve(engine, &mut line).await;
        }
        let order = poll_fn(|context| inbox.borrow_mut().poll_order(context)).await;
        match order {
            Order::Load(load) => {
                // Memory for two models is more than most devices have.
                drop(engine.take());
                match loader.load(&load).await {
                    Ok((ready, loaded)) => {
                        engine = Some(ready);
                        tell(&News::Loaded(Box::new(loaded)));
                    }
                    Err(failure) => tell(&News::NotLoaded(failure)),
                }
            }
            Order::Command(command) => answer(command),
            _ => tell(&News::Misunderstood { message: "this order is not known yet".to_owned() }),
        }
    }
}

/// What is said without a model.
fn answer(command: Command) {
    match command {
        Command::Describe => tell(&News::Event(Event::Catalog(catalog::catalog()))),
        Command::Submit(submit) => {
            let failure = Failure { kind: FailureKind::Model, message: "no model is loaded; load one first".to_owned() };
            tell(&News::Event(Event::Job { job: submit.job, seq: Seq(0), change: Change::Failed(failure) }));
        }
        // Its job has failed already, or never was.
        Command::Cancel(_) => {}
    }
}
