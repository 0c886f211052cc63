//! Names: one for each model that no other has, and the other ways of writing it that are understood.

use std::collections::{BTreeMap, BTreeSet};

use crate::demo;
use crate::library::scan::{Found, Layout};

/// The shortest beginning of a hash that is taken for one.
const SHORTEST_HASH: usize = 8;

/// What a thing may be called, the shortest first: its stem, the same with the folders around it, the same with its ending,
/// and where it is.
fn levels(found: &Found) -> [String; 4] {
    let path = without_ending(found);
    let stem = path.rsplit('/').next().unwrap_or(path);
    [stem.to_owned(), path.to_owned(), found.relative.clone(), found.path.display().to_string()]
}

/// The path inside the place without the ending of a file.
pub(crate) fn without_ending(found: &Found) -> &str {
    let path = found.relative.as_str();
    match found.layout {
        Layout::File | Layout::Pickle => path.rsplit_once('.').map_or(path, |(stem, _)| stem),
        // The name of a folder has no ending: `v1.5` is one.
        Layout::Folder | Layout::Packed => path,
    }
}

/// A name for each, in the same order: the shortest that no other has. What can be used has the choice before pickles, and
/// `demo` is the model in the box.
pub fn assign(found: &[Found]) -> Vec<String> {
    let mut names: Vec<Option<String>> = vec![None; found.len()];
    let mut taken = BTreeSet::from([demo::NAME.to_owned()]);
    for pickles in [false, true] {
        let mut left: Vec<(usize, [String; 4])> = found.iter().map(levels).enumerate().collect();
        left.retain(|(index, _)| found.get(*index).is_some_and(|found| (found.layout == Layout::Pickle) == pickles));
        for level in 0..4 {
            let name = |levels: &[String; 4]| levels.get(level).cloned().unwrap_or_default();
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for (_, levels) in &left {
                *counts.entry(name(levels)).or_default() += 1;
            }
            left.retain(|(index, levels)| {
                let name = name(levels);
                let is_free = counts.get(&name) == Some(&1) && !taken.contains(&name);
                if let (true, Some(slot)) = (is_free, names.get_mut(*index)) {
                    taken.insert(name.clone());
                    *slot = Some(name);
                }
                !is_free
            });
        }
    }
    // Paths that differ only in bytes which are no text look alike.
    let numbered = |(index, name): (usize, Option<String>)| name.unwrap_or_else(|| format!("#{index}"));
    names.into_iter().enumerate().map(numbered).collect()
}

/// Whether text means this: the end of its path, from a `/` on, with its ending or without. `\` counts as `/`, as other
/// programs write it on Windows.
pub(crate) fn fits(found: &Found, wanted: &str, case: Case) -> bool {
    let wanted = wanted.replace('\\', "/");
    if wanted.is_empty() {
        return false;
    }
    [without_ending(found), &found.relative].into_iter().any(|path| {
        let path = path.replace('\\', "/");
        let Some(start) = path.len().checked_sub(wanted.len()) else { return false };
        let Some((before, end)) = path.split_at_checked(start) else { return false };
        let is_same = match case {
            Case::Exact => end == wanted,
            Case::Ignored => end.eq_ignore_ascii_case(&wanted),
        };
        is_same && (before.is_empty() || before.ends_with('/'))
    })
}

/// Whether capitals matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// They do.
    Exact,
    /// They do not, in ASCII.
    Ignored,
}

/// A1111's way to write a model, `NAME [HASH]`, in two.
pub(crate) fn with_hash(wanted: &str) -> Option<(&str, &str)> {
    let (name, rest) = wanted.trim_end().rsplit_once('[')?;
    let hash = rest.strip_suffix(']')?;
    is_hash(hash).then(|| (name.trim_end(), hash))
}

/// Whether text may be the beginning of a SHA-256.
pub(crate) fn is_hash(text: &str) -> bool {
    (SHORTEST_HASH..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
