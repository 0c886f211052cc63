//! From what a user calls a model to the one that is meant, or to a refusal that says what there is.

use std::path::Path;

use encaustic_protocol::{Entry, nearest};

use crate::demo;
use crate::failure::Refusal;
use crate::hash::Cache;
use crate::library::model::{self, Model};
use crate::library::model_files::ModelFiles;
use crate::library::names::{self, Case};
use crate::library::places::{self, Place};
use crate::library::scan::{self, Found, Layout};
use crate::pull::address;

/// How many candidates a refusal lists.
const LISTED: usize = 8;
/// How many near names it offers.
const NEAR: usize = 3;

/// All that can be called by name.
#[derive(Clone, Debug, Default)]
pub struct Library {
    /// Where was looked.
    pub places: Vec<Place>,
    /// What is there.
    pub found: Vec<Found>,
    /// What it is called; as many as are found.
    pub names: Vec<String>,
    /// What could not be looked into.
    pub warnings: Vec<String>,
}

/// Which of several things of one name is more likely meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Anything.
    Any,
    /// Anything, and two ways to one thing are two: for what is done to a link and not to what it leads to.
    Exactly,
    /// Something to draw with.
    Model,
    /// Something with an autoencoder.
    Vae,
}

/// Whether text means a thing of a name.
type Sense<'a> = &'a dyn Fn(&Found, &str) -> bool;

impl Library {
    /// Looks what there is. No file of weights is opened.
    pub fn open() -> Self {
        let (places, mut warnings) = places::all();
        let scan = scan::scan(&places);
        warnings.extend(scan.warnings);
        Self { names: names::assign(&scan.found), found: scan.found, places, warnings }
    }

    /// What there is, with its name.
    pub fn entries(&self) -> impl Iterator<Item = (&Found, &str)> {
        self.found.iter().zip(self.names.iter().map(String::as_str))
    }

    /// Whether anything is called so.
    pub fn knows(&self, name: &str) -> bool {
        !self.called(name).is_empty()
    }

    /// What a name means. `option` is the one that gave it, for the refusal.
    ///
    /// # Errors
    /// If nothing is called so, or several things are.
    pub fn find(&self, name: &str, wanted: Wanted, option: &str) -> Result<(&Found, &str), Refusal> {
        let shown: String = name.chars().take(200).collect();
        let mut candidates = self.called(name);
        if candidates.is_empty() {
            candidates = self.hashed(name, option)?;
        }
        // Nobody means a pickle where the same name stands for something that can be used.
        prefer(&mut candidates, |(found, _)| found.layout != Layout::Pickle);
        if candidates.len() > 1 {
            prefer(&mut candidates, |(found, _)| model::is_wanted(found, wanted));
        }
        match candidates.as_slice() {
            [] => Err(self.absent(name, &shown, wanted, option)),
            [one] => Ok(*one),
            [first, rest @ ..] => {
                // Two ways to one thing, by a link, are no question.
                let target = |found: &Found| std::fs::canonicalize(&found.path).ok();
                if wanted != Wanted::Exactly
                    && target(first.0).is_some_and(|path| rest.iter().all(|(found, _)| target(found).as_ref() == Some(&path)))
                {
                    return Ok(*first);
                }
                Err(self.ambiguous(&candidates, &shown, option))
            }
        }
    }

    /// Everything that text may mean by name, in the first sense in which it means anything.
    fn called(&self, wanted: &str) -> Vec<(&Found, &str)> {
        let wanted = wanted.trim();
        // Compared as text: no file is asked for.
        let senses: [Sense<'_>; 4] = [
            &|_, name| name == wanted,
            &|found, _| found.path == Path::new(wanted),
            &|found, _| names::fits(found, wanted, Case::Exact),
            &|found, _| names::fits(found, wanted, Case::Ignored),
        ];
        let meant = |is_meant: Sense<'_>| self.entries().filter(|(found, name)| is_meant(found, name)).collect::<Vec<_>>();
        senses.into_iter().map(meant).find(|candidates| !candidates.is_empty()).unwrap_or_default()
    }

    /// Everything that text may mean by a hash, with a name before it or alone. Only hashes that are known count: none is
    /// computed.
    fn hashed(&self, wanted: &str, option: &str) -> Result<Vec<(&Found, &str)>, Refusal> {
        let (name, hash) = match names::with_hash(wanted) {
            Some((name, hash)) => (name, hash),
            None if names::is_hash(wanted.trim()) => ("", wanted.trim()),
            None => return Ok(Vec::new()),
        };
        let cache = Cache::load();
        let hash = hash.to_ascii_lowercase();
        let known = |found: &Found| model::known_hash(found, &cache);
        let is_it = |found: &Found| known(found).is_some_and(|sha| sha.full().starts_with(&hash));
        let named = if name.is_empty() { Vec::new() } else { self.called(name) };
        match named.as_slice() {
            [] => {
                let mut its: Vec<_> = self.entries().filter(|(found, _)| is_it(found)).collect();
                // What is packed has the hash of what it was packed from, which is meant if it is here.
                prefer(&mut its, |(found, _)| found.layout != Layout::Packed);
                Ok(its)
            }
            [(found, name)] => match known(found) {
                Some(sha) if !is_it(found) && hash.len() >= sha.short().len() => {
                    let problem = format!("{name:?} is here, but its hash is {} and not {hash}", sha.short());
                    Err(Refusal::new(option, problem).hint("it is another file of that name: leave the hash out to use it"))
                }
                _ => Ok(named),
            },
            _ => {
                let mut named = named;
                prefer(&mut named, |(found, _)| is_it(found));
                Ok(named)
            }
        }
    }

    fn absent(&self, wanted: &str, shown: &str, kind: Wanted, option: &str) -> Refusal {
        let stem = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let names = self.names.iter().map(String::as_str).chain([demo::NAME]);
        let mut entries: Vec<Entry> = names.map(|name| Entry::new(name, &stem(name))).collect();
        let mut near = Vec::new();
        while near.len() < NEAR {
            let Some(name) = nearest(wanted, &entries).map(str::to_owned) else { break };
            entries.retain(|entry| entry.id != name);
            near.push(format!("{name:?}"));
        }
        let mut hint = String::from(match kind {
            Wanted::Exactly => "give a name that `encaustic models` lists in our own folder",
            Wanted::Any | Wanted::Model | Wanted::Vae => {
                "give the path of a `.safetensors` file or of a folder with model_index.json, or a name that `encaustic models` \
                 lists"
            }
        });
        match near.as_slice() {
            [] => {}
            [name] => hint += &format!("; did you mean {name}?"),
            [names @ .., last] => hint += &format!("; did you mean {} or {last}?", names.join(", ")),
        }
        if names::is_hash(wanted.trim()) {
            hint += "; hashes are known once they were computed: `encaustic models --hash`";
        }
        if kind != Wanted::Exactly {
            hint += &elsewhere(wanted);
        }
        Refusal::new(option, format!("there is no {shown:?}")).hint(hint)
    }

    fn ambiguous(&self, candidates: &[(&Found, &str)], shown: &str, option: &str) -> Refusal {
        let mut listed: Vec<String> = candidates
            .iter()
            .take(LISTED)
            .map(|(found, name)| {
                let place = self.places.get(found.place).map_or("", |place| place.label.as_str());
                format!("{name:?} ({place})")
            })
            .collect();
        if candidates.len() > LISTED {
            listed.push(format!("{} more", candidates.len() - LISTED));
        }
        let problem = format!("{shown:?} may be {} things here: {}", candidates.len(), listed.join(", "));
        Refusal::new(option, problem).hint("give one of these names")
    }

    /// Everything told about one thing; see [`model::tell`].
    pub fn tell(&self, found: &Found, name: &str, cache: &Cache) -> Model {
        model::tell(found, name, self.places.get(found.place), cache)
    }
}

/// The packed models of the library.
pub fn packed() -> Vec<ModelFiles> {
    let packed = |found: Found| (found.layout == Layout::Packed).then_some(ModelFiles::Folder(found.path));
    Library::open().found.into_iter().filter_map(packed).collect()
}

/// What to do about text that may mean something on the hub, or anywhere in the internet.
fn elsewhere(wanted: &str) -> String {
    match address::Wanted::parse(wanted) {
        Ok(address::Wanted::Hub(address)) => format!("; a model on the hub is called `{}{address}`", address::SCHEME),
        // (Not repeated: there can be secrets in it.)
        Ok(address::Wanted::Web(_)) => "; a file is fetched first: `encaustic pull URL`".to_owned(),
        Err(_) => String::new(),
    }
}

/// Keeps what fits better, if anything does.
fn prefer<T>(candidates: &mut Vec<T>, is_better: impl Fn(&T) -> bool) {
    let better: Vec<bool> = candidates.iter().map(is_better).collect();
    if better.contains(&true) {
        let mut better = better.into_iter();
        candidates.retain(|_| better.next().unwrap_or(false));
    }
}
