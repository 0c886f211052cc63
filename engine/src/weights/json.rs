//! What is said of JSON that is not as it must be.

/// As much of a message as is shown, in characters: a tensor's name, which has at most 512 bytes, and what is wrong with it.
const SHOWN: usize = 700;

/// What the JSON parser says, cut short and without control characters: it quotes the text, which is a stranger's.
pub(super) fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.len() > SHOWN {
        shown += &format!("... at line {} column {}", error.line(), error.column());
    }
    shown
}
