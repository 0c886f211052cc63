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
mod health;
pub mod images;
pub mod jobs;
pub mod models;
pub mod openai;
pub mod picture;
pub mod queue;
pub mod schema;
pub mod sdapi;
pub mod server;
pub mod submit;
mod watching;
pub mod webhooks;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;

use crate::App;
use crate::auth::Caller;

pub use error::ApiError;

/// The most bytes of a body, unless a route says otherwise.
pub const MAX_BODY: usize = 1 << 20;

/// All interfaces.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
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
        .merge(webhooks::routes())
}

fn router(app: &App) -> Router {
    let (routes, _) = routes().split_for_parts();
    routes
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(identify))
        .layer(from_fn(dialect::speak))
        .layer(from_fn_with_state(app.clone(), watching::watch))
        .with_state(app.clone())
}

async fn nothing() -> ApiError {
    ApiError::not_found("there is nothing at this address")
}

async fn not_so() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this address takes other methods; see the header `Allow`")
}

/// Says who asks.
async fn identify(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Caller::local());
    next.run(request).await
}

/// Serves metrics and health alone, until the app is stopped.
pub async fn serve_apart(listener: TcpListener, app: App) {
    let (routes, _) = health::apart().split_for_parts();
    serve_routes(listener, routes.with_state(app.clone()), app).await;
}

/// Serves until the app is stopped.
pub async fn serve(listener: TcpListener, app: App) {
    serve_routes(listener, router(&app), app).await;
}

async fn serve_routes(listener: TcpListener, routes: Router, app: App) {
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(async move { app.until_stopped().await }).await {
        tracing::error!("the server ended: {error}");
    }
}
