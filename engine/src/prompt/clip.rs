//! The vocabulary of OpenAI's CLIP, for checkpoints that bring no tokenizer.
//!
//! Only the merges are kept (`assets/clip/`): the vocabulary is the 256 byte symbols, the same with `</w>`, the
//! product of each merge in order, and the two special tokens.

use std::io::Read;
use std::sync::OnceLock;

use flate2::read::GzDecoder;

use super::tokenizer::{BOS, EOS, Vocabulary, parse_merges};

static MERGES: &[u8] = include_bytes!("../../../assets/clip/merges.txt.gz");

/// CLIP's 49,408 tokens and 48,894 merges. The text is unpacked at the first call.
pub(super) fn vocabulary() -> Vocabulary {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let mut text = String::new();
        // The bytes are part of the program and tested; a reader of memory has no other way to fail.
        let _ = GzDecoder::new(MERGES).read_to_string(&mut text);
        text
    });
    let merges = parse_merges(text);
    let symbols: Vec<String> = byte_symbols().map(String::from).collect();
    let words = symbols.iter().map(|symbol| format!("{symbol}</w>"));
    let products = merges.iter().map(|(left, right)| format!("{left}{right}"));
    let tokens = symbols.iter().cloned().chain(words).chain(products).chain([BOS.to_owned(), EOS.to_owned()]);
    Vocabulary { ids: tokens.zip(0..).collect(), merges, added: Vec::new() }
}

/// The printable characters that stand for the 256 bytes, in the order of CLIP's ids: bytes that print in Latin-1
/// stand for themselves, the others follow as the characters from U+0100 on.
fn byte_symbols() -> impl Iterator<Item = char> {
    let printable = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ');
    let others = 256 - printable.clone().count() as u32;
    printable.chain((256..256 + others).filter_map(char::from_u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let vocabulary = vocabulary();
        assert_eq!((vocabulary.ids.len(), vocabulary.merges.len()), (49408, 48894));
        let known = [("!", 0), ("Ā", 188), ("!</w>", 256), ("in", 512), (",</w>", 267), ("jekyll</w>", 49405), (EOS, 49407)];
        for (token, id) in known {
            assert_eq!(vocabulary.ids.get(token), Some(&id), "{token}");
        }
    }
}
