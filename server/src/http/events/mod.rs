//! What happens, to whoever follows: as server-sent events, and over a WebSocket.

mod follow;
mod socket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use encaustic_protocol::JobId;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Params, Place};
use super::{ApiError, jobs, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::events::Event;

use follow::Follower;

/// How often a silent stream says that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// How often it is asked whether the key of whoever follows still is one.
const KEY_CHECK: Duration = Duration::from_secs(10);
/// Events that are on their way to one follower; when they are not taken, the hub's own buffer is what he falls behind in.
const ON_THE_WAY: usize = 16;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream)).routes(routes!(of_job)).routes(routes!(socket::follow))
}

/// From where to follow.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct From {
    /// The number of the last stored event that you know; from now on, if nothing is said.
    pub after: Option<u64>,
}

/// Follow everything, as server-sent events.
///
/// Stored events have their number as `id`; after a break, `Last-Event-ID` or `after` brings all that came since. An event of
/// the type `resync` says that some were missed: whatever is shown has to be asked for again.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(From, ("Last-Event-ID" = Option<u64>, Header, description = "as `after`; browsers send it by themselves")),
    responses((status = 200, description = "events without end", body = Event, content_type = "text/event-stream"),
        (status = 422, description = "that is no number", body = schema::Problem)))]
async fn stream(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Params(from): Params<From>,
) -> Result<Response, ApiError> {
    caller.needs(Scope::Read)?;
    let after = last_heard(&headers)?.or(from.after);
    Ok(served(&app, caller, seat(&app)?, Follower::new(&app, after, None)))
}

/// Follow one job, as server-sent events, from its beginning to its end.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = u64, Path, description = "the job's number"), From,
        ("Last-Event-ID" = Option<u64>, Header, description = "as `after`; browsers send it by themselves")),
    responses((status = 200, description = "its events, the last of which ends the stream", body = Event, content_type = "text/event-stream"),
        (status = 204, description = "it has ended, and you know that"),
        (status = 404, description = "there is no such job", body = schema::Problem)))]
async fn of_job(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Place(id): Place<u64>,
    Params(from): Params<From>,
) -> Result<Response, ApiError> {
    caller.needs(Scope::Read)?;
    let after = last_heard(&headers)?.or(from.after).unwrap_or(0);
    let job = jobs::find(&app, id).await?;
    if job.state.is_last() {
        let rest = app.blocking(move |app| app.queue.events(after, Some(JobId(id)), 1).map_err(ApiError::from)).await?;
        if rest.is_empty() {
            // This is how a browser learns not to come again.
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    Ok(served(&app, caller, seat(&app)?, Follower::new(&app, Some(after), Some(job.id))))
}

/// The number that a browser sends when it comes again.
fn last_heard(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let message = "Last-Event-ID: use the number of an event";
    number.map(Some).ok_or_else(|| ApiError::invalid("Last-Event-ID", message))
}

/// Room for one more who follows.
fn seat(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(&app.seats).try_acquire_owned().map_err(|_| {
        let message = "as many follow events as may (the setting `connections`); try again in a minute";
        ApiError { retry_secs: Some(60), ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message) }
    })
}

/// Comes back when the caller's key is not valid any more.
async fn until_revoked(app: &App, caller: &Caller) {
    if caller.key.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(KEY_CHECK).await;
        let caller = caller.clone();
        let is_valid = app.blocking(move |app| app.keys.is_valid(&caller).map_err(ApiError::from)).await;
        // A database that fails says nothing about keys.
        if is_valid.is_ok_and(|is_valid| !is_valid) {
            return;
        }
    }
}

/// A stream of what a follower hears. It ends with the server, with the client, with his key, or with the
/// job that is followed.
fn served(app: &App, caller: Caller, seat: OwnedSemaphorePermit, mut follower: Follower) -> Response {
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    let app = app.clone();
    tokio::spawn(async move {
        let _seat = seat;
        let revoked = until_revoked(&app, &caller);
        tokio::pin!(revoked);
        loop {
            let event = tokio::select! {
                event = follower.next() => event,
                () = &mut revoked => break,
                () = sender.closed() => break,
                () = app.until_stopped() => break,
            };
            let Some(event) = event else { break };
            let Ok(told) = told(&event) else { break };
            tokio::select! {
                sent = sender.send(Ok::<_, Infallible>(told)) => if sent.is_err() { break },
                () = app.until_stopped() => break,
            }
        }
    });
    let alive = KeepAlive::new().interval(SIGN_OF_LIFE);
    Sse::new(ReceiverStream::new(receiver)).keep_alive(alive).into_response()
}

fn told(event: &Event) -> Result<sse::Event, axum::Error> {
    let told = sse::Event::default().json_data(event)?;
    Ok(if event.is_live { told } else { told.id(event.seq.to_string()) })
}
