//! Ctrl-C: the first asks the work to stop (a run after its step, a download at once), the second ends the process at once.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;
use crate::{files, terminal};

/// The exit status of a program that was interrupted, by the convention of shells (128 + SIGINT).
pub const STATUS: u8 = 130;

/// What the first one says where work goes on to the end of its step.
pub const AFTER_STEP: &str = "\nstopping after this step; Ctrl-C again ends at once";
/// What it says elsewhere.
pub const AT_ONCE: &str = "\nstopping; Ctrl-C again ends at once";

static ASKED: AtomicBool = AtomicBool::new(false);

/// What the first one says, once a handler is set.
static WORDS: Mutex<Option<&str>> = Mutex::new(None);

/// Begins to listen; `words` say what happens then. Before this Ctrl-C ends the process, as everywhere. A later call only
/// changes the words.
///
/// # Errors
/// If the system refuses the handler.
#[allow(clippy::disallowed_methods)] // to end at once, whatever is under way, is what the second Ctrl-C asks for
pub fn listen(words: &'static str) -> Result<(), Failure> {
    if WORDS.lock().unwrap_or_else(PoisonError::into_inner).replace(words).is_some() {
        return Ok(());
    }
    let set = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            files::remove_unfinished();
            process::exit(STATUS.into());
        }
        terminal::say(WORDS.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(AT_ONCE));
    });
    set.map_err(|error| Failure::System(format!("Ctrl-C cannot be caught: {error}")))
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
