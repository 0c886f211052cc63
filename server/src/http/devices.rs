//! The devices that compute: what each does and holds.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::Place;
use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::work::{Doing, Glance, Standing};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(unload))
}

/// The devices that work.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Devices {
    /// In the order of the configuration.
    pub items: Vec<AtWork>,
}

/// A device at work.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AtWork {
    /// How it stands with it.
    #[serde(flatten)]
    pub standing: Standing,
    /// How far its job is.
    pub progress: Option<Glance>,
}

/// The devices, and what each does.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", responses(
    (status = 200, description = "the devices", body = Devices)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Devices>, ApiError> {
    caller.needs(Scope::Read)?;
    let at_work = |standing: Standing| {
        let progress = match &standing.doing {
            Doing::Loading { job } | Doing::Drawing { job } => app.crew.live.job(*job),
            _ => None,
        };
        AtWork { standing, progress }
    };
    Ok(Json(Devices { items: app.crew.desks().into_iter().map(at_work).collect() }))
}

/// Have a device let go of its model and its memory.
///
/// It does so as soon as it does not draw; the next job loads its model again.
#[utoipa::path(post, path = "/api/v1/devices/{name}/unload", tag = "devices", params(("name" = String, Path, description = "its name")), responses(
    (status = 202, description = "it will"),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem),
    (status = 404, description = "there is none of that name", body = schema::Problem)))]
async fn unload(State(app): State<App>, caller: Caller, Place(name): Place<String>) -> Result<StatusCode, ApiError> {
    caller.needs(Scope::Admin)?;
    if app.crew.unload(&name) {
        return Ok(StatusCode::ACCEPTED);
    }
    Err(ApiError::not_found(format!("there is no device {name:?}; `GET /api/v1/devices` lists them")))
}
