//! For whoever watches over the server: `/health` (it is alive), `/ready` (it can do its work), `/metrics`.
//!
//! `/health` and `/ready` want no key and tell nothing that is not anybody's to know. `/metrics` wants what everything else
//! wants, except at `metrics_listen`, where these three are alone.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiError;
use crate::auth::{Caller, Scope};
use crate::{App, metrics};

/// What everybody may ask.
pub(super) fn open_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

/// What wants the right to read.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(all_metrics))
}

/// What is served at `metrics_listen`.
pub(super) fn apart() -> OpenApiRouter<App> {
    open_routes().merge(routes())
}

/// That the server is alive.
#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// Always `ok`: who is not well does not answer.
    status: &'static str,
    /// The version of this program.
    version: &'static str,
}

/// Whether the server can do its work.
#[derive(Serialize, utoipa::ToSchema)]
struct Ready {
    /// Whether it can.
    is_ready: bool,
    /// Why not, one sentence each.
    problems: Vec<&'static str>,
}

/// Whether the server is alive. It touches neither the database nor a device.
#[utoipa::path(get, path = "/health", tag = "operations", security(()), responses((status = 200, description = "it is", body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether the server can do its work: the database answers, and a device works or is on its way.
#[utoipa::path(get, path = "/ready", tag = "operations", security(()), responses(
    (status = 200, body = Ready, description = "it can"),
    (status = 503, body = Ready, description = "it cannot, for these reasons"),
))]
async fn ready(State(app): State<App>) -> Response {
    let counts = app.blocking(|app| app.queue.counts().map_err(ApiError::from)).await;
    // Whoever asks needs no key: the details are in the log.
    let problems = [
        counts.is_err().then_some("the database does not answer; the log says why"),
        app.crew.problem().map(|_| "no device works; the log and /api/v1/devices say why"),
    ];
    let problems: Vec<_> = problems.into_iter().flatten().collect();
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { is_ready: problems.is_empty(), problems })).into_response()
}

/// What is counted and measured, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "metrics", body = String, content_type = "application/openmetrics-text"),
))]
async fn all_metrics(State(app): State<App>, caller: Option<Caller>) -> Result<Response, ApiError> {
    // At `metrics_listen` nobody is asked who he is.
    if let Some(caller) = caller {
        caller.needs(Scope::Read)?;
    }
    let text = app.blocking(|app| app.metrics.look(app).map(|()| app.metrics.text()).map_err(ApiError::from)).await?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
