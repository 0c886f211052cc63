//! Names of pictures for people, made of a pattern such as `{date}/{number}-{seed}`.
//!
//! A name holds whatever a prompt holds, and goes into folders, archives and headers. So values lose what any system takes for
//! more than a letter: separators, what Windows forbids, control characters, names of its devices; every part has a limit.

use std::fmt::Write;

use crate::config::Setting;
use crate::time::{Millis, civil};

/// The most bytes of a part of a name, before its ending; file systems allow 255.
const PART_BYTES: usize = 160;
/// The most bytes of a prompt in a name.
const PROMPT_BYTES: usize = 60;
/// The most bytes of a pattern.
const PATTERN_BYTES: usize = 200;
/// What Windows takes for a device, whatever ending it has.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$"];

/// What can stand between braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Date,
    Time,
    Number,
    Seed,
    Model,
    Prompt,
    Width,
    Height,
    Job,
}

const TOKENS: &[(&str, Token)] = &[
    ("date", Token::Date),
    ("time", Token::Time),
    ("number", Token::Number),
    ("seed", Token::Seed),
    ("model", Token::Model),
    ("prompt", Token::Prompt),
    ("width", Token::Width),
    ("height", Token::Height),
    ("job", Token::Job),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Token(Token),
}

/// How names are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// The folders and, last, the file.
    parts: Vec<Vec<Piece>>,
}

/// What a name tells of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// When it was made.
    pub at: Millis,
    /// Its seed.
    pub seed: u64,
    /// Its model.
    pub model: &'a str,
    /// Its prompt.
    pub prompt: &'a str,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Its job, if it has one.
    pub job: Option<u64>,
}

/// A name with a gap where its number goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The folders.
    pub folders: Vec<String>,
    /// The file's name up to the number, or all of it.
    pub before: String,
    /// What comes after the number, if the name has one.
    pub after: Option<String>,
}

impl Default for Pattern {
    fn default() -> Self {
        let tokens = [Token::Number, Token::Seed].map(Piece::Token);
        let [number, seed] = tokens;
        Self {
            text: "{date}/{number}-{seed}".to_owned(),
            parts: vec![vec![Piece::Token(Token::Date)], vec![number, Piece::Text("-".to_owned()), seed]],
        }
    }
}

impl Setting for Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.len() > PATTERN_BYTES {
            return Err(format!("a pattern has from 1 to {PATTERN_BYTES} bytes, such as {{date}}/{{number}}-{{seed}}"));
        }
        let parts = text.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        let numbers = |part: &[Piece]| part.iter().filter(|piece| **piece == Piece::Token(Token::Number)).count();
        let (file, folders) = parts
            .split_last()
            .map_or((0, 0), |(file, folders)| (numbers(file), folders.iter().map(|folder| numbers(folder)).sum()));
        if folders > 0 || file > 1 {
            return Err(format!("{text:?}: {{number}} may stand once, and behind the last slash"));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    fn write(&self) -> String {
        self.text.clone()
    }
}

/// What stands between two slashes.
fn part(text: &str) -> Result<Vec<Piece>, String> {
    let wrong = |problem: &str| format!("{text:?} in a pattern: {problem}");
    if text.trim_matches(['.', ' ']).is_empty() {
        return Err(wrong("a folder or file needs a name other than dots"));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, token) = rest.split_once('{').map_or((rest, None), |(literal, token)| (literal, Some(token)));
        if literal.chars().any(|c| !is_safe(c) || c == '}') {
            return Err(wrong(r#"no brace without its other, and none of \ : * ? " < > |"#));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.to_owned()));
        }
        let Some(token) = token else { break };
        let (name, behind) = token.split_once('}').ok_or_else(|| wrong("`{` without `}`"))?;
        let found = TOKENS.iter().find(|(known, _)| *known == name).map(|(_, token)| *token);
        let names = TOKENS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        pieces.push(Piece::Token(found.ok_or_else(|| wrong(&format!("between braces there may be {names}")))?));
        rest = behind;
    }
    Ok(pieces)
}

impl Pattern {
    /// The name of a picture.
    pub fn name(&self, facts: &Facts<'_>) -> Name {
        let Some((file, folders)) = self.parts.split_last() else {
            return Name { folders: Vec::new(), before: "_".to_owned(), after: None };
        };
        let folders = folders.iter().map(|folder| safe(&filled(folder, facts))).collect();
        match file.iter().position(|piece| *piece == Piece::Token(Token::Number)) {
            None => Name { folders, before: safe(&filled(file, facts)), after: None },
            Some(at) => {
                let (before, after) = file.split_at(at);
                let before = filled(before, facts);
                let after = filled(after.get(1..).unwrap_or_default(), facts);
                // The number comes between, so what is before it ends, and what is after begins, as it likes.
                let before = cut(before.trim_start_matches(['.', ' ']), PART_BYTES / 2).to_owned();
                let after = cut(&after, PART_BYTES / 2).trim_end_matches(['.', ' ']).to_owned();
                Name { folders, before, after: Some(after) }
            }
        }
    }
}

impl Name {
    /// The file's name with a number; without an ending.
    pub fn numbered(&self, number: u64) -> String {
        match &self.after {
            Some(after) => format!("{}{number:05}{after}", self.before),
            None if number <= 1 => self.before.clone(),
            None => format!("{}-{number}", self.before),
        }
    }

    /// The number in a file's name (without its ending) that [`Name::numbered`] would make.
    pub fn number_in(&self, name: &str) -> Option<u64> {
        let digits = match &self.after {
            Some(after) => name.strip_prefix(&self.before)?.strip_suffix(after.as_str())?,
            None if name == self.before => return Some(1),
            None => name.strip_prefix(&self.before)?.strip_prefix('-')?,
        };
        let is_number = !digits.is_empty() && digits.len() < 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok())?
    }

    /// The whole name with slashes between its parts.
    pub fn path(&self, number: u64, ending: &str) -> String {
        let mut path = String::new();
        for folder in &self.folders {
            path += folder;
            path.push('/');
        }
        path + &self.numbered(number) + "." + ending
    }
}

fn filled(pieces: &[Piece], facts: &Facts<'_>) -> String {
    let mut text = String::new();
    for piece in pieces {
        // Writing to a text does not fail.
        let _ = match piece {
            Piece::Text(literal) => text.write_str(literal),
            Piece::Token(token) => token.write(facts, &mut text),
        };
    }
    text
}

impl Token {
    fn write(self, facts: &Facts<'_>, to: &mut String) -> std::fmt::Result {
        let moment = civil(facts.at);
        match self {
            Self::Date => write!(to, "{:04}-{:02}-{:02}", moment.year, moment.month, moment.day),
            Self::Time => write!(to, "{:02}-{:02}-{:02}", moment.hour, moment.minute, moment.second),
            // It stands in a gap of its own.
            Self::Number => Ok(()),
            Self::Seed => write!(to, "{}", facts.seed),
            Self::Model => to.write_str(&plain(facts.model, PROMPT_BYTES)),
            Self::Prompt => to.write_str(&plain(facts.prompt, PROMPT_BYTES)),
            Self::Width => write!(to, "{}", facts.width),
            Self::Height => write!(to, "{}", facts.height),
            Self::Job => match facts.job {
                Some(job) => write!(to, "{job}"),
                None => to.write_str("upload"),
            },
        }
    }
}

/// Whether a character means nothing but itself, on every system. Marks that turn the direction of writing can make a name
/// look like another.
fn is_safe(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !turns && !matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
}

/// A value within a name: one line of safe characters.
fn plain(value: &str, most: usize) -> String {
    let safe: String = value.chars().take(most * 4).map(|c| if is_safe(c) { c } else { ' ' }).collect();
    let words: Vec<&str> = safe.split_whitespace().collect();
    cut(&words.join(" "), most).trim_matches(['.', ' ']).to_owned()
}

/// A part of a name.
fn safe(part: &str) -> String {
    let part: String = part.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    let part = cut(part.trim_matches(['.', ' ']), PART_BYTES).trim_matches(['.', ' ']);
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_uppercase();
    let is_port = |name: &str| {
        let digit = name.strip_prefix("COM").or_else(|| name.strip_prefix("LPT"));
        digit.is_some_and(|digit| ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"].contains(&digit))
    };
    if part.is_empty() {
        "_".to_owned()
    } else if DEVICES.contains(&stem.as_str()) || is_port(&stem) {
        format!("_{part}")
    } else {
        part.to_owned()
    }
}

/// At most so many bytes, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'_> = Facts {
        at: 1_789_000_000_000,
        seed: 7,
        model: "hf:owner/name",
        prompt: "a lighthouse, at \"night\"",
        width: 64,
        height: 72,
        job: Some(5),
    };

    #[test]
    fn a_name_is_what_the_pattern_says() {
        for (pattern, name) in [
            ("{date}/{number}-{seed}", "2026-09-10/00003-7.png"),
            ("{prompt}", "a lighthouse, at night-3.png"),
            ("{model}/{prompt}-{width}x{height}_{number}", "hf owner name/a lighthouse, at night-64x72_00003.png"),
            ("x{job}/{time}{number}", "x5/00-26-4000003.png"),
            ("{number}", "00003.png"),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            let made = pattern.name(&FACTS);
            assert_eq!(made.path(3, "png"), name);
            for number in [1, 3, 99_999, 1_000_000] {
                assert_eq!(made.number_in(&made.numbered(number)), Some(number), "{made:?}");
            }
            assert_eq!(made.number_in("another"), None);
        }
        assert_eq!(Pattern::parse(&Pattern::default().write()).unwrap(), Pattern::default());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "",
            "/",
            "/x",
            "x/",
            "..",
            "../x",
            "x/../y",
            ".",
            "x//y",
            "{nothing}",
            "{date",
            "date}",
            "x{",
            r"a\b",
            "c:x",
            "a*",
            "a?",
            "a|b",
            "a<b",
            "a\nb",
            "a\0b",
            "{number}/{seed}",
            "{number}{number}",
            "{}",
            "{{date}}",
        ] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn no_value_makes_more_than_a_name() {
        let pattern = Pattern::parse("{model}/{prompt}").unwrap();
        let long = "ä".repeat(10_000);
        for value in [
            "",
            ".",
            "..",
            "...",
            "../..",
            "/etc/passwd",
            r"..\..\x",
            "C:\\x",
            "a\0b",
            "a\nb",
            "CON",
            "con.txt",
            "nul",
            "COM1",
            "lpt9.x",
            " x ",
            "x.",
            "~",
            "-rf",
            "%2e%2e%2f",
            "a:b",
            "<script>",
            "\u{202e}gnp.exe",
            "a\u{2028}b",
            "LPT¹",
            &long,
        ] {
            let name = pattern.name(&Facts { prompt: value, model: value, ..FACTS });
            for part in name.folders.iter().chain([&name.numbered(1)]) {
                assert!(!part.is_empty() && part.len() <= PART_BYTES, "{value:?}: {part:?}");
                assert!(part.chars().all(is_safe), "{value:?}: {part:?}");
                assert!(!part.starts_with(['.', ' ']) && !part.ends_with(['.', ' ']), "{value:?}: {part:?}");
                let stem = part.split('.').next().unwrap().to_uppercase();
                assert!(!["CON", "NUL", "COM1", "LPT9", "LPT¹"].contains(&stem.as_str()), "{value:?}: {part:?}");
            }
        }
    }
}
