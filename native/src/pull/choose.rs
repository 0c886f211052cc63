//! Which of a repository's files are needed: those of one model, in one format and one precision, and no more.
//!
//! Repositories hold the same weights several times over: in two precisions, in formats that run programs when they are
//! opened, whole and in parts, for other libraries. The same rules decide what is fetched and whether a cached copy is whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use encaustic_engine::weights::{FileSet, FilesError, Precision, choose_files};
use serde_json::Value;

use super::fault::Fault;
use super::names::{is_plain, is_plain_part};
use crate::failure::Refusal;
use crate::files::WriteError;
use crate::library::model_files::TEXT_LIMIT;
use crate::library::scan::is_pickle;

/// The file that makes a folder a model.
const INDEX: &str = "model_index.json";

/// Settings for what a user leaves open.
const DEFAULTS: &str = "encaustic.json";

/// Parts of a model that are not computed here.
const SKIPPED: &[&str] = &["safety_checker", "feature_extractor"];

/// How the classes of parts end that have no weights.
const WEIGHTLESS: &[&str] = &["Scheduler", "Tokenizer", "TokenizerFast", "Processor", "Extractor"];

/// The most that an error lists.
const LISTED: usize = 20;

/// What is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// These files of a folder in the layout of diffusers, small ones first.
    Folder(Vec<String>),
    /// One file.
    File(String),
}

/// The names that are to be fetched.
impl Choice {
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::Folder(names) => names,
            Self::File(name) => std::slice::from_ref(name),
        }
    }
}

/// A file that can be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) name: &'a str,
    pub(crate) size: Option<u64>,
}

/// Chooses among a repository's files; `read` gets the contents of an index.
///
/// # Errors
/// If there is no model, or more than one, or a part of it is missing; and what `read` fails with.
pub(crate) fn choose(
    repo: &str,
    offers: &[Offer<'_>],
    precision: Precision,
    mut read: impl FnMut(&str) -> Result<Vec<u8>, Fault>,
) -> Result<Choice, Fault> {
    let refuse = |problem: String| Refusal::new("source", format!("{repo}: {problem}"));
    if !offers.iter().any(|offer| offer.name == INDEX) {
        return single(repo, offers).map_err(Fault::from);
    }
    let index: Value = serde_json::from_slice(&read(INDEX)?).map_err(|error| refuse(format!("{INDEX} is damaged: {error}")))?;
    let parts = index.as_object().ok_or_else(|| refuse(format!("{INDEX} is no index of a model")))?;
    let (mut texts, mut weights) = (vec![INDEX.to_owned()], Vec::new());
    texts.extend(offers.iter().filter(|offer| offer.name == DEFAULTS).map(|offer| offer.name.to_owned()));
    for (part, class) in parts {
        // Parts are written as [library, class]; everything else is a setting.
        let class = class.as_array().filter(|pair| pair.len() == 2).and_then(|pair| pair.last()).and_then(Value::as_str);
        let Some(class) = class.filter(|_| !part.starts_with('_') && !SKIPPED.contains(&part.as_str())) else { continue };
        if !is_plain_part(part) {
            return Err(refuse(format!("{INDEX} names a part that cannot be a folder")).into());
        }
        let prefix = format!("{part}/");
        let inside: Vec<&str> = offers.iter().filter_map(|offer| offer.name.strip_prefix(prefix.as_str())).collect();
        let inside: Vec<&str> = inside.into_iter().filter(|name| !name.contains('/')).collect();
        let is_text = |name: &str| (name.ends_with(".json") || name.ends_with(".txt")) && !name.contains(".index.");
        texts.extend(inside.iter().filter(|name| is_text(name)).map(|name| format!("{prefix}{name}")));
        let is_weightless = WEIGHTLESS.iter().any(|ending| class.ends_with(ending));
        match choose_files(&inside, precision) {
            Ok(FileSet::Single(name)) => weights.push(format!("{prefix}{name}")),
            Ok(FileSet::Sharded(name)) => {
                let text = read(&format!("{prefix}{name}"))?;
                let shards = shards(&text).ok_or_else(|| refuse(format!("{prefix}{name} is damaged")))?;
                if let Some(missing) = shards.iter().find(|shard| !inside.contains(&shard.as_str())) {
                    return Err(refuse(format!("{prefix}{name} names {missing:?}, which is not there")).into());
                }
                texts.push(format!("{prefix}{name}"));
                weights.extend(shards.into_iter().map(|shard| format!("{prefix}{shard}")));
            }
            Err(_) if is_weightless && !inside.is_empty() => {}
            Err(FilesError::None) if is_weightless => return Err(refuse(format!("its part {part} is not there")).into()),
            Err(error) => return Err(refuse(format!("{part}: {error}")).into()),
        }
    }
    if weights.is_empty() {
        return Err(refuse(format!("{INDEX} names no part that has weights")).into());
    }
    texts.extend(weights);
    Ok(Choice::Folder(texts))
}

/// One file that the user names.
///
/// # Errors
/// If it is not there, or is of a kind that is not read.
pub(crate) fn named(repo: &str, file: &str, offers: &[Offer<'_>]) -> Result<Choice, Refusal> {
    let refuse = |problem: String| Refusal::new("source", format!("{repo}: {problem}"));
    if is_pickle(file.as_ref()) {
        return Err(refuse(format!("{file} is in a format that can run programs when it is opened, so it is not fetched"))
            .hint("get the `.safetensors` file of this model"));
    }
    if !file.ends_with(".safetensors") || !is_plain(file) {
        return Err(refuse(format!("{file} is no file of weights")).hint("name one that ends in .safetensors"));
    }
    if offers.iter().any(|offer| offer.name == file) {
        return Ok(Choice::File(file.to_owned()));
    }
    let known = offers.iter().filter(|offer| offer.name.ends_with(".safetensors"));
    Err(refuse(format!("there is no {file}; {}", list(known.copied()))))
}

/// The one file of weights that lies openly in a repository.
fn single(repo: &str, offers: &[Offer<'_>]) -> Result<Choice, Refusal> {
    let refuse = |problem: String| Refusal::new("source", format!("{repo}: {problem}"));
    let found: Vec<Offer<'_>> =
        offers.iter().filter(|offer| offer.name.ends_with(".safetensors") && !offer.name.contains('/')).copied().collect();
    match found.as_slice() {
        [one] => Ok(Choice::File(one.name.to_owned())),
        [] if offers.iter().any(|offer| offer.name.ends_with(".safetensors")) => {
            let below = offers.iter().filter(|offer| offer.name.ends_with(".safetensors"));
            Err(refuse(format!("there is no model_index.json, and no file of weights beside it; {}", list(below.copied())))
                .hint(format!("name one: {repo}:FILE")))
        }
        [] => Err(match offers.iter().find(|offer| is_pickle(offer.name.as_ref())) {
            Some(pickle) => refuse(format!(
                "the only weights are {}, in a format that can run programs when it is opened, so it is not fetched",
                pickle.name
            ))
            .hint("look for the same model in `.safetensors`, or convert it where you trust it"),
            None => refuse("there is no model in it: neither model_index.json nor a `.safetensors` file".to_owned()),
        }),
        several => Err(refuse(format!("there are several models in it; {}", list(several.iter().copied())))
            .hint(format!("name one: {repo}:FILE"))),
    }
}

/// How files of weights end.
const WEIGHTS: &str = ".safetensors";

/// Refuses a file that is read in whole, as all are that are not weights, if it has more bytes than any real one.
///
/// # Errors
/// With the file and the limit.
pub(crate) fn is_small(repo: &str, name: &str, size: u64) -> Result<(), Refusal> {
    if name.ends_with(WEIGHTS) || size <= TEXT_LIMIT {
        return Ok(());
    }
    let (size, limit) = (crate::models::size(size), TEXT_LIMIT >> 20);
    let problem = format!("{repo}: {name} has {size}; of files that are not weights at most {limit} MiB are read");
    Err(Refusal::new("source", problem))
}

/// Reads such a file, whatever its length is said to be.
///
/// # Errors
/// If it cannot be read, or has more bytes.
pub(crate) fn read_small(repo: &str, name: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes)).map_err(failed)?;
    is_small(repo, name, bytes.len() as u64)?;
    Ok(bytes)
}

/// The files of an index of shards; `None` if it is none, or names a file elsewhere.
fn shards(text: &[u8]) -> Option<BTreeSet<String>> {
    let index: Value = serde_json::from_slice(text).ok()?;
    let map = index.get("weight_map")?.as_object()?;
    let names: Option<BTreeSet<String>> = map.values().map(|name| name.as_str().map(str::to_owned)).collect();
    names.filter(|names| !names.is_empty() && names.iter().all(|name| is_plain_part(name) && name.ends_with(".safetensors")))
}

/// Names with sizes.
fn list<'a>(offers: impl Iterator<Item = Offer<'a>>) -> String {
    let mut names: Vec<String> = offers
        .map(|offer| match offer.size {
            Some(size) => format!("{} ({})", offer.name, crate::models::size(size)),
            None => offer.name.to_owned(),
        })
        .collect();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if names.is_empty() { "there are none".to_owned() } else { format!("there are {}{more}", names.join(", ")) }
}
