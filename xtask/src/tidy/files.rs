//! The files that the rules look at: what git tracks, plus what it would track.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::source::Source;

/// One file of the repository.
pub(crate) struct File {
    /// Path in the repository, with `/`.
    pub(crate) path: String,
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// The text, where it is UTF-8 and not data.
    pub(crate) text: Option<String>,
    /// The same as Rust, for `.rs` files.
    pub(crate) rust: Option<Source>,
}

/// The repository.
pub(crate) struct Tree {
    /// Where it lies on this machine.
    pub(crate) root: PathBuf,
    /// Every file, sorted by path.
    pub(crate) files: Vec<File>,
}

/// Data that no person wrote: not read as text.
const DATA: &[&str] = &["tests/goldens/", "assets/"];

impl Tree {
    /// Reads what `git ls-files` names (tracked, and untracked but not ignored).
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.arg("-C").arg(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listing = crate::output(&mut git).context("`git ls-files` says which files belong to the project")?;
        let mut files = Vec::new();
        for path in listing.split_terminator('\0') {
            let full = root.join(path);
            // a tracked file may have been deleted in the working tree
            let Ok(meta) = full.metadata() else { continue };
            let is_prose = path.ends_with(".md") || path.ends_with(".toml");
            let is_data = !is_prose && DATA.iter().any(|dir| path.starts_with(dir));
            let text = match is_data {
                true => None,
                false => {
                    let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
                    String::from_utf8(bytes).ok()
                }
            };
            let rust = text.as_deref().filter(|_| path.ends_with(".rs")).map(Source::parse);
            files.push(File { path: path.to_owned(), bytes: meta.len(), text, rust });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root: root.to_path_buf(), files })
    }

    /// The Rust sources below `dir` (`""` for all).
    pub(crate) fn rust<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = (&'a File, &'a Source)> {
        self.files.iter().filter(move |f| f.path.starts_with(dir)).filter_map(|f| Some((f, f.rust.as_ref()?)))
    }
}

#[cfg(test)]
impl Tree {
    /// A tree of made-up files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                bytes: text.len() as u64,
                text: Some((*text).to_owned()),
                rust: path.ends_with(".rs").then(|| Source::parse(text)),
            })
            .collect();
        Self { root: PathBuf::new(), files }
    }
}
