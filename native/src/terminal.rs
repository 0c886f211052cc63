//! What the program prints: results on the standard output, everything else on the standard error; and text from strangers
//! so that it can do no harm there.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

/// Prints a line on the standard output.
///
/// # Errors
/// If it cannot be written, but for one reason: that nobody reads on (`| head`) is no failure.
pub fn tell(line: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::System(format!("the output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a line on the standard error. Where that fails there is nobody left to tell.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Makes text from a file harmless to print: control characters (which can move the cursor, hide text or talk to the
/// terminal) become `\u{1b}` and the like. Line breaks and tabs stay.
pub fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_direction(c);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            plain.extend(c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// Whether a character turns the direction of writing, so that a text reads otherwise than it stands.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text as it is for a file or a program, [`harmless`] for a terminal.
pub fn for_stdout(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { harmless(text) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        for (text, shown) in [
            ("plain\ttext\n絵 🎨", "plain\ttext\n絵 🎨"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("a\rb\u{9b}c", "a\\u{d}b\\u{9b}c"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }
}
