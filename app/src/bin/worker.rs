//! The engine's worker: what `cargo xtask web` turns into `worker.js` and `worker_bg.wasm`.

/// Starts listening; wasm-bindgen calls this as soon as the worker is there.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
fn main() {
    encaustic_app::worker::start();
}

/// There is no worker outside a browser.
#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
fn main() {
    eprintln!("this is the browser's worker: build it with `cargo xtask web`; on this system there is `encaustic`");
}
