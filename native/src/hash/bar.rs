//! The progress of hashing large files: on the standard error, and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Files below this size are done before anybody can read a line about them, in bytes.
const SMALL: u64 = 64 << 20;
const TEMPLATE: &str = "{msg} {bar:30.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec}";

/// A line that tells which file is being hashed.
#[derive(Default)]
pub struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    /// A line that is not yet shown.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many bytes of a file are done.
    pub fn show(&mut self, what: &str, done: u64, of: u64) {
        if of < SMALL {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            // The template is a constant; a wrong one would show as the plain default.
            let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(of).with_style(style.progress_chars("━━─")).with_message(what.to_owned())
        });
        bar.set_position(done);
        if done >= of {
            self.clear();
        }
    }

    /// Removes the line.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
