//! The devices that compute.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiError;
use crate::App;
use crate::app::Interrupted;
use crate::auth::{Caller, Scope};
use crate::host::Device;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The devices of this machine.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Devices {
    /// All that could compute here, the best first.
    pub items: Vec<Device>,
}

/// The devices, and what each does.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", responses(
    (status = 200, description = "the devices", body = Devices)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Devices>, ApiError> {
    caller.needs(Scope::Read)?;
    let items = app.blocking(|app| Ok::<_, Interrupted>(app.host.devices())).await?;
    Ok(Json(Devices { items }))
}
