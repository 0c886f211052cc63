//! JSON that another program has written into a picture.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Program, RestoreError};

/// The most that is read, in bytes: graphs of thousands of nodes take less, and what is parsed takes a multiple of it.
pub(super) const LIMIT: usize = 4 << 20;

/// Reads an object.
pub(super) fn object(text: &str, program: Program) -> Result<Map<String, Value>, RestoreError> {
    if text.len() > LIMIT {
        return Err(RestoreError::TooLarge { program, bytes: text.len() });
    }
    let damaged = |reason: String| RestoreError::Damaged { program, reason };
    match serde_json::from_str(&without_nan(text)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(damaged("they are no JSON object".to_owned())),
        Err(error) => Err(damaged(error.to_string())),
    }
}

/// Python writes `NaN` and `Infinity`, which are no JSON; ComfyUI does so in places that say nothing about the picture.
fn without_nan(text: &str) -> Cow<'_, str> {
    const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_quoted = false;
    while let Some(c) = rest.chars().next() {
        let word = if is_quoted { None } else { WORDS.iter().find(|word| rest.starts_with(**word)) };
        let taken = match word {
            Some(word) => {
                clean.push_str("null");
                word.len()
            }
            None => {
                let escaped = if is_quoted && c == '\\' { rest.chars().nth(1).map_or(0, char::len_utf8) } else { 0 };
                is_quoted ^= c == '"';
                let taken = c.len_utf8() + escaped;
                clean.push_str(rest.get(..taken).unwrap_or(rest));
                taken
            }
        };
        rest = rest.get(taken..).unwrap_or("");
    }
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_words_are_replaced() {
        for (text, clean) in [
            (r#"{"a": [NaN]}"#, r#"{"a": [null]}"#),
            (r#"{"a": -Infinity, "b": Infinity}"#, r#"{"a": null, "b": null}"#),
            (r#"{"NaN": "say \"NaN\" é", "b": NaN}"#, r#"{"NaN": "say \"NaN\" é", "b": null}"#),
            (r#"{"a": "NaN\\", "b": NaN}"#, r#"{"a": "NaN\\", "b": null}"#),
            ("NaN\"\\", "null\"\\"),
        ] {
            assert_eq!(without_nan(text), clean);
        }
    }
}
