//! Prompts longer than an encoder's window, cut into several windows.
//!
//! An encoder sees a fixed number of tokens, 77 for CLIP: the beginning and the end mark and 75 of the prompt. A longer
//! prompt is cut into windows that are encoded apart and joined along the sequence. As in A1111's interface, the cut
//! goes back to a comma if one lies among the window's last 20 tokens, so that a phrase is rather kept whole.

use super::Tokenizer;

/// How far from a window's end a comma may lie and still end it.
const COMMA_REACH: usize = 20;

/// One window: as many ids as the encoder reads at once, marks and padding included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The ids: the beginning mark, the prompt's tokens, the end mark, padding.
    pub ids: Vec<u32>,
}

/// Cuts the tokens of a prompt into windows of `window` ids each; an empty prompt gives one window.
///
/// `window` must have room for the marks and one token; a smaller one is taken as 3.
pub fn split(tokens: &[u32], tokenizer: &Tokenizer, window: usize) -> Vec<Chunk> {
    let room = window.max(3) - 2;
    let mut rest = tokens;
    let mut chunks = Vec::new();
    while !rest.is_empty() || chunks.is_empty() {
        let (now, later) = rest.split_at(cut(rest, room, tokenizer.comma()));
        chunks.push(framed(now, tokenizer, room + 2));
        rest = later;
    }
    chunks
}

/// A window without any of a prompt's tokens: it lengthens the shorter of two prompts. Guidance runs both in one batch,
/// so they must be of one length.
pub fn filler(tokenizer: &Tokenizer, window: usize) -> Chunk {
    framed(&[], tokenizer, window.max(3))
}

/// How many of `tokens` go into a window with `room` for them.
fn cut(tokens: &[u32], room: usize, comma: Option<u32>) -> usize {
    if tokens.len() <= room {
        return tokens.len();
    }
    let reach = room.saturating_sub(COMMA_REACH);
    let last_comma = (reach..room).rev().find(|&at| comma.is_some() && tokens.get(at).copied() == comma);
    last_comma.map_or(room, |at| at + 1)
}

fn framed(tokens: &[u32], tokenizer: &Tokenizer, window: usize) -> Chunk {
    let mut ids = Vec::with_capacity(window);
    ids.push(tokenizer.bos());
    ids.extend_from_slice(tokens);
    ids.push(tokenizer.eos());
    ids.resize(window, tokenizer.pad());
    Chunk { ids }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{TokenizerError, TokenizerFiles};

    const WINDOW: usize = 77;

    fn tokenizer() -> Result<Tokenizer, TokenizerError> {
        Tokenizer::new(&TokenizerFiles::default())
    }

    /// How many tokens each window holds, marks and padding not counted.
    fn lengths(text: &str) -> Vec<usize> {
        let tokenizer = tokenizer().unwrap();
        let tokens = tokenizer.tokens(text).unwrap();
        let chunks = split(&tokens, &tokenizer, WINDOW);
        let mut joined = Vec::new();
        let mut lengths = Vec::new();
        for chunk in &chunks {
            assert_eq!((chunk.ids.len(), chunk.ids[0]), (WINDOW, tokenizer.bos()));
            let length = chunk.ids.iter().position(|&id| id == tokenizer.eos()).unwrap() - 1;
            assert!(chunk.ids[length + 1..].iter().all(|&id| id == tokenizer.pad()));
            joined.extend_from_slice(&chunk.ids[1..=length]);
            lengths.push(length);
        }
        assert_eq!(joined, tokens);
        lengths
    }

    #[test]
    fn a_window_is_filled_before_the_next_begins() {
        let cases: [(&str, usize, &[usize]); 6] = [
            ("", 0, &[0]),
            ("a ", 1, &[1]),
            ("a ", 75, &[75]),
            ("a ", 76, &[75, 1]),
            ("a ", 150, &[75, 75]),
            ("a ", 151, &[75, 75, 1]),
        ];
        for (word, count, expected) in cases {
            assert_eq!(lengths(&word.repeat(count)), expected, "{count} times {word:?}");
        }
    }

    #[test]
    fn a_cut_goes_back_to_a_near_comma() {
        let with_comma_after = |words: usize| format!("{}, {}", "a ".repeat(words), "a ".repeat(80));
        // The comma is a token itself.
        assert_eq!(lengths(&with_comma_after(70)), [71, 75, 5]);
        assert_eq!(lengths(&with_comma_after(74)), [75, 75, 5]);
        assert_eq!(lengths(&with_comma_after(55)), [56, 75, 5]);
        assert_eq!(lengths(&with_comma_after(54)), [75, 60], "a comma too far from the end");
    }

    #[test]
    fn an_empty_prompt_is_a_filler() {
        let tokenizer = tokenizer().unwrap();
        assert_eq!(split(&[], &tokenizer, WINDOW), [filler(&tokenizer, WINDOW)]);
    }
}
