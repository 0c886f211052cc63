//! The folder into which pictures are written under names for people.
//!
//! Nothing there is ever overwritten: a name that is taken gets a number. The same picture is not written twice under the same
//! pattern, so a job that is done again after its worker died leaves no second copy.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::replace;
use super::name::Name;

/// How often another number is tried, should others write into the folder at the same time.
const TRIES: u64 = 1000;

/// Writes a file under a name below `folder`; returns where it is.
///
/// # Errors
/// If the system refuses; then nothing is left of it.
pub fn write(folder: &Path, name: &Name, ending: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut folder = folder.to_owned();
    folder.extend(&name.folders);
    fs::create_dir_all(&folder)?;
    let (next, same) = look(&folder, name, ending, bytes)?;
    if let Some(same) = same {
        return Ok(same);
    }
    for number in (next..).take(TRIES as usize) {
        let path = folder.join(format!("{}.{ending}", name.numbered(number)));
        // The empty file takes the name; then the whole one takes its place.
        match File::options().write(true).create_new(true).open(&path) {
            Ok(_) => {
                return replace(&path, bytes).map(|()| path.clone()).inspect_err(|_| {
                    // The first error is the one to tell.
                    let _ = fs::remove_file(&path);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "all names that the pattern gives are taken"))
}

/// The number after the highest that is taken, and the file that is the same already.
fn look(folder: &Path, name: &Name, ending: &str, bytes: &[u8]) -> io::Result<(u64, Option<PathBuf>)> {
    let mut next = 1;
    for file in fs::read_dir(folder)? {
        let file = file?;
        let found = file.file_name();
        let number = found.to_str().and_then(|found| found.strip_suffix(ending)?.strip_suffix('.'));
        let Some(number) = number.and_then(|stem| name.number_in(stem)) else { continue };
        next = next.max(number.saturating_add(1));
        let is_same_size = file.metadata().is_ok_and(|found| found.is_file() && found.len() == bytes.len() as u64);
        if is_same_size && fs::read(file.path()).is_ok_and(|found| found == bytes) {
            return Ok((number, Some(file.path())));
        }
    }
    Ok((next, None))
}
