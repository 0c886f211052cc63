//! What the fuzz targets share: how a refusal has to read.

use std::fmt::Display;

/// Words about a stranger's file end in a terminal: they are short, whatever is in the file, and steer nothing there.
pub fn told(refusal: &dyn Display) {
    let text = refusal.to_string();
    assert!(text.len() <= 8000, "an endless message: {} bytes", text.len());
    assert!(!text.contains(char::is_control), "a message with control characters: {text:?}");
}
