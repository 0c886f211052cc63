//! Around every request: a number that its lines in the log share, one line when it is answered, and its place in the metrics.
//!
//! Only the path is told. Queries may hold prompts.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::App;

/// The header with a request's number: taken from the client if it is short and plain, else made here.
const REQUEST_ID: &str = "x-request-id";
/// The longest number that is taken from a client.
const LONGEST: usize = 64;
/// Paths that are asked for so often that they are told only in detail.
const OFTEN: &[&str] = &["/health", "/ready", "/metrics", "/sdapi/v1/progress"];

/// Surrounds a request.
pub(super) async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = number(&request);
    let method = name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", request = id, method, path);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, seconds) = (response.status().as_u16(), begun.elapsed().as_secs_f64());
    app.metrics.answered(method, &route, status, seconds);
    let ms = (seconds * 1000.0).round() as u64;
    span.in_scope(|| match status {
        500.. => tracing::error!(status, ms, "answered"),
        _ if route == "other" || OFTEN.contains(&route.as_str()) => tracing::debug!(status, ms, "answered"),
        _ => tracing::info!(status, ms, "answered"),
    });
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The methods that there are; anybody can invent others.
fn name(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
}

/// The client's own number, or one of ours.
fn number(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_plain = |id: &&str| {
        (1..=LONGEST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given.filter(is_plain).map_or_else(random, str::to_owned)
}

fn random() -> String {
    // Without randomness the lines cannot be told apart by number, and nothing else is lost.
    getrandom::u64().map_or_else(|_| "-".to_owned(), |number| format!("{number:016x}"))
}
