//! The page: what trunk turns into a script and its WebAssembly.

/// Puts the page up.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
fn main() {
    encaustic_app::page::start();
}

/// There is no page outside a browser.
#[cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]
fn main() {
    eprintln!("this is the browser's page: build it with `cargo xtask web`; on this system there is `encaustic`");
}
