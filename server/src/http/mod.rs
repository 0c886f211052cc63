//! All that speaks HTTP: one module per interface, each with its `routes`, and what surrounds them.

pub mod error;
mod health;
mod watching;

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::App;

pub use error::ApiError;

/// All interfaces.
fn routes() -> Router<App> {
    Router::new().merge(health::open_routes()).merge(health::routes())
}

/// What is served at the setting `metrics_listen`.
fn routes_apart() -> Router<App> {
    health::apart()
}

/// Serves metrics and health alone, until `stopped` says so.
pub async fn serve_apart(listener: TcpListener, app: App, stopped: watch::Receiver<bool>) {
    serve_routes(listener, routes_apart().with_state(app), stopped).await;
}

/// Serves until `stopped` says so.
pub async fn serve(listener: TcpListener, app: App, stopped: watch::Receiver<bool>) {
    let routes = routes().layer(middleware::from_fn_with_state(app.clone(), watching::watch));
    serve_routes(listener, routes.with_state(app), stopped).await;
}

async fn serve_routes(listener: TcpListener, routes: Router, mut stopped: watch::Receiver<bool>) {
    let stop = async move {
        // An error means that the sender is gone, which is an end as well.
        let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
    };
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop).await {
        tracing::error!("the server ended: {error}");
    }
}
