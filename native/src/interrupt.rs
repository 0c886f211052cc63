//! Ctrl-C: the first asks the work to stop (a run after its step, a download at once), the second ends the process at once.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{files, terminal};

/// The exit status of a program that was interrupted, by the convention of shells (128 + SIGINT).
pub const STATUS: u8 = 130;

const AFTER_STEP: &str = "\nstopping after this step; Ctrl-C again ends at once";

static ASKED: AtomicBool = AtomicBool::new(false);

/// What the first one says, once a handler is set.
static WORDS: Mutex<Option<&str>> = Mutex::new(None);

/// Begins to listen. Before this Ctrl-C ends the process, as everywhere.
///
/// # Errors
/// If the system refuses the handler.
pub fn listen() -> Result<(), ctrlc::Error> {
    listen_saying(AFTER_STEP)
}

/// Begins to listen, with other words for what happens. A later call only changes the words.
///
/// # Errors
/// If the system refuses the handler.
#[allow(clippy::disallowed_methods)] // to end at once, whatever is under way, is what the second Ctrl-C asks for
pub fn listen_saying(words: &'static str) -> Result<(), ctrlc::Error> {
    if WORDS.lock().unwrap_or_else(PoisonError::into_inner).replace(words).is_some() {
        return Ok(());
    }
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            files::remove_unfinished();
            process::exit(STATUS.into());
        }
        terminal::say(WORDS.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(AFTER_STEP));
    })
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
