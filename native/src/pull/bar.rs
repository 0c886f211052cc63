//! The progress of a download: bytes, speed and the time that is left, on the standard error where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::news::News;
use crate::terminal;

const TICK: Duration = Duration::from_millis(120);
const WAITING: &str = "{spinner:.cyan} {msg} {elapsed}";
const KNOWN: &str = "{msg} {bar:24.cyan/dim} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left";
const UNKNOWN: &str = "{spinner:.cyan} {msg} {decimal_bytes} {decimal_bytes_per_sec}";

/// The longest name that is shown in full.
const NAME: usize = 36;

/// A line that tells what is being fetched.
pub(crate) struct Bar {
    bar: ProgressBar,
    total: Option<u64>,
}

impl Bar {
    /// A line that is not yet shown.
    pub(crate) fn new() -> Self {
        Self { bar: ProgressBar::no_length(), total: None }
    }

    /// Shows news.
    pub(crate) fn show(&mut self, news: News) {
        match news {
            News::Wait(what) => {
                self.bar.set_style(style(WAITING));
                self.bar.set_message(terminal::harmless(&what).into_owned());
                self.bar.enable_steady_tick(TICK);
            }
            News::Line(line) => self.bar.suspend(|| terminal::say(terminal::harmless(&line))),
            News::Total(total) => self.total = total,
            News::File(name, at) => {
                self.bar.set_style(style(if self.total.is_some() { KNOWN } else { UNKNOWN }));
                self.bar.set_message(shortened(&terminal::harmless(&name)));
                match self.total {
                    Some(total) => self.bar.set_length(total),
                    None => self.bar.unset_length(),
                }
                // What was there before took no time, and must not count as speed.
                let is_jump = at > self.bar.position();
                self.bar.set_position(at);
                if is_jump {
                    self.bar.reset_eta();
                }
            }
            News::At(at) => self.bar.set_position(at),
        }
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// The end of a long name, which tells more than its beginning.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME { name.to_owned() } else { format!("…{}", name.chars().skip(count + 1 - NAME).collect::<String>()) }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants; a wrong one would show as the plain default.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─")
}
