//! The queue as a whole: how it stands, and whether it gives out jobs.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::JsonBody;
use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::queue::Counts;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, set))
}

/// Whether the queue is to be paused.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// While it is paused, jobs are taken in and none is begun.
    pub is_paused: bool,
}

/// How it stands with the queue.
#[utoipa::path(get, path = "/api/v1/queue", tag = "queue", responses(
    (status = 200, description = "how many jobs wait and run", body = Counts)))]
async fn get(State(app): State<App>, caller: Caller) -> Result<Json<Counts>, ApiError> {
    caller.needs(Scope::Read)?;
    app.blocking(|app| app.queue.counts().map(Json).map_err(ApiError::from)).await
}

/// Pause the queue, or let it go on.
#[utoipa::path(post, path = "/api/v1/queue", tag = "queue", request_body = Pause, responses(
    (status = 200, description = "how it stands then", body = Counts),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem)))]
async fn set(State(app): State<App>, caller: Caller, JsonBody(pause): JsonBody<Pause>) -> Result<Json<Counts>, ApiError> {
    caller.needs(Scope::Admin)?;
    let counts = app.blocking(move |app| {
        app.queue.pause(pause.is_paused)?;
        Ok::<_, ApiError>(app.queue.counts()?)
    });
    counts.await.map(Json)
}
