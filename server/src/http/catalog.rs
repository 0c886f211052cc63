//! What requests may choose by name, and which settings they have.

use axum::Json;
use axum::extract::State;
use encaustic_protocol::Catalog;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

/// Samplers, schedules and families.
#[utoipa::path(get, path = "/api/v1/catalog", tag = "models", responses(
    (status = 200, description = "what requests may choose by name", body = schema::Catalog)))]
async fn get(State(app): State<App>, caller: Caller) -> Result<Json<Catalog>, ApiError> {
    caller.needs(Scope::Read)?;
    Ok(Json(app.host.catalog()))
}
