//! Models, and OpenAI's names for ours.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use encaustic_protocol::{Entry, nearest};
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes;
use crate::App;
use crate::auth::{Caller, Scope};
use crate::http::ApiError;
use crate::http::extract::Place;

/// A model.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModel)]
pub(super) struct Model {
    /// What requests call it.
    id: String,
    /// Always `model`.
    object: &'static str,
    /// When its file was written, in seconds since 1970; 0 if nobody knows.
    created: u64,
    /// Always `encaustic`.
    owned_by: &'static str,
}

/// Models.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModels)]
pub(super) struct Models {
    /// Always `list`.
    object: &'static str,
    /// The models.
    data: Vec<Model>,
}

fn model(id: &str, path: Option<&str>) -> Model {
    let written = path.and_then(|path| std::fs::metadata(path).ok()?.modified().ok());
    let created = written.and_then(|written| written.duration_since(std::time::UNIX_EPOCH).ok());
    Model { id: id.to_owned(), object: "model", created: created.map_or(0, |since| since.as_secs()), owned_by: "encaustic" }
}

/// Models that pictures can be made with.
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses((status = 200, description = "models", body = Models)))]
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Models>, ApiError> {
    caller.needs_any(&[Scope::Read, Scope::Generate])?;
    app.blocking(move |app| {
        let models = app.host.models()?;
        let data = models.iter().filter(|known| known.is_usable).map(|known| model(&known.name, known.path.as_deref()));
        Ok(Json(Models { object: "list", data: data.collect() }))
    })
    .await
}

/// A model.
///
/// A `/` in its name is written `%2F`.
#[utoipa::path(get, path = "/v1/models/{model}", tag = "OpenAI", params(("model" = String, Path, description = "its name")), responses(
    (status = 200, description = "the model", body = Model),
    (status = 404, description = "there is none of that name", body = shapes::Problem)))]
pub(super) async fn get(State(app): State<App>, caller: Caller, Place(name): Place<String>) -> Result<Json<Model>, ApiError> {
    caller.needs_any(&[Scope::Read, Scope::Generate])?;
    app.blocking(move |app| {
        let meant = find(app, Some(&name))?;
        let models = app.host.models()?;
        let known = models.iter().find(|known| Some(&known.name) == meant.as_ref());
        Ok(Json(model(&name, known.and_then(|known| known.path.as_deref()))))
    })
    .await
}

/// The model of the library that a client means; `None` is the server's usual one. It blocks.
///
/// # Errors
/// 404 if there is none of that name.
pub(super) fn find(app: &App, name: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(name) = name else { return Ok(None) };
    let models = app.host.models()?;
    let usable = || models.iter().filter(|model| model.is_usable);
    let known = |wanted: &str| usable().find(|model| model.name == wanted).map(|model| model.name.clone());
    if let Some(found) = known(name) {
        return Ok(Some(found));
    }
    if let Some(target) = mapped(&app.config.openai_models.0, name) {
        return match target {
            "" => Ok(None),
            target => known(target).map(Some).ok_or_else(|| missing(target, usable().map(|model| model.name.as_str()))),
        };
    }
    Err(missing(name, usable().map(|model| model.name.as_str())))
}

fn missing<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> ApiError {
    let entries: Vec<Entry> = known.map(|name| Entry::new(name, name)).collect();
    let near = nearest(name, &entries).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let name: String = name.chars().take(80).collect();
    let message = format!("The model `{name}` does not exist here; `/v1/models` lists those that do{near}");
    ApiError { field: Some("model".to_owned()), ..ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message) }
}

/// What a setting says about a name: `name`, `name=model`, and a `*` at a name's end for whatever follows.
fn mapped<'a>(settings: &'a [String], name: &str) -> Option<&'a str> {
    settings.iter().find_map(|setting| {
        let (pattern, target) = setting.split_once('=').unwrap_or((setting, ""));
        let is_meant = match pattern.trim().strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern.trim(),
        };
        is_meant.then(|| target.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mapped() {
        let settings = ["dall-e-*".to_owned(), "gpt-image-1 = sdxl".to_owned()];
        for (name, target) in
            [("dall-e-3", Some("")), ("gpt-image-1", Some("sdxl")), ("gpt-image-1-mini", None), ("dall", None), ("", None)]
        {
            assert_eq!(mapped(&settings, name), target, "{name}");
        }
    }
}
