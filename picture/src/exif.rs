//! What JPEG and WebP files say about how they were made: EXIF with a `UserComment`, as A1111 and its like write it.
//!
//! EXIF is a TIFF file without a picture: a table of entries (IFD0), one of which says where the table of the camera's own
//! entries is, one of which is the comment. Its first 8 bytes name its characters. Only those two tables are read, nothing
//! else that a camera may have told.

/// Where IFD0 says where the other table is.
const EXIF_IFD: u16 = 0x8769;
/// The comment.
const USER_COMMENT: u16 = 0x9286;
/// The type of [`EXIF_IFD`]: 32 bits.
const LONG: u16 = 4;
/// The type of [`USER_COMMENT`]: bytes that mean what they mean.
const UNDEFINED: u16 = 7;

const UNICODE: &[u8; 8] = b"UNICODE\0";
const ASCII: &[u8; 8] = b"ASCII\0\0\0";

/// Bytes of an entry of a table.
const ENTRY: usize = 12;
/// Header, IFD0 with one entry, the other table with one entry.
const COMMENT_AT: u32 = 8 + 2 * (2 + ENTRY as u32 + 4);

/// EXIF with this text as its comment, ready to be put into a JPEG's APP1 segment (without its `Exif\0\0`) or a WebP's `EXIF`
/// chunk. `most` is how many bytes it may have; `None` if the text is longer than that.
pub fn write(text: &str, most: usize) -> Option<Vec<u8>> {
    let unicode = || UNICODE.iter().copied().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect::<Vec<u8>>();
    let ascii = || ASCII.iter().copied().chain(text.bytes()).collect::<Vec<u8>>();
    let room = most.saturating_sub(COMMENT_AT as usize);
    // Most readers expect UTF-16; a long text of English words fits in ASCII when it does not in UTF-16.
    let comment = Some(unicode())
        .filter(|comment| comment.len() <= room)
        .or_else(|| text.is_ascii().then(ascii))
        .filter(|comment| comment.len() <= room)?;
    let length = u32::try_from(comment.len()).ok()?;
    let mut exif = Vec::with_capacity(COMMENT_AT as usize + comment.len());
    exif.extend(b"MM\0\x2a");
    exif.extend(8_u32.to_be_bytes());
    table(&mut exif, EXIF_IFD, LONG, 1, 8 + 2 + ENTRY as u32 + 4);
    table(&mut exif, USER_COMMENT, UNDEFINED, length, COMMENT_AT);
    exif.extend(comment);
    Some(exif)
}

/// A table with one entry.
fn table(exif: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: u32) {
    exif.extend(1_u16.to_be_bytes());
    exif.extend(tag.to_be_bytes());
    exif.extend(kind.to_be_bytes());
    exif.extend(count.to_be_bytes());
    exif.extend(value.to_be_bytes());
    exif.extend(0_u32.to_be_bytes());
}

/// The comment in EXIF, if there is one that can be read. A leading `Exif\0\0` is allowed.
pub fn read(exif: &[u8]) -> Option<String> {
    let tiff = Tiff::new(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))?;
    let (_, _, at) = tiff.entry(tiff.long(4)?, EXIF_IFD)?;
    let (kind, count, value) = tiff.entry(tiff.long(at)?, USER_COMMENT)?;
    if kind != UNDEFINED {
        return None;
    }
    let begin = tiff.long(value)? as usize;
    let comment = tiff.bytes.get(begin..begin.checked_add(count as usize)?)?;
    let (characters, text) = comment.split_at_checked(8)?;
    let text = match characters {
        characters if characters == UNICODE => tiff.utf16(text),
        // Some write UTF-8 and call it ASCII, or do not say what it is.
        characters if characters == ASCII || characters == [0; 8] => String::from_utf8_lossy(text).into_owned(),
        _ => return None,
    };
    Some(text.trim_end_matches('\0').to_owned()).filter(|text| !text.is_empty())
}

/// TIFF's numbers, in the order of bytes that its beginning names.
struct Tiff<'a> {
    bytes: &'a [u8],
    is_big: bool,
}

impl<'a> Tiff<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let is_big = match bytes.get(..4)? {
            b"MM\0\x2a" => true,
            b"II\x2a\0" => false,
            _ => return None,
        };
        Some(Self { bytes, is_big })
    }

    fn short(&self, at: u32) -> Option<u16> {
        let bytes = *self.bytes.get(at as usize..)?.first_chunk()?;
        Some(if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: u32) -> Option<u32> {
        let bytes = *self.bytes.get(at as usize..)?.first_chunk()?;
        Some(if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// Type, count and the place of the value of an entry in the table at `table`.
    fn entry(&self, table: u32, tag: u16) -> Option<(u16, u32, u32)> {
        // At most 65535 entries: the count has 16 bits.
        let count = u32::from(self.short(table)?);
        (0..count).find_map(|i| {
            let at = table.checked_add(2)?.checked_add(i * ENTRY as u32)?;
            let found = self.short(at)? == tag;
            found.then_some(())?;
            Some((self.short(at.checked_add(2)?)?, self.long(at.checked_add(4)?)?, at.checked_add(8)?))
        })
    }

    /// UTF-16 in TIFF's own order, which is the standard's; but many write the other, and a text of Latin letters tells.
    fn utf16(&self, text: &[u8]) -> String {
        let is_big = match text {
            [0xfe, 0xff, ..] => true,
            [0xff, 0xfe, ..] => false,
            _ => {
                let zeros = |skip: usize| text.iter().skip(skip).step_by(2).filter(|byte| **byte == 0).count();
                match zeros(0).cmp(&zeros(1)) {
                    std::cmp::Ordering::Greater => true,
                    std::cmp::Ordering::Less => false,
                    std::cmp::Ordering::Equal => self.is_big,
                }
            }
        };
        let units = text.chunks_exact(2).filter_map(|pair| {
            let pair = *pair.first_chunk()?;
            Some(if is_big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
        });
        let text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        text.trim_start_matches('\u{feff}').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["a lighthouse\nSteps: 4, Seed: 1", "ein Bär, 灯台, 🗼", "x"] {
            assert_eq!(read(&write(text, 65_000).unwrap()).as_deref(), Some(text));
        }
        let long = "word ".repeat(10_000);
        let exif = write(&long, 65_000).unwrap();
        assert!(exif.len() < 65_000 && exif[COMMENT_AT as usize..].starts_with(ASCII), "ASCII where UTF-16 has no room");
        assert_eq!(read(&exif).as_deref(), Some(long.as_str()));
        assert_eq!(write(&"ä".repeat(40_000), 65_000), None);
        assert_eq!(read(&write("", 100).unwrap()), None);
    }

    #[test]
    fn every_order_of_bytes_is_read() {
        // Little-endian TIFF; the comment in either order, with and without a mark.
        let exif = |comment: &[u8]| {
            let mut exif = b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x1a\0\0\0\0\0\0\0".to_vec();
            exif.extend(b"\x01\0\x86\x92\x07\0");
            exif.extend((comment.len() as u32).to_le_bytes());
            exif.extend(b"\x2c\0\0\0\0\0\0\0");
            exif.extend(comment);
            exif
        };
        for comment in [
            &b"UNICODE\0a\0b\0"[..],
            b"UNICODE\0\0a\0b",
            b"UNICODE\0\xff\xfea\0b\0",
            b"UNICODE\0\xfe\xff\0a\0b",
            b"ASCII\0\0\0ab",
            b"\0\0\0\0\0\0\0\0ab\0\0",
        ] {
            assert_eq!(read(&exif(comment)).as_deref(), Some("ab"), "{comment:?}");
        }
        for comment in [&b"JIS\0\0\0\0\0ab"[..], b"UNICODE", b""] {
            assert_eq!(read(&exif(comment)), None, "{comment:?}");
        }
    }

    #[test]
    fn damage_is_no_comment() {
        let whole = write("a lighthouse", 1000).unwrap();
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "cut at {length}");
        }
        for at in 0..COMMENT_AT as usize {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                let _ = read(&flipped);
            }
        }
        assert_eq!(read(b"MM\0\x2a\xff\xff\xff\xff"), None);
    }
}
