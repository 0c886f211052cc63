//! The walk through the places: what in them is a model, by the names of files and folders alone. No file is opened.
//!
//! Trees come from other programs and from people, so the walk has bounds: how deep, how many entries, and each folder once,
//! by its real path, so that links in a circle end. What cannot be looked into is a warning, and the walk goes on.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use encaustic_engine::weights::MANIFEST;

use crate::library::places::Place;

/// The file that makes a folder a model in the layout of diffusers.
pub(crate) const INDEX: &str = "model_index.json";
/// What files of weights are called that can be read.
pub(crate) const ENDING: &str = "safetensors";
/// What pickles are called.
const PICKLES: [&str; 5] = ["ckpt", "pt", "pth", "bin", "pkl"];
/// How many folders may lie in one another.
const DEPTH: usize = 16;
/// How many files and folders are looked at in one place.
const ENTRIES: usize = 200_000;
/// How many warnings are kept.
const WARNINGS: usize = 20;

/// How a model lies on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One file of weights.
    File,
    /// A folder in the layout of diffusers.
    Folder,
    /// A folder with a manifest.
    Packed,
    /// A file that is called as pickles are.
    Pickle,
}

/// Something in a place that is a model, or a part of one, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is, as it was reached.
    pub path: PathBuf,
    /// The same without links on the way (the last part may be one).
    pub real: PathBuf,
    /// The path inside its place, joined by `/`, for names.
    pub relative: String,
    /// Which place it is in.
    pub place: usize,
    /// How it lies there.
    pub layout: Layout,
    /// Whether it is ours: really in our own folder, not behind a link that leads out of it.
    pub is_own: bool,
}

/// What a walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// All there is, in the order of places and then of paths.
    pub found: Vec<Found>,
    /// What could not be looked into.
    pub warnings: Vec<String>,
}

/// Walks all places.
pub fn scan(places: &[Place]) -> Scan {
    let real = |place: &Place| fs::canonicalize(&place.path).ok();
    let foreign = places.iter().filter(|place| !place.is_own).filter_map(real).collect();
    let mut walk = Walk { scan: Scan::default(), visited: BTreeSet::new(), links: Vec::new(), left: 0, own: None, foreign };
    for (index, place) in places.iter().enumerate() {
        // A place of our own that is not there yet is an empty one.
        let Some(real) = real(place) else { continue };
        walk.enter(place, &real);
        let name = place.path.file_name().unwrap_or(place.path.as_os_str()).to_string_lossy().into_owned();
        match marked(&place.path) {
            // Somebody named a model where a folder of models was asked for: it is one all the same.
            Some(layout) if !place.is_own => walk.add(place.path.clone(), real, name, index, layout),
            _ => walk.folder(&Step { path: place.path.clone(), real, relative: String::new(), place: index, depth: 0 }),
        }
        walk.leave(place);
    }
    // Last, so that what lies in a place is told there and not behind a link, in whatever order a disk lists them.
    let mut links = VecDeque::from(std::mem::take(&mut walk.links));
    while let Some(step) = links.pop_front() {
        let Some(place) = places.get(step.place) else { continue };
        let Some(root) = real(place) else { continue };
        walk.enter(place, &root);
        walk.folder(&step);
        walk.leave(place);
        // Each folder is looked into once, so this ends.
        links.extend(walk.links.drain(..));
    }
    let mut scan = walk.scan;
    scan.found.sort_by(|a, b| (a.place, &a.path).cmp(&(b.place, &b.path)));
    scan
}

/// What a folder is by a file in it.
fn marked(folder: &Path) -> Option<Layout> {
    let marks = [(INDEX, Layout::Folder), (MANIFEST, Layout::Packed)];
    marks.into_iter().find(|(mark, _)| folder.join(mark).is_file()).map(|(_, layout)| layout)
}

/// What a file is by its name.
fn ending(path: &Path) -> Option<Layout> {
    let ending = path.extension()?.to_str()?;
    if ending.eq_ignore_ascii_case(ENDING) { Some(Layout::File) } else { is_pickle(path).then_some(Layout::Pickle) }
}

/// Whether a file is called as pickles are, which can run programs when they are opened.
pub(crate) fn is_pickle(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| PICKLES.iter().any(|pickle| ending.eq_ignore_ascii_case(pickle)))
}

/// A folder on the way.
struct Step {
    path: PathBuf,
    real: PathBuf,
    relative: String,
    place: usize,
    depth: usize,
}

struct Walk {
    scan: Scan,
    /// The real paths of folders that were looked into.
    visited: BTreeSet<PathBuf>,
    /// Links to folders that are yet to be looked into.
    links: Vec<Step>,
    /// How many entries may still be looked at in this place.
    left: usize,
    /// The real path of the place, if it is our own.
    own: Option<PathBuf>,
    /// The real paths of the places that are not.
    foreign: Vec<PathBuf>,
}

impl Walk {
    fn enter(&mut self, place: &Place, real: &Path) {
        self.left = ENTRIES;
        self.own = place.is_own.then(|| real.to_owned());
    }

    fn leave(&mut self, place: &Place) {
        if self.left == 0 {
            self.warn(format!("{}: more than {ENTRIES} files and folders; the rest is not looked at", place.path.display()));
        }
    }

    fn warn(&mut self, warning: String) {
        if self.scan.warnings.len() < WARNINGS {
            self.scan.warnings.push(warning);
        }
    }

    fn add(&mut self, path: PathBuf, real: PathBuf, relative: String, place: usize, layout: Layout) {
        let is_own = self.own.as_ref().is_some_and(|own| {
            // A tree inside our own folder that was named as somebody else's is theirs.
            let mut theirs = self.foreign.iter().filter(|foreign| foreign.starts_with(own));
            real != *own && real.starts_with(own) && !theirs.any(|foreign| real.starts_with(foreign))
        });
        self.scan.found.push(Found { path, real, relative, place, layout, is_own });
    }

    fn folder(&mut self, step: &Step) {
        let Step { path, real, relative, place, depth } = step;
        if *depth > DEPTH {
            return self.warn(format!("{}: more than {DEPTH} folders deep; not looked into", path.display()));
        }
        if !self.visited.insert(real.clone()) {
            return;
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return self.warn(format!("{}: {error}", path.display())),
        };
        for entry in entries {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            // Hidden: settings, caches, and our own unfinished files.
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let below = match relative.as_str() {
                "" => name.to_string_lossy().into_owned(),
                _ => format!("{relative}/{}", name.to_string_lossy()),
            };
            let Ok(kind) = entry.file_type() else { continue };
            let step = Step {
                path: entry.path(),
                real: real.join(&name),
                relative: below,
                place: *place,
                depth: depth.saturating_add(1),
            };
            self.entry(step, kind);
        }
    }

    fn entry(&mut self, step: Step, kind: FileType) {
        let is_folder = kind.is_dir() || kind.is_symlink() && step.path.is_dir();
        let layout = if is_folder { marked(&step.path) } else { ending(&step.path) };
        if let Some(layout) = layout {
            return self.add(step.path, step.real, step.relative, step.place, layout);
        }
        if kind.is_dir() {
            self.folder(&step);
        } else if is_folder {
            match fs::canonicalize(&step.path) {
                Ok(real) => self.links.push(Step { real, ..step }),
                Err(error) => self.warn(format!("{}: {error}", step.path.display())),
            }
        }
    }
}
