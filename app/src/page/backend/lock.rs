//! One engine for all tabs: whoever holds a lock of the browser's may run a worker.
//!
//! Two engines would share one graphics card's memory, and the second would be the end of both. The browser takes a lock back
//! when its tab closes or crashes, so that nothing is left behind. Browsers without Web Locks, and pages that do not come by
//! https or may store nothing, go on without.

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, AbortSignal};

/// The lock's name, the same in all tabs of this origin.
const NAME: &str = "encaustic-engine";

/// How to ask for the lock.
pub(in crate::page) enum Way {
    /// Only if nobody has it.
    IfFree,
    /// As soon as nobody has it, unless the signal says otherwise before.
    Wait(AbortSignal),
    /// From whoever has it, who is told.
    Steal,
}

/// What came of it.
pub(in crate::page) enum Claim {
    /// This tab has the lock.
    Held(Held),
    /// Another tab has it, or it is not wanted any more.
    Taken,
    /// This browser has no locks, or none for this page.
    Unknown,
}

/// The lock, for as long as this tab lives or until another takes it.
pub(in crate::page) struct Held {
    ended: JsFuture,
    /// Settles the promise that the browser holds the lock by; never called, but it has to live.
    _release: Function,
}

impl Held {
    /// Waits until another tab has taken the lock.
    pub(in crate::page) async fn lost(self) {
        let _ = self.ended.await;
    }
}

/// Something to end a wait with.
pub(in crate::page) fn controller() -> Option<AbortController> {
    AbortController::new().ok()
}

/// Asks for the lock.
pub(in crate::page) async fn claim(way: Way) -> Claim {
    let Some((locks, request)) = manager() else { return Claim::Unknown };
    let (tell, told) = oneshot::channel::<Option<Function>>();
    let granted = Closure::once_into_js(move |lock: JsValue| -> JsValue {
        if lock.is_null() || lock.is_undefined() {
            let _ = tell.send(None);
            return JsValue::UNDEFINED;
        }
        let mut release = None;
        let kept = Promise::new(&mut |resolve, _| release = Some(resolve));
        let _ = tell.send(release);
        kept.into()
    });
    let options = Object::new();
    let (key, value): (&str, JsValue) = match way {
        Way::IfFree => ("ifAvailable", true.into()),
        Way::Wait(signal) => ("signal", signal.into()),
        Way::Steal => ("steal", true.into()),
    };
    let _ = Reflect::set(&options, &key.into(), &value);
    let asked = request.call3(&locks, &NAME.into(), &options, &granted);
    let Some(ended) = asked.ok().and_then(|promise| promise.dyn_into::<Promise>().ok()) else { return Claim::Unknown };
    match select(told, JsFuture::from(ended)).await {
        Either::Left((Ok(Some(release)), ended)) => Claim::Held(Held { ended, _release: release }),
        // Refused, as in a frame without storage: nobody can have it.
        Either::Right((Err(error), _)) if !is_abort(&error) => Claim::Unknown,
        // Called off, or somebody else's.
        _ => Claim::Taken,
    }
}

/// Whether a request was called off.
fn is_abort(error: &JsValue) -> bool {
    Reflect::get(error, &"name".into()).is_ok_and(|name| name == "AbortError")
}

/// `navigator.locks` and its way to ask.
fn manager() -> Option<(JsValue, Function)> {
    let navigator = web_sys::window()?.navigator();
    let locks = Reflect::get(&navigator, &"locks".into()).ok().filter(JsValue::is_object)?;
    let request = Reflect::get(&locks, &"request".into()).ok()?.dyn_into().ok()?;
    Some((locks, request))
}
