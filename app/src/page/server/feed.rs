//! The one line on which the server tells what happens: a WebSocket, opened again when it is lost, after the last event that
//! was heard.

use std::time::Duration;

use leptos::ev;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{MessageEvent, WebSocket};

use super::{Link, Server, api};
use crate::remote::ledger::heard;
use crate::remote::{self, wire::Event};

/// The line.
#[derive(Default)]
pub(super) struct Feed {
    socket: Option<Socket>,
    /// Which socket it is; what others still say is not heard.
    nth: u64,
    /// How many tries have failed since the last that did not.
    failed: u32,
    /// The last stored event that was heard.
    last: Option<u64>,
}

/// An open socket with its ears.
struct Socket {
    socket: WebSocket,
    _open: Closure<dyn Fn()>,
    _message: Closure<dyn Fn(MessageEvent)>,
    _close: Closure<dyn Fn()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // It fails for one that is closed.
        let _ = self.socket.close();
    }
}

impl Server {
    /// Listens from now on.
    pub fn open(self) {
        self.connect();
        // The machine has slept, or found its network again: no need to wait.
        let _listens = window_event_listener(ev::online, move |_| self.try_now());
    }

    /// Tries at once to reach a server that was lost.
    pub fn try_now(self) {
        if self.link.get_untracked() != Link::Open {
            self.feed.update_value(|feed| feed.failed = 0);
            self.connect();
        }
    }

    fn connect(self) {
        let Some(nth) = self.feed.try_update_value(|feed| {
            feed.nth += 1;
            feed.nth
        }) else {
            return;
        };
        let is_this = move || self.feed.with_value(|feed| feed.nth == nth);
        let open = Closure::<dyn Fn()>::new(move || {
            if is_this() {
                self.feed.update_value(|feed| feed.failed = 0);
                self.link.set(Link::Open);
                self.anew();
            }
        });
        let message = Closure::<dyn Fn(MessageEvent)>::new(move |message: MessageEvent| {
            let event = message.data().as_string().and_then(|text| serde_json::from_str::<Event>(&text).ok());
            if let Some(event) = event.filter(|_| is_this()) {
                self.feed.update_value(|feed| feed.last = Some(heard(feed.last, &event)));
                self.hear(&event);
            }
        });
        let close = Closure::<dyn Fn()>::new(move || {
            if is_this() {
                self.stumbled();
            }
        });
        let Some(socket) = self.address().and_then(|address| WebSocket::new(&address).ok()) else { return self.stumbled() };
        socket.set_onopen(Some(open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(close.as_ref().unchecked_ref()));
        let socket = Socket { socket, _open: open, _message: message, _close: close };
        self.replace(Some(socket));
    }

    /// Puts another socket in the place of the one that was there. This may be called from the old one's own ear, which must not
    /// go while it is used.
    fn replace(self, socket: Option<Socket>) {
        let old = self.feed.try_update_value(|feed| std::mem::replace(&mut feed.socket, socket)).flatten();
        spawn_local(async move { drop(old) });
    }

    /// The connection is gone, or a question went unanswered: finds out why, and tries again in a while.
    pub(super) fn stumbled(self) {
        if matches!(self.link.get_untracked(), Link::SignedOut) {
            return;
        }
        let Some((nth, failed)) = self.feed.try_update_value(|feed| {
            feed.nth += 1;
            feed.failed = feed.failed.saturating_add(1);
            (feed.nth, feed.failed - 1)
        }) else {
            return;
        };
        self.replace(None);
        // A server that is started again is there in a moment: nobody needs to be told of that.
        if failed > 0 {
            self.link.set(Link::Lost);
        }
        let again = move || {
            if self.feed.with_value(|feed| feed.nth == nth) {
                spawn_local(self.probe(nth));
            }
        };
        set_timeout(again, Duration::from_millis(u64::from(remote::wait(failed))));
    }

    /// Whether the server is there, and whether it lets us in, which a socket that is refused does not tell.
    async fn probe(self, nth: u64) {
        let answer = api::counts().await;
        if self.feed.with_value(|feed| feed.nth != nth) {
            return;
        }
        match answer {
            Err(api::Trouble::SignedOut) => self.link.set(Link::SignedOut),
            Err(api::Trouble::Offline) => self.stumbled(),
            _ => self.connect(),
        }
    }

    /// Where to listen: the last event that was heard is behind us.
    fn address(self) -> Option<String> {
        let base = document().base_uri().ok().flatten()?;
        let url = web_sys::Url::new_with_base(&api::address("ws"), &base).ok()?;
        url.set_protocol(if url.protocol() == "https:" { "wss:" } else { "ws:" });
        if let Some(last) = self.feed.with_value(|feed| feed.last) {
            url.set_search(&format!("after={last}"));
        }
        Some(url.href())
    }
}
