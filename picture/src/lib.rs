//! What a picture file says about how it was made.
//!
//! Programs that make pictures write their settings into the file, and people expect to get them back. This crate writes
//! them ([`png`], [`exif`], [`caption`]) and reads them, ours and those of others ([`png_text`], [`exif`], [`infotext`],
//! [`restore`]), into the [`Request`](encaustic_protocol::Request) that would make the picture again.
//!
//! Files come from strangers: no pixel is decoded to read a text, and sizes are limited before anything is allocated.

pub mod caption;
pub mod exif;
pub mod infotext;
#[cfg(feature = "png")]
pub mod png;
pub mod png_text;
pub mod restore;
