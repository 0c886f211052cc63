//! The gallery without a browser: what is known of a picture, finding it, naming its file, and what makes room.

use std::collections::BTreeSet;

use encaustic_picture::infotext::{Infotext, KEYWORD};
use encaustic_picture::png_text::PngText;
use encaustic_picture::restore;
use encaustic_protocol::{Catalog, PARAMS, Request, Value};
use serde::{Deserialize, Serialize};

/// How long a picture that was removed can be had back, in milliseconds.
pub const BIN_TIME: u64 = 60_000;

/// How much of a prompt goes into a file's name, in characters.
const NAME_LENGTH: usize = 48;

/// What is known of a picture that is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Names it; newer ones are larger: [`id`].
    pub id: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_at: u64,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Its own seed.
    pub seed: u64,
    /// What it shows.
    pub prompt: String,
    /// What it should not show.
    pub negative: String,
    /// What the model is called that made it, if that is known.
    pub model: Option<String>,
    /// How it was made, as it stands in its file.
    pub parameters: String,
    /// The request, as JSON: one of a newer version may hold what this version does not know.
    pub request: serde_json::Value,
    /// Whether it is dear to its owner: it is never thrown away to make room.
    pub favourite: bool,
    /// When it was removed; for [`BIN_TIME`] it can be had back.
    pub removed_at: Option<u64>,
}

impl Record {
    /// The request that makes this very picture again, on its own. What it had left to the model is filled in as far as the picture
    /// tells: another model would take something else. `catalog` knows the names that people read.
    pub fn request(&self, catalog: &Catalog) -> Request {
        let whole = serde_json::from_value(self.request.clone()).unwrap_or_else(|_| Request {
            prompt: self.prompt.clone(),
            negative: self.negative.clone(),
            width: Some(self.width),
            height: Some(self.height),
            ..Request::default()
        });
        let mut request = Request { seed: Some(self.seed), batch: 1, ..whole };
        let told = self.told(catalog);
        for param in PARAMS {
            if (param.get)(&request) == Value::Auto {
                // A value that was read for this setting fits into it.
                let _ = (param.set)(&mut request, (param.get)(&told));
            }
        }
        let side = |side: u32| (side > 0).then_some(side);
        request.width = request.width.or(side(self.width));
        request.height = request.height.or(side(self.height));
        request
    }

    /// What the picture's own text says.
    fn told(&self, catalog: &Catalog) -> Request {
        let entries = vec![(KEYWORD.to_owned(), self.parameters.clone())];
        let text = PngText { width: self.width, height: self.height, entries, damage: None };
        let Ok(mut told) = restore::read(&text, catalog).map(|restored| restored.request) else { return Request::default() };
        // What A1111 would have taken is not what was taken here.
        if Infotext::parse(&self.parameters).get("Schedule type").is_none() {
            told.schedule = None;
        }
        told
    }

    /// A name for its file, which every system takes: the seed, and how the prompt begins.
    pub fn file_name(&self) -> String {
        let mut name = self.seed.to_string();
        let mut is_gap = true;
        let mut length = 0;
        for c in self.prompt.chars() {
            if !c.is_alphanumeric() {
                is_gap = true;
                continue;
            }
            if length >= NAME_LENGTH {
                break;
            }
            if is_gap {
                name.push('-');
            }
            is_gap = false;
            name.extend(c.to_lowercase());
            length += 1;
        }
        name.push_str(".png");
        name
    }

    /// Whether it is on show: it has not been removed.
    pub fn is_shown(&self) -> bool {
        self.removed_at.is_none()
    }

    /// Whether it is not known how it was made: a server's lists do not tell.
    pub fn is_sketch(&self) -> bool {
        self.parameters.is_empty() && self.request.is_null()
    }

    /// Whether it was removed so long ago that nobody wants it back.
    pub fn is_spent(&self, now: u64) -> bool {
        // A clock that was set back must not keep pictures for ever.
        self.removed_at.is_some_and(|at| now.abs_diff(at) >= BIN_TIME)
    }
}

/// A picture's id: its time, and a part by chance for those that two tabs make at once. Numbers in JavaScript hold it.
pub fn id(made_at: u64, chance: f64) -> u64 {
    const STEPS: u64 = 1 << 10;
    made_at.saturating_mul(STEPS).saturating_add((chance * STEPS as f64) as u64)
}

/// The id of a picture that comes after the one with the id `last`: those of one job have the same time, and chance alone would give
/// two of them the same.
pub fn id_after(last: u64, made_at: u64, chance: f64) -> u64 {
    id(made_at, chance).max(last.saturating_add(1))
}

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    words: Vec<String>,
    favourites: bool,
    /// The number of a collection; there are some on servers.
    collection: Option<u64>,
}

impl Query {
    /// All words of `text` must be there; favourites alone, or all.
    pub fn new(text: &str, favourites: bool) -> Self {
        Self { words: text.split_whitespace().map(str::to_lowercase).collect(), favourites, collection: None }
    }

    /// The same in a collection alone.
    #[must_use]
    pub fn within(self, collection: Option<u64>) -> Self {
        Self { collection, ..self }
    }

    /// The words, with a space between them.
    pub fn text(&self) -> String {
        self.words.join(" ")
    }

    /// Whether favourites alone are meant.
    pub fn is_favourites(&self) -> bool {
        self.favourites
    }

    /// The collection that is meant.
    pub fn collection(&self) -> Option<u64> {
        self.collection
    }

    /// All pictures again, if this collection was meant.
    pub fn forget_collection(&mut self, gone: u64) {
        self.collection = self.collection.filter(|collection| *collection != gone);
    }

    /// Whether a picture is meant: its prompt, its model and its seed are looked at.
    pub fn matches(&self, record: &Record) -> bool {
        if self.favourites && !record.favourite {
            return false;
        }
        if self.words.is_empty() {
            return true;
        }
        let prompt = record.prompt.to_lowercase();
        let model = record.model.as_deref().unwrap_or_default().to_lowercase();
        let seed = record.seed.to_string();
        self.words.iter().all(|word| prompt.contains(word) || model.contains(word) || seed == *word)
    }

    /// Whether anything is asked for at all.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && !self.favourites && self.collection.is_none()
    }
}

/// The oldest pictures beyond the first `keep`, newest first in `records`; favourites neither count nor go.
pub fn beyond<'a>(records: impl IntoIterator<Item = &'a Record>, keep: usize) -> Vec<u64> {
    records.into_iter().filter(|record| record.is_shown() && !record.favourite).skip(keep).map(|record| record.id).collect()
}

/// Which pictures are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    ids: BTreeSet<u64>,
    /// Where a range begins.
    anchor: Option<u64>,
}

impl Selection {
    /// Chooses a picture, or no longer.
    pub fn toggle(&mut self, id: u64) {
        if !self.ids.remove(&id) {
            self.ids.insert(id);
        }
        self.anchor = Some(id);
    }

    /// Chooses all from the last one that was toggled to this one, in the order of `shown`.
    pub fn extend(&mut self, id: u64, shown: &[u64]) {
        let place = |wanted: u64| shown.iter().position(|known| *known == wanted);
        let (Some(from), Some(to)) = (self.anchor.and_then(place), place(id)) else { return self.toggle(id) };
        self.ids.extend(shown.iter().skip(from.min(to)).take(from.abs_diff(to) + 1));
    }

    /// Chooses these and no others.
    pub fn set(&mut self, ids: impl IntoIterator<Item = u64>) {
        self.ids = ids.into_iter().collect();
    }

    /// Forgets those that are not among `known`.
    pub fn retain(&mut self, known: impl Fn(u64) -> bool) {
        self.ids.retain(|id| known(*id));
    }

    /// Whether a picture is chosen.
    pub fn has(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    /// All that are chosen.
    pub fn ids(&self) -> Vec<u64> {
        self.ids.iter().copied().collect()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64, prompt: &str) -> Record {
        Record { id, seed: id + 100, prompt: prompt.into(), model: Some("Demo One".into()), ..Record::default() }
    }

    #[test]
    fn every_word_is_looked_for_in_prompt_model_and_seed() {
        let record = record(7, "A Lighthouse at dusk, größer");
        for (text, found) in [
            ("", true),
            ("light", true),
            ("dusk LIGHTHOUSE", true),
            ("GRÖSSER", false),
            ("GRÖßer", true),
            ("demo dusk", true),
            ("107", true),
            ("10", false),
            ("dusk 108", false),
            ("dawn", false),
        ] {
            assert_eq!(Query::new(text, false).matches(&record), found, "{text}");
        }
        assert!(!Query::new("", true).matches(&record));
        assert!(Query::new("", true).matches(&Record { favourite: true, ..record }));
        assert!(Query::new("  ", false).is_empty());
    }

    #[test]
    fn file_names_are_such_that_every_system_takes() {
        for (prompt, name) in [
            ("A Fox, painted (oil:1.2)", "107-a-fox-painted-oil-1-2.png"),
            ("../../etc/passwd\0:*?\"<>|", "107-etc-passwd.png"),
            ("Straße, 狐の絵", "107-straße-狐の絵.png"),
            ("", "107.png"),
            ("...", "107.png"),
        ] {
            assert_eq!(record(7, prompt).file_name(), name, "{prompt}");
        }
        assert!(record(7, &"long ".repeat(1000)).file_name().chars().count() < 80);
    }

    #[test]
    fn a_record_gives_its_request_back() {
        let request = Request { prompt: "x".into(), seed: Some(5), batch: 4, steps: Some(9), ..Request::default() };
        let mut record = Record { seed: 7, request: serde_json::to_value(&request).unwrap(), ..record(7, "x") };
        let none = Catalog::default();
        assert_eq!(record.request(&none), Request { seed: Some(7), batch: 1, ..request.clone() });
        // What was left to the model is what the model took.
        (record.width, record.height) = (96, 64);
        record.parameters = "x\nSteps: 4, Sampler: DDIM, CFG scale: 3, Seed: 7, Size: 96x64".into();
        let filled = record.request(&none);
        assert_eq!((filled.steps, filled.width, filled.height, filled.cfg), (Some(9), Some(96), Some(64), Some(3.0)));
        assert_eq!((filled.sampler.is_some(), filled.schedule), (true, None));
        record.parameters = String::new();
        assert_eq!(record.request(&none).width, Some(96));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        // Of a later version.
        record.request = serde_json::json!({"prompt": "x", "wings": 2});
        (record.width, record.height) = (64, 128);
        let known = record.request(&none);
        assert_eq!((known.prompt.as_str(), known.seed, known.width), ("x", Some(7), Some(64)));
        // Of an earlier one.
        assert_eq!(serde_json::from_str::<Record>(r#"{"id": 3, "seed": 4}"#).unwrap().seed, 4);
    }

    #[test]
    fn what_was_removed_can_be_had_back_for_a_while() {
        let mut record = record(1, "x");
        assert!(record.is_shown() && !record.is_spent(u64::MAX));
        record.removed_at = Some(1_000_000);
        assert!(!record.is_shown());
        for (now, is_spent) in [(1_000_000, false), (1_000_000 + BIN_TIME - 1, false), (1_000_000 + BIN_TIME, true), (0, true)] {
            assert_eq!(record.is_spent(now), is_spent, "{now}");
        }
    }

    #[test]
    fn room_is_made_by_the_oldest_that_nobody_loves() {
        let mut records: Vec<_> = (0..6).rev().map(|id| record(id, "x")).collect();
        records[1].favourite = true;
        records[4].favourite = true;
        records[2].removed_at = Some(1);
        assert_eq!(beyond(&records, 1), [2, 0]);
        assert_eq!(beyond(&records, 0), [5, 2, 0]);
        assert_eq!(beyond(&records, 3), [0; 0]);
    }

    #[test]
    fn pictures_of_one_moment_have_ids_of_their_own() {
        let now = 1_790_000_000_000;
        let mut last = 0;
        let mut ids = BTreeSet::new();
        for number in 0..64 {
            // The worst that chance can do.
            last = id_after(last, now, if number % 3 == 0 { 0.999 } else { 0.25 });
            assert!(ids.insert(last));
        }
        assert_eq!(ids.len(), 64);
        // A clock that was set back.
        assert_eq!(id_after(last, now - 60_000, 0.5), last + 1);
        assert_eq!(id_after(last, now + 60_000, 0.5), id(now + 60_000, 0.5));
    }

    #[test]
    fn a_selection_grows_by_ranges() {
        let shown = [9, 8, 7, 6, 5];
        let mut selection = Selection::default();
        selection.extend(8, &shown);
        selection.extend(6, &shown);
        assert_eq!(selection.ids(), [6, 7, 8]);
        selection.toggle(7);
        selection.extend(5, &shown);
        assert_eq!(selection.ids(), [5, 6, 7, 8]);
        selection.retain(|id| id > 6);
        assert_eq!((selection.len(), selection.has(7), selection.has(6)), (2, true, false));
        selection.set([]);
        assert!(selection.is_empty());
    }

    #[test]
    fn ids_rise_with_time_and_fit_into_a_number_of_javascript() {
        let now = 1_790_000_000_000;
        assert!(id(now, 0.999) < id(now + 1, 0.0));
        assert!(id(now * 4, 0.999) < 1 << 53);
    }
}
