//! The page: forms, pictures and models, in front of an engine that may be anywhere ([`backend`]).

pub mod backend;
pub mod bench;
pub mod drop;
pub mod gallery;
pub mod history;
pub mod local;
pub mod maker;
pub mod mark;
pub mod notices;
pub mod panels;
pub mod pixels;
pub mod preferences;
pub mod restore;
pub mod server;
pub mod session;
pub mod shell;
pub mod shortcuts;
pub mod studio;
pub mod theme;
mod title;
pub mod viewer;
pub mod webgpu;
pub mod widgets;

/// Puts the page up and starts the engine's worker; with `?bench` in the address, a table of times instead.
pub fn start() {
    console_error_panic_hook::set_once();
    if bench::is_wanted() {
        leptos::mount::mount_to_body(bench::Bench);
    } else {
        leptos::mount::mount_to_body(shell::Shell);
    }
}
