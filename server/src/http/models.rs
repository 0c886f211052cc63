//! The library: which models there are, what they want, and how they come and go.

use std::thread;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use encaustic_protocol::Card;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{JsonBody, Params, Place};
use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::events::News;
use crate::host::{BOXED, Model};
use crate::pulls::{self, Pull, PullError};
use crate::work::{Doing, Standing};

/// How many texts are counted at once.
const TEXTS: usize = 16;
/// The longest of them, in bytes.
const TEXT_BYTES: usize = 64 * 1024;
/// The longest source of a pull, in bytes.
const SOURCE_BYTES: usize = 2048;
/// How long devices may take to let go of a model.
const LETTING_GO: Duration = Duration::from_secs(10);
/// How often to see whether they have.
const GLANCE: Duration = Duration::from_millis(10);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(pulls, pull, stop))
        .routes(routes!(remove))
        .routes(routes!(card))
        .routes(routes!(count))
}

/// The models of the library.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Models {
    /// In the order of their names.
    pub items: Vec<Model>,
}

/// Texts to count.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// At most 16.
    pub texts: Vec<String>,
}

/// How long texts are.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Tokens {
    /// Tokens of each text, without the marks at its beginning and end.
    pub tokens: Vec<u32>,
}

/// What to fetch, or to stop fetching.
#[derive(Clone, Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct From {
    /// `OWNER/NAME` of the hub, or a URL.
    #[schema(example = "stable-diffusion-v1-5/stable-diffusion-v1-5")]
    pub source: String,
}

/// Models on their way.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Pulls {
    /// Oldest first.
    pub items: Vec<Pull>,
}

impl std::convert::From<PullError> for ApiError {
    fn from(error: PullError) -> Self {
        let message = error.to_string();
        match error {
            PullError::TooMany(_) => Self { retry_secs: Some(60), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", message) },
            PullError::UnderWay(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            PullError::Unknown(_) => Self::not_found(message),
            PullError::Thread(_) => Self::internal(message),
        }
    }
}

/// A model that is not there is not found where the path names it.
fn missing(failure: encaustic_protocol::Failure) -> ApiError {
    match failure.kind {
        encaustic_protocol::FailureKind::Model => ApiError::not_found(failure.message),
        _ => failure.into(),
    }
}

/// The models of the library.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", responses((status = 200, description = "the models", body = Models)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Models>, ApiError> {
    caller.needs(Scope::Read)?;
    let mut items = app.blocking(|app| app.host.models().map_err(ApiError::from)).await?;
    if !caller.may(Scope::Admin) {
        // How this machine's folders are called is its owner's business.
        items.iter_mut().for_each(|model| model.path = None);
    }
    Ok(Json(Models { items }))
}

/// What a model is and wants.
///
/// A `/` in its name is written `%2F`.
#[utoipa::path(get, path = "/api/v1/models/{name}/card", tag = "models", params(("name" = String, Path, description = "its name")), responses(
    (status = 200, description = "its card", body = schema::Card),
    (status = 404, description = "there is none of that name", body = schema::Problem)))]
async fn card(State(app): State<App>, caller: Caller, Place(name): Place<String>) -> Result<Json<Card>, ApiError> {
    caller.needs(Scope::Read)?;
    app.blocking(move |app| app.host.card(Some(&name)).map(Json).map_err(missing)).await
}

/// Count tokens in a model's words.
#[utoipa::path(post, path = "/api/v1/models/{name}/count", tag = "models", request_body = Texts,
    params(("name" = String, Path, description = "the model's name")), responses(
    (status = 200, description = "tokens per text", body = Tokens),
    (status = 404, description = "there is none of that name", body = schema::Problem),
    (status = 422, description = "too many or too long", body = schema::Problem)))]
async fn count(
    State(app): State<App>,
    caller: Caller,
    Place(name): Place<String>,
    JsonBody(Texts { texts }): JsonBody<Texts>,
) -> Result<Json<Tokens>, ApiError> {
    caller.needs(Scope::Read)?;
    if texts.len() > TEXTS || texts.iter().any(|text| text.len() > TEXT_BYTES) {
        let message = format!("texts: use at most {TEXTS} of at most {TEXT_BYTES} bytes");
        return Err(ApiError::invalid("texts", message));
    }
    let tokens = app.blocking(move |app| app.host.count(Some(&name), &texts).map_err(missing)).await?;
    Ok(Json(Tokens { tokens }))
}

/// Models on their way into the library.
#[utoipa::path(get, path = "/api/v1/models/pull", tag = "models", responses((status = 200, description = "they", body = Pulls)))]
async fn pulls(State(app): State<App>, caller: Caller) -> Result<Json<Pulls>, ApiError> {
    caller.needs(Scope::Read)?;
    Ok(Json(Pulls { items: app.pulls.list() }))
}

/// Fetch a model into the library.
///
/// It answers at once; how it goes on is told by events of the type `pull`.
#[utoipa::path(post, path = "/api/v1/models/pull", tag = "models", request_body = From, responses(
    (status = 202, description = "it is on its way", body = Pull),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem),
    (status = 409, description = "it is on its way already", body = schema::Problem),
    (status = 422, description = "that cannot be a source", body = schema::Problem),
    (status = 429, description = "too many are on their way", body = schema::Problem)))]
async fn pull(
    State(app): State<App>,
    caller: Caller,
    JsonBody(From { source }): JsonBody<From>,
) -> Result<impl IntoResponse, ApiError> {
    caller.needs(Scope::Admin)?;
    let source = source.trim().to_owned();
    if source.is_empty() || source.len() > SOURCE_BYTES || source.chars().any(char::is_control) {
        let message = format!("source: name a model of the hub as OWNER/NAME, or a URL, in at most {SOURCE_BYTES} bytes");
        return Err(ApiError::invalid("source", message));
    }
    let pull = app.pulls.start(&app, source)?;
    Ok((StatusCode::ACCEPTED, Json(pull)))
}

/// Stop fetching a model.
///
/// What has come is kept for the next try.
#[utoipa::path(delete, path = "/api/v1/models/pull", tag = "models", params(From), responses(
    (status = 202, description = "it stops"),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem),
    (status = 404, description = "it is not on its way", body = schema::Problem)))]
async fn stop(State(app): State<App>, caller: Caller, Params(From { source }): Params<From>) -> Result<StatusCode, ApiError> {
    caller.needs(Scope::Admin)?;
    app.pulls.stop(&source)?;
    Ok(StatusCode::ACCEPTED)
}

/// Delete a model of the library's own folder.
///
/// Devices that hold it let go of it, unless a job draws with it.
#[utoipa::path(delete, path = "/api/v1/models/{name}", tag = "models", params(("name" = String, Path, description = "its name")), responses(
    (status = 204, description = "it is gone"),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem),
    (status = 404, description = "there is none of that name", body = schema::Problem),
    (status = 409, description = "a job draws with it", body = schema::Problem),
    (status = 422, description = "it is not the library's own", body = schema::Problem)))]
async fn remove(State(app): State<App>, caller: Caller, Place(name): Place<String>) -> Result<StatusCode, ApiError> {
    caller.needs(Scope::Admin)?;
    let removed = app.blocking(move |app| {
        let models = app.host.models()?;
        let found = models.into_iter().find(|model| model.name == name);
        let found =
            found.ok_or_else(|| ApiError::not_found(format!("there is no model {name:?}; `GET /api/v1/models` lists them")))?;
        if !found.is_own {
            let why = match name.as_str() {
                BOXED => "is part of this program and cannot be removed",
                name if pulls::is_on_hub(name) => {
                    "is in the hub's cache, which other programs use too; remove it with `hf cache delete`"
                }
                _ => "is not in the library's own folder; remove it with the program that keeps it",
            };
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "not_own", format!("{name:?} {why}")));
        }
        let_go(app, &found)?;
        app.host.remove(&name)?;
        Ok(())
    });
    removed.await?;
    app.hub.live(News::Models);
    Ok(StatusCode::NO_CONTENT)
}

/// Has all devices let go of a model: files that are mapped cannot be removed on every system, and nobody should draw with a model
/// that is not there any more. It blocks.
///
/// # Errors
/// 409 if a job draws with it.
fn let_go(app: &App, model: &Model) -> Result<(), ApiError> {
    let until = Instant::now() + LETTING_GO;
    let is_it = |name: &str| name == model.name || Some(name) == model.path.as_deref();
    // A job may call it by other names, too.
    let names: Vec<String> = app.host.models()?.into_iter().map(|model| model.name).collect();
    let may_be = |name: &str| is_it(name) || !names.iter().any(|known| known == name);
    loop {
        let mut is_held = false;
        for Standing { name: device, doing, model: held, .. } in app.crew.desks() {
            let is_meant = match doing {
                Doing::Loading { job } => {
                    let wanted = app.queue.job(job)?.wish.model.or_else(|| app.config.model.clone());
                    wanted.as_deref().is_some_and(may_be)
                }
                _ => held.as_deref().is_some_and(is_it),
            };
            if !is_meant {
                continue;
            }
            if matches!(doing, Doing::Loading { .. } | Doing::Drawing { .. }) || Instant::now() > until {
                let message = format!("{:?} is in use on {device}; wait for its jobs, or cancel them, and try again", model.name);
                return Err(ApiError::new(StatusCode::CONFLICT, "conflict", message));
            }
            is_held = true;
            app.crew.unload(&device);
        }
        if !is_held {
            return Ok(());
        }
        thread::sleep(GLANCE);
    }
}
