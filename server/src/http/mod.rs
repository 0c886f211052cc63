//! All that speaks HTTP: one module per interface, each with its `routes`, and what surrounds them.
//!
//! To add an interface, write a module with `routes() -> OpenApiRouter<App>`, whose handlers have a `#[utoipa::path]` with the
//! whole path, and merge it in [`routes`]. Handlers take who asks as a [`Caller`](crate::auth::Caller) and tell what is wrong as
//! an [`ApiError`].

pub mod catalog;
pub mod collections;
pub mod devices;
pub mod dialect;
pub mod errand;
pub mod error;
pub mod events;
pub mod extract;
pub mod fields;
mod guard;
mod health;
mod identify;
pub mod images;
pub mod jobs;
pub mod models;
pub mod openai;
mod openapi;
pub(crate) mod page;
pub mod picture;
pub mod queue;
pub mod schema;
pub mod sdapi;
mod serve;
pub mod server;
pub mod session;
pub mod settings;
pub mod submit;
mod watching;
pub mod webhooks;

use std::any::Any;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::App;
use guard::Guard;

pub use error::ApiError;

/// The most bytes of a body, unless a route says otherwise.
pub const MAX_BODY: usize = 1 << 20;
/// How long a body may be silent before it is given up.
const BODY_SILENCE: Duration = Duration::from_secs(8);

/// All interfaces.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::head())
        .merge(catalog::routes())
        .merge(collections::routes())
        .merge(devices::routes())
        .merge(events::routes())
        .merge(health::routes())
        .merge(health::open_routes())
        .merge(images::routes())
        .merge(jobs::routes())
        .merge(models::routes())
        .merge(openai::routes())
        .merge(queue::routes())
        .merge(sdapi::routes())
        .merge(server::routes())
        .merge(session::routes())
        .merge(settings::routes())
        .merge(webhooks::routes())
}

/// The description of all interfaces.
pub fn document() -> OpenApi {
    routes().split_for_parts().1
}

/// All interfaces and the page, and what surrounds them: the last layer is the outermost.
fn router(app: &App, address: SocketAddr) -> Router {
    let (routes, document) = routes().split_for_parts();
    routes
        .merge(openapi::routes(document))
        .fallback(page::serve)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(RequestBodyTimeoutLayer::new(BODY_SILENCE))
        .layer(from_fn_with_state(app.clone(), identify::identify))
        .layer(from_fn_with_state(Guard::new(&app.config, address), guard::guard))
        .layer(CatchPanicLayer::custom(broken))
        .layer(from_fn(dialect::speak))
        .layer(from_fn(guard::harden))
        .layer(from_fn_with_state(app.clone(), watching::watch))
        .with_state(app.clone())
}

async fn not_so() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this address takes other methods; see the header `Allow`")
}

/// What a handler broke down over goes to the log.
fn broken(cause: Box<dyn Any + Send>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
    tracing::error!("a handler broke down: {}", text.unwrap_or("it does not say why"));
    ApiError::internal("the server broke down over this request; its log says why").into_response()
}

/// Serves metrics and health alone, until the app is stopped.
pub async fn serve_apart(listener: TcpListener, app: App) {
    let (routes, _) = health::apart().split_for_parts();
    let address = listener.local_addr().unwrap_or(app.config.listen);
    let routes = routes
        .layer(RequestBodyTimeoutLayer::new(BODY_SILENCE))
        .layer(from_fn_with_state(Guard::apart(&app.config, address), guard::guard))
        .layer(CatchPanicLayer::custom(broken))
        .layer(from_fn(guard::harden))
        .layer(from_fn_with_state(app.clone(), watching::watch))
        .with_state(app.clone());
    serve::serve(listener, routes, app).await;
}

/// Serves until the app is stopped.
pub async fn serve(listener: TcpListener, app: App) {
    let address = listener.local_addr().unwrap_or(app.config.listen);
    let routes = router(&app, address);
    serve::serve(listener, routes, app).await;
}
