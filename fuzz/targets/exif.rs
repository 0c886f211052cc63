//! EXIF of strangers' JPEG and WebP files: a comment, or none; and what is written is read again.
#![no_main]

use encaustic_picture::exif;
use libfuzzer_sys::fuzz_target;

/// What a JPEG has room for.
const MOST: usize = 65_000;

fuzz_target!(|data: &[u8]| {
    let Some(text) = exif::read(data) else { return };
    // A character has at most three bytes per byte that was read: a replacement for what is none.
    assert!(text.len() <= 3 * data.len());
    // A byte order mark at the beginning is no part of a text, and neither are NULs at its end.
    let text = text.trim_start_matches('\u{feff}').trim_end_matches('\0');
    if let Some(written) = exif::write(text, MOST) {
        assert!(written.len() <= MOST);
        let _ = exif::read(&written);
    }
});
