//! Whether the browser can compute at all, told before anything is fetched.

use js_sys::Reflect;
use leptos::prelude::*;

use super::server;

/// Why nothing can be computed here, as sentences with what to do; `None` if it can, as far as the page sees.
pub fn obstacle() -> Option<Vec<&'static str>> {
    // A server computes with its own devices.
    if server::is_here() {
        return None;
    }
    let navigator = window().navigator();
    let has_it = Reflect::get(&navigator, &"gpu".into()).is_ok_and(|gpu| gpu.is_truthy());
    if has_it {
        return None;
    }
    if !window().is_secure_context() {
        return Some(vec![
            "This page came over plain http, and browsers give WebGPU, which Encaustic computes with, to secure pages only.",
            "Open it with https, or from this machine (http://localhost).",
        ]);
    }
    Some(vec![
        "This browser does not offer WebGPU, which Encaustic computes with.",
        "Chrome and Edge have it from version 113, on Linux behind chrome://flags/#enable-unsafe-webgpu; Safari from version 26; \
         Firefox from version 141 on Windows, and behind dom.webgpu.enabled in about:config elsewhere.",
        "If yours is one of these, see that hardware acceleration is on in its settings, and reload the page.",
    ])
}
