//! The cache that programs for the hub share: `models--OWNER--NAME` with `refs`, `blobs` and `snapshots`, as Python's
//! `huggingface_hub` lays it out, so that neither fetches what the other has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::address::Address;
use super::env::Hub;
use super::fault::Fault;
use super::names::{is_hex, is_plain, is_repo_part};
use crate::files::{self, WriteError};

/// How deep a snapshot's folders are looked through.
const DEPTH: usize = 4;

/// The most files of a snapshot that are looked at.
const FILES: usize = 10_000;

/// One repository in the cache.
pub(crate) struct Store {
    cache: PathBuf,
    folder: String,
    repo: CacheRepo,
    address: Address,
}

impl Store {
    /// The place of a repository, whether it is there or not.
    pub(crate) fn new(hub: &Hub, address: &Address) -> Self {
        // A commit has no ref; the name is only used by `create_ref`, which is not called for one.
        let repo = Repo::with_revision(address.repo.clone(), RepoType::Model, address.revision.clone());
        let folder = repo.folder_name();
        let cache = Cache::new(hub.cache.clone());
        Self { cache: hub.cache.clone(), folder, repo: cache.repo(repo), address: address.clone() }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }

    /// The commit that the revision was when it was last fetched.
    pub(crate) fn commit(&self) -> Option<String> {
        if self.address.is_commit() {
            return Some(self.address.revision.clone());
        }
        let text = fs::read_to_string(self.folder().join("refs").join(&self.address.revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_hex(commit, 40))
    }

    /// Remembers which commit the revision is.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn set_commit(&self, commit: &str) -> Result<(), Fault> {
        if self.commit().as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder().join("refs").join(&self.address.revision);
        self.repo.create_ref(commit).map_err(|source| Fault::Disk(WriteError { path, source }))
    }

    /// The folder that shows a commit's files under their names.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// The names of a commit's files that are there.
    pub(crate) fn names(&self, commit: &str) -> Vec<String> {
        let mut names = Vec::new();
        walk(&self.snapshot(commit), "", DEPTH, &mut names);
        names.retain(|name| is_plain(name));
        names.sort();
        names
    }

    /// A file of a commit, if it is there: a name that leads to nothing is none.
    pub(crate) fn file(&self, commit: &str, name: &str) -> Option<PathBuf> {
        Some(self.snapshot(commit).join(name)).filter(|path| is_plain(name) && path.is_file())
    }

    /// Where the bytes are whose etag this is; one that was checked, as it becomes a path.
    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(etag)
    }

    /// Where they are until they are whole: by the name that Python's library uses, so that each goes on with the other's.
    pub(crate) fn part(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(&format!("{etag}.incomplete"))
    }

    /// Where Python's library locks them.
    pub(crate) fn lock(&self, etag: &str) -> PathBuf {
        self.cache.join(".locks").join(&self.folder).join(format!("{etag}.lock"))
    }

    /// Shows a blob under its name in a commit.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn link(&self, commit: &str, name: &str, etag: &str) -> Result<PathBuf, Fault> {
        let path = self.snapshot(commit).join(name);
        let failed = |source| WriteError { path: path.clone(), source };
        fs::create_dir_all(files::folder_of(&path)).map_err(failed)?;
        if fs::symlink_metadata(&path).is_ok() && !path.is_file() {
            // A link to a blob that is gone.
            fs::remove_file(&path).map_err(failed)?;
        }
        // From the file's folder up to the repository's: snapshots, the commit, and the folders in the name.
        let up = "../".repeat(2 + name.matches('/').count());
        match point(Path::new(&format!("{up}blobs/{etag}")), &self.blob(etag), &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error).into()),
            _ => Ok(path),
        }
    }
}

#[cfg(unix)]
fn point(relative: &Path, _blob: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(relative, path)
}

/// Windows lets few users make symbolic links; the blob then takes its name, as in Python's library.
#[cfg(windows)]
fn point(relative: &Path, blob: &Path, path: &Path) -> io::Result<()> {
    let relative = PathBuf::from(relative.to_string_lossy().replace('/', "\\"));
    std::os::windows::fs::symlink_file(relative, path).or_else(|_| fs::rename(blob, path))
}

#[cfg(not(any(unix, windows)))]
fn point(_relative: &Path, blob: &Path, path: &Path) -> io::Result<()> {
    fs::rename(blob, path)
}

fn walk(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if names.len() >= FILES {
            return;
        }
        if path.is_file() {
            names.push(format!("{prefix}{name}"));
        } else if depth > 0 && path.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), depth - 1, names);
        }
    }
}

/// Every repository and revision of the cache that has a ref.
pub(crate) fn all(hub: &Hub) -> Vec<Address> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&hub.cache).into_iter().flatten().flatten() {
        let Ok(folder) = entry.file_name().into_string() else { continue };
        let Some((owner, name)) = folder.strip_prefix("models--").and_then(|repo| repo.split_once("--")) else { continue };
        if !is_repo_part(owner) || !is_repo_part(name) {
            continue;
        }
        let mut revisions = Vec::new();
        walk(&entry.path().join("refs"), "", DEPTH, &mut revisions);
        for revision in revisions {
            found.extend(Address::parse(&format!("{owner}/{name}@{revision}")));
        }
    }
    found.sort_by(|one, other| (&one.repo, &one.revision).cmp(&(&other.repo, &other.revision)));
    found
}
