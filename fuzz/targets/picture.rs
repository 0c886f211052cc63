//! Pictures of strangers: whatever a PNG file holds as text becomes a request that is allowed, or a short refusal.
//!
//! The first byte says what the rest is: a file, or a text under one of the keywords that programs use. (A fuzzer does not find
//! check sums by itself.)
#![no_main]

use std::io::Cursor;

use encaustic_engine::catalog::catalog;
use encaustic_fuzz::told;
use encaustic_picture::infotext::Infotext;
use encaustic_picture::png_text::{self, PngText, TEXT_LIMIT};
use encaustic_picture::restore;
use encaustic_protocol::validate;
use libfuzzer_sys::fuzz_target;

const KEYWORDS: [&str; 4] = ["parameters", "prompt", "invokeai_metadata", "sd-metadata"];

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let png = match KEYWORDS.get(usize::from(first % 5)) {
        Some(keyword) => {
            let text = String::from_utf8_lossy(rest).into_owned();
            PngText { entries: vec![((*keyword).to_owned(), text)], ..PngText::default() }
        }
        None => match png_text::read(Cursor::new(rest)) {
            Ok(png) => png,
            Err(error) => return told(&error),
        },
    };
    assert!(png.entries.iter().map(|(keyword, text)| keyword.len() + text.len()).sum::<usize>() <= 2 * TEXT_LIMIT);
    if let Some(text) = png.get("parameters") {
        // What has been read is written such that it is read again.
        let info = Infotext::parse(text);
        let _ = Infotext::parse(&info.to_string());
    }
    let catalog = catalog();
    match restore::read(&png, &catalog) {
        Ok(restored) => {
            validate(&restored.request, &catalog).expect("what is not allowed is not taken over");
            restored.notes.iter().for_each(|note| told(note));
        }
        Err(error) => told(&error),
    }
});
