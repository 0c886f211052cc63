//! Pictures: lists, searches, changes. Files, archives and uploads are in modules of their own.
//!
//! A picture is called by its number, or by the SHA-256 of its file, as a job's events name it. Everybody who may read sees all
//! pictures; changing and deleting is for whoever had them made.

pub mod file;
mod flow;
pub mod upload;
pub mod zip;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::Connection;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{JsonBody, Params, Place};
use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::db::Failed;
use crate::events::News;
use crate::images::format::Format;
use crate::images::list::{self, MOST, USUAL, Wanted};
use crate::images::rows::{self, Change, Details, Image};
use crate::images::upload::UploadError;
use crate::images::{StoreError, name::Name};
use crate::time::Millis;

/// The most bytes of a search.
const SEARCH_BYTES: usize = 1000;
/// The most bytes of a title, and of notes.
const TITLE_BYTES: usize = 200;
const NOTES_BYTES: usize = 10_000;
/// How many pictures are deleted at once.
const AT_ONCE: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, upload::upload))
        .routes(routes!(models))
        .routes(routes!(delete_many))
        .routes(routes!(zip::get, zip::post))
        .routes(routes!(details, change, delete))
        .routes(routes!(file::file))
        .routes(routes!(file::thumbnail))
}

/// A page of pictures.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Images {
    /// The newest first.
    pub items: Vec<Image>,
    /// What to give as `before` for the next page; absent where there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// How many there are on all pages, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Which pictures.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// With all these words in prompt, negative prompt, model, title, notes or seed; the last may be the beginning of one.
    #[param(example = "lighthouse at du", max_length = 1000)]
    pub q: Option<String>,
    /// Favourites, or all others.
    pub favourite: Option<bool>,
    /// In this collection.
    pub collection: Option<u64>,
    /// Of this model.
    pub model: Option<String>,
    /// Of this client.
    pub client: Option<String>,
    /// Of this job.
    pub job: Option<u64>,
    /// Entered at this moment or later, in milliseconds since 1970.
    pub since: Option<Millis>,
    /// Entered before this moment.
    pub until: Option<Millis>,
}

/// Which pictures of them.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// Older than this picture: `next` of the page before.
    pub before: Option<u64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// Whether to count all of them.
    #[serde(deserialize_with = "flag")]
    pub count: bool,
}

/// The models that pictures were made with.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ImageModels)]
pub struct Models {
    /// The most used first.
    pub items: Vec<ModelCount>,
}

/// How many pictures a model has made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelCount {
    /// Its name; empty for pictures whose model nobody knows.
    pub model: String,
    /// How many.
    pub images: u64,
}

/// Several pictures.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Several {
    /// Their numbers, at most 1000.
    #[schema(max_items = 1000)]
    pub ids: Vec<u64>,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// How many there were.
    pub deleted: u32,
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!("{error}");
        let told = error.told();
        match error {
            StoreError::Full { .. } => Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", told),
            StoreError::Missing { .. } => Self::not_found(told),
            StoreError::NoFile { .. } | StoreError::Name(_) | StoreError::Picture(_) | StoreError::Io { .. } => {
                Self::internal(told)
            }
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let message = error.to_string();
        match error {
            UploadError::Kind => Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", message),
            UploadError::Size { .. } | UploadError::Damaged(_) => Self::invalid("image", message),
        }
    }
}

impl Which {
    fn wanted(self) -> Result<Wanted, ApiError> {
        if self.q.as_ref().is_some_and(|search| search.len() > SEARCH_BYTES) {
            return Err(ApiError::invalid("q", format!("q: use at most {SEARCH_BYTES} bytes")));
        }
        Ok(Wanted {
            search: self.q.filter(|search| !search.trim().is_empty()),
            is_favourite: self.favourite,
            collection: self.collection.map(bounded),
            model: self.model,
            client: self.client,
            job: self.job.map(bounded),
            since: self.since,
            until: self.until,
            before: None,
        })
    }
}

/// SQLite's numbers end earlier; nothing has such a number.
fn bounded(id: u64) -> u64 {
    id.min(i64::MAX as u64)
}

/// A truth value as people write it after a `?`.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(serde::de::Error::custom(format!("{text:?} is neither true nor false"))),
    }
}

fn no_image(name: &str) -> ApiError {
    let name: String = name.chars().take(80).collect();
    ApiError::not_found(format!("there is no picture {name:?}; it may have been deleted"))
}

/// The row of a picture that a path names.
fn find(reader: &Connection, name: &str) -> Result<Image, Failed<ApiError>> {
    let found = match rows::find(reader, name)? {
        Some(id) => rows::image(reader, id)?,
        None => None,
    };
    found.ok_or_else(|| Failed::Refused(no_image(name)))
}

/// The format of a picture's file.
fn format(image: &Image) -> Result<Format, ApiError> {
    Format::of_mime(&image.mime).ok_or_else(|| {
        tracing::error!(image = image.id, "its media type {:?} is none of a picture", image.mime);
        ApiError::internal(format!("picture {} has a file of a kind that this version does not know", image.id))
    })
}

/// What a picture is called where people see it.
fn named(app: &App, image: &Image) -> Name {
    app.images.options().pattern.name(&crate::images::name::Facts {
        at: image.created,
        seed: image.seed,
        model: &image.model,
        prompt: &image.prompt,
        width: image.width,
        height: image.height,
        job: image.job,
    })
}

/// Pictures, the newest first.
#[utoipa::path(get, path = "/api/v1/images", tag = "images", params(Which, Page), responses(
    (status = 200, description = "a page of pictures", body = Images),
    (status = 422, description = "a parameter is not allowed", body = schema::Problem)))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(Both { which, page }): Params<Both>,
) -> Result<Json<Images>, ApiError> {
    caller.needs(Scope::Read)?;
    let most = page.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&most) {
        return Err(ApiError::invalid("limit", format!("limit: {most} is not allowed; use from 1 to {MOST}")));
    }
    let wanted = which.wanted()?;
    let found = app.blocking(move |app| {
        app.db.read(|reader| {
            let total = page.count.then(|| list::count(reader, &wanted)).transpose()?;
            let wanted = Wanted { before: page.before, ..wanted };
            // One more tells whether there is a next page.
            let mut items = list::page(reader, &wanted, most + 1)?;
            let is_more = items.len() > most as usize;
            items.truncate(most as usize);
            let next = items.last().filter(|_| is_more).map(|image| image.id);
            Ok::<_, Failed<ApiError>>(Images { items, next, total })
        })
    });
    found.await.map(Json)
}

/// [`Which`] and [`Page`] in one; serde's `flatten` would take all values for texts.
#[derive(Clone, Debug, Default)]
struct Both {
    which: Which,
    page: Page,
}

impl<'de> Deserialize<'de> for Both {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct All {
            q: Option<String>,
            favourite: Option<bool>,
            collection: Option<u64>,
            model: Option<String>,
            client: Option<String>,
            job: Option<u64>,
            since: Option<Millis>,
            until: Option<Millis>,
            before: Option<u64>,
            limit: Option<u32>,
            #[serde(deserialize_with = "flag")]
            count: bool,
        }
        let All { q, favourite, collection, model, client, job, since, until, before, limit, count } =
            All::deserialize(deserializer)?;
        let which = Which { q, favourite, collection, model, client, job, since, until };
        Ok(Self { which, page: Page { before, limit, count } })
    }
}

/// The models that pictures were made with.
#[utoipa::path(get, path = "/api/v1/images/models", tag = "images", responses(
    (status = 200, description = "at most 1000 of them", body = Models)))]
async fn models(State(app): State<App>, caller: Caller) -> Result<Json<Models>, ApiError> {
    caller.needs(Scope::Read)?;
    let found = app.blocking(|app| app.db.read(|reader| Ok::<_, Failed<ApiError>>(list::models(reader, 1000)?))).await?;
    let items = found.into_iter().map(|(model, images)| ModelCount { model, images }).collect();
    Ok(Json(Models { items }))
}

/// All that is known of a picture.
#[utoipa::path(get, path = "/api/v1/images/{id}", tag = "images",
    params(("id" = String, Path, description = "its number, or the SHA-256 of its file")), responses(
    (status = 200, description = "all that is known of it", body = Details),
    (status = 404, description = "there is none", body = schema::Problem)))]
async fn details(State(app): State<App>, caller: Caller, Place(id): Place<String>) -> Result<Json<Details>, ApiError> {
    caller.needs(Scope::Read)?;
    app.blocking(move |app| app.db.read(|reader| told(reader, &id))).await.map(Json)
}

fn told(reader: &Connection, name: &str) -> Result<Details, Failed<ApiError>> {
    let found = match rows::find(reader, name)? {
        Some(id) => rows::details(reader, id)?,
        None => None,
    };
    found.ok_or_else(|| Failed::Refused(no_image(name)))
}

/// Change what is said about a picture.
#[utoipa::path(patch, path = "/api/v1/images/{id}", tag = "images", request_body = Change,
    params(("id" = String, Path, description = "its number, or the SHA-256 of its file")), responses(
    (status = 200, description = "the picture as it is now", body = Details),
    (status = 403, description = "it is another client's", body = schema::Problem),
    (status = 404, description = "there is none", body = schema::Problem),
    (status = 422, description = "a text is too long", body = schema::Problem)))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    Place(id): Place<String>,
    JsonBody(change): JsonBody<Change>,
) -> Result<Json<Details>, ApiError> {
    caller.needs(Scope::Generate)?;
    for (field, text, most) in [("title", &change.title, TITLE_BYTES), ("notes", &change.notes, NOTES_BYTES)] {
        if text.as_ref().is_some_and(|text| text.len() > most || text.contains('\0')) {
            return Err(ApiError::invalid(field, format!("{field}: use at most {most} bytes, and no NUL character")));
        }
    }
    let changed = app.blocking(move |app| {
        let changed = app.db.write(|writer| {
            let image = find(writer, &id)?;
            caller.needs_to_own(&image.client).map_err(Failed::Refused)?;
            rows::change(writer, image.id, &change)?;
            told(writer, &id)
        })?;
        app.hub.live(News::Images);
        Ok::<_, ApiError>(changed)
    });
    changed.await.map(Json)
}

/// Delete a picture.
///
/// Its file goes with it, unless another picture is the same; a copy in the output folder stays.
#[utoipa::path(delete, path = "/api/v1/images/{id}", tag = "images",
    params(("id" = String, Path, description = "its number, or the SHA-256 of its file")), responses(
    (status = 204, description = "it is gone"),
    (status = 403, description = "it is another client's", body = schema::Problem),
    (status = 404, description = "there is none", body = schema::Problem)))]
async fn delete(State(app): State<App>, caller: Caller, Place(id): Place<String>) -> Result<StatusCode, ApiError> {
    caller.needs(Scope::Generate)?;
    let deleted = app.blocking(move |app| {
        let image = app.db.read(|reader| find(reader, &id))?;
        caller.needs_to_own(&image.client)?;
        rows::delete(&app.db, &app.images, &[image.id])?;
        app.hub.live(News::Images);
        Ok::<_, ApiError>(StatusCode::NO_CONTENT)
    });
    deleted.await
}

/// Delete several pictures.
///
/// All of them, or, if one is another client's, none. Numbers without a picture are left out.
#[utoipa::path(post, path = "/api/v1/images/delete", tag = "images", request_body = Several, responses(
    (status = 200, description = "how many there were", body = Deleted),
    (status = 403, description = "one is another client's", body = schema::Problem),
    (status = 422, description = "too many at once", body = schema::Problem)))]
async fn delete_many(
    State(app): State<App>,
    caller: Caller,
    JsonBody(Several { ids }): JsonBody<Several>,
) -> Result<Json<Deleted>, ApiError> {
    caller.needs(Scope::Generate)?;
    if ids.len() > AT_ONCE {
        return Err(ApiError::invalid("ids", format!("ids: use at most {AT_ONCE} at once")));
    }
    let deleted = app.blocking(move |app| {
        let ids: Vec<u64> = ids.into_iter().map(bounded).collect();
        app.db.read(|reader| {
            for id in &ids {
                if let Some(image) = rows::image(reader, *id)? {
                    caller.needs_to_own(&image.client).map_err(Failed::Refused)?;
                }
            }
            Ok::<_, Failed<ApiError>>(())
        })?;
        let deleted = rows::delete(&app.db, &app.images, &ids)?;
        if deleted > 0 {
            app.hub.live(News::Images);
        }
        Ok::<_, ApiError>(Json(Deleted { deleted }))
    });
    deleted.await
}
