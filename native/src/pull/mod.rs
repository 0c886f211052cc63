//! `encaustic pull`: models from the hub, and files of weights from any server; and `--model hf:OWNER/NAME`.
//!
//! From the hub, a model goes into the cache that all programs for the hub share ([`store`]); a file from elsewhere into the
//! folder of models ([`web`]). Both come through one transfer ([`fetch`]), which trusts nobody. Why it is our own:
//! docs/decisions/0013-downloads.md.

pub mod address;
mod bar;
mod choose;
pub mod env;
mod fault;
mod fetch;
mod hub;
mod lock;
mod names;
mod net;
mod news;
mod reach;
mod store;
pub mod take;
mod web;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use encaustic_engine::weights::Precision;
use encaustic_server::host::Transfer;
use serde_json::json;

use self::address::{Address, SCHEME, Wanted};
use self::env::Hub;
pub use self::fault::Fault;
use self::news::{News, Teller};
use self::take::Model;
use crate::failure::{Failure, Refusal};
use crate::hash::Cache;
use crate::library::ModelFiles;
use crate::single::Single;
use crate::{hash, terminal};

pub(crate) const EXAMPLES: &str = "\
Examples:
  encaustic pull stable-diffusion-v1-5/stable-diffusion-v1-5
      fetches a model's folder from the hub: safetensors only, in half
      precision where there is one
  encaustic pull OWNER/NAME@REVISION:FILE.safetensors
      fetches one file of a branch, tag or commit
  encaustic pull https://example.com/lighthouse.safetensors --sha256 HEX
      fetches a file into the folder of models and checks it

What is there already is not fetched again, and what was broken off goes on
where it ended. For a URL the server is asked whether its file is another now.
From the hub: HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE and
HF_HUB_DOWNLOAD_TIMEOUT are understood, and the cache is the one that other
programs use.
Exit status: 0 done, 1 failed, 2 wrong input, 130 stopped.";

/// `encaustic pull`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A model on the hub (OWNER/NAME, OWNER/NAME@REVISION, OWNER/NAME:FILE), or the URL of a `.safetensors` file
    pub source: String,

    /// From the hub: which copy of the weights where there are several; the other stands in for it
    #[arg(long, value_enum, value_name = "fp16|full", default_value = "fp16")]
    pub variant: Variant,

    /// From a URL: the SHA-256 that the file must have, in 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,

    /// From a URL: the file or the folder to write; the folder of models is usual
    #[arg(long, value_name = "FILE|DIR", value_hint = clap::ValueHint::AnyPath)]
    pub out: Option<PathBuf>,

    /// Leave the network alone: only see whether the model is in the cache
    #[arg(long)]
    pub offline: bool,
}

/// Which copy of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Variant {
    /// In half precision, where there is such a copy.
    Fp16,
    /// As trained, where there is such a copy.
    Full,
}

/// Fetches a model or a file.
///
/// # Errors
/// If it cannot be had, and on Ctrl-C. What was fetched is kept then.
pub fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    match Wanted::parse(&args.source)? {
        Wanted::Hub(address) => {
            let given = [("sha256", args.sha256.is_some()), ("out", args.out.is_some())];
            if let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
                let problem = "this is for URLs; files of the hub are checked by the hub's own hashes and go into its cache";
                return Err(Refusal::new(option, problem).into());
            }
            let hub = Hub::from_env(args.offline)?;
            let precision = if args.variant == Variant::Fp16 { Precision::Half } else { Precision::Full };
            let mut model = bring(&hub, &address, precision)?;
            if json {
                hash_rest(&mut model)?;
            }
            tell(&address, &model, begun.elapsed().as_secs_f64(), json)
        }
        Wanted::Web(_) if args.offline => Err(Refusal::new("offline", "a URL cannot be fetched without a network").into()),
        Wanted::Web(url) => web::run(url, args.sha256.as_deref(), args.out.as_deref(), json),
    }
}

/// Fetches a model or a file for whoever shows the progress in a way of their own, and may end it.
///
/// # Errors
/// As [`run`]; [`Failure::Interrupted`] if `told` ended it. What was fetched is kept then.
pub fn followed(source: &str, told: &mut dyn FnMut(Transfer) -> ControlFlow<()>) -> Result<(), Failure> {
    let told = RefCell::new(Told { told, transfer: Transfer::default(), at: Instant::now(), is_over: false });
    let mut show = |news: News| told.borrow_mut().hear(news);
    let mut is_asked = || told.borrow_mut().is_asked();
    match Wanted::parse(source)? {
        Wanted::Hub(address) => {
            let hub = Hub::from_env(false)?;
            let work = move |teller: &mut Teller| take::fetched(&hub, &address, Precision::Half, teller);
            news::followed(work, &mut show, &mut is_asked).map(drop)
        }
        Wanted::Web(url) => web::followed(url, &mut show, &mut is_asked),
    }
}

/// Who follows a download.
struct Told<'a> {
    told: &'a mut dyn FnMut(Transfer) -> ControlFlow<()>,
    transfer: Transfer,
    at: Instant,
    is_over: bool,
}

/// How often a follower is asked whether to stop where nothing happens.
const ASKING: Duration = Duration::from_millis(500);

impl Told<'_> {
    fn hear(&mut self, news: News) {
        match news {
            News::Wait(what) => self.transfer.file = what,
            News::Line(line) => return tracing::info!("{line}"),
            News::Total(total) => self.transfer.of = total.unwrap_or(0),
            News::File(name, at) => (self.transfer.file, self.transfer.bytes) = (name, at),
            News::At(at) => self.transfer.bytes = at,
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.at = Instant::now();
        self.is_over |= (self.told)(self.transfer.clone()).is_break();
    }

    /// Whether to stop; a server that is silent must not keep anybody from it.
    fn is_asked(&mut self) -> bool {
        if self.at.elapsed() >= ASKING {
            self.tell();
        }
        self.is_over
    }
}

/// Finds the model that a user means, as [`ModelFiles::find`] does; one on the hub (`hf:OWNER/NAME`) is taken from the cache
/// if it is whole there, and fetched if not. `precision` is the copy of the weights that is wanted where it has several.
///
/// # Errors
/// If there is none, and if it cannot be fetched.
pub fn find(wanted: Option<&str>, precision: Precision) -> Result<ModelFiles, Failure> {
    match wanted.filter(|wanted| is_on_hub(wanted)) {
        Some(wanted) => on_hub(wanted, "model", |wanted| cached_or_fetched(wanted, precision)),
        None => ModelFiles::find(wanted).map_err(Failure::from),
    }
}

/// Finds an autoencoder, or a model that has one, as [`ModelFiles::autoencoder`] does, on the hub too.
///
/// # Errors
/// If there is none, and if it cannot be fetched.
pub fn find_vae(wanted: &Path, config: Option<&Path>, precision: Precision) -> Result<ModelFiles, Failure> {
    let fetched = match wanted.to_str().filter(|wanted| is_on_hub(wanted)) {
        Some(wanted) => match on_hub(wanted, "vae", |wanted| cached_or_fetched(wanted, precision))? {
            ModelFiles::Single(single) => Some(single.path().to_owned()),
            ModelFiles::Folder(path) => Some(path),
            ModelFiles::Demo => None,
        },
        None => None,
    };
    Ok(ModelFiles::autoencoder(fetched.as_deref().unwrap_or(wanted), config)?)
}

/// Finds anything that has a name, as [`ModelFiles::find_any`] does, on the hub too.
///
/// # Errors
/// If there is nothing of the kind, and if it cannot be fetched.
pub fn find_any(wanted: &str) -> Result<ModelFiles, Failure> {
    if !is_on_hub(wanted) {
        return ModelFiles::find_any(wanted).map_err(Failure::from);
    }
    on_hub(wanted, "model", |wanted| cached_or_fetched(wanted, Precision::Half))
}

/// As [`find_any`], but without a network: of the hub's models those that are whole in the cache.
///
/// # Errors
/// If there is nothing of the kind here, with what fetches it.
pub fn find_here(wanted: &str) -> Result<ModelFiles, Failure> {
    if !is_on_hub(wanted) {
        return ModelFiles::find_any(wanted).map_err(Failure::from);
    }
    on_hub(wanted, "model", |wanted| {
        let address = Address::parse(wanted)?;
        Ok(take::cached(&Hub::from_env(true)?, &address, Precision::Half)?)
    })
}

/// The folder of the hub's cache where something of this name lies, whole or not.
pub(crate) fn folder_of(wanted: &str) -> Option<PathBuf> {
    let address = Address::parse(wanted).ok().filter(|_| is_on_hub(wanted))?;
    let folder = store::Store::new(&Hub::from_env(true).ok()?, &address).folder();
    folder.is_dir().then_some(folder)
}

fn is_on_hub(wanted: &str) -> bool {
    wanted.starts_with(SCHEME) && !Path::new(wanted).exists()
}

/// A model of the hub as `get` has it; `option` is the one that named it.
fn on_hub(wanted: &str, option: &str, get: impl FnOnce(&str) -> Result<Model, Failure>) -> Result<ModelFiles, Failure> {
    let model = get(wanted).map_err(|failure| match failure {
        Failure::Refused(refusal) if refusal.field == "source" => Refusal { field: option.to_owned(), ..refusal }.into(),
        failure => failure,
    })?;
    Ok(if model.is_file { ModelFiles::Single(Single::new(&model.path)) } else { ModelFiles::Folder(model.path) })
}

fn cached_or_fetched(wanted: &str, precision: Precision) -> Result<Model, Failure> {
    let address = Address::parse(wanted)?;
    let begun = Instant::now();
    // What is whole needs nothing of the hub, its variables included.
    let model = match take::cached(&Hub::from_env(true)?, &address, precision) {
        Ok(cached) if precision == Precision::Full && has_stand_in(&cached) => return as_trained(&address, cached),
        Ok(cached) => return Ok(cached),
        Err(fault) => match (Hub::from_env(false)?, fault) {
            (hub, Fault::Refused(missing)) if hub.offline => return Err(missing.into()),
            (hub, _) => bring(&hub, &address, precision)?,
        },
    };
    terminal::say(summary(&address, &model, begun.elapsed().as_secs_f64()));
    Ok(model)
}

/// Whether a half-precision copy stands in for the one as trained.
fn has_stand_in(model: &Model) -> bool {
    !model.is_file && model.files.iter().any(|file| file.name.contains(".fp16."))
}

/// The model as trained, where the cache has a half-precision copy: the repository may have no other, which only the hub knows.
/// It is asked for the commit that is there: nobody wants another model for a finer copy.
fn as_trained(address: &Address, cached: Model) -> Result<Model, Failure> {
    let (hub, begun) = (Hub::from_env(false)?, Instant::now());
    let same = Address { revision: cached.commit.clone(), ..address.clone() };
    let brought = if hub.offline { None } else { Some(bring(&hub, &same, Precision::Full)) };
    match brought {
        Some(Ok(model)) => {
            if fetched(&model) > 0 {
                terminal::say(summary(&same, &model, begun.elapsed().as_secs_f64()));
            }
            Ok(model)
        }
        None | Some(Err(Failure::Fetch(Fault::Unreachable { .. } | Fault::Silent { .. } | Fault::Status { .. }))) => {
            terminal::say(format_args!("{address}: the half-precision copy is used, as the hub cannot be asked for another"));
            Ok(cached)
        }
        Some(Err(failure)) => Err(failure),
    }
}

fn bring(hub: &Hub, address: &Address, precision: Precision) -> Result<Model, Failure> {
    let (hub, address) = (hub.clone(), address.clone());
    news::aside(move |teller| take::fetched(&hub, &address, precision, teller))
}

/// Hashes the files whose hashes only their bytes tell.
fn hash_rest(model: &mut Model) -> Result<(), Failure> {
    let mut cache = Cache::load();
    let mut bar = hash::Bar::new();
    for file in model.files.iter_mut().filter(|file| file.sha256.is_none()) {
        let sha = cache.of_file(&file.path, &mut |done, of| bar.show("hashing", done, of));
        bar.clear();
        match sha {
            Ok(sha) => file.sha256 = Some(sha.full().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                return Err(Failure::Interrupted("while files were hashed".to_owned()));
            }
            Err(error) => return Err(Failure::System(format!("{}: {error}", file.path.display()))),
        }
    }
    cache.save();
    Ok(())
}

fn tell(address: &Address, model: &Model, seconds: f64, json: bool) -> Result<(), Failure> {
    if !json {
        terminal::say(summary(address, model, seconds));
        return terminal::tell(terminal::for_stdout(&model.path.display().to_string()));
    }
    terminal::tell(json!({
        "path": model.path.display().to_string(),
        "repo": address.repo,
        "revision": address.revision,
        "commit": model.commit,
        "files": model.files,
        "bytes": fetched(model),
        "seconds": seconds,
    }))
}

/// How many bytes were fetched.
fn fetched(model: &Model) -> u64 {
    model.files.iter().filter(|file| !file.cached).map(|file| file.size).sum()
}

fn summary(address: &Address, model: &Model, seconds: f64) -> String {
    let count = model.files.iter().filter(|file| !file.cached).count();
    let commit = model.commit.get(..8).unwrap_or(&model.commit);
    if count == 0 {
        return format!("{address} ({commit}): {} files, all there already", model.files.len());
    }
    let fetched = crate::models::size(fetched(model));
    format!("{address} ({commit}): {count} of {} files fetched, {fetched} in {seconds:.1} s", model.files.len())
}

/// What the model is called whose folder in the cache this is: the folder itself is called by its commit.
pub fn name_of(path: &Path) -> Option<String> {
    let commit = path.file_name()?.to_str().filter(|name| names::is_hex(name, 40));
    let snapshots = path.parent().filter(|folder| commit.is_some() && folder.ends_with("snapshots"))?;
    let (_, name) = snapshots.parent()?.file_name()?.to_str()?.strip_prefix("models--")?.split_once("--")?;
    Some(name.to_owned())
}

/// A model in the cache of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// What `--model` takes: `hf:OWNER/NAME`, with `@REVISION` where it is not the usual one.
    pub name: String,
    /// Its folder or its file.
    pub path: PathBuf,
    /// The branch or tag.
    pub revision: String,
}

/// The models in the cache that are whole. Whatever is wrong with the cache or its variables, the others are told.
pub fn cached() -> Vec<Cached> {
    Hub::from_env(true).map(|hub| cached_at(&hub)).unwrap_or_default()
}

/// The models in a cache that are whole.
pub fn cached_at(hub: &Hub) -> Vec<Cached> {
    let whole = |address: Address| {
        let model = take::cached(hub, &address, Precision::Half).ok()?;
        let name = format!("{SCHEME}{address}");
        Some(Cached { name, path: model.path, revision: address.revision })
    };
    store::all(hub).into_iter().filter_map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_terminal() {
        let wide: Vec<&str> = EXAMPLES.lines().filter(|line| line.chars().count() >= 80).collect();
        assert_eq!(wide, Vec::<&str>::new());
    }
}
