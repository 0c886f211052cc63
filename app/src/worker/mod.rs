//! The engine in a dedicated worker of a browser.
//!
//! One thread does everything: messages come in between two tasks of the worker's event loop, which is whenever the engine
//! waits for the device. So a cancel is heard after the step that runs, and nothing here needs a lock.
//!
//! There are three queues. What needs the engine waits for it (loads, packing, commands); what only asks for the storage does not
//! (what is kept, deleting), nor for a server that is slow to tell what a load would mean. Counting tokens and stopping are done
//! as soon as they are heard.

mod blob;
mod brake;
mod fetch;
mod files;
mod line;
mod load;
mod look;
mod pack;
mod post;
mod shelf;
mod single;
mod store;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use encaustic_engine::engine::Engine;
use encaustic_engine::prompt::{Tokenizer, TokenizerFiles};
use encaustic_engine::{catalog, host};
use encaustic_protocol::{Change, Command, Event, Failure, FailureKind, Seq};
use js_sys::Reflect;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{File, MessageEvent};

use crate::inbox::{Inbox, MOST_ORDERS};
use crate::message::{Load, News, Order, Pack, Residency, Source};
use crate::ranges;
use brake::Brake;
use files::Vault;
use line::PageLine;
use load::Loader;
use post::tell;
use shelf::{Shelf, ShelfError};

/// What the tasks of the worker share.
#[derive(Default)]
struct State {
    /// What waits for the engine.
    inbox: RefCell<Inbox<File>>,
    /// What only asks for the storage.
    desk: RefCell<Inbox<File>>,
    /// Models to be looked at.
    looks: RefCell<Inbox<File>>,
    /// What stops the look that is under way.
    looking: RefCell<Option<Brake>>,
    /// The load or the packing that is under way: the id that it writes to, and what stops it.
    under_way: RefCell<Option<(Option<String>, Brake)>>,
    /// The model that is being deleted.
    leaving: RefCell<Option<String>>,
    /// The model that is loaded.
    ready: RefCell<Option<Ready>>,
    /// What counts tokens while no model is loaded.
    plain: RefCell<Option<Rc<Tokenizer>>>,
}

/// A model that is loaded.
struct Ready {
    /// Its id on the shelf, if it is there.
    id: Option<String>,
    /// What it is called.
    title: Option<String>,
    residency: Residency,
    /// Its open files.
    vault: Rc<Vault>,
    tokenizer: Option<Rc<Tokenizer>>,
}

/// Runs what crates have registered to be run before anything else (Burn's compiler has thousands of such registrations).
///
/// Once: where nothing calls this function, the linker wraps every function that JavaScript can call so that it runs all of
/// them again at each call, which was nearly all that the worker did.
#[expect(unsafe_code, reason = "the linker's own function, which Rust knows nothing of")]
fn register() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker makes this function; it takes nothing and gives nothing, and here it is called once, before all else.
    unsafe { __wasm_call_ctors() }
}

/// Listens to the page until the worker ends.
pub fn start() {
    register();
    post::tell_panics();
    let state = Rc::new(State::default());
    let hears = Rc::clone(&state);
    let hear = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
        if let Err(message) = take(&message, &hears) {
            tell(&News::Misunderstood { message });
        }
    });
    post::scope().set_onmessage(Some(hear.as_ref().unchecked_ref()));
    // It listens as long as the worker lives.
    hear.forget();
    wasm_bindgen_futures::spawn_local(async move {
        let shelf = Rc::new(Shelf::open().await);
        wasm_bindgen_futures::spawn_local(serve_desk(Rc::clone(&state), Rc::clone(&shelf)));
        wasm_bindgen_futures::spawn_local(serve_looks(Rc::clone(&state), Rc::clone(&shelf)));
        work(state, shelf).await;
    });
    tell(&News::Ready { version: env!("CARGO_PKG_VERSION").to_owned() });
}

/// Puts a message's order where it is done.
fn take(message: &MessageEvent, state: &State) -> Result<(), String> {
    let data = message.data();
    let part = |name: &str| Reflect::get(&data, &name.into()).ok();
    let text = data.as_string().or_else(|| part("order")?.as_string());
    let text = text.ok_or("a message to the worker is a text of JSON, or an object with such a text as `order` and a `file`")?;
    let file = if data.is_string() { None } else { part("file").and_then(|file| file.dyn_into::<File>().ok()) };
    let order = serde_json::from_str(&text).map_err(|error| format!("a message to the worker is no order: {error}"))?;
    let has_room = match order {
        Order::Stop => {
            state.stop();
            true
        }
        Order::Count { id, texts } => {
            let counter = state.counter();
            let count = |text: &String| counter.as_ref().and_then(|counter| counter.tokens(text).ok()).map_or(0, |ids| ids.len());
            tell(&News::Counted { id, tokens: texts.iter().map(|text| count(text) as u32).collect() });
            true
        }
        order @ Order::Look(_) => {
            // Nobody waits any more for what is found for the one before.
            if let Some(brake) = &*state.looking.borrow() {
                brake.pull();
            }
            state.looks.borrow_mut().push(order, file)
        }
        order @ (Order::Models | Order::Forget { .. }) => state.desk.borrow_mut().push(order, file),
        order @ (Order::Load(_) | Order::Pack(_) | Order::Command(_)) => state.inbox.borrow_mut().push(order, file),
    };
    if has_room { Ok(()) } else { Err(format!("{MOST_ORDERS} orders are waiting already; try again later")) }
}

impl State {
    /// Stops what is under way; while nothing is, takes back what has been asked for and waits for a picture to be finished.
    /// A stop that came too late for what it meant has been heard in [`State::end`].
    fn stop(&self) {
        if let Some((_, brake)) = &*self.under_way.borrow() {
            return brake.pull();
        }
        let stopped = || Failure { kind: FailureKind::Model, message: "stopped before it had begun".to_owned() };
        match self.inbox.borrow_mut().withdraw() {
            Some(Order::Load(_)) => tell(&News::NotLoaded(stopped())),
            Some(Order::Pack(_)) => tell(&News::NotPacked(stopped())),
            _ => {}
        }
    }

    /// What counts tokens: the model's own tokenizer, or CLIP's.
    fn counter(&self) -> Option<Rc<Tokenizer>> {
        if let Some(tokenizer) = self.ready.borrow().as_ref().and_then(|ready| ready.tokenizer.clone()) {
            return Some(tokenizer);
        }
        let mut plain = self.plain.borrow_mut();
        if plain.is_none() {
            *plain = Tokenizer::new(&TokenizerFiles::default()).ok().map(Rc::new);
        }
        plain.clone()
    }

    /// The id that a load or a packing is writing to.
    fn busy(&self) -> Option<String> {
        self.under_way.borrow().as_ref().and_then(|(id, _)| id.clone())
    }

    /// Notes that something is under way; what stops it.
    fn begin(&self, id: Option<String>) -> Brake {
        let brake = Brake::default();
        self.under_way.replace(Some((id, brake.clone())));
        brake
    }

    /// Notes that nothing is under way any more. Messages that came while the thread was taken are let in first: a stop among
    /// them means what has just ended, and not what waits behind it.
    async fn end(&self) {
        post::breathe().await;
        self.under_way.replace(None);
    }

    /// Makes sure that a model can be deleted; why it cannot.
    fn let_go(&self, id: &str) -> Result<(), &'static str> {
        if !ranges::is_id(id) {
            return Err("there is no such model in the browser's storage");
        }
        if self.busy().as_deref() == Some(id) {
            return Err("this model is being fetched or packed: stop that before you delete it");
        }
        match &*self.ready.borrow() {
            Some(ready) if ready.id.as_deref() == Some(id) => match ready.residency {
                // It is on the device, and stays there until another is loaded.
                Residency::All => ready.vault.close(),
                Residency::InTurn => {
                    return Err("this model is in use, and read again for every picture: load another one before you delete it");
                }
            },
            _ => {}
        }
        Ok(())
    }
}

/// Answers what only asks for the storage, in turn.
async fn serve_desk(state: Rc<State>, shelf: Rc<Shelf>) {
    loop {
        let (order, _) = poll_fn(|context| state.desk.borrow_mut().poll_order(context)).await;
        match order {
            Order::Forget { id } => {
                let forgotten = match state.let_go(&id) {
                    Ok(()) => {
                        state.leaving.replace(Some(id.clone()));
                        let forgotten = shelf.forget(&id).await;
                        state.leaving.replace(None);
                        forgotten.map_err(|error| error.to_string())
                    }
                    Err(why) => Err(why.to_owned()),
                };
                if let Err(message) = forgotten {
                    tell(&News::Misunderstood { message });
                }
                tell_models(&state, &shelf).await;
            }
            _ => tell_models(&state, &shelf).await,
        }
    }
}

/// Looks at models, in turn. Every look has an answer, but one that another has followed is not worth waiting for.
async fn serve_looks(state: Rc<State>, shelf: Rc<Shelf>) {
    loop {
        let (order, file) = poll_fn(|context| state.looks.borrow_mut().poll_order(context)).await;
        let Order::Look(load) = order else { continue };
        let brake = Brake::default();
        if !state.looks.borrow().is_empty() {
            brake.pull();
        }
        state.looking.replace(Some(brake.clone()));
        let seen = look::look(&shelf, &load, file, &brake).await;
        state.looking.replace(None);
        tell(&match seen {
            Ok(outlook) => News::Outlook(Box::new(outlook)),
            Err(failure) => News::NotSeen(failure),
        });
    }
}

async fn tell_models(state: &State, shelf: &Shelf) {
    let models = shelf.list(&|id| state.busy().as_deref() == Some(id)).await;
    tell(&News::Models(models));
}

/// Does what needs the engine, in turn.
async fn work(state: Rc<State>, shelf: Rc<Shelf>) {
    let mut loader = Loader::default();
    let mut line = PageLine::new(Rc::clone(&state));
    let mut engine: Option<Engine> = None;
    loop {
        if let Some(engine) = &mut engine {
            host::serve(engine, &mut line).await;
        }
        let (order, file) = poll_fn(|context| state.inbox.borrow_mut().poll_order(context)).await;
        match order {
            Order::Load(order) => {
                // Memory for two models is more than most devices have.
                drop(engine.take());
                state.ready.replace(None);
                loader.tidy();
                engine = load_one(&state, &shelf, &mut loader, &order, file).await;
                tell_models(&state, &shelf).await;
            }
            Order::Pack(order) => {
                pack_one(&state, &shelf, &mut loader, &order, file).await;
                tell_models(&state, &shelf).await;
            }
            Order::Command(command) => answer(command),
            // These are done where they come in.
            Order::Models | Order::Look(_) | Order::Stop | Order::Forget { .. } | Order::Count { .. } => {}
        }
    }
}

async fn load_one(state: &State, shelf: &Shelf, loader: &mut Loader, order: &Load, file: Option<File>) -> Option<Engine> {
    let id = match &order.from {
        Source::Address(address) => Some(ranges::id(&post::absolute(address.trim_end_matches('/')))),
        Source::Stored(id) => Some(id.clone()),
        Source::File => None,
    };
    let brake = state.begin(id.clone());
    let is_leaving = id.is_some() && *state.leaving.borrow() == id;
    let loaded = if is_leaving {
        Err(ShelfError::Model("this model is being deleted; try again in a moment".to_owned()).into())
    } else {
        loader.load(shelf, order, file, &brake).await
    };
    state.end().await;
    match loaded {
        Ok((engine, ready, loaded)) => {
            state.ready.replace(Some(ready));
            tell(&News::Loaded(Box::new(loaded)));
            Some(engine)
        }
        Err(failure) => {
            tell(&News::NotLoaded(failure));
            None
        }
    }
}

async fn pack_one(state: &State, shelf: &Shelf, loader: &mut Loader, order: &Pack, file: Option<File>) {
    let id = pack::new_id(order);
    let brake = state.begin(Some(id.clone()));
    let packed = pack::pack(loader, shelf, order, file, &id, &brake).await;
    state.end().await;
    tell(&match packed {
        Ok(stored) => News::Packed(stored),
        Err(failure) => News::NotPacked(failure),
    });
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
