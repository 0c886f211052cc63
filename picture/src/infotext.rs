//! "Infotext": the settings of a picture as one piece of text, the way A1111's web interface began it and most
//! tools since then read and write it. It sits in a PNG under the keyword `parameters`:
//!
//! ```text
//! a red circle above a blue square
//! Negative prompt: blurry
//! Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 42, Size: 512x768
//! ```
//!
//! The format has no escape for the prompts, so a prompt can look like settings; the reader decides as A1111's does
//! (the last line is settings when it holds three or more), because files from there must read the same here.

use std::collections::HashMap;
use std::fmt;

/// The keyword of the PNG text chunk that carries an infotext.
pub const KEYWORD: &str = "parameters";

const NEGATIVE: &str = "Negative prompt:";

/// With fewer pairs than this the last line belongs to the prompt.
const LEAST_PAIRS: usize = 3;

/// A picture's prompts and settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Infotext {
    /// What the picture should show; may have several lines.
    pub prompt: String,
    /// What it should not show; empty if nothing.
    pub negative: String,
    /// Name and value in the order of the file; no name twice.
    pub settings: Vec<(String, String)>,
}

impl Infotext {
    /// Appends a setting. The name should be made of word characters, spaces, `-` and `/`, or readers will miss it.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) {
        self.settings.push((name.to_owned(), value.to_string()));
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads an infotext. Every text is one: what is no setting is prompt. Takes time linear in the length.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let (body, last) = text.rsplit_once('\n').unwrap_or(("", text));
        let mut settings = pairs(last);
        let body = if settings.len() < LEAST_PAIRS {
            settings.clear();
            text
        } else {
            body
        };
        let mut parsed = Self::default();
        let mut negative = false;
        for line in body.lines().map(str::trim) {
            let line = match line.strip_prefix(NEGATIVE) {
                Some(rest) => {
                    negative = true;
                    rest.trim()
                }
                None => line,
            };
            let part = if negative { &mut parsed.negative } else { &mut parsed.prompt };
            if !part.is_empty() {
                part.push('\n');
            }
            part.push_str(line);
        }
        // A name that comes twice keeps its first place and its last value, as in a Python dictionary.
        let mut places = HashMap::new();
        for (name, value) in settings {
            let place = *places.entry(name.clone()).or_insert(parsed.settings.len());
            match parsed.settings.get_mut(place) {
                Some(known) => known.1 = value,
                None => parsed.settings.push((name, value)),
            }
        }
        parsed
    }
}

impl fmt::Display for Infotext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prompt)?;
        if !self.negative.is_empty() {
            write!(f, "\n{NEGATIVE} {}", self.negative)?;
        }
        for (index, (name, value)) in self.settings.iter().enumerate() {
            f.write_str(if index == 0 { "\n" } else { ", " })?;
            write!(f, "{name}: ")?;
            if needs_quotes(value) {
                // A JSON string cannot fail to serialise; the error type has no other case.
                f.write_str(&serde_json::to_string(value).map_err(|_| fmt::Error)?)?;
            } else {
                f.write_str(value)?;
            }
        }
        Ok(())
    }
}

/// The three characters that A1111 quotes for, and what its reader would otherwise take off: quotes and outer spaces.
fn needs_quotes(value: &str) -> bool {
    value.contains([',', '\n', ':']) || value.starts_with('"') || value.trim() != value
}

/// All matches of `\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)` in a line, left to right.
///
/// Written out by hand because that keeps it linear: a run of name characters without a colon behind it is passed
/// over once, where a search by expression would try every start in it.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let Some(begin) = rest.find(is_word) else { break };
        let run = &rest[begin..];
        let end = run.find(|c| !is_name(c)).unwrap_or(run.len());
        let (name, after) = run.split_at(end);
        let Some(after) = after.strip_prefix(':').filter(|_| name.chars().nth(1).is_some()) else {
            // Step over the character that ended the run; it is none of a name's.
            rest = after.char_indices().nth(1).map_or("", |(next, _)| &after[next..]);
            continue;
        };
        let (value, after) = value(after.trim_start());
        found.push((name.to_owned(), value));
        rest = after;
    }
    found
}

/// Splits a value off, without its quotes and the comma behind it.
fn value(text: &str) -> (String, &str) {
    if let Some(end) = quoted_end(text) {
        let (quoted, after) = text.split_at(end);
        if after.is_empty() || after.starts_with(',') {
            let plain = serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned());
            return (plain, after.strip_prefix(',').unwrap_or(after));
        }
    }
    let (value, after) = text.split_once(',').unwrap_or((text, ""));
    (value.to_owned(), after)
}

/// Where a quoted string that begins the text ends (behind its closing quote). An empty one counts as none.
fn quoted_end(text: &str) -> Option<usize> {
    let mut characters = text.char_indices();
    characters.next().filter(|&(_, c)| c == '"')?;
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => drop(characters.next()?),
            '"' => return (at > 1).then_some(at + 1),
            _ => {}
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_name(c: char) -> bool {
    is_word(c) || matches!(c, ' ' | '-' | '/')
}
