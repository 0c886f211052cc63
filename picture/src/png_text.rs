//! Reads the text chunks of a PNG file, and nothing else of it: no pixel is ever decoded.
//!
//! Files come from strangers. So a chunk's declared size is compared with the limit before anything is allocated,
//! inflating stops at the limit too, and all texts of a file share one budget: neither one huge chunk nor a hundred
//! thousand small bombs can take more than [`TEXT_LIMIT`] bytes or more than moments.
//!
//! A file that ends early often still has its texts (they stand before the pixels), so damage ends the reading but
//! does not discard what was read: see [`PngText::damage`].

use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;

/// The most text, in bytes and after inflating, that a file may carry: ComfyUI's largest workflows take a few MB.
pub const TEXT_LIMIT: usize = 32 << 20;

/// The most chunks that are looked at. Encoders write one per 8 KiB at the least: this is a picture of 2 GB.
const CHUNK_LIMIT: usize = 1 << 18;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// The first chunk: length, name, 13 bytes of image header, check sum.
const HEADER_LENGTH: usize = 25;

/// PNG's own limit of a chunk's length.
const LENGTH_LIMIT: u32 = i32::MAX as u32;

/// What stands in a PNG file besides its picture.
#[derive(Debug, Default)]
pub struct PngText {
    /// The declared width in pixels.
    pub width: u32,
    /// The declared height in pixels.
    pub height: u32,
    /// Keyword and text in the order of the file.
    pub entries: Vec<(String, String)>,
    /// Why reading ended before the end of the file, if it did.
    pub damage: Option<PngError>,
}

impl PngText {
    /// The first text under a keyword.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.entries.iter().find(|(known, _)| known == keyword).map(|(_, text)| text.as_str())
    }
}

/// Why a file is no PNG, or no sound one.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// Another kind of file.
    #[error("not a PNG file: it begins like {0}")]
    NotPng(&'static str),
    /// The file does not begin with the image header.
    #[error("not a valid PNG file: the image header (IHDR) is missing or has a wrong size")]
    NoHeader,
    /// The file ends within a chunk or without `IEND`.
    #[error("the PNG file is cut off at byte {at}, in {chunk}")]
    Truncated {
        /// The name of the chunk.
        chunk: String,
        /// Where the chunk begins.
        at: u64,
    },
    /// A chunk claims more than PNG allows.
    #[error("the PNG chunk {chunk} at byte {at} claims {length} bytes; PNG allows {LENGTH_LIMIT}")]
    Length {
        /// The name of the chunk.
        chunk: String,
        /// Where the chunk begins.
        at: u64,
        /// Its declared length.
        length: u32,
    },
    /// The check sum of a text chunk is wrong.
    #[error("the PNG chunk {chunk} at byte {at} does not match its check sum")]
    CheckSum {
        /// The name of the chunk.
        chunk: String,
        /// Where the chunk begins.
        at: u64,
    },
    /// A text chunk does not follow the format.
    #[error("the PNG chunk {chunk} at byte {at} is malformed: {reason}")]
    Malformed {
        /// The name of the chunk.
        chunk: String,
        /// Where the chunk begins.
        at: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More text than anyone needs: an accident or an attack.
    #[error("the PNG file holds more than {} MiB of text (reached in {chunk} at byte {at})", TEXT_LIMIT >> 20)]
    TooMuchText {
        /// The name of the chunk.
        chunk: String,
        /// Where the chunk begins.
        at: u64,
    },
    /// An unreasonable number of chunks.
    #[error("the PNG file has more than {CHUNK_LIMIT} chunks")]
    TooManyChunks,
    /// The file could not be read.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
}

/// Where a chunk stands, for messages.
struct Place {
    name: [u8; 4],
    at: u64,
}

impl Place {
    fn chunk(&self) -> String {
        self.name.escape_ascii().to_string()
    }

    fn malformed(&self, reason: &'static str) -> PngError {
        PngError::Malformed { chunk: self.chunk(), at: self.at, reason }
    }

    fn too_much(&self) -> PngError {
        PngError::TooMuchText { chunk: self.chunk(), at: self.at }
    }
}

/// Reads all texts of a PNG file.
///
/// # Errors
/// If it is no PNG at all. A PNG that is damaged further on is no error: the fault is in [`PngText::damage`].
pub fn read(mut file: impl Read + Seek) -> Result<PngText, PngError> {
    let end = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut start = Vec::with_capacity(SIGNATURE.len());
    file.by_ref().take(SIGNATURE.len() as u64).read_to_end(&mut start)?;
    if start != SIGNATURE {
        return Err(PngError::NotPng(kind(&start)));
    }
    let mut png = PngText::default();
    let (width, height) = header(&mut file)?;
    (png.width, png.height) = (width, height);
    png.damage = texts(&mut file, end, &mut png.entries).err();
    Ok(png)
}

fn header(file: &mut impl Read) -> Result<(u32, u32), PngError> {
    let mut bytes = [0; HEADER_LENGTH];
    file.read_exact(&mut bytes).map_err(|_| PngError::NoHeader)?;
    let [l0, l1, l2, l3, b'I', b'H', b'D', b'R', w0, w1, w2, w3, h0, h1, h2, h3, ..] = bytes else {
        return Err(PngError::NoHeader);
    };
    if u32::from_be_bytes([l0, l1, l2, l3]) != 13 {
        return Err(PngError::NoHeader);
    }
    Ok((u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3])))
}

fn texts(file: &mut (impl Read + Seek), end: u64, entries: &mut Vec<(String, String)>) -> Result<(), PngError> {
    let mut budget = TEXT_LIMIT;
    let mut at = (SIGNATURE.len() + HEADER_LENGTH) as u64;
    for _ in 0..CHUNK_LIMIT {
        let mut head = [0; 8];
        if end.saturating_sub(at) < head.len() as u64 {
            return Err(PngError::Truncated { chunk: "the row of chunks (no IEND)".to_owned(), at });
        }
        file.read_exact(&mut head)?;
        let [l0, l1, l2, l3, n0, n1, n2, n3] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let place = Place { name: [n0, n1, n2, n3], at };
        if length > LENGTH_LIMIT {
            return Err(PngError::Length { chunk: place.chunk(), at, length });
        }
        let after = at + head.len() as u64 + u64::from(length) + 4;
        if after > end {
            return Err(PngError::Truncated { chunk: place.chunk(), at });
        }
        match &place.name {
            b"IEND" => return Ok(()),
            b"tEXt" | b"zTXt" | b"iTXt" => {
                // The file is at least this long, so the allocation is backed by real bytes; still it has a limit.
                if length as usize > budget {
                    return Err(place.too_much());
                }
                let mut body = vec![0; length as usize];
                file.read_exact(&mut body)?;
                let mut sum = [0; 4];
                file.read_exact(&mut sum)?;
                let mut crc = flate2::Crc::new();
                crc.update(&place.name);
                crc.update(&body);
                if crc.sum() != u32::from_be_bytes(sum) {
                    return Err(PngError::CheckSum { chunk: place.chunk(), at });
                }
                let (keyword, text) = entry(&place, &body, budget)?;
                budget = budget.saturating_sub(keyword.len() + text.len());
                entries.push((keyword, text));
            }
            _ => {
                // Relative, so that a reader's buffer is kept where the next chunk is in it.
                file.seek_relative(i64::from(length) + 4)?;
            }
        }
        at = after;
    }
    Err(PngError::TooManyChunks)
}

fn entry(place: &Place, body: &[u8], budget: usize) -> Result<(String, String), PngError> {
    let (keyword, rest) = split_nul(body).ok_or_else(|| place.malformed("the keyword has no end"))?;
    if keyword.is_empty() || keyword.len() > 79 {
        return Err(place.malformed("a keyword has 1 to 79 bytes"));
    }
    let text = match &place.name {
        b"tEXt" => latin1(rest),
        b"zTXt" => match rest.split_first() {
            Some((0, packed)) => latin1(&inflate(place, packed, budget)?),
            _ => return Err(place.malformed("unknown compression method")),
        },
        _ => {
            let (flag, method, rest) = match rest {
                [flag, method, rest @ ..] => (flag, method, rest),
                _ => return Err(place.malformed("it ends after the keyword")),
            };
            let (_language, rest) = split_nul(rest).ok_or_else(|| place.malformed("the language has no end"))?;
            let (_translated, rest) = split_nul(rest).ok_or_else(|| place.malformed("the translated keyword has no end"))?;
            let bytes = match (flag, method) {
                (0, _) => rest.to_vec(),
                (1, 0) => inflate(place, rest, budget)?,
                _ => return Err(place.malformed("unknown compression method")),
            };
            String::from_utf8(bytes).map_err(|_| place.malformed("its text is not UTF-8"))?
        }
    };
    if keyword.len() + text.len() > budget {
        return Err(place.too_much());
    }
    Ok((latin1(keyword), text))
}

/// Inflates no more than the budget (and one byte, to see that there is more).
fn inflate(place: &Place, packed: &[u8], budget: usize) -> Result<Vec<u8>, PngError> {
    let mut plain = Vec::new();
    ZlibDecoder::new(packed)
        .take(budget as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|_| place.malformed("its compressed text is corrupt"))?;
    if plain.len() > budget {
        return Err(place.too_much());
    }
    Ok(plain)
}

fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn latin1(bytes: &[u8]) -> String {
    // The usual case, and by far the quicker one.
    if let (true, Ok(ascii)) = (bytes.is_ascii(), str::from_utf8(bytes)) {
        return ascii.to_owned();
    }
    bytes.iter().copied().map(char::from).collect()
}

/// What a file that is no PNG looks like.
fn kind(start: &[u8]) -> &'static str {
    const KINDS: &[(&[u8], &str)] = &[
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"RIFF", "a WebP picture or another RIFF file"),
        (b"GIF8", "a GIF picture"),
        (b"BM", "a BMP picture"),
        (b"<", "a text in HTML, SVG or XML"),
        (b"PK", "a ZIP archive"),
        (b"\x89PNG", "a PNG file whose line ends were converted on the way (FTP in text mode does that)"),
    ];
    if start.is_empty() {
        return "nothing: it is empty";
    }
    KINDS.iter().find(|(magic, _)| start.starts_with(magic)).map_or("no picture that is known", |(_, kind)| kind)
}
