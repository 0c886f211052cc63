//! A page in a folder: only what lies in it, whatever a path says and wherever links lead.

use std::path::{Component, Path};

use percent::decode;

/// The largest file that is served, in bytes.
const LARGEST: u64 = 256 << 20;

/// Reads a file by its path in an address.
pub(super) fn read(folder: &Path, path: &str) -> Option<Vec<u8>> {
    let path = decode(path)?;
    let relative = Path::new(&path);
    // On Windows a name can be a device or a stream.
    let is_plain = !path.contains(['\\', ':', '\0']) && !path.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_plain || !is_inside {
        return None;
    }
    let root = folder.canonicalize().ok()?;
    let file = root.join(relative).canonicalize().ok()?;
    let is_file = file.starts_with(&root) && file.metadata().is_ok_and(|about| about.is_file() && about.len() <= LARGEST);
    if is_file { std::fs::read(file).ok() } else { None }
}

mod percent {
    //! The `%` of addresses.

    /// The text that is meant; `None` if it is none.
    pub(super) fn decode(text: &str) -> Option<String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        }
        String::from_utf8(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("page");
        std::fs::create_dir_all(folder.join("icons")).unwrap();
        std::fs::create_dir_all(outside.path().join("page-evil")).unwrap();
        for (file, text) in [("secret", "s"), ("page-evil/file", "e"), ("page/a b.txt", "ab"), ("page/icons/i.svg", "i")] {
            std::fs::write(outside.path().join(file), text).unwrap();
        }
        std::fs::write(folder.join(".hidden"), "h").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.join("link")).unwrap();
        for (path, found) in [("a%20b.txt", Some("ab")), ("icons/i.svg", Some("i")), ("icons%2Fi.svg", Some("i"))] {
            assert_eq!(read(&folder, path).as_deref(), found.map(str::as_bytes), "{path}");
        }
        let ups = ["..", "%2e%2e", "%2E.", "..%00", "....", ".%2e", "icons/..", "./..", "icons/../.."];
        let separators = ["/", "%2f", "%2F", "\\", "%5c", "//", "%252f"];
        let targets = ["secret", "page-evil/file", "etc/passwd"];
        let paths = ups.iter().flat_map(|up| separators.iter().map(move |separator| format!("{up}{separator}")));
        let paths = paths.flat_map(|start| targets.iter().map(move |target| format!("{start}{target}")));
        let others = ["/etc/passwd", "%2Fetc%2Fpasswd", "link", ".hidden", "icons", "", "C:\\x", "%ff", "%", "%zz", "nothing"];
        for path in paths.chain(others.map(str::to_owned)) {
            assert_eq!(read(&folder, &path), None, "{path}");
        }
    }
}
