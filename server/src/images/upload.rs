//! Pictures of strangers: what they say about themselves, and their pixels, within limits.
//!
//! A file is what its first bytes say, whatever it is called. Nothing of it is kept but its pixels and its settings: the
//! picture is encoded anew, so what else was in the file, before, between or behind, is gone.

use std::io::Cursor;

use encaustic_picture::caption::{self, Tools};
use encaustic_picture::exif;
use encaustic_picture::infotext::KEYWORD;
use encaustic_picture::png_text::{self, PngText};
use encaustic_picture::restore::{self, Restored};
use encaustic_protocol::{Catalog, Request};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::format::Format;
use crate::host::Pixels;

/// The longest side of a picture, in pixels, as requests have it.
pub const SIDE: u32 = 8192;
/// The most bytes that a picture may take when it is decoded.
const DECODED: u64 = 256 << 20;
/// The most bytes of a text that is kept.
const TEXT: usize = 64 << 10;
/// The most bytes of a model's name.
const MODEL: usize = 200;

/// Why a file is not taken for a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// It is something else.
    #[error("the file is no PNG, JPEG or WebP picture; whatever it is called, its first bytes say so")]
    Kind,
    /// It has too many pixels.
    #[error("the picture has {width} x {height} pixels; at most {SIDE} x {SIDE} are taken, and {} MiB when it is decoded", DECODED >> 20)]
    Size {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// It is damaged.
    #[error("the picture is damaged: {0}")]
    Damaged(String),
}

/// What a picture says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspected {
    /// Its format.
    pub format: Format,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Its texts with their keywords; JPEG's and WebP's is called `parameters` as well.
    pub texts: Vec<(String, String)>,
    /// Its settings, if it has any that can be read.
    pub restored: Option<Restored>,
    /// Why not, if not.
    pub problem: Option<String>,
}

/// How a picture was made, as far as it says so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The request that would make it again.
    pub settings: Request,
    /// Its seed; 0 if nobody knows.
    pub seed: u64,
    /// Its model; empty if nobody knows.
    pub model: String,
    /// The words of A1111's `parameters`; empty if there are none.
    pub parameters: String,
}

/// What a file says about how it was made. No pixel is decoded. `catalog` says which samplers and schedules there are.
///
/// # Errors
/// If it is no picture, or its header is damaged.
pub fn inspect(file: &[u8], catalog: &Catalog) -> Result<Inspected, UploadError> {
    let format = Format::of_magic(file).ok_or(UploadError::Kind)?;
    let text = match format {
        Format::Png => png_text::read(Cursor::new(file)).map_err(|error| UploadError::Damaged(error.to_string()))?,
        Format::Jpeg | Format::Webp => {
            let mut decoder = decoder(file, format)?;
            let (width, height) = decoder.dimensions();
            // EXIF that cannot be found is EXIF that is not there.
            let comment = decoder.exif_metadata().ok().flatten().and_then(|exif| exif::read(&exif));
            let entries = comment.map(|comment| (KEYWORD.to_owned(), comment)).into_iter().collect();
            PngText { width, height, entries, damage: None }
        }
    };
    let restored = restore::read(&text, catalog);
    let problem = restored.as_ref().err().map(ToString::to_string);
    let (width, height) = (text.width, text.height);
    Ok(Inspected { format, width, height, texts: text.entries, restored: restored.ok(), problem })
}

impl Inspected {
    /// How the picture was made, with nothing in it that is longer than what we would make ourselves.
    pub fn origin(self, catalog: &Catalog) -> Origin {
        let Some(restored) = self.restored else { return Origin::default() };
        // It is one that is allowed, so its texts have their limits already.
        let settings = restored.request;
        let mut model = restored.model.unwrap_or_default();
        model.truncate(model.floor_char_boundary(MODEL));
        let seed = settings.seed.unwrap_or_default();
        let own = self.texts.into_iter().find(|(keyword, _)| keyword == KEYWORD).map(|(_, text)| text);
        let own = own.filter(|text| text.len() <= TEXT && !text.trim_start().starts_with('{'));
        let parameters = own.unwrap_or_else(|| {
            let tools = Tools { model: Some(model.clone()).filter(|model| !model.is_empty()), ..Tools::default() };
            caption::infotext(&settings, seed, &tools, catalog).to_string()
        });
        Origin { settings, seed, model, parameters }
    }
}

/// The pixels of a picture, upright, and on white where it is transparent.
///
/// # Errors
/// If it is no picture, too large (which is seen before anything is decoded), or damaged.
pub fn decode(file: &[u8]) -> Result<Pixels, UploadError> {
    let format = Format::of_magic(file).ok_or(UploadError::Kind)?;
    let mut decoder = decoder(file, format)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| UploadError::Damaged(error.to_string()))?;
    picture.apply_orientation(orientation);
    let rgb = if picture.color().has_alpha() {
        let picture = picture.into_rgba8();
        let mut rgb = Vec::with_capacity(picture.as_raw().len() / 4 * 3);
        for pixel in picture.pixels() {
            let [red, green, blue, alpha] = pixel.0;
            let mix = |value: u8| ((u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha)) + 127) / 255) as u8;
            rgb.extend([mix(red), mix(green), mix(blue)]);
        }
        Pixels { width: picture.width(), height: picture.height(), rgb }
    } else {
        let picture = picture.into_rgb8();
        Pixels { width: picture.width(), height: picture.height(), rgb: picture.into_raw() }
    };
    Ok(rgb)
}

/// A decoder that has read the header and found nothing too large in it.
fn decoder(file: &[u8], format: Format) -> Result<impl ImageDecoder, UploadError> {
    let format = match format {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Webp => ImageFormat::WebP,
    };
    let damaged = |error: image::ImageError| UploadError::Damaged(error.to_string());
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(2 * DECODED);
    // Sizes are compared below, where the message can name them.
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width > SIDE || height > SIDE || decoder.total_bytes() > DECODED {
        return Err(UploadError::Size { width, height });
    }
    Ok(decoder)
}
