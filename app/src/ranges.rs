//! Going on with a download: what a server's answer to a request for the rest of a file means.

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It brings the rest.
    Rest,
    /// It brings the file from its beginning: the server knows no ranges.
    Whole,
    /// There is no such rest: what is kept is not the beginning of that file.
    Nothing,
    /// The server cannot answer now: another try may do better.
    Later,
    /// It brings something else.
    Other,
}

/// The meaning of an answer with `status` to a request for all from byte `from` on of a file of `of` bytes. `range` is the
/// header `Content-Range`; a browser does not show it if another origin's server does not allow that, and then the file's hash
/// has to tell.
pub fn reply(status: u16, range: Option<&str>, from: u64, of: u64) -> Reply {
    match status {
        206 => match range.map(parse) {
            None => Reply::Rest,
            Some(Some((first, total))) if first == from && total.is_none_or(|total| total == of) => Reply::Rest,
            Some(_) => Reply::Other,
        },
        200..=299 => Reply::Whole,
        416 => Reply::Nothing,
        408 | 429 | 500..=599 => Reply::Later,
        _ => Reply::Other,
    }
}

/// The first byte and the file's size of `bytes 7-9/10`, in which the size may be `*`.
fn parse(range: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = range.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, _) = span.split_once('-')?;
    let total = if total.trim() == "*" { None } else { Some(total.trim().parse().ok()?) };
    Some((first.trim().parse().ok()?, total))
}

/// The id of the model at an address: a readable beginning, and a hash by which no two addresses have the same.
pub fn id(address: &str) -> String {
    let address = address.trim_end_matches('/');
    let last = address.rsplit('/').next().unwrap_or_default();
    format!("{}-{:016x}", slug(last), fnv(address.as_bytes()))
}

/// A name of lower-case letters, digits and dashes.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().take(40) {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "model".to_owned() } else { slug.to_owned() }
}

/// Whether a text can be the id of a model: what comes in an order becomes the name of a folder.
pub fn is_id(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 80 && text.chars().all(is_plain)
}

/// Fowler, Noll and Vo's hash (FNV-1a).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        for (status, range, expected) in [
            (206, Some("bytes 7-9/10"), Reply::Rest),
            (206, Some("bytes 7-9/*"), Reply::Rest),
            (206, None, Reply::Rest),
            (206, Some("bytes 6-9/10"), Reply::Other),
            (206, Some("bytes 7-9/11"), Reply::Other),
            (206, Some("bytes 7-9"), Reply::Other),
            (206, Some("pages 7-9/10"), Reply::Other),
            (206, Some("bytes -7/10"), Reply::Other),
            (200, Some("bytes 7-9/10"), Reply::Whole),
            (416, Some("bytes */10"), Reply::Nothing),
            (404, None, Reply::Other),
            (408, None, Reply::Later),
            (429, None, Reply::Later),
            (500, None, Reply::Later),
            (503, Some("bytes 7-9/10"), Reply::Later),
            (304, None, Reply::Other),
        ] {
            assert_eq!(reply(status, range, 7, 10), expected, "{status} {range:?}");
        }
    }

    #[test]
    fn ids_are_names_of_folders() {
        let [one, other] = ["https://a.example/x/Demo_1.0!", "https://b.example/x/Demo_1.0!"].map(id);
        assert_ne!(one, other);
        assert!(one.starts_with("demo-1-0-") && is_id(&one), "{one}");
        assert_eq!(id("https://a.example/x"), id("https://a.example/x/"));
        assert!(id("").starts_with("model-") && id("///").starts_with("model-"));
        for bad in ["", ".", "..", "a/b", "A", "a b", "\u{e4}", &"a".repeat(81)] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }
}
