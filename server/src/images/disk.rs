//! Files that are whole or not there, and are what they seem: how all files of the store are written and opened.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::StoreError;
use super::store::hex;

/// Files that are being written begin like this.
pub(super) const UNFINISHED: &str = ".new-";

/// Writes a file so that its name stands for all of it, or for nothing.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let unfinished = folder.join(unfinished()?);
    let write = || {
        let mut file = File::options().write(true).create_new(true).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&unfinished, path)?;
        settle(folder)
    };
    write().inspect_err(|_| {
        // There may be none; and the first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    })
}

/// A name that no other writer has.
fn unfinished() -> io::Result<String> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{UNFINISHED}{}", hex(&random)))
}

/// Brings a folder's names to the disk.
#[cfg(unix)]
pub(super) fn settle(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems do that by themselves, and open no folders.
#[cfg(not(unix))]
pub(super) fn settle(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens a file, but follows no link: neither in its own place nor in its folder's.
pub(super) fn open(path: &Path) -> Result<(File, u64), StoreError> {
    let failed = |error| StoreError::of(path, error);
    let folder = path.parent().ok_or_else(|| StoreError::NoFile { path: path.to_owned() })?;
    if !fs::symlink_metadata(folder).map_err(failed)?.is_dir() {
        return Err(StoreError::NoFile { path: folder.to_owned() });
    }
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(StoreError::NoFile { path: path.to_owned() });
    }
    Ok((File::open(path).map_err(failed)?, found.len()))
}

/// Reads a file, as [`open`] opens it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    let (mut file, length) = open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    io::Read::read_to_end(&mut file, &mut bytes).map_err(|error| StoreError::of(path, error))?;
    Ok(bytes)
}
