//! Names from strangers: what may become a path, a URL or an argument, and what may not.
//!
//! A listing of a repository, an index of shards, an HTTP header: all of them name files, and none of them is ours. A name is
//! checked here before it is joined to any folder; what does not pass is never opened, written or linked.

/// The longest part of a name, in bytes: what file systems take.
const LONGEST_PART: usize = 200;

/// The deepest that a repository's files lie.
const DEEPEST: usize = 8;

/// Characters that some system gives a meaning of its own in a name.
const SPECIAL: &[char] = &['\\', ':', '*', '?', '"', '<', '>', '|'];

/// Whether this is the name of a file and nothing else: no folder, no way up, nothing that a system would read otherwise.
pub(crate) fn is_plain_part(part: &str) -> bool {
    let is_dots = part.bytes().all(|byte| byte == b'.');
    let is_marked = part.contains('/') || part.contains(SPECIAL) || part.chars().any(char::is_control);
    let is_padded = part.trim() != part || part.ends_with('.');
    !part.is_empty() && part.len() <= LONGEST_PART && !is_dots && !is_marked && !is_padded
}

/// Whether this is a path below a folder: plain parts between single slashes.
pub(crate) fn is_plain(name: &str) -> bool {
    name.split('/').count() <= DEEPEST && name.split('/').all(is_plain_part)
}

/// Whether this is so many hexadecimal digits in lower case.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// An owner or the name of a repository, by the hub's rules.
pub(crate) fn is_repo_part(part: &str) -> bool {
    let is_allowed = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_framed = part.starts_with(['-', '.']) || part.ends_with(['-', '.']);
    !part.is_empty() && part.len() <= 96 && is_allowed && !is_framed && !part.contains("--") && !part.contains("..")
}

/// A branch, a tag or a commit.
pub(crate) fn is_revision(revision: &str) -> bool {
    let is_allowed = revision.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+/".contains(&byte));
    is_allowed && is_plain(revision) && !revision.contains("..") && !revision.starts_with('-')
}

/// A path as it stands in a URL: everything but plain characters and slashes as `%` and two digits.
pub(crate) fn encoded(path: &str) -> String {
    let mut url = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

/// The reverse of [`encoded`]; `None` if it is no text.
pub(crate) fn decoded(url: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (high, low) = (digit()?, digit()?);
            bytes.push(high * 16 + low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_become_paths() {
        for name in ["model.safetensors", "unet/config.json", "a b/ü.txt", ".hidden", "a..b"] {
            assert!(is_plain(name), "{name:?}");
        }
        let up =
            ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "a/", "./a", "a\\b", "C:x", "a\0b", "a\nb", "x ", "x."];
        for name in up.into_iter().chain(["...", "a|b", "con:stream"]) {
            assert!(!is_plain(name), "{name:?}");
        }
        assert!(!is_plain(&"a/".repeat(50)) && !is_plain(&"a".repeat(300)));
    }

    #[test]
    fn revisions_and_repositories_have_their_own_rules() {
        for good in ["main", "refs/pr/1", "v1.0+x", "0123abc"] {
            assert!(is_revision(good), "{good:?}");
        }
        for bad in ["", "..", "a/../b", "-x", "a b", "/main", "main/", "a%2e", "a\\b"] {
            assert!(!is_revision(bad), "{bad:?}");
        }
        assert!(is_repo_part("stable-diffusion-v1-5") && is_repo_part("sd_xl.1"));
        for bad in ["", "a--b", "..", ".git", "a..b", "a/b", "ä", "-a", "a-"] {
            assert!(!is_repo_part(bad), "{bad:?}");
        }
    }

    #[test]
    fn urls_are_encoded_and_decoded() {
        for (plain, url) in [("a b/ü#.json", "a%20b/%C3%BC%23.json"), ("unet/config.json", "unet/config.json")] {
            assert_eq!(encoded(plain), url);
            assert_eq!(decoded(url).as_deref(), Some(plain));
        }
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
