//! A data folder is one server's: a lock of the system on a file in it, which ends with the process however that ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process;

use crate::failure::{Failure, Refusal};

/// What is locked, and what says who has it.
const LOCK: &str = "lock";
const OWNER: &str = "owner";

/// Takes the folder, or says who has it. The folder is made if it is not there.
///
/// # Errors
/// If another server has it, or it cannot be written to.
pub(super) fn take(data: &Path) -> Result<File, Failure> {
    let failed = |path: PathBuf| {
        move |error: std::io::Error| {
            let refusal = Refusal::new("data", format!("{}: {error}", path.display()));
            Failure::from(refusal.hint("give a folder that can be written to with --data DIR"))
        }
    };
    fs::create_dir_all(data).map_err(failed(data.to_owned()))?;
    let path = data.join(LOCK);
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(failed(path.clone()))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let owner = fs::read_to_string(data.join(OWNER)).unwrap_or_default();
            let owner = owner.lines().next().filter(|line| line.len() < 200).unwrap_or("another server");
            let problem = format!("{} is in use by {}", data.display(), crate::terminal::harmless(owner));
            Err(Refusal::new("data", problem)
                .hint("end that one first, or give this one a folder of its own with --data DIR")
                .into())
        }
        Ok(()) => {
            note(data, "an address that it has not told yet");
            Ok(file)
        }
        // Where a file system has no locks, nobody can be kept out.
        Err(TryLockError::Error(error)) => {
            tracing::warn!("{}: it cannot be locked ({error}); see that no second server uses it", path.display());
            Ok(file)
        }
    }
}

/// Notes who has the folder, for whoever else wants it.
pub(super) fn note(data: &Path, address: &str) {
    let text = format!("the server at {address} (process {})\n", process::id());
    if let Err(error) = fs::write(data.join(OWNER), text) {
        tracing::debug!("who has the data folder cannot be noted: {error}");
    }
}
