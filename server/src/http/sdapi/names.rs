//! Models as A1111 calls them: `name.safetensors [6ce0161689]`.

use encaustic_protocol::{Entry, nearest};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;
use crate::host::{BOXED, Model};
use crate::http::ApiError;

/// How many digits of a SHA-256 a title has.
const DIGITS: usize = 10;

/// A model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = A1111Model)]
pub(super) struct SdModel {
    /// What options and overrides call it.
    #[schema(example = "demo [6ce0161689]")]
    pub title: String,
    /// Its name.
    pub model_name: String,
    /// The first ten digits of its SHA-256, if it is known.
    pub hash: Option<String>,
    /// Its SHA-256, if it is known.
    pub sha256: Option<String>,
    /// Its file, without the folders above.
    pub filename: String,
    /// Always absent: no file beside it says what it is.
    pub config: Option<String>,
}

impl From<&Model> for SdModel {
    fn from(model: &Model) -> Self {
        let file = model.path.as_deref().and_then(|path| path.rsplit(['/', '\\']).next());
        // A folder is called by its model's name: its own may be a snapshot's number.
        let file = file.filter(|file| file.contains('.')).unwrap_or(&model.name).to_owned();
        let hash = model.sha256.as_ref().and_then(|sha256| sha256.get(..DIGITS)).map(str::to_owned);
        Self {
            title: hash.as_ref().map_or_else(|| file.clone(), |hash| format!("{file} [{hash}]")),
            model_name: model.name.clone(),
            hash,
            sha256: model.sha256.clone(),
            filename: file,
            config: None,
        }
    }
}

impl SdModel {
    /// Whether a client means this model, by any of its names.
    fn is_called(&self, name: &str) -> bool {
        let known = [Some(&self.title), Some(&self.model_name), Some(&self.filename), self.hash.as_ref(), self.sha256.as_ref()];
        let stem = self.filename.rsplit_once('.').map_or(self.filename.as_str(), |(stem, _)| stem);
        known.into_iter().flatten().map(String::as_str).chain([stem]).any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The models that pictures can be made with. It blocks.
///
/// # Errors
/// If the library cannot be read.
pub(super) fn models(app: &App) -> Result<Vec<SdModel>, ApiError> {
    Ok(app.host.models()?.iter().filter(|model| model.is_usable).map(SdModel::from).collect())
}

/// The model that is used where nobody names one. It blocks.
///
/// # Errors
/// If the library cannot be read.
pub(super) fn usual(app: &App) -> Result<Option<SdModel>, ApiError> {
    let models = models(app)?;
    let named = app.config.model.as_deref();
    let usual = models.iter().find(|model| model.is_called(named.unwrap_or(BOXED))).or(models.first());
    Ok(usual.cloned())
}

/// The model that a client means. It blocks.
///
/// # Errors
/// 422 for `field` if there is none of that name.
pub(super) fn model(app: &App, name: &str, field: &str) -> Result<SdModel, ApiError> {
    let models = models(app)?;
    if let Some(found) = models.iter().find(|model| model.is_called(name)) {
        return Ok(found.clone());
    }
    let entries: Vec<Entry> = models.iter().map(|model| Entry::new(&model.model_name, &model.title)).collect();
    let near = nearest(name, &entries).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    let name: String = name.chars().take(80).collect();
    let message = format!("{field}: there is no model {name:?}; `/sdapi/v1/sd-models` lists them{near}");
    Err(ApiError::invalid(field, message))
}
