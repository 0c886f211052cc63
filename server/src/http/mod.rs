//! All that speaks HTTP: one module per interface, each with its `routes`, and what surrounds them.

pub mod error;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::App;

pub use error::ApiError;

/// All interfaces.
fn routes() -> Router<App> {
    Router::new()
}

/// Serves until `stopped` says so.
pub async fn serve(listener: TcpListener, app: App, mut stopped: watch::Receiver<bool>) {
    let stop = async move {
        // An error means that the sender is gone, which is an end as well.
        let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
    };
    let routes = routes().with_state(app);
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop).await {
        tracing::error!("the server ended: {error}");
    }
}
