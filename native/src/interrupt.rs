//! Ctrl-C: the first asks the run to stop after its step, the second ends the process at once.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{files, terminal};

/// The exit status of a program that was interrupted, by the convention of shells (128 + SIGINT).
pub const STATUS: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Begins to listen. Before this Ctrl-C ends the process, as everywhere.
///
/// # Errors
/// If the system refuses the handler.
#[allow(clippy::disallowed_methods)] // to end at once, whatever is under way, is what the second Ctrl-C asks for
pub fn listen() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            files::remove_unfinished();
            process::exit(STATUS.into());
        }
        terminal::say("\nstopping after this step; Ctrl-C again ends at once");
    })
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
