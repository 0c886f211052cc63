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
        loop {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                // Between opening and locking, the one that held it may have removed the file: the lock is then on nothing that
                // anybody else will open.
                Ok(()) if !is_at(&file, path) => {}
                // Where a file system has no locks there is nothing to wait for.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Some(Self { _file: file, removed: None })),
            }
        }
    }

    /// Removes the file with the lock.
    pub(crate) fn removed(mut self, path: &Path) -> Self {
        self.removed = Some(path.to_owned());
        self
    }
}

/// Whether an open file is the one at a path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |about: fs::Metadata| (about.dev(), about.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(one), Ok(other)) => id(one) == id(other),
        _ => false,
    }
}

/// Files have no number here that the standard library tells; that there is one at all leaves the least to chance.
#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held: who opens the file from now on makes a new one, and who had opened it sees that it is gone.
        if let Some(path) = &self.removed {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_lock_that_is_removed_is_held_by_one_at_a_time() {
        let path = std::env::temp_dir().join(format!("encaustic-lock-{}", std::process::id()));
        let (held, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while taken.load(Ordering::SeqCst) < 500 {
                        let Some(lock) = Lock::take(&path).unwrap() else { continue };
                        let lock = lock.removed(&path);
                        assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                        taken.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_micros(100));
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(!path.exists());
    }
}
