//! What this server is, and what whoever asks may do with it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::MAX_BODY;
use crate::App;
use crate::auth::{Caller, Scope};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

/// A server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct About {
    /// `encaustic`
    pub name: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// By what name jobs know whoever asks; absent if the server does not know him.
    pub client: Option<String>,
    /// What he may do; nothing if he has to sign in first.
    pub scopes: Vec<Scope>,
    /// The number of the last event: what to follow events after.
    pub last_event: u64,
    /// What it holds requests to.
    pub limits: Limits,
}

/// What a server holds requests to.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Limits {
    /// How many jobs may wait.
    pub capacity: u64,
    /// For how many seconds a job may run that says nothing else.
    pub timeout_secs: u32,
    /// How often a job is begun whose worker breaks down.
    pub attempts: u32,
    /// Bytes of a body of JSON.
    pub body_bytes: usize,
}

/// What this server is, and what you may do.
///
/// It answers without a key too; then it says that you have to sign in.
#[utoipa::path(get, path = "/api/v1/server", tag = "server", security(()), responses(
    (status = 200, description = "the server", body = About)))]
async fn get(State(app): State<App>, caller: Option<Caller>) -> Json<About> {
    let scopes = Scope::ALL.into_iter().filter(|scope| caller.as_ref().is_some_and(|caller| caller.may(*scope)));
    Json(About {
        name: "encaustic",
        version: env!("CARGO_PKG_VERSION"),
        scopes: scopes.collect(),
        client: caller.map(|caller| caller.client.0),
        last_event: app.hub.last(),
        limits: Limits {
            capacity: app.config.capacity,
            timeout_secs: app.settings.now().timeout_secs,
            attempts: app.config.attempts,
            body_bytes: MAX_BODY,
        },
    })
}
