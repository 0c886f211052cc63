//! `encaustic verify`: whether the files of models are what they were.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use encaustic_engine::weights::{Header, MANIFEST, Manifest, Shard, SourceError, WeightSource};
use encaustic_importer::pack::{ShardFault, check_shard};
use serde::Serialize;
use serde_json::json;

use crate::failure::{Failure, Refusal};
use crate::hash::Sha;
use crate::library::{self, ModelFiles};
use crate::mapped::MappedFile;
use crate::models::size;
use crate::progress::Progress;
use crate::{hash, interrupt, pull, shell, terminal};

/// What is known of a model after its files were read.
#[derive(Debug, Serialize)]
struct Verdict {
    model: String,
    place: String,
    /// Bytes that were read.
    bytes: u64,
    /// The SHA-256 of a single file.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// What is wrong: file and problem.
    faults: Vec<Fault>,
    /// Whether there was something to compare with.
    compared: bool,
}

#[derive(Debug, Serialize)]
struct Fault {
    file: String,
    problem: String,
}

/// Reads a model's files, or those of all packed models in the library, and compares.
///
/// # Errors
/// If a model is not what it was or cannot be read, and on Ctrl-C.
pub fn run(model: Option<&str>, json: bool) -> Result<(), Failure> {
    let models = match model {
        Some(model) => vec![pull::find_here(model)?],
        None => library::packed(),
    };
    interrupt::listen(interrupt::AT_ONCE)?;
    let mut progress = Progress::new();
    let verdicts: Result<Vec<_>, _> = models.iter().map(|model| verify(model, &mut progress)).collect();
    progress.clear();
    let verdicts = verdicts?;
    let bad: Vec<_> = verdicts.iter().filter(|verdict| !verdict.faults.is_empty()).collect();
    let report = json!({"models": verdicts});
    if !bad.is_empty() {
        let text = bad.iter().flat_map(|verdict| {
            verdict.faults.iter().map(|fault| format!("{}: {}: {}", verdict.place, fault.file, fault.problem))
        });
        let text: Vec<_> = text.collect();
        return Err(Failure::Damaged {
            text: format!("{}; get the model again, or import it again from its source", text.join("\n")),
            report,
        });
    }
    if json {
        return terminal::tell(report);
    }
    for Verdict { model, bytes, compared, sha256, .. } in &verdicts {
        let found = if *compared { "as it was" } else { "read for the first time: nothing to compare with" };
        let sha256 = sha256.as_deref().map_or_else(String::new, |sha| format!(", SHA-256 {sha}"));
        terminal::tell(terminal::harmless(&format!("{model}: {found} ({}{sha256})", size(*bytes))))?;
    }
    if verdicts.is_empty() {
        terminal::say("there is no packed model in the library");
    }
    Ok(())
}

fn verify(model: &ModelFiles, progress: &mut Progress) -> Result<Verdict, Failure> {
    let mut verdict =
        Verdict { model: model.name(), place: model.place(), bytes: 0, sha256: None, faults: Vec::new(), compared: true };
    match (model.manifest(), model) {
        (Err(refusal), _) => verdict.fault(MANIFEST, refusal.problem),
        (Ok(Some(manifest)), _) => packed(model, &manifest, &mut verdict, progress)?,
        (Ok(None), ModelFiles::Single(single)) => match blob(single.path()) {
            Some(blob) => of_hub(&[blob], &mut verdict, progress)?,
            None => file(single.path(), &mut verdict, progress)?,
        },
        (Ok(None), ModelFiles::Demo | ModelFiles::Folder(_)) => {
            let blobs = blobs(model);
            if blobs.is_empty() {
                let problem = format!("{}: a folder of diffusers says nothing to compare with", model.place());
                let hint = "pack it with `encaustic import`: a packed model has the hashes of its files";
                return Err(Refusal::new("model", problem).hint(hint).into());
            }
            of_hub(&blobs, &mut verdict, progress)?;
        }
    }
    Ok(verdict)
}

impl Verdict {
    fn fault(&mut self, file: &str, problem: String) {
        self.faults.push(Fault { file: file.to_owned(), problem });
    }
}

/// A file of the hub's cache that is called by its SHA-256: as a shard, it has to have that.
fn blob(path: &Path) -> Option<(PathBuf, Shard)> {
    let real = fs::canonicalize(path).ok()?;
    let in_blobs = real.parent().is_some_and(|folder| folder.ends_with("blobs"));
    let sha = real.file_name()?.to_str().filter(|_| in_blobs).and_then(Sha::known)?;
    let file = path.file_name()?.to_string_lossy().into_owned();
    Some((path.to_owned(), Shard { file, bytes: real.metadata().ok()?.len(), sha256: sha.full().to_owned() }))
}

/// All such files of a model.
fn blobs(model: &ModelFiles) -> Vec<(PathBuf, Shard)> {
    let ModelFiles::Folder(root) = model else { return Vec::new() };
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = entries(root).filter(|path| path.is_dir()).chain([root.clone()]).collect();
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| entries(folder)).filter(|path| path.is_file()).collect();
    files.sort();
    files.iter().filter_map(|path| blob(path)).collect()
}

/// Files of the hub's cache against their names.
fn of_hub(blobs: &[(PathBuf, Shard)], verdict: &mut Verdict, progress: &mut Progress) -> Result<(), Failure> {
    let of = blobs.iter().map(|(_, shard)| shard.bytes).sum();
    for (path, shard) in blobs {
        check(shard, FileSource::open(path), of, verdict, progress)?;
    }
    Ok(())
}

/// Reads a file to its end and compares it with what it should be.
fn check(
    shard: &Shard,
    source: io::Result<FileSource>,
    of: u64,
    verdict: &mut Verdict,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let mut watch = |bytes| {
        verdict.bytes += bytes;
        progress.bytes("verifying", verdict.bytes, of);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let found = match source {
        Ok(source) => check_shard(shard, &source, &mut watch),
        Err(error) => Err(SourceError::Failed(error.to_string()).into()),
    };
    match found {
        Ok(()) => Ok(()),
        Err(ShardFault::Stopped) => Err(Failure::Interrupted("while the model was verified".to_owned())),
        Err(fault) => {
            verdict.fault(&shard.file, fault.to_string());
            Ok(())
        }
    }
}

/// A file that is read piece by piece, not mapped: of a mapping, a disk that fails would end this process.
struct FileSource {
    file: File,
    len: u64,
}

impl FileSource {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl WeightSource for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        let length = range.end.saturating_sub(range.start).min(self.len);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| SourceError::Failed(error.to_string()))?;
        Ok(bytes.into())
    }
}

/// Every shard against its hash, and the whole as if it were to make pictures.
fn packed(model: &ModelFiles, manifest: &Manifest, verdict: &mut Verdict, progress: &mut Progress) -> Result<(), Failure> {
    let of = manifest.bytes();
    for shard in &manifest.shards {
        match model.path(&shard.file) {
            Some(path) => check(shard, FileSource::open(&path), of, verdict, progress)?,
            // The model in the box is part of the program.
            None => {
                let source = model.source(&shard.file).map_err(|error| Failure::System(format!("{}: {error}", shard.file)))?;
                if let Err(fault) = check_shard(shard, &source, &mut |_| ControlFlow::Continue(())) {
                    verdict.fault(&shard.file, fault.to_string());
                }
                verdict.bytes += shard.bytes;
            }
        }
    }
    if verdict.faults.is_empty()
        && let Err(error) = shell::attempt(model, None)?
    {
        verdict.fault(MANIFEST, error.to_string());
    }
    Ok(())
}

/// A file against the hash that it had when it was last read, if its size and time of change are the same.
fn file(path: &Path, verdict: &mut Verdict, progress: &mut Progress) -> Result<(), Failure> {
    let failed = |error| Failure::hashing(&path.display().to_string(), error);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    progress.wait("verifying");
    let source = MappedFile::open(path).map_err(failed)?;
    verdict.bytes = source.bytes().len() as u64;
    if let Err(error) = Header::read(&source) {
        verdict.fault(&name, error.to_string());
        return Ok(());
    }
    let (known, found) = hash::again(path).map_err(failed)?;
    verdict.compared = known.is_some();
    if let Some(known) = known.filter(|known| *known != found) {
        let problem =
            format!("its SHA-256 was {} and is {}, though its size and time did not change", known.full(), found.full());
        verdict.fault(&name, problem);
    }
    verdict.sha256 = Some(found.full().to_owned());
    Ok(())
}
