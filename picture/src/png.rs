//! Writes pictures: 8-bit RGB PNG with the settings in a text chunk.

use std::io::{self, Write};

use crate::infotext::KEYWORD;

/// A picture as it is saved: rows from the top, three bytes (red, green, blue) a pixel.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub rgb: &'a [u8],
}

/// Encodes a picture. The same picture and text give the same bytes.
///
/// `parameters` becomes a `tEXt` chunk where Latin-1 can express it, as PNG has it and as A1111 does; else `iTXt`.
///
/// # Errors
/// What the writer reports, and [`io::ErrorKind::InvalidInput`] if the sizes disagree or the text holds a NUL.
pub fn write(picture: Pixels<'_>, parameters: &str, to: impl Write) -> io::Result<()> {
    if parameters.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a PNG text cannot hold a NUL character"));
    }
    let mut encoder = png::Encoder::new(to, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let is_latin1 = parameters.chars().all(|c| u32::from(c) < 256);
    if is_latin1 {
        encoder.add_text_chunk(KEYWORD.to_owned(), parameters.to_owned()).map_err(flatten)?;
    } else {
        encoder.add_itxt_chunk(KEYWORD.to_owned(), parameters.to_owned()).map_err(flatten)?;
    }
    let mut writer = encoder.write_header().map_err(flatten)?;
    writer.write_image_data(picture.rgb).map_err(flatten)?;
    writer.finish().map_err(flatten)
}

/// Keeps the system's error (a full disk, say) where there is one.
fn flatten(error: png::EncodingError) -> io::Error {
    match error {
        png::EncodingError::IoError(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidInput, other),
    }
}
