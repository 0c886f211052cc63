//! One program at a time writes a file: a lock of the system on a file beside it, which ends with the program that holds it,
//! however that ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::fault::Fault;
use super::news::Teller;
use crate::files::{self, WriteError};

/// How often to see whether another program has finished.
const GLANCE: Duration = Duration::from_millis(200);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    /// To be removed with the lock.
    removed: Option<PathBuf>,
}

impl Lock {
    /// Waits until nobody else holds the lock.
    ///
    /// # Errors
    /// If there can be no such file.
    pub(crate) fn wait(path: &Path, what: &str, teller: &Teller) -> Result<Self, Fault> {
        let mut is_told = false;
        loop {
            if let Some(lock) = Self::take(path)? {
                return Ok(lock);
            }
            if !is_told {
                is_told = true;
                teller.line(format!("{what}: another program is fetching this; waiting for it"));
            }
            thread::sleep(GLANCE);
        }
    }

    /// Takes the lock if nobody else holds it.
    ///
    /// # Errors
    /// If there can be no such file.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, Fault> {
        let failed = |source| WriteError { path: path.to_owned(), source };
        fs::create_dir_all(files::folder_of(path)).map_err(failed)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            // Where a file system has no locks there is nothing to wait for.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Self { _file: file, removed: None })),
        }
    }

    /// Removes the file with the lock.
    pub(crate) fn removed(mut self, path: &Path) -> Self {
        self.removed = Some(path.to_owned());
        self
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.removed {
            let _ = fs::remove_file(path);
        }
    }
}
