//! A model's own tokenizer: whatever its files say, it is refused or it works.
#![no_main]

use encaustic_engine::prompt::{Tokenizer, TokenizerFiles, split};
use encaustic_fuzz::told;
use libfuzzer_sys::fuzz_target;

/// No byte of UTF-8: it stands between the parts of an input.
const BETWEEN: u8 = 0xff;

// A `tokenizer.json` or nothing, a `vocab.json`, a `merges.txt`, a `tokenizer_config.json`, a `special_tokens_map.json`, and a
// text.
fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|byte| *byte == BETWEEN);
    let mut part = || parts.next().filter(|part| !part.is_empty());
    let (tokenizer, vocab, merges, config, special) = (part(), part(), part(), part(), part());
    // CLIP's own table has a target of its own, and takes a second to be made.
    if tokenizer.is_none() && vocab.is_none() && merges.is_none() {
        return;
    }
    let text = String::from_utf8_lossy(part().unwrap_or(b"a red circle, 12 !"));
    let tokenizer = match Tokenizer::new(&TokenizerFiles { tokenizer, vocab, merges, config, special, padding: Some("!") }) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return told(&error),
    };
    match tokenizer.tokens(&text) {
        Ok(tokens) => {
            assert!(tokens.iter().all(|token| *token <= tokenizer.max_id()), "{tokens:?} beyond {}", tokenizer.max_id());
            let window = tokenizer.window(77);
            assert!((3..=77).contains(&window));
            assert!(split(&tokens, &tokenizer, window).iter().all(|chunk| chunk.ids.len() == window));
        }
        Err(error) => told(&error),
    }
});
