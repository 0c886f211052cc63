//! `encaustic verify`: whether the files of models are what they were.

use std::ops::ControlFlow;
use std::path::Path;

use encaustic_engine::weights::{Checkpoint, Header, MANIFEST, Manifest};
use encaustic_importer::pack::{ShardFault, check_shard};
use serde::Serialize;
use serde_json::json;

use crate::failure::{Failure, Refusal};
use crate::library::{self, ModelFiles};
use crate::mapped::MappedFile;
use crate::progress::Progress;
use crate::{hash, interrupt, pull, terminal};

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
        Some(model) => vec![pull::find_any(model)?],
        None => library::packed(),
    };
    interrupt::listen().map_err(|error| Failure::System(format!("Ctrl-C cannot be caught: {error}")))?;
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
        terminal::tell(terminal::harmless(&format!("{model}: {found} ({:.1} MB{sha256})", *bytes as f64 / 1e6)))?;
    }
    if verdicts.is_empty() {
        terminal::say("there is no packed model in the library");
    }
    Ok(())
}

fn verify(model: &ModelFiles, progress: &mut Progress) -> Result<Verdict, Failure> {
    let mut verdict =
        Verdict { model: model.name(), place: model.place(), bytes: 0, sha256: None, faults: Vec::new(), compared: true };
    let refuse = |problem: String| Refusal::new("model", format!("{}: {problem}", model.place()));
    match (model.manifest()?, model) {
        (Some(manifest), _) => packed(model, &manifest, &mut verdict, progress)?,
        (None, ModelFiles::Single(single)) => file(single.path(), &mut verdict, progress)?,
        (None, ModelFiles::Demo | ModelFiles::Folder(_)) => {
            let hint = "pack it with `encaustic import`: a packed model has the hashes of its files";
            return Err(refuse("a folder of diffusers says nothing to compare with".to_owned()).hint(hint).into());
        }
    }
    Ok(verdict)
}

/// Every shard against its hash, and the whole against what the manifest says is where.
fn packed(model: &ModelFiles, manifest: &Manifest, verdict: &mut Verdict, progress: &mut Progress) -> Result<(), Failure> {
    let of = manifest.bytes();
    for shard in &manifest.shards {
        let mut watch = |bytes| {
            verdict.bytes += bytes;
            progress.bytes("verifying", verdict.bytes, of);
            if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let found = match model.source(&shard.file) {
            Ok(source) => check_shard(shard, &source, &mut watch),
            Err(error) => Err(encaustic_engine::weights::SourceError::Failed(error.to_string()).into()),
        };
        match found {
            Ok(()) => {}
            Err(ShardFault::Stopped) => return Err(Failure::Interrupted("while the model was verified".to_owned())),
            Err(fault) => verdict.faults.push(Fault { file: shard.file.clone(), problem: fault.to_string() }),
        }
    }
    if verdict.faults.is_empty() {
        for component in manifest.components() {
            let open = |shard: &str| model.source(shard).map_err(|error| error.to_string());
            if let Err(error) = Checkpoint::packed(manifest, component, open) {
                verdict.faults.push(Fault { file: MANIFEST.to_owned(), problem: format!("{component}: {error}") });
            }
        }
    }
    Ok(())
}

/// A file against the hash that it had when it was last read, if its size and time of change are the same.
fn file(path: &Path, verdict: &mut Verdict, progress: &mut Progress) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::System(format!("{}: {error}", path.display()));
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    progress.wait("verifying");
    let source = MappedFile::open(path).map_err(failed)?;
    verdict.bytes = source.bytes().len() as u64;
    if let Err(error) = Header::read(&source) {
        verdict.faults.push(Fault { file: name, problem: error.to_string() });
        return Ok(());
    }
    let (known, found) = hash::again(path).map_err(failed)?;
    verdict.compared = known.is_some();
    if let Some(known) = known.filter(|known| *known != found) {
        let problem =
            format!("its SHA-256 was {} and is {}, though its size and time did not change", known.full(), found.full());
        verdict.faults.push(Fault { file: name, problem });
    }
    verdict.sha256 = Some(found.full().to_owned());
    Ok(())
}
