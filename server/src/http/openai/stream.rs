//! Pictures as a stream of events: rough looks on the way, spread over the run, and the pictures at its end.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encaustic_protocol::JobId;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::ask::Ask;
use super::images::{Usage, ended};
use crate::App;
use crate::http::errand::{Errand, Word};
use crate::http::{ApiError, dialect, picture};
use crate::images::format::{self, Quality};
use crate::images::upload;
use crate::job::Job;
use crate::work::Look;

/// Events that wait for a slow reader; then the sender waits.
const AHEAD: usize = 4;
/// How often something is said, so that nobody takes a quiet connection for a dead one.
const ALIVE: Duration = Duration::from_secs(15);
/// How good looks are.
const LOOK: Quality = Quality(80);

type Sender = mpsc::Sender<Result<Event, Infallible>>;

/// Answers with events until the errand is over, or the client is gone.
pub(super) fn answer(app: App, ask: Ask, errand: Errand) -> Response {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        tokio::select! {
            // Dropping the errand takes its job back.
            () = sender.closed() => {}
            result = tell(&app, &ask, errand, &sender) => if let Err(error) = result {
                let (_, body) = dialect::openai(&error);
                send(&sender, "error", &body).await;
            }
        }
    });
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

async fn tell(app: &App, ask: &Ask, mut errand: Errand, sender: &Sender) -> Result<(), ApiError> {
    let id = errand.jobs().first().copied().ok_or_else(|| ApiError::internal("there is no job"))?;
    let mut shown = Shown { count: 0, number: None };
    let jobs = loop {
        match errand.next().await? {
            Word::News => {
                if let Some(event) = look(app, ask, id, &mut shown).await? {
                    send(sender, "image_generation.partial_image", &event).await;
                }
            }
            Word::Over(jobs) => break jobs,
        }
    };
    let job = ended(jobs)?;
    for index in 0..job.images.len() {
        let (ask, job) = (ask.clone(), job.clone());
        let turn = app.images.turn().await;
        let event = app.blocking(move |app| {
            let _turn = turn;
            completed(app, &ask, &job, index)
        });
        let event = event.await?;
        send(sender, "image_generation.completed", &event).await;
    }
    Ok(())
}

/// What looks were sent.
struct Shown {
    count: u32,
    number: Option<u32>,
}

/// The next look, if there is one and it is time for it.
async fn look(app: &App, ask: &Ask, job: JobId, shown: &mut Shown) -> Result<Option<Value>, ApiError> {
    if shown.count >= ask.looks {
        return Ok(None);
    }
    let Some(live) = app.crew.live.job(job) else { return Ok(None) };
    let is_time = live.part >= f64::from(shown.count + 1) / f64::from(ask.looks + 1);
    let Some(look) = live.look.filter(|look| is_time && shown.number != Some(look.number)) else { return Ok(None) };
    let index = shown.count;
    *shown = Shown { count: index + 1, number: Some(look.number) };
    let ask = ask.clone();
    app.blocking(move |app| {
        let file = as_asked(&ask, &look)?;
        let size = format!("{}x{}", look.width, look.height);
        let mut event = event(app, &ask, "image_generation.partial_image", &file, &size);
        if let Some(event) = event.as_object_mut() {
            event.insert("partial_image_index".to_owned(), index.into());
        }
        Ok(Some(event))
    })
    .await
}

/// A look in the form that was asked for.
fn as_asked(ask: &Ask, look: &Look) -> Result<Vec<u8>, ApiError> {
    if look.mime == ask.format.mime() {
        return Ok(look.bytes.clone());
    }
    let broken = |error: String| ApiError::internal(format!("a look cannot be written: {error}"));
    let pixels = upload::decode(&look.bytes).map_err(|error| broken(error.to_string()))?;
    format::encode(&pixels, "", ask.format, LOOK).map_err(|error| broken(error.to_string()))
}

fn completed(app: &App, ask: &Ask, job: &Job, index: usize) -> Result<Value, ApiError> {
    let image = job.images.get(index).ok_or_else(|| ApiError::internal("a picture is missing"))?;
    let found = picture::find(app, &image.name)?;
    let file = picture::file_as(app, &found, ask.format, ask.compression)?;
    let size = format!("{}x{}", image.width, image.height);
    let mut event = event(app, ask, "image_generation.completed", &file, &size);
    if let Some(event) = event.as_object_mut() {
        event.insert("usage".to_owned(), json!(Usage::of(app, ask)));
    }
    Ok(event)
}

fn event(app: &App, ask: &Ask, kind: &str, file: &[u8], size: &str) -> Value {
    json!({
        "type": kind,
        "b64_json": STANDARD.encode(file),
        "created_at": (app.clock)().div_euclid(1000),
        "size": size,
        "quality": ask.quality,
        "background": "opaque",
        "output_format": ask.format.name(),
    })
}

async fn send(sender: &Sender, kind: &str, data: &Value) {
    // An error means that the client is gone, which the task sees by itself.
    let _ = sender.send(Ok(Event::default().event(kind).data(data.to_string()))).await;
}
