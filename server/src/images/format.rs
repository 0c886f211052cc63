//! The formats of pictures: encoding, with how the picture was made, and thumbnails.

use std::io;

use encaustic_picture::{exif, png};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageBuffer, ImageEncoder, Rgb};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Setting;
use crate::host::Pixels;

/// The longer side of a thumbnail, in pixels.
pub const THUMBNAIL: u32 = 320;
/// The quality of thumbnails.
const THUMBNAIL_QUALITY: u8 = 80;
/// What a JPEG's APP1 segment has room for: 65535, less its length and `Exif\0\0`.
const JPEG_EXIF: usize = 65_533 - 6;
/// Like all texts of a picture (`encaustic_picture::png_text`).
const WEBP_EXIF: usize = 32 << 20;

/// A format of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// PNG: exact, and read by everything.
    #[default]
    Png,
    /// JPEG: small.
    Jpeg,
    /// WebP, exact.
    Webp,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::Webp];

    /// Its name in settings and queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }

    /// Its media type.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }

    /// The ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }

    /// The format of a media type.
    pub fn of_mime(mime: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.mime() == mime)
    }

    /// The format that a file's first bytes name.
    pub fn of_magic(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            _ => None,
        }
    }
}

impl Setting for Format {
    fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim().to_lowercase();
        let name = if name == "jpg" { "jpeg" } else { &name };
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| format!("{text:?} is no format that is written here; use png, jpeg or webp"))
    }

    fn write(&self) -> String {
        self.name().to_owned()
    }
}

/// How good JPEG pictures are: from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality(pub u8);

impl Default for Quality {
    fn default() -> Self {
        Self(92)
    }
}

impl Setting for Quality {
    fn parse(text: &str) -> Result<Self, String> {
        let quality = text.trim().parse().ok().filter(|quality| (1..=100).contains(quality));
        quality.map(Self).ok_or_else(|| format!("{text:?} is not a whole number from 1 to 100"))
    }

    fn write(&self) -> String {
        self.0.to_string()
    }
}

/// A picture as a file of this format that says how it was made, as far as the format has room for that.
///
/// # Errors
/// If width, height and bytes do not fit together.
pub fn encode(picture: &Pixels, parameters: &str, format: Format, quality: Quality) -> io::Result<Vec<u8>> {
    // No file holds a NUL in its texts.
    let parameters = &parameters.replace('\0', " ");
    let mut file = Vec::new();
    let exif = |most| if parameters.is_empty() { None } else { exif::write(parameters, most) };
    match format {
        Format::Png => {
            let pixels = png::Pixels { width: picture.width, height: picture.height, rgb: &picture.rgb };
            png::write(pixels, parameters, &mut file)?;
        }
        Format::Jpeg => {
            let mut encoder = JpegEncoder::new_with_quality(&mut file, quality.0);
            if let Some(exif) = exif(JPEG_EXIF) {
                encoder.set_exif_metadata(exif).map_err(io::Error::other)?;
            }
            check(picture)?;
            encoder
                .write_image(&picture.rgb, picture.width, picture.height, ExtendedColorType::Rgb8)
                .map_err(io::Error::other)?;
        }
        Format::Webp => {
            let mut encoder = WebPEncoder::new_lossless(&mut file);
            if let Some(exif) = exif(WEBP_EXIF) {
                encoder.set_exif_metadata(exif).map_err(io::Error::other)?;
            }
            check(picture)?;
            encoder
                .write_image(&picture.rgb, picture.width, picture.height, ExtendedColorType::Rgb8)
                .map_err(io::Error::other)?;
        }
    }
    Ok(file)
}

/// A picture as a small JPEG.
///
/// # Errors
/// As [`encode`].
pub fn thumbnail(picture: &Pixels) -> io::Result<Vec<u8>> {
    check(picture)?;
    let buffer = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(picture.width, picture.height, &picture.rgb);
    let buffer = buffer.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let longer = picture.width.max(picture.height).max(1);
    let scaled = |side: u32| (u64::from(side) * u64::from(THUMBNAIL) / u64::from(longer)).max(1) as u32;
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, THUMBNAIL_QUALITY);
    let small = if longer <= THUMBNAIL {
        encoder.write_image(&picture.rgb, picture.width, picture.height, ExtendedColorType::Rgb8)
    } else {
        let small = image::imageops::thumbnail(&buffer, scaled(picture.width), scaled(picture.height));
        encoder.write_image(small.as_raw(), small.width(), small.height(), ExtendedColorType::Rgb8)
    };
    small.map_err(io::Error::other)?;
    Ok(file)
}

/// Some encoders assert what is checked here.
fn check(picture: &Pixels) -> io::Result<()> {
    let bytes = u64::from(picture.width) * u64::from(picture.height) * 3;
    if bytes == 0 || u64::try_from(picture.rgb.len()) != Ok(bytes) {
        let problem = format!("{} bytes are no picture of {} x {}", picture.rgb.len(), picture.width, picture.height);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    Ok(())
}
