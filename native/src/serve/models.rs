//! The library as the server sees it: names only, never paths. Whoever may draw must not learn by asking which files there are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use encaustic_protocol::FailureKind;
use encaustic_server::host::Model;

use crate::demo;
use crate::failure::{Failure, Refusal};
use crate::hash::Cache;
use crate::library::find::Wanted;
use crate::library::{Kind, Library, ModelFiles, model};
use crate::machine;
use crate::pull;
use crate::single::Single;

/// For how long a look at the library is good enough: other programs put files there, too.
const FRESH: Duration = Duration::from_secs(5);

/// The models as they were found last.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    found: Option<(Instant, Vec<Model>)>,
}

impl Shelf {
    /// All models, in the order of their names.
    pub(super) fn all(&mut self) -> Vec<Model> {
        if let Some((_, models)) = self.found.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return models.clone();
        }
        let models = look();
        self.found = Some((Instant::now(), models.clone()));
        models
    }

    pub(super) fn forget(&mut self) {
        self.found = None;
    }
}

fn look() -> Vec<Model> {
    let library = Library::open();
    let cache = Cache::load();
    let told = library.entries().map(|(found, name)| library.tell(found, name, &cache));
    let hub = pull::cached();
    let of_hub = hub.iter().map(|cached| model::of_hub(cached, &cache));
    let mut models: Vec<Model> = model::demo().into_iter().chain(told).chain(of_hub).map(describe).collect();
    models.sort_by_cached_key(|model| (model.name.to_lowercase(), model.name.clone()));
    models
}

fn describe(model: model::Model) -> Model {
    let is_usable = model.kind == Kind::Checkpoint && model.problem.is_none() && model.missing.is_empty();
    let title = if model.what.is_empty() { model.name.clone() } else { model.what.clone() };
    let kind = serde_json::to_value(model.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    Model {
        title,
        kind: kind.unwrap_or_default(),
        family: model.family,
        bytes: model.bytes,
        sha256: model.sha256,
        is_own: !model.read_only && model.path.is_some(),
        path: model.path,
        license: None,
        is_usable,
        name: model.name,
    }
}

/// A model that can be drawn with.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// Its name.
    pub(super) name: String,
    /// Its files.
    pub(super) files: ModelFiles,
    /// An autoencoder that takes the place of its own.
    pub(super) vae: Option<ModelFiles>,
}

/// The model that a name means; `usual` is what whoever started the server takes for the usual one, which may be a path.
pub(super) fn choose(wanted: Option<&str>, usual: Option<&str>) -> Result<Chosen, Failure> {
    let name = wanted.or(usual).unwrap_or(demo::NAME);
    // One of the hub's that is not here is fetched by the server, where everybody sees it, and not in the middle of a job.
    let (name, files) = if Some(name) == usual && !name.starts_with(pull::address::SCHEME) {
        (name.to_owned(), pull::find(Some(name), encaustic_engine::weights::Precision::Half)?)
    } else {
        named(name)?
    };
    let (files, vae) = machine::whole(files)?;
    Ok(Chosen { name, files, vae })
}

fn named(name: &str) -> Result<(String, ModelFiles), Failure> {
    if name.eq_ignore_ascii_case(demo::NAME) {
        return Ok((demo::NAME.to_owned(), ModelFiles::find(None)?));
    }
    if name.starts_with(pull::address::SCHEME) {
        return Ok((name.to_owned(), pull::find_here(name)?));
    }
    let library = Library::open();
    let (found, name) = library.find(name, Wanted::Model, "model")?;
    let files =
        if found.path.is_file() { ModelFiles::Single(Single::new(&found.path)) } else { ModelFiles::Folder(found.path.clone()) };
    Ok((name.to_owned(), files))
}

/// A failure for the server's clients.
pub(super) fn told(failure: &Failure) -> encaustic_protocol::Failure {
    let kind = match failure {
        Failure::Refused(Refusal { field, .. }) if ["model", "vae", "source", "NAME"].contains(&field.as_str()) => {
            FailureKind::Model
        }
        Failure::Refused(_) => FailureKind::Invalid,
        Failure::Engine(_) => FailureKind::Device,
        Failure::Damaged { .. } => FailureKind::Model,
        Failure::Interrupted(_) | Failure::Write(_) | Failure::Picture { .. } | Failure::Fetch(_) | Failure::System(_) => {
            FailureKind::Storage
        }
    };
    encaustic_protocol::Failure { kind, message: failure.to_string() }
}

/// A thread that panicked leaves nothing half done behind these.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
