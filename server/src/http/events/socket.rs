//! Events over a WebSocket: each text is one event. What the other side says is heard only as a sign of life.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::From;
use super::follow::Follower;
use crate::App;
use crate::auth::{Caller, Scope};
use crate::http::extract::Params;
use crate::http::{ApiError, schema};

/// How often the other side is asked whether it is there.
const ASK: Duration = Duration::from_secs(20);
/// After so long without an answer it is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to take a message.
const SLOW: Duration = Duration::from_secs(30);
/// Bytes of a message from the other side, which has nothing to say.
const MAX_MESSAGE: usize = 4096;
/// Bytes that are read at once, and gathered before they are written: a thousand followers must not cost much.
const BUFFER: usize = 4096;
/// Bytes that may wait to be written.
const MAX_BUFFER: usize = 256 << 10;

/// Follow everything over a WebSocket.
///
/// Each text is one event. `after` is the number of the last stored event that you know: all later ones come first.
#[utoipa::path(get, path = "/api/v1/ws", tag = "events", params(From), responses(
    (status = 101, description = "events without end"),
    (status = 400, description = "no WebSocket is asked for", body = schema::Problem),
    (status = 403, description = "the page is a stranger's", body = schema::Problem)))]
pub(super) async fn follow(
    State(app): State<App>,
    caller: Caller,
    Params(from): Params<From>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    caller.needs(Scope::Read)?;
    let upgrade = upgrade.map_err(|rejection| ApiError::new(StatusCode::BAD_REQUEST, "websocket", rejection.body_text()))?;
    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(MAX_BUFFER);
    let seat = super::seat(&app)?;
    Ok(upgrade.on_upgrade(async move |socket| {
        serve(app, socket, caller, from.after).await;
        drop(seat);
    }))
}

async fn serve(app: App, mut socket: WebSocket, caller: Caller, after: Option<u64>) {
    let mut follower = Follower::new(&app, after, None);
    let mut asking = interval(ASK);
    asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive = Instant::now();
    let revoked = super::until_revoked(&app, &caller);
    tokio::pin!(revoked);
    let goodbye = loop {
        let message = tokio::select! {
            event = follower.next() => match event.map(|event| serde_json::to_string(&event)) {
                Some(Ok(text)) => Message::Text(text.into()),
                _ => break (close_code::ERROR, "the server cannot go on"),
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    alive = Instant::now();
                    continue;
                }
            },
            _ = asking.tick() => {
                if alive.elapsed() > PATIENCE {
                    return;
                }
                Message::Ping(Bytes::new())
            }
            () = &mut revoked => break (close_code::POLICY, "the key is not valid any more"),
            () = app.until_stopped() => break (close_code::RESTART, "the server ends"),
        };
        if !matches!(timeout(SLOW, socket.send(message)).await, Ok(Ok(()))) {
            return;
        }
    };
    let (code, reason) = goodbye;
    // Whether that arrives makes no difference any more.
    let _ = timeout(SLOW, socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() })))).await;
}
