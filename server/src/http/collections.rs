//! Collections of pictures. They belong to everybody: whoever may generate may change them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{JsonBody, Place};
use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::events::News;
use crate::images::collections::{self, Collection, CollectionError};

/// How many pictures come and go at once.
const AT_ONCE: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, change, delete)).routes(routes!(images))
}

/// All collections.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Collections {
    /// In their order.
    pub items: Vec<Collection>,
}

/// A new collection.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCollection {
    /// What it is called; no other may be.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
}

/// What is to be changed about a collection.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// What it is called.
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// The collection that it is to stand before; 0 for the last place.
    pub before: Option<u64>,
}

/// Which pictures come and go.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Members {
    /// These come, at most 1000.
    #[schema(max_items = 1000)]
    pub add: Vec<u64>,
    /// These go, at most 1000.
    #[schema(max_items = 1000)]
    pub remove: Vec<u64>,
}

impl From<CollectionError> for ApiError {
    fn from(error: CollectionError) -> Self {
        let message = error.to_string();
        match error {
            CollectionError::Unknown(_) => Self::not_found(message),
            CollectionError::Taken(_) => {
                Self { field: Some("name".to_owned()), ..Self::new(StatusCode::CONFLICT, "taken", message) }
            }
            CollectionError::Name => Self::invalid("name", message),
            CollectionError::TooMany => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many", message),
            CollectionError::Database(error) => error.into(),
        }
    }
}

/// All collections.
#[utoipa::path(get, path = "/api/v1/collections", tag = "images", responses(
    (status = 200, description = "they, in their order", body = Collections)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Collections>, ApiError> {
    caller.needs(Scope::Read)?;
    let items = app.blocking(|app| collections::all(&app.db).map_err(ApiError::from)).await?;
    Ok(Json(Collections { items }))
}

/// Make a collection.
#[utoipa::path(post, path = "/api/v1/collections", tag = "images", request_body = NewCollection, responses(
    (status = 201, description = "the collection", body = Collection),
    (status = 409, description = "another has this name", body = schema::Problem),
    (status = 422, description = "that is no name", body = schema::Problem)))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(NewCollection { name }): JsonBody<NewCollection>,
) -> Result<Response, ApiError> {
    let made = changed(&app, &caller, move |app| collections::create(&app.db, &name, (app.clock)())).await?;
    let mut response = (StatusCode::CREATED, Json(&made)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/collections/{}", made.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// A collection. Its pictures are listed by `GET /api/v1/images?collection=`.
#[utoipa::path(get, path = "/api/v1/collections/{id}", tag = "images", params(("id" = u64, Path, description = "its number")), responses(
    (status = 200, description = "the collection", body = Collection),
    (status = 404, description = "there is none", body = schema::Problem)))]
async fn get(State(app): State<App>, caller: Caller, Place(id): Place<u64>) -> Result<Json<Collection>, ApiError> {
    caller.needs(Scope::Read)?;
    app.blocking(move |app| collections::one(&app.db, bounded(id)).map_err(ApiError::from)).await.map(Json)
}

/// Rename or move a collection.
#[utoipa::path(patch, path = "/api/v1/collections/{id}", tag = "images", request_body = Change,
    params(("id" = u64, Path, description = "its number")), responses(
    (status = 200, description = "the collection as it is now", body = Collection),
    (status = 404, description = "there is none", body = schema::Problem),
    (status = 409, description = "another has this name", body = schema::Problem),
    (status = 422, description = "that is no name", body = schema::Problem)))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Place(id): Place<u64>,
    JsonBody(change): JsonBody<Change>,
) -> Result<Json<Collection>, ApiError> {
    let id = bounded(id);
    let now = changed(&app, &caller, move |app| {
        let mut now = collections::one(&app.db, id)?;
        if let Some(name) = &change.name {
            now = collections::rename(&app.db, id, name)?;
        }
        if let Some(before) = change.before {
            now = collections::place(&app.db, id, Some(bounded(before)).filter(|before| *before > 0))?;
        }
        Ok(now)
    });
    now.await.map(Json)
}

/// Delete a collection. Its pictures stay.
#[utoipa::path(delete, path = "/api/v1/collections/{id}", tag = "images", params(("id" = u64, Path, description = "its number")), responses(
    (status = 204, description = "it is gone"),
    (status = 404, description = "there is none", body = schema::Problem)))]
async fn delete(State(app): State<App>, caller: Caller, Place(id): Place<u64>) -> Result<StatusCode, ApiError> {
    changed(&app, &caller, move |app| collections::delete(&app.db, bounded(id))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Put pictures into a collection, and take others out.
#[utoipa::path(post, path = "/api/v1/collections/{id}/images", tag = "images", request_body = Members,
    params(("id" = u64, Path, description = "its number")), responses(
    (status = 200, description = "the collection as it is now", body = Collection),
    (status = 404, description = "there is none", body = schema::Problem),
    (status = 422, description = "too many at once", body = schema::Problem)))]
async fn images(
    State(app): State<App>,
    caller: Caller,
    Place(id): Place<u64>,
    JsonBody(Members { add, remove }): JsonBody<Members>,
) -> Result<Json<Collection>, ApiError> {
    caller.needs(Scope::Generate)?;
    for (field, ids) in [("add", &add), ("remove", &remove)] {
        if ids.len() > AT_ONCE {
            return Err(ApiError::invalid(field, format!("{field}: use at most {AT_ONCE} at once")));
        }
    }
    let bound = |ids: Vec<u64>| ids.into_iter().map(bounded).collect::<Vec<_>>();
    let (add, remove) = (bound(add), bound(remove));
    changed(&app, &caller, move |app| collections::change(&app.db, bounded(id), &add, &remove)).await.map(Json)
}

/// Changes something, and tells everybody.
async fn changed<T: Send + 'static>(
    app: &App,
    caller: &Caller,
    change: impl FnOnce(&App) -> Result<T, CollectionError> + Send + 'static,
) -> Result<T, ApiError> {
    caller.needs(Scope::Generate)?;
    let changed = app.blocking(|app| change(app).map_err(ApiError::from)).await?;
    app.hub.live(News::Images);
    Ok(changed)
}

/// SQLite's numbers end earlier; nothing has such a number.
fn bounded(id: u64) -> u64 {
    id.min(i64::MAX as u64)
}
