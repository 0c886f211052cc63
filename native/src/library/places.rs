//! Where models lie: one folder of our own, where they can be removed, and any number of other people's trees, which are only
//! read.

use std::env;
use std::fs;
use std::path::{self, Path, PathBuf};
use std::sync::OnceLock;

use directories::ProjectDirs;

use crate::failure::Refusal;

/// The variable that names the data folder.
pub const HOME: &str = "ENCAUSTIC_HOME";
/// The variable that lists other people's trees, as `PATH` lists folders.
pub const TREES: &str = "ENCAUSTIC_MODELS";
/// What A1111 keeps beside its `models` and not in it.
const BESIDE_MODELS: &str = "embeddings";

/// A folder in which models are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// The name by which a table calls it.
    pub label: String,
    /// Whether it is our own folder; every other one is only read.
    pub is_own: bool,
}

/// The trees of the command line. They hold for the whole process and are set before any command runs; everything that looks
/// for a model needs them, and nothing between there and here has another use for them.
static ASKED: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// Adds the trees that the command line names.
///
/// # Errors
/// If one is no folder: a slip that a user wants to hear of.
pub fn add(trees: Vec<PathBuf>) -> Result<(), Refusal> {
    if let Some(tree) = trees.iter().find(|tree| !tree.is_dir()) {
        let problem = if tree.exists() { "not a folder" } else { "there is no such folder" };
        return Err(Refusal::new("models", format!("{}: {problem}", tree.display()))
            .hint("give a folder with models: A1111's or ComfyUI's `models`, or any other"));
    }
    // Only the first call counts, and there is one.
    let _ = ASKED.set(trees);
    Ok(())
}

/// Our own folder of models: `models` in the data folder. `None` where the system has no place for data.
pub fn own() -> Option<PathBuf> {
    if let Some(home) = env::var_os(HOME).filter(|home| !home.is_empty()) {
        let home = PathBuf::from(home);
        return Some(path::absolute(&home).unwrap_or(home).join("models"));
    }
    Some(ProjectDirs::from("", "", "encaustic")?.data_dir().join("models"))
}

/// All places, our own first, and what is wrong with those that cannot be looked into.
pub fn all() -> (Vec<Place>, Vec<String>) {
    let mut warnings = Vec::new();
    let mut trees: Vec<PathBuf> = ASKED.get().cloned().unwrap_or_default();
    if let Some(listed) = env::var_os(TREES) {
        for tree in env::split_paths(&listed).filter(|tree| !tree.as_os_str().is_empty()) {
            if tree.is_dir() {
                trees.push(tree);
            } else {
                warnings.push(format!("{}: {TREES} names it, and it is no folder", tree.display()));
            }
        }
    }
    let beside: Vec<PathBuf> = trees.iter().filter_map(|tree| embeddings_beside(tree)).collect();
    trees.extend(beside);

    let mut places: Vec<Place> = Vec::new();
    let mut known: Vec<PathBuf> = Vec::new();
    if let Some(path) = own() {
        known.extend(fs::canonicalize(&path).ok());
        places.push(Place { path, label: "own".to_owned(), is_own: true });
    }
    for tree in trees {
        let full = fs::canonicalize(&tree).unwrap_or_else(|_| tree.clone());
        if known.contains(&full) {
            continue;
        }
        let label = free(&label(&full), &places);
        known.push(full);
        let path = path::absolute(&tree).unwrap_or(tree);
        places.push(Place { path, label, is_own: false });
    }
    (places, warnings)
}

/// The folder of embeddings that belongs to a tree and lies outside it: A1111 has `embeddings` beside `models`.
fn embeddings_beside(tree: &Path) -> Option<PathBuf> {
    let tree = fs::canonicalize(tree).ok()?;
    // A1111's tree and no other: its folder of checkpoints tells.
    let is_a1111 = tree.file_name()? == "models" && tree.join("Stable-diffusion").is_dir();
    let beside = tree.parent()?.join(BESIDE_MODELS);
    (is_a1111 && beside.is_dir()).then_some(beside)
}

/// What a tree is called: its folder's name, and for `models` and the like, which say nothing, that of the one around it too.
fn label(path: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let Some(last) = name(path) else { return path.display().to_string() };
    match path.parent().and_then(name) {
        Some(parent) if ["models", BESIDE_MODELS].contains(&last.to_ascii_lowercase().as_str()) => format!("{parent}/{last}"),
        _ => last,
    }
}

/// A label that no place has yet.
fn free(label: &str, places: &[Place]) -> String {
    let is_free = |wanted: &String| !places.iter().any(|place| place.label == *wanted);
    let numbered = (2..).map(|number| format!("{label} ({number})"));
    std::iter::once(label.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}
