//! The files of pictures: `images/ab/cdef….png` and `thumbnails/ab/cdef….jpg` below the folder for data, by the SHA-256 of the
//! picture's file.
//!
//! A file is written under another name, brought to the disk, and renamed; its folder is brought to the disk as well. So a name
//! stands for the whole file at any moment, whatever happens. Equal pictures share a file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use encaustic_protocol::{Failure, FailureKind, Request};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::disk::{UNFINISHED, open, read, replace, settle};
use super::format::{self, Format, Quality};
use super::name::{Facts, Pattern};
use super::reception::{Reception, Receptions};
use super::{NewImage, output};
use crate::config::Config;
use crate::host::Pixels;
use crate::job::Client;
use crate::time::Millis;

/// A file without a row is left alone for so long: its row may be on its way.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many pictures are decoded at a time for those who ask.
const DECODING: usize = 2;
/// How many archives are made at a time.
const EXPORTING: usize = 2;
/// The ending of thumbnails.
const SMALL: &str = "jpg";

/// What can be wrong with the files of pictures.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room left.
    #[error("{}: no room is left on the disk; nothing was kept of the picture. Make room, or choose another folder, and try again", path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
    },
    /// The picture's file is gone.
    #[error("the file {} of the picture is missing; somebody has removed it from the folder", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// What stands where a file should be is something else.
    #[error("{} is not a file of a picture, but a link or a folder; it is not opened", path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
    },
    /// The database holds a name that is none.
    #[error("{0:?} is not the name of a picture's file")]
    Name(String),
    /// The picture cannot be written in its format, or not be read.
    #[error("the picture cannot be encoded or decoded: {0}")]
    Picture(String),
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// What it is about.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl StoreError {
    /// What went wrong with a file.
    pub fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Io { path, source },
        }
    }
}

impl StoreError {
    /// The same for clients: without where on this machine it is.
    pub fn told(&self) -> String {
        match self {
            Self::Full { .. } => "no room is left on the server's disk; nothing was kept of the picture. Make room, or choose \
                                  another folder, and try again"
                .to_owned(),
            Self::Missing { .. } => "the picture's file is missing; somebody has removed it from its folder".to_owned(),
            Self::NoFile { .. } => {
                "what stands where the picture's file should be is a link or a folder; it is not opened".to_owned()
            }
            Self::Name(_) | Self::Picture(_) => self.to_string(),
            Self::Io { source, .. } => {
                format!("the picture's file cannot be read or written: {source}; the server's log says where")
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!("{error}");
        Self { kind: FailureKind::Storage, message: error.told() }
    }
}

/// How pictures are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The format of the files.
    pub format: Format,
    /// How good JPEGs are.
    pub quality: Quality,
    /// The folder for people.
    pub output: Option<PathBuf>,
    /// The names there.
    pub pattern: Pattern,
}

impl Options {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            format: config.image_format,
            quality: config.quality,
            output: config.output.clone(),
            pattern: config.pattern.clone(),
        }
    }
}

/// How a picture came to be.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Its seed.
    pub seed: u64,
    /// Its model, by its name in the library.
    pub model: &'a str,
    /// With every setting filled in.
    pub settings: &'a Request,
    /// The same in the words of A1111's `parameters`.
    pub parameters: &'a str,
}

/// A picture that was put into the store.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What is entered into the database.
    pub image: NewImage,
    /// What did not work, though the picture is safe: a remark for the job.
    pub remark: Option<String>,
}

/// The files of pictures. It is copied like a pointer.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    images: PathBuf,
    thumbnails: PathBuf,
    options: Options,
    /// Files whose rows are on their way, and how many of those.
    held: Mutex<HashMap<String, u32>>,
    decoding: Arc<Semaphore>,
    receiving: Receptions,
    exporting: Arc<Semaphore>,
}

/// Keeps a file that has no row yet from being removed with another row of the same picture.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    /// Read by nobody; what it does, it does when the last copy goes.
    _held: Option<Arc<Held>>,
}

#[derive(Debug)]
struct Held {
    store: Store,
    sha256: String,
}

/// A hold says nothing about a picture.
impl PartialEq for Hold {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.store.held();
        if let Some(count) = held.get_mut(&self.sha256) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.sha256);
            }
        }
    }
}

impl Store {
    /// The store below the folder for data.
    ///
    /// # Errors
    /// If its folders cannot be made.
    pub fn open(data: &Path, options: Options) -> Result<Self, StoreError> {
        let (images, thumbnails) = (data.join("images"), data.join("thumbnails"));
        for folder in [&images, &thumbnails] {
            fs::create_dir_all(folder).map_err(|error| StoreError::of(folder, error))?;
        }
        if let Some(output) = &options.output {
            fs::create_dir_all(output).map_err(|error| StoreError::of(output, error))?;
        }
        Ok(Self(Arc::new(Inner {
            images,
            thumbnails,
            options,
            held: Mutex::default(),
            decoding: Arc::new(Semaphore::new(DECODING)),
            receiving: Receptions::default(),
            exporting: Arc::new(Semaphore::new(EXPORTING)),
        })))
    }

    /// How pictures are kept.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// A turn for whoever is about to decode a picture: few of them at a time have room in memory. It belongs to the thread
    /// that decodes: whoever waits for that may hang up, and the memory stays taken.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.0.decoding).acquire_owned().await.ok()
    }

    /// A turn for a client who is about to send a picture.
    pub async fn reception(&self, client: &Client) -> Option<Reception> {
        self.0.receiving.enter(client).await
    }

    /// Leave to make an archive, as long as it is kept; `None` if as many as may be are being made.
    pub fn export(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.exporting).try_acquire_owned().ok()
    }

    /// Writes a picture's file and its thumbnail. When it returns the picture is on the disk.
    ///
    /// # Errors
    /// If it could not be written; then nothing is left of it.
    pub fn put(&self, picture: &Pixels, made: &Made<'_>) -> Result<Stored, StoreError> {
        let options = &self.0.options;
        self.put_as(picture, made, options.format)
    }

    /// As [`Store::put`], in a format of its own.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_as(&self, picture: &Pixels, made: &Made<'_>, format: Format) -> Result<Stored, StoreError> {
        let options = &self.0.options;
        let encoded = |error: io::Error| StoreError::Picture(error.to_string());
        let file = format::encode(picture, made.parameters, format, options.quality).map_err(encoded)?;
        let sha256 = hex(&Sha256::digest(&file));
        // Before the file is there, so that nobody takes it away in between.
        let hold = self.hold(&sha256);
        self.write(&self.image(&sha256, format)?, &file)?;
        let mut remark = None;
        let thumbnail = format::thumbnail(picture).map_err(encoded)?;
        if let Err(error) = self.write(&self.small(&sha256)?, &thumbnail) {
            // It is made again when somebody asks for it.
            tracing::warn!("a thumbnail could not be written: {error}");
            remark = Some(format!("The picture's thumbnail could not be written: {}.", error.told()));
        }
        let image = NewImage {
            sha256,
            mime: format.mime().to_owned(),
            bytes: file.len() as u64,
            width: picture.width,
            height: picture.height,
            seed: made.seed,
            model: made.model.to_owned(),
            settings: made.settings.clone(),
            parameters: made.parameters.to_owned(),
            hold,
        };
        Ok(Stored { image, remark })
    }

    /// Writes a job's picture into the folder for people, where there is one, under a name with the job's date. Returns where
    /// its file is.
    ///
    /// # Errors
    /// If it could not be read or written; then nothing is left of it there.
    pub fn publish(&self, image: &NewImage, job: u64, created: Millis) -> Result<Option<PathBuf>, StoreError> {
        let options = &self.0.options;
        let Some(folder) = &options.output else { return Ok(None) };
        let format = Format::of_mime(&image.mime).unwrap_or(options.format);
        let file = self.read(&image.sha256, format)?;
        let name = options.pattern.name(&facts(image, Some(job), created));
        let written = output::write(folder, &name, format.ending(), &file);
        written.map(Some).map_err(|error| StoreError::of(folder, error))
    }

    /// Opens a picture's file.
    ///
    /// # Errors
    /// If it is missing, or is not a file of its own.
    pub fn file(&self, sha256: &str, format: Format) -> Result<(File, u64), StoreError> {
        open(&self.image(sha256, format)?)
    }

    /// Reads a picture's file.
    ///
    /// # Errors
    /// As [`Store::file`].
    pub fn read(&self, sha256: &str, format: Format) -> Result<Vec<u8>, StoreError> {
        read(&self.image(sha256, format)?)
    }

    /// A picture's thumbnail, a JPEG, if it is there.
    ///
    /// # Errors
    /// If something else stands in its place.
    pub fn ready_thumbnail(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match read(&self.small(sha256)?) {
            Ok(thumbnail) if !thumbnail.is_empty() => Ok(Some(thumbnail)),
            Err(error @ StoreError::NoFile { .. }) => Err(error),
            _ => Ok(None),
        }
    }

    /// A picture's thumbnail, a JPEG; it is made if it is missing, which wants a [`Store::turn`].
    ///
    /// # Errors
    /// If the picture cannot be read.
    pub fn thumbnail(&self, sha256: &str, format: Format) -> Result<Vec<u8>, StoreError> {
        if let Some(thumbnail) = self.ready_thumbnail(sha256)? {
            return Ok(thumbnail);
        }
        let path = self.small(sha256)?;
        let file = self.read(sha256, format)?;
        let picture = super::upload::decode(&file).map_err(|error| StoreError::Picture(error.to_string()))?;
        let thumbnail = format::thumbnail(&picture).map_err(|error| StoreError::Picture(error.to_string()))?;
        if let Err(error) = self.write(&path, &thumbnail) {
            tracing::warn!("a thumbnail is made each time that somebody asks for it: {error}");
        }
        Ok(thumbnail)
    }

    /// Removes a picture's files, unless a row for them is on its way. Whoever asks has seen, under the database's lock, that
    /// no row has them.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn remove(&self, sha256: &str, format: Format) -> Result<(), StoreError> {
        let held = self.held();
        if held.contains_key(sha256) {
            return Ok(());
        }
        for path in [self.small(sha256)?, self.image(sha256, format)?] {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::of(&path, error)),
            }
        }
        drop(held);
        Ok(())
    }

    /// Removes what was left behind a day ago or longer: files that were never finished, and those of which `is_known` says
    /// that no row has them. Returns how many there were.
    ///
    /// # Errors
    /// If a folder cannot be read. What cannot be removed stays.
    pub fn sweep(&self, is_known: &mut dyn FnMut(&str) -> bool) -> Result<u32, StoreError> {
        let mut gone = 0;
        for folder in [&self.0.images, &self.0.thumbnails] {
            for prefix in fs::read_dir(folder).map_err(|error| StoreError::of(folder, error))?.flatten() {
                // A link is left alone: what it leads to is not ours.
                let Ok(kind) = prefix.file_type() else { continue };
                let Some(first) = prefix.file_name().to_str().filter(|_| kind.is_dir()).map(str::to_owned) else { continue };
                let files = fs::read_dir(prefix.path()).map_err(|error| StoreError::of(&prefix.path(), error))?;
                for file in files.flatten() {
                    let Some(name) = file.file_name().to_str().map(str::to_owned) else { continue };
                    let sha256 = format!("{first}{}", name.split('.').next().unwrap_or_default());
                    let is_ours = name.starts_with(UNFINISHED) || is_name(&sha256);
                    if !is_ours || !is_old(&file) {
                        continue;
                    }
                    let held = self.held();
                    let is_wanted = held.contains_key(&sha256) || is_name(&sha256) && is_known(&sha256);
                    if !is_wanted && is_old(&file) && fs::remove_file(file.path()).is_ok() {
                        gone += 1;
                    }
                    drop(held);
                }
            }
        }
        Ok(gone)
    }

    /// Where a picture's file is.
    ///
    /// # Errors
    /// If the name is none.
    pub fn image(&self, sha256: &str, format: Format) -> Result<PathBuf, StoreError> {
        below(&self.0.images, sha256, format.ending())
    }

    fn small(&self, sha256: &str) -> Result<PathBuf, StoreError> {
        below(&self.0.thumbnails, sha256, SMALL)
    }

    fn hold(&self, sha256: &str) -> Hold {
        *self.held().entry(sha256.to_owned()).or_default() += 1;
        Hold { _held: Some(Arc::new(Held { store: self.clone(), sha256: sha256.to_owned() })) }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        crate::sync::lock(&self.0.held)
    }

    /// Writes a file whose name says what is in it.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let failed = |error| StoreError::of(path, error);
        let folder = path.parent().ok_or_else(|| StoreError::NoFile { path: path.to_owned() })?;
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.len() == bytes.len() as u64) {
            // It looks new, so that it is not swept away before its next row is there.
            let file = File::options().append(true).open(path).map_err(failed)?;
            return file.set_modified(SystemTime::now()).map_err(failed);
        }
        match fs::symlink_metadata(folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(StoreError::NoFile { path: folder.to_owned() }),
            Err(_) => {
                fs::create_dir_all(folder).map_err(failed)?;
                folder.parent().map_or(Ok(()), settle).map_err(failed)?;
            }
        }
        replace(path, bytes).map_err(failed)
    }
}

/// What a name tells of a picture.
pub fn facts(image: &NewImage, job: Option<u64>, at: Millis) -> Facts<'_> {
    Facts {
        at,
        seed: image.seed,
        model: &image.model,
        prompt: &image.settings.prompt,
        width: image.width,
        height: image.height,
        job,
    }
}

/// Whether a text is a SHA-256 as we write it.
pub fn is_name(sha256: &str) -> bool {
    sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn below(folder: &Path, sha256: &str, ending: &str) -> Result<PathBuf, StoreError> {
    let wrong = || StoreError::Name(sha256.chars().take(80).collect());
    let (first, rest) = sha256.split_at_checked(2).filter(|_| is_name(sha256)).ok_or_else(wrong)?;
    Ok(folder.join(first).join(format!("{rest}.{ending}")))
}

fn is_old(file: &fs::DirEntry) -> bool {
    // Where a system tells no time, nothing is ever old.
    let written = file.metadata().and_then(|found| found.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > PATIENCE))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
