//! What an engine can do, told by name: what a menu shows and what a request may say.

use serde::{Deserialize, Serialize};

/// Everything that a request may choose by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Model families that can be loaded.
    pub families: Vec<Entry>,
    /// Samplers, in the order in which a menu should show them.
    pub samplers: Vec<Entry>,
    /// Schedules (how the noise levels are spaced), likewise.
    pub schedules: Vec<Entry>,
}

/// A thing that has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name by which requests mean it: lower case, words joined by hyphens.
    pub id: String,
    /// The name that people read.
    pub label: String,
    /// Other programs' names for it, which are understood as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// One line on what it is good for, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}

impl Entry {
    /// An entry without aliases or help.
    pub fn new(id: &str, label: &str) -> Self {
        Self { id: id.to_owned(), label: label.to_owned(), ..Self::default() }
    }

    /// Whether `name` means this entry: its id, its label or an alias, whatever the case and the word separators.
    pub fn is_called(&self, name: &str) -> bool {
        let name = simplify(name);
        self.spellings().any(|spelling| simplify(spelling) == name)
    }

    fn spellings(&self) -> impl Iterator<Item = &str> {
        [self.id.as_str(), self.label.as_str()].into_iter().chain(self.aliases.iter().map(String::as_str))
    }
}

/// The id of the entry whose id, label or alias comes closest to `name`, if one is close enough to have been meant.
pub fn nearest<'a>(name: &str, entries: &'a [Entry]) -> Option<&'a str> {
    let wanted = simplify(name);
    let mut best: Option<(f64, &str)> = None;
    for entry in entries {
        for spelling in entry.spellings() {
            let likeness = strsim::normalized_damerau_levenshtein(&wanted, &simplify(spelling));
            if likeness >= CLOSE_ENOUGH && best.is_none_or(|(most, _)| likeness > most) {
                best = Some((likeness, &entry.id));
            }
        }
    }
    best.map(|(_, id)| id)
}

/// The share of a name that must be right for it to count as a slip of the pen (`elur` for `euler` has 0.6).
const CLOSE_ENOUGH: f64 = 0.5;

/// Longer names are never close to one of ours, and comparing them takes time squared in their length.
const LONGEST_NAME: usize = 64;

/// Letters and digits in lower case, with `+` as `p`: users write "DPM++ 2M", "dpm++2m" and "dpmpp_2m".
fn simplify(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_alphanumeric() || *c == '+').take(LONGEST_NAME + 1);
    kept.map(|c| if c == '+' { 'p' } else { c }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let euler = Entry { aliases: vec!["k_euler".into()], ..Entry::new("euler", "Euler") };
        vec![euler, Entry::new("euler-a", "Euler a"), Entry::new("dpmpp-2m", "DPM++ 2M")]
    }

    #[test]
    fn a_name_is_known_by_id_label_and_alias() {
        for (name, id) in [
            ("euler", "euler"),
            (" K Euler ", "euler"),
            ("EULER_A", "euler-a"),
            ("dpm++ 2m", "dpmpp-2m"),
            ("DPM++2M", "dpmpp-2m"),
        ] {
            let found: Vec<_> = entries().into_iter().filter(|entry| entry.is_called(name)).map(|entry| entry.id).collect();
            assert_eq!(found, [id], "{name}");
        }
    }

    #[test]
    fn a_slip_finds_its_name_and_nonsense_none() {
        let entries = entries();
        for (slip, id) in [("eulr", Some("euler")), ("dpm2m", Some("dpmpp-2m")), ("xyzzy", None), ("", None)] {
            assert_eq!(nearest(slip, &entries), id, "{slip}");
        }
        assert_eq!(nearest(&"e".repeat(1 << 20), &entries), None);
    }
}
