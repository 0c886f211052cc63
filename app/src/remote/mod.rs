//! The page before a server: what the two say to each other ([`wire`]), and what the page has to remember of it ([`ledger`]), and how a
//! queue is put into another order ([`order`]).
//!
//! All of it works without a browser; who fetches and listens is `page::server`, and who speaks for the engine is
//! `page::backend::remote`.

pub mod ledger;
pub mod order;
pub mod wire;

/// How long to wait before the next try to reach the server, in milliseconds, after so many that failed.
pub fn wait(failed: u32) -> u32 {
    const FIRST: u32 = 500;
    const LONGEST: u32 = 15_000;
    FIRST.saturating_mul(1 << failed.min(8)).min(LONGEST)
}

/// In how many seconds to ask again what was answered with this status and `Retry-After`; nothing if that is not to be waited for:
/// pictures that are used up for today are a matter for people.
pub fn later(status: u16, told: Option<&str>) -> Option<u32> {
    const USUAL: u32 = 5;
    const LONGEST: u32 = 180;
    let seconds = told.map_or(Some(USUAL), |told| told.trim().parse().ok())?;
    (status == 429 && seconds <= LONGEST).then(|| seconds.max(1))
}

/// A word as a part of a path or a query: everything but letters, digits and `-._~` is escaped.
pub fn escaped(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for byte in word.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<_> = [0, 1, 2, 5, 8, 40, u32::MAX].into_iter().map(wait).collect();
        assert_eq!(waits, [500, 1000, 2000, 15_000, 15_000, 15_000, 15_000]);
    }

    #[test]
    fn too_much_at_once_is_asked_again_but_not_tomorrow() {
        for (status, told, seconds) in [
            (429, Some("7"), Some(7)),
            (429, Some(" 0 "), Some(1)),
            (429, None, Some(5)),
            (429, Some("180"), Some(180)),
            (429, Some("40000"), None),
            (429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
            (409, Some("7"), None),
            (500, None, None),
        ] {
            assert_eq!(later(status, told), seconds, "{status} {told:?}");
        }
    }

    #[test]
    fn names_of_models_fit_into_paths() {
        for (name, path) in [("demo", "demo"), ("hf:owner/a b", "hf%3Aowner%2Fa%20b"), ("ü?#", "%C3%BC%3F%23"), ("..", "..")] {
            assert_eq!(escaped(name), path);
        }
    }
}
