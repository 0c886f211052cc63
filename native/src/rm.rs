//! `encaustic rm`: removes a model from our own folder, and nothing from anywhere else.
//!
//! The name is looked up in what a walk has found and never becomes a path. What is removed is what the walk has found, if it
//! really lies in our folder; a link goes and what it leads to stays.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process;

use clap::Args;
use serde_json::json;

use crate::failure::{Failure, Refusal};
use crate::library::Library;
use crate::library::find::Wanted;
use crate::library::model;
use crate::library::places;
use crate::library::scan::{Found, Layout};
use crate::models::size;
use crate::{demo, files, pull, terminal};

/// What the command line gives the name as.
const OPTION: &str = "NAME";

/// `encaustic rm`
#[derive(Debug, Args)]
pub struct Options {
    /// A name that `encaustic models` lists, in our own folder
    pub name: String,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Removes a model.
///
/// # Errors
/// If there is none of that name, it is not ours, nobody agrees, or the system refuses.
pub fn run(options: &Options, json: bool) -> Result<(), Failure> {
    let library = Library::open();
    let (found, name) = meant(&library, &options.name)?;
    let own = ours(found)?;
    let about = fs::symlink_metadata(&found.path).map_err(|error| failed(&found.path, &error))?;
    let bytes = match found.layout {
        _ if about.is_symlink() => 0,
        Layout::File | Layout::Pickle => about.len(),
        Layout::Folder | Layout::Packed => model::weigh(&found.path),
    };
    let what = if about.is_symlink() { "a link; what it leads to stays".to_owned() } else { size(bytes) };
    if !options.yes {
        agree(&format!("remove {} ({what})?", found.path.display()))?;
    }
    remove(&own, &found.real)?;
    if json {
        return terminal::tell(json!({"removed": name, "path": found.path.to_string_lossy(), "bytes": bytes}));
    }
    terminal::say(terminal::harmless(&format!("removed {} ({what})", found.path.display())));
    Ok(())
}

/// Removes a model without a question.
///
/// # Errors
/// As [`run`].
pub fn removed(name: &str) -> Result<(), Failure> {
    let library = Library::open();
    let (found, _) = meant(&library, name)?;
    remove(&ours(found)?, &found.real)
}

/// What a name means, if it can be removed at all.
fn meant<'a>(library: &'a Library, name: &str) -> Result<(&'a Found, &'a str), Failure> {
    if name.trim().eq_ignore_ascii_case(demo::NAME) {
        return Err(Refusal::new(OPTION, "the demo model is part of this program and cannot be removed").into());
    }
    if let (Some(folder), false) = (pull::folder_of(name.trim()), library.knows(name)) {
        let problem = "it lies in the hub's cache, which other programs use too";
        let hint = format!("remove it with `hf cache delete` (or huggingface-cli delete-cache), or delete {}", folder.display());
        return Err(Refusal::new(OPTION, problem).hint(hint).into());
    }
    Ok(library.find(name, Wanted::Exactly, OPTION)?)
}

/// The real path of our own folder, if the thing really lies in it.
fn ours(found: &Found) -> Result<PathBuf, Refusal> {
    let own = places::own().and_then(|own| fs::canonicalize(own).ok());
    let parent = found.path.parent().and_then(|parent| fs::canonicalize(parent).ok());
    match (own, parent) {
        (Some(own), Some(parent)) if found.is_own && parent.starts_with(&own) => Ok(own),
        (_, parent) => {
            let parent = parent.unwrap_or_else(|| found.path.clone());
            let problem = format!("it lies in {}, which is not ours: delete it there", parent.display());
            Err(Refusal::new(OPTION, problem))
        }
    }
}

/// Asks, where somebody can answer.
fn agree(question: &str) -> Result<(), Failure> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Refusal::new("yes", "there is no terminal to ask on")
            .hint("give --yes to remove it without a question")
            .into());
    }
    terminal::say(terminal::harmless(&format!("{question} [y/N]")));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| Failure::System(format!("no answer can be read: {error}")))?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::System("nothing was removed".to_owned()))
}

/// Removes a file, a link or a folder that lies in our own folder.
fn remove(own: &Path, path: &Path) -> Result<(), Failure> {
    // Only a file's or folder's own name counts below; the folder around it was made real.
    if path == own || !path.starts_with(own) {
        return Err(Failure::System(format!("{}: outside our own folder, so it is not removed", path.display())));
    }
    let about = fs::symlink_metadata(path).map_err(|error| failed(path, &error))?;
    if about.is_dir() {
        sweep(files::folder_of(path));
        // First out of sight in one step: a crash on the way leaves a hidden rest, and no half model under its name.
        let hidden = hidden(path).map_err(|error| failed(path, &error))?;
        return fs::remove_dir_all(&hidden).map_err(|error| failed(&hidden, &error));
    }
    #[cfg(windows)]
    if about.is_symlink() && path.is_dir() {
        return fs::remove_dir(path).map_err(|error| failed(path, &error));
    }
    fs::remove_file(path).map_err(|error| failed(path, &error))
}

/// How the hidden name of what is being removed begins and ends.
const HIDDEN: (&str, &str) = (".encaustic-", ".removed");

/// Removes what is left of removals that were cut short. Whatever is in the way now will be so again the next time.
fn sweep(folder: &Path) {
    let is_left = |name: &str| name.starts_with(HIDDEN.0) && name.ends_with(HIDDEN.1);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_left) && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Gives a folder a hidden name beside its own.
fn hidden(path: &Path) -> io::Result<PathBuf> {
    let mut number = 0u32;
    loop {
        let hidden = path.with_file_name(format!("{}{}-{number}{}", HIDDEN.0, process::id(), HIDDEN.1));
        // Renaming onto an empty folder would succeed: never onto anything.
        if fs::symlink_metadata(&hidden).is_err() {
            fs::rename(path, &hidden)?;
            return Ok(hidden);
        }
        number = number.checked_add(1).ok_or_else(|| io::Error::other("no hidden name is free"))?;
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::System(format!("{}: it cannot be removed: {error}", path.display()))
}
