//! Prompts: any text becomes ids that the text encoder has, in windows that hold all of them.
#![no_main]

use std::sync::OnceLock;

use encaustic_engine::prompt::{Tokenizer, TokenizerFiles, split};
use libfuzzer_sys::fuzz_target;

const WINDOW: usize = 77;

/// CLIP's own table.
fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| Tokenizer::new(&TokenizerFiles::default()).expect("the table in the box is good"))
}

fuzz_target!(init: { tokenizer(); }, |text: &str| {
    let tokenizer = tokenizer();
    let tokens = tokenizer.tokens(text).expect("every text has tokens");
    assert!(tokens.iter().all(|token| *token <= tokenizer.max_id()));
    let windows = split(&tokens, tokenizer, WINDOW);
    assert!(windows.iter().all(|window| window.ids.len() == WINDOW && window.ids[0] == tokenizer.bos()));
    // At most 20 of a window's 75 places are left over for the sake of a comma.
    assert!(windows.len() <= 1 + tokens.len() / 55, "{} windows for {} tokens", windows.len(), tokens.len());
    // (A text may spell out the end mark. Then where a window's tokens end cannot be told.)
    if !tokens.contains(&tokenizer.eos()) {
        let held = windows.iter().flat_map(|window| window.ids[1..].iter().take_while(|id| **id != tokenizer.eos()));
        assert!(held.eq(&tokens), "the windows do not hold the text");
        assert!(windows.iter().all(|window| window.ids.contains(&tokenizer.eos())), "a window without an end");
    }
});
