//! The progress bar: on the standard error, and only where that is a terminal.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::terminal;

/// How often a waiting line moves.
const TICK: Duration = Duration::from_millis(120);

const WAITING: &str = "{spinner:.cyan} {msg} {elapsed}";
const STEPPING: &str = "{msg} {bar:30.cyan/dim} {pos}/{len} {rate} {left}";
const READING: &str = "{msg} {bar:30.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec} {left}";

/// A line that tells what is done now.
pub struct Progress {
    bar: ProgressBar,
    is_stepping: bool,
}

impl Progress {
    /// A line that is not yet shown.
    pub fn new() -> Self {
        let bar = ProgressBar::no_length();
        Self { bar, is_stepping: false }
    }

    /// Something begins that takes a while.
    pub fn wait(&mut self, what: &str) {
        self.is_stepping = false;
        self.bar.set_style(style(WAITING));
        self.bar.set_message(what.to_owned());
        self.bar.reset();
        self.bar.enable_steady_tick(TICK);
    }

    /// So many steps of a row are done.
    pub fn steps(&mut self, what: &str, done: u64, of: u64) {
        self.row(STEPPING, what, done, of);
    }

    /// So many bytes are done.
    pub fn bytes(&mut self, what: &str, done: u64, of: u64) {
        self.row(READING, what, done, of);
    }

    fn row(&mut self, template: &str, what: &str, done: u64, of: u64) {
        if !self.is_stepping {
            self.is_stepping = true;
            self.bar.disable_steady_tick();
            self.bar.set_length(of);
            self.bar.set_style(style(template));
            self.bar.set_message(what.to_owned());
            self.bar.reset();
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
    }

    /// Prints a line above; on a terminal or not.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| terminal::say(line));
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; a wrong one would show as the plain default.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━━─").with_key("rate", rate).with_key("left", left)
}

/// Steps per second, or seconds per step where those are more than one.
fn rate(state: &ProgressState, to: &mut dyn Write) {
    let per_second = state.per_sec();
    let _ = match per_second {
        _ if state.pos() == 0 || !per_second.is_finite() || per_second <= 0.0 => Ok(()),
        fast if fast >= 1.0 => write!(to, "{fast:.2} it/s"),
        slow => write!(to, "{:.2} s/it", 1.0 / slow),
    };
}

/// The remaining time.
fn left(state: &ProgressState, to: &mut dyn Write) {
    if state.pos() > 0 {
        let seconds = state.eta().as_secs();
        let _ = write!(to, "{:02}:{:02} left", seconds / 60, seconds % 60);
    }
}
