//! `encaustic import`: any model, packed.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use encaustic_engine::family::Contents;
use encaustic_engine::weights::{Encoding, MANIFEST, Manifest};
use encaustic_importer::pack::{Options, PackError, Packed, Target, default_vae, pack};
use serde_json::json;

use crate::failure::{Failure, Refusal};
use crate::files::{self, Staging};
use crate::library::{self, ModelFiles};
use crate::models::size;
use crate::packing::Folder;
use crate::progress::Progress;
use crate::{cli, demo, info_packed, interrupt, machine, measure, memory, shell, sources, terminal};

/// How often the bar is drawn anew at most.
const DRAWN: Duration = Duration::from_millis(50);

/// Packs a model.
///
/// # Errors
/// If the options are wrong, the source is no model or the disk fails, and on Ctrl-C; nothing is left behind then.
pub fn run(args: &cli::Import, json: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let dtype = target("dtype", &args.dtype)?;
    let vae_dtype = args.vae_dtype.as_deref().map_or(Ok(default_vae(dtype)), |name| target("vae-dtype", name))?;
    let (model, vae) = machine::files(Some(&args.model), &args.parts, dtype.files())?;
    let out = destination(args, &model)?;
    interrupt::listen(interrupt::AT_ONCE)?;

    let contents = contents(&model, vae.as_ref())?;
    let about = sources::About::of(&model, contents.manifest.as_ref());
    let options = Options {
        dtype,
        vae: vae_dtype,
        title: args.title.clone().or(about.title),
        license: args.license.clone().or(about.license),
        packed_by: format!("encaustic {}", env!("CARGO_PKG_VERSION")),
    };
    let hashes = {
        let (model, vae) = (model.clone(), vae.clone());
        let components: Vec<_> = contents.components.iter().map(|component| component.name).collect();
        thread::spawn(move || sources::hashes(&model, vae.as_ref(), &components, dtype.files()))
    };
    if contents.manifest.as_ref().is_some_and(is_quantised) {
        terminal::say("the source is quantised: packing it again does not bring back what was rounded away");
    }
    let staging = Staging::begin(&out)?;
    let mut progress = Progress::new();
    let packed = write(&contents, &options, staging.folder(), &mut progress);
    progress.wait("hashing the source");
    let mut packed = packed?;
    let sources = hashes.join().map_err(|_| Failure::System("the thread that hashes broke down".to_owned()))??;
    packed.manifest.sources = sources;
    manifest(&packed, staging.folder())?;
    if interrupt::asked() {
        return Err(stopped());
    }
    // It is looked at again: much may have happened meanwhile.
    staging.keep(|there| args.replace && stranger(there).is_none())?;
    let seconds = begun.elapsed().as_secs_f64();
    // (Before the networks are run, which needs more.)
    let peak = memory::peak();
    let outputs = if args.measure {
        progress.wait("running both models");
        measure::compare((&model, vae.as_ref()), &ModelFiles::Folder(out.clone()))?
    } else {
        Vec::new()
    };
    progress.clear();
    let call = terminal::harmless(&if args.out.is_some() { out.display().to_string() } else { name(&out) }).into_owned();
    let call = if call.contains(' ') { format!("{call:?}") } else { call };
    let report = Report { name: name(&out), call, path: &out, packed: &packed, outputs, seconds, peak };
    if json { terminal::tell(report.to_json()) } else { report.tell() }
}

fn target(option: &str, name: &str) -> Result<Target, Refusal> {
    name.parse().map_err(|error: encaustic_importer::pack::UnknownTarget| Refusal::new(option, error.to_string()))
}

/// The folder that the model becomes.
fn destination(args: &cli::Import, model: &ModelFiles) -> Result<PathBuf, Refusal> {
    let (option, path) = match &args.out {
        Some(path) => ("out", path.clone()),
        None => {
            let library = library::library().ok_or_else(|| {
                Refusal::new("out", "this system has no place for a user's data").hint("say with --out where to put it")
            })?;
            ("name", library.join(plain(args.name.as_deref().unwrap_or(&model.name()))?))
        }
    };
    if fs::symlink_metadata(&path).is_ok_and(|about| !about.is_dir()) {
        let problem = format!("{} is no folder, and a packed model is one", path.display());
        return Err(Refusal::new(option, problem).hint("give another name"));
    }
    if path.exists() {
        let is_empty = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
        let strange = stranger(&path);
        let hint = match &strange {
            None if args.replace || is_empty => None,
            None => Some("give another name, or --replace".to_owned()),
            Some(name) => Some(format!("there is {name:?} in it, which no packed model has: give another name")),
        };
        if let Some(hint) = hint {
            return Err(Refusal::new(option, format!("{} exists already", path.display())).hint(hint));
        }
    }
    if let ModelFiles::Folder(source) = model
        && path.exists()
        && source.canonicalize().is_ok_and(|source| path.canonicalize().is_ok_and(|path| path == source))
    {
        return Err(Refusal::new(option, "a model cannot be packed into itself").hint("give another name"));
    }
    Ok(path)
}

/// Something in a folder that is not a packed model's. Only what consists of a manifest and its shards is ever replaced.
fn stranger(path: &Path) -> Option<String> {
    let manifest = ModelFiles::Folder(path.to_owned()).manifest().ok().flatten();
    let shards = manifest.map(|manifest| manifest.shards).unwrap_or_default();
    let own = |name: &str| (name == MANIFEST && !shards.is_empty()) || shards.iter().any(|shard| shard.file == name);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        // A file, or what cannot be looked into.
        Err(_) => return Some(name(path)),
    };
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| !own(name))
}

/// A name that is one for a folder in any system.
fn plain(name: &str) -> Result<&str, Refusal> {
    let is_odd = |c: char| c.is_control() || r#"/\:*?"<>|"#.contains(c);
    if name.eq_ignore_ascii_case(demo::NAME) {
        let problem = format!("{:?} is the model in the box", demo::NAME);
        return Err(Refusal::new("name", problem).hint("give another with --name"));
    }
    if name.is_empty()
        || name.len() > 120
        || name.starts_with(['.', '-'])
        || name.ends_with(['.', ' '])
        || name.contains(is_odd)
        || is_device(name.split('.').next().unwrap_or(name))
    {
        return Err(Refusal::new(
            "name",
            format!("{:?} cannot be the name of a model", name.chars().take(80).collect::<String>()),
        )
        .hint(r#"give one with --name, of at most 120 bytes without / \ : * ? " < > |, that begins with no dot or dash and ends with no dot"#));
    }
    Ok(name)
}

/// Whether Windows has a device of this name in every folder.
fn is_device(stem: &str) -> bool {
    let stem = stem.to_ascii_uppercase();
    let is_port =
        |kind: &str| stem.strip_prefix(kind).is_some_and(|port| port.len() == 1 && port.bytes().all(|b| b.is_ascii_digit()));
    ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) || ["COM", "LPT"].into_iter().any(is_port)
}

/// Whether a packed model has quantised parameters.
fn is_quantised(manifest: &Manifest) -> bool {
    manifest.tensors.values().any(|tensor| matches!(tensor.dtype, Encoding::Quantised(_)))
}

/// What a model consists of; it is checked as if it were to make pictures.
fn contents(model: &ModelFiles, vae: Option<&ModelFiles>) -> Result<Contents, Failure> {
    shell::open(model, vae)?.contents().map_err(|error| shell::refused(model, &error))
}

fn write(contents: &Contents, options: &Options, folder: &Path, progress: &mut Progress) -> Result<Packed, Failure> {
    let mut sink = Folder::new(folder)?;
    let mut drawn: Option<Instant> = None;
    let packed = pack(contents, options, &mut sink, &mut |at| {
        if drawn.is_none_or(|drawn| drawn.elapsed() >= DRAWN) || at.done == at.of {
            progress.bytes("packing", at.done, at.of);
            drawn = Some(Instant::now());
        }
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let packed = packed.map_err(|error| match error {
        PackError::Stopped => stopped(),
        PackError::Sink(error) => error,
        PackError::Shard(why) => Failure::System(why),
        wrong @ (PackError::Load(_) | PackError::Numbers { .. } | PackError::SmallFile { .. }) => {
            Refusal::new("model", wrong.to_string()).into()
        }
    })?;
    sink.finish()?;
    Ok(packed)
}

fn stopped() -> Failure {
    Failure::Interrupted("while the model was packed; nothing of it was kept".to_owned())
}

/// Writes the manifest: with it the folder is a model.
fn manifest(packed: &Packed, folder: &Path) -> Result<(), Failure> {
    let text = serde_json::to_vec(&packed.manifest).map_err(Failure::report)?;
    // A packed model is one that can be read: better to learn of a limit now.
    Manifest::parse(&text).map_err(|error| Refusal::new("model", format!("it cannot be packed: {error}")))?;
    Ok(files::write(&folder.join(MANIFEST), |file| file.write_all(&text))?)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// What is told at the end.
struct Report<'a> {
    name: String,
    /// How to ask for it.
    call: String,
    path: &'a Path,
    packed: &'a Packed,
    outputs: Vec<measure::Output>,
    seconds: f64,
    peak: Option<u64>,
}

impl Report<'_> {
    fn read(&self) -> u64 {
        self.packed.components.iter().map(|component| component.read).sum()
    }

    fn to_json(&self) -> serde_json::Value {
        let manifest = &self.packed.manifest;
        json!({
            "name": self.name,
            "path": self.path,
            "family": manifest.family,
            "title": manifest.title,
            "license": manifest.license,
            "sources": manifest.sources,
            "shards": manifest.shards.len(),
            "bytes": manifest.bytes(),
            "read": self.read(),
            "components": self.packed.components,
            "outputs": self.outputs,
            "seconds": self.seconds,
            "memory_peak": self.peak,
        })
    }

    fn tell(&self) -> Result<(), Failure> {
        for part in &self.packed.components {
            let output = self.outputs.iter().find(|output| output.component == part.name);
            let layers = part.layer_error.map_or_else(String::new, |error| format!(", layers off by {:.2} %", error * 100.0));
            let output = output.map_or_else(String::new, |output| format!(", output off by {:.3} %", output.error * 100.0));
            terminal::say(format_args!("{:16} {} -> {}{layers}{output}", part.name, size(part.read), size(part.written)));
        }
        let manifest = &self.packed.manifest;
        let speed = size((self.read() as f64 / self.seconds.max(1e-3)) as u64);
        terminal::say(format_args!(
            "{} in {}, packed in {:.1} s ({speed}/s); use it with --model {}",
            size(manifest.bytes()),
            info_packed::shards(manifest.shards.len()),
            self.seconds,
            self.call,
        ));
        terminal::tell(self.path.display())
    }
}
