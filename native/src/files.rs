//! Files that exist whole or not at all.
//!
//! Everything is written under a temporary name in the folder that it is meant for, flushed to the disk, and only
//! then given its name, in one step. A full disk, a crash or Ctrl-C leaves the old file or none, never half a new
//! one. Inside a folder that pictures are collected in, no name is ever used twice, even by two programs at once.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::failure::Refusal;

/// The highest number that a picture's name is given; beyond it a folder is full.
const LAST_NUMBER: u32 = 999_999_999;

/// Kinds of pictures that people ask for and that are not written.
const OTHER_PICTURES: &[&str] = &["jpg", "jpeg", "jxl", "webp", "avif", "gif", "bmp", "tif", "tiff", "ppm", "qoi"];

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot write it: {}", path.display(), explain(source))]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl WriteError {
    fn new(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { path, source }
    }
}

/// The system's words, and what to do where that is not plain from them.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free some space or write elsewhere".to_owned()
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("{error}; write elsewhere")
        }
        _ => error.to_string(),
    }
}

/// Writes a file whole or not at all; an existing one is replaced in one step.
///
/// # Errors
/// What the system or `content` reports. The path is then as it was before.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    let part = Part::write(folder_of(path), content).map_err(WriteError::new(path))?;
    fs::rename(&part.path, path).map_err(WriteError::new(path))
}

/// Where pictures go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A folder in which each picture gets the next free number.
    Folder(PathBuf),
    /// One file; several pictures get numbers before its extension.
    File(PathBuf),
}

impl Target {
    /// What `--out` means: a name that ends in `.png` is a file unless such a folder exists, any other a folder.
    ///
    /// # Errors
    /// If it asks for a kind of picture that is not written.
    pub fn resolve(out: &Path) -> Result<Self, Refusal> {
        let extension = out.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        if out.is_dir() {
            Ok(Self::Folder(out.to_owned()))
        } else if extension == "png" {
            Ok(Self::File(out.to_owned()))
        } else if OTHER_PICTURES.contains(&extension.as_str()) {
            Err(Refusal::new("out", format!("{}: only PNG is written", out.display()))
                .hint("give a name that ends in .png, or a folder"))
        } else if out.exists() {
            Err(Refusal::new("out", format!("{} exists and is neither a folder nor a .png file", out.display()))
                .hint("give a name that ends in .png, or a folder"))
        } else {
            Ok(Self::Folder(out.to_owned()))
        }
    }

    /// Makes the folder if it is absent and tries to write there: better now than after minutes of work.
    ///
    /// # Errors
    /// If no file can be made there.
    pub fn prepare(&self) -> Result<(), WriteError> {
        let folder = match self {
            Self::Folder(folder) => folder.as_path(),
            Self::File(file) => folder_of(file),
        };
        probe(folder)
    }

    /// Saves picture `index` of `count` and says where. `seed` is part of the name in a folder.
    ///
    /// # Errors
    /// What the system or `content` reports; no part of the picture remains then.
    pub fn save(
        &self,
        index: usize,
        count: usize,
        seed: u64,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<PathBuf, WriteError> {
        match self {
            Self::File(file) => {
                let path = if count > 1 { numbered(file, index + 1) } else { file.clone() };
                write(&path, content)?;
                Ok(path)
            }
            Self::Folder(folder) => {
                let part = Part::write(folder, content).map_err(WriteError::new(folder))?;
                let mut number = next_number(folder).map_err(WriteError::new(folder))?;
                while number <= LAST_NUMBER {
                    let path = folder.join(format!("{number:05}-{seed}.png"));
                    match claim(&part.path, &path) {
                        Ok(()) => return Ok(path),
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                        Err(source) => return Err(WriteError { path, source }),
                    }
                }
                Err(WriteError { path: folder.clone(), source: io::Error::other("no free number is left in it") })
            }
        }
    }
}

/// Makes a folder if it is absent and sees whether files can be made in it.
///
/// # Errors
/// If not.
pub fn probe(folder: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(folder).map_err(WriteError::new(folder))?;
    Part::write(folder, |_| Ok(())).map(drop).map_err(WriteError::new(folder))
}

/// The folder of a path; the current one if it names none.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// `a.png` -> `a-3.png`.
fn numbered(file: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(file.file_stem().unwrap_or_default());
    name.push(format!("-{number}"));
    if let Some(extension) = file.extension() {
        name.push(".");
        name.push(extension);
    }
    file.with_file_name(name)
}

/// One more than the highest number that a picture in the folder begins with.
fn next_number(folder: &Path) -> io::Result<u32> {
    let mut highest = 0;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.split_once('-')).and_then(|(number, _)| {
            let digits = (5..=9).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| number.parse::<u32>().ok()).flatten()
        });
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest + 1)
}

/// Gives a finished file its name unless that is taken.
pub(crate) fn claim(part: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(part, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Without hard links (FAT, some network drives) an empty file keeps the place until the rename.
        Err(_) => {
            OpenOptions::new().write(true).create_new(true).open(path)?;
            fs::rename(part, path).inspect_err(|_| drop(fs::remove_file(path)))
        }
    }
}

/// The temporary files that exist at the moment.
static PARTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes what is unfinished. For a process that ends without ending its threads.
pub fn remove_unfinished() {
    for path in PARTS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        remove(&path);
    }
}

/// Removes a temporary file or folder. Fails where it was renamed, as it should have been.
fn remove(path: &Path) {
    for _ in 0..REMOVALS {
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => thread::sleep(PAUSE),
            _ => return,
        }
    }
}

/// How often a folder is removed into which somebody is still writing, and after how long again.
const REMOVALS: usize = 50;
const PAUSE: Duration = Duration::from_millis(5);

/// Leaves a temporary name to whoever knows what it is for.
fn forget(path: &Path) {
    PARTS.lock().unwrap_or_else(PoisonError::into_inner).retain(|part| part != path);
}

/// A temporary name in a folder that nobody else uses, made into a file or folder by `make`.
fn temporary<T>(folder: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Part, T)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".encaustic-{}-{number}.part", process::id()));
        match make(&path) {
            Ok(made) => {
                PARTS.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
                return Ok((Part { path }, made));
            }
            // Left by a process of the same number that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file or folder under its temporary name; gone when dropped, unless it was renamed.
struct Part {
    path: PathBuf,
}

impl Part {
    fn write(folder: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        let (part, file) = Self::create(folder)?;
        let mut writer = BufWriter::with_capacity(1 << 16, file);
        content(&mut writer)?;
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(part)
    }

    fn create(folder: &Path) -> io::Result<(Self, File)> {
        temporary(folder, |path| OpenOptions::new().read(true).write(true).create_new(true).open(path))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        remove(&self.path);
        forget(&self.path);
    }
}

/// A folder that exists whole or not at all: it is filled under a temporary name, and gone when dropped before it is
/// [kept](Self::keep).
pub struct Staging {
    part: Part,
    path: PathBuf,
    /// Held as long as the folder is filled: a folder that nobody holds was left by a process that was killed.
    _held: Option<File>,
}

impl Staging {
    /// Begins the folder `path`; the one that it will lie in is made if it is absent. What killed processes left there is
    /// removed.
    ///
    /// # Errors
    /// If no folder can be made there.
    pub fn begin(path: &Path) -> Result<Self, WriteError> {
        let folder = folder_of(path);
        fs::create_dir_all(folder).map_err(WriteError::new(folder))?;
        sweep(folder);
        let (part, held) = temporary(folder, held_folder).map_err(WriteError::new(folder))?;
        Ok(Self { part, path: path.to_owned(), _held: held })
    }

    /// Where it is filled.
    pub fn folder(&self) -> &Path {
        &self.part.path
    }

    /// Gives it its name. A folder that has that name by now is put aside, and removed afterwards if `replaceable` says so of
    /// it.
    ///
    /// # Errors
    /// What the system reports, and if the name is taken; what was there before is there again then.
    pub fn keep(self, replaceable: impl FnOnce(&Path) -> bool) -> Result<(), WriteError> {
        let failed = || WriteError::new(&self.path);
        sync_folder(&self.part.path).map_err(failed())?;
        // Whoever ends the process from here on must not take away what has no other name for a moment.
        forget(&self.part.path);
        // (This removes an empty folder, and nothing else.)
        let _ = fs::remove_dir(&self.path);
        let old = if fs::symlink_metadata(&self.path).is_ok() { Some(self.put_aside(replaceable)?) } else { None };
        if let Err(source) = fs::rename(&self.part.path, &self.path) {
            if let Some(old) = &old {
                // If this fails as well, nothing better can be done than to leave it where it is.
                let _ = fs::rename(old.join(ASIDE), &self.path);
            }
            return Err(WriteError { path: self.path.clone(), source });
        }
        if let Some(old) = old {
            remove(&old);
        }
        sync_folder(folder_of(&self.path)).map_err(failed())
    }

    /// Puts what has the name into a temporary folder, and back if it is not to be replaced.
    fn put_aside(&self, replaceable: impl FnOnce(&Path) -> bool) -> Result<PathBuf, WriteError> {
        let failed = || WriteError::new(&self.path);
        let (old, ()) = temporary(folder_of(&self.path), |old| fs::create_dir(old)).map_err(failed())?;
        let folder = old.path.clone();
        // From here on it has what must not be lost: nothing removes it but the lines below.
        forget(&folder);
        std::mem::forget(old);
        let aside = folder.join(ASIDE);
        if let Err(source) = fs::rename(&self.path, &aside) {
            let _ = fs::remove_dir(&folder);
            return Err(WriteError { path: self.path.clone(), source });
        }
        if replaceable(&aside) {
            return Ok(folder);
        }
        fs::rename(&aside, &self.path).map_err(failed())?;
        let _ = fs::remove_dir(&folder);
        let error = io::Error::new(io::ErrorKind::AlreadyExists, "there is something of that name; give another");
        Err(WriteError { path: self.path.clone(), source: error })
    }
}

/// What is replaced, while it has no other name.
const ASIDE: &str = "replaced";

/// Makes a folder that is held from the first moment at which anybody would [sweep] it.
fn held_folder(path: &Path) -> io::Result<Option<File>> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let fresh = path.with_extension("new");
    fs::create_dir(&fresh)?;
    let held = hold(&fresh);
    fs::rename(&fresh, path).inspect_err(|_| drop(fs::remove_dir(&fresh)))?;
    Ok(held)
}

/// Holds a folder until the handle is closed; `None` where systems do not do that.
fn hold(folder: &Path) -> Option<File> {
    let handle = File::open(folder).ok()?;
    handle.try_lock().ok()?;
    Some(handle)
}

/// Removes temporary folders that nobody holds.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_part = name.to_str().is_some_and(|name| name.starts_with(".encaustic-") && name.ends_with(".part"));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // What was put aside is somebody's model: it is never swept.
        if is_part && is_folder && !entry.path().join(ASIDE).exists() && hold(&entry.path()).is_some() {
            remove(&entry.path());
        }
    }
}

/// Writes a folder's names to the disk.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Bytes that are collected on the disk until it is known what stands before them.
pub struct Spool {
    // Before `part`: some systems refuse to remove a file that is open.
    writer: BufWriter<File>,
    part: Part,
}

impl Spool {
    /// An empty one in a folder.
    ///
    /// # Errors
    /// If no file can be made there.
    pub fn create(folder: &Path) -> Result<Self, WriteError> {
        let (part, file) = Part::create(folder).map_err(WriteError::new(folder))?;
        Ok(Self { writer: BufWriter::with_capacity(1 << 16, file), part })
    }

    /// Appends.
    ///
    /// # Errors
    /// What the system reports.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.writer.write_all(bytes).map_err(WriteError::new(&self.part.path))
    }

    /// Copies everything to a writer and removes the spool.
    ///
    /// # Errors
    /// What the system reports.
    pub fn copy_to(self, to: &mut dyn Write) -> io::Result<u64> {
        use std::io::{Seek, SeekFrom};
        let mut file = self.writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        io::copy(&mut file, to)
    }
}
