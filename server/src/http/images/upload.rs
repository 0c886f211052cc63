//! A picture comes in: as the body itself, or as a part of a form. Only its pixels and its settings are kept.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio_stream::StreamExt;

use super::told;
use crate::App;
use crate::auth::{Caller, Scope};
use crate::events::News;
use crate::http::{ApiError, schema};
use crate::images::rows::{self, Details};
use crate::images::upload::{decode, inspect};
use crate::images::{Made, Reception, store::Stored};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(120);
/// How long a body that is too large is listened to.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long somebody waits until others have sent theirs.
const RECEPTION_TIME: Duration = Duration::from_secs(10);
/// How many parts of a form are looked at.
const PARTS: usize = 16;
/// What comes around the picture in a form.
const FRAME: usize = 64 << 10;

/// A picture in a form.
#[derive(Debug, utoipa::ToSchema)]
pub struct Form {
    /// The file.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    pub image: String,
}

/// Add a picture.
///
/// PNG, JPEG or WebP, as the body or as the part `image` of a form. It is encoded anew: of all that the file says, only what its
/// settings were is kept.
#[utoipa::path(post, path = "/api/v1/images", tag = "images",
    request_body(content((Form = "multipart/form-data"), (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"))),
    responses(
    (status = 201, description = "it is in the gallery", body = Details),
    (status = 400, description = "the form is malformed", body = schema::Problem),
    (status = 413, description = "it is too large", body = schema::Problem),
    (status = 415, description = "it is no picture", body = schema::Problem),
    (status = 422, description = "it has too many pixels, or is damaged", body = schema::Problem),
    (status = 503, description = "too many are on their way; `Retry-After` says when to try again", body = schema::Problem),
    (status = 507, description = "no room is left on the disk", body = schema::Problem)))]
pub(super) async fn upload(State(app): State<App>, caller: Caller, request: Request) -> Result<Response, ApiError> {
    caller.needs(Scope::Generate)?;
    // Uploads wait here before a byte of them is read.
    let reception = reception(&app, &caller).await?;
    let body = tokio::time::timeout(BODY_TIME, body(&app, request)).await.map_err(|_| {
        let message = format!("the picture took longer than {} s to arrive", BODY_TIME.as_secs());
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    })??;
    let place = reception.arrived();
    let turn = app.images.turn().await;
    let details = app
        .blocking(move |app| {
            let _places = (place, turn);
            let picture = decode(&body)?;
            let catalog = app.host.catalog();
            let origin = inspect(&body, &catalog)?.origin(&catalog);
            drop(body);
            let made =
                Made { seed: origin.seed, model: &origin.model, settings: &origin.settings, parameters: &origin.parameters };
            let Stored { image, remark, .. } = app.images.put(&picture, &made)?;
            if let Some(remark) = remark {
                tracing::warn!("{remark}");
            }
            let details = app.db.write(|writer| {
                let id = rows::insert(writer, None, &caller.client, &image, (app.clock)())?;
                told(writer, &id.to_string())
            })?;
            app.hub.live(News::Images);
            Ok::<Details, ApiError>(details)
        })
        .await?;
    let mut response = (StatusCode::CREATED, Json(&details)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/images/{}", details.image.id)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Room for what comes with a large body, as long as it is kept.
///
/// # Errors
/// 503 if others, or he himself with others of his, take long.
pub(in crate::http) async fn reception(app: &App, caller: &Caller) -> Result<Reception, ApiError> {
    let entered = tokio::time::timeout(RECEPTION_TIME, app.images.reception(&caller.client)).await;
    entered.ok().flatten().ok_or_else(|| {
        let message = "as many pictures are on their way here as may be at the same time; try again in a few seconds";
        ApiError { retry_secs: Some(5), ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message) }
    })
}

/// The file, from a body that is one or a form that has one.
async fn body(app: &App, mut request: Request) -> Result<Bytes, ApiError> {
    let most = (app.config.upload_mib as usize).saturating_mul(1 << 20);
    let too_large = || {
        let message = format!("a picture has at most {} MiB here (setting `upload_mib`)", app.config.upload_mib);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    };
    let (kind, length) = declared(request.headers());
    if length.is_some_and(|length| length > (most + FRAME) as u64) {
        drain(request.into_body()).await;
        return Err(too_large());
    }
    DefaultBodyLimit::max(most.saturating_add(FRAME)).apply(&mut request);
    if kind == "multipart/form-data" {
        let wrong = |what: &str| ApiError::new(StatusCode::BAD_REQUEST, "form", format!("the form is malformed: {what}"));
        if !has_boundary(request.headers()) {
            drain(request.into_body()).await;
            return Err(wrong("its `Content-Type` names no boundary"));
        }
        let mut form = Multipart::from_request(request, &()).await.map_err(|error| wrong(&error.body_text()))?;
        let part = part(&mut form, most, too_large).await;
        // What comes behind it, within the limit of the body; an error is an end as well.
        let rest = async { while let Ok(Some(_)) = form.next_field().await {} };
        let _ = tokio::time::timeout(DRAIN_TIME, rest).await;
        return part;
    }
    if !kind.starts_with("image/") && kind != "application/octet-stream" {
        drain(request.into_body()).await;
        let message = "send a picture, with `Content-Type: image/png` or the like, or a form with one in its part `image`";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message));
    }
    let bytes = Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => ApiError::new(StatusCode::BAD_REQUEST, "body", rejection.body_text()),
    })?;
    if bytes.len() > most { Err(too_large()) } else { Ok(bytes) }
}

/// Reads what nobody wants: few clients look for an answer before they have sent all. Those who go on for long are cut off.
async fn drain(body: Body) {
    let mut pieces = body.into_data_stream();
    let rest = async { while pieces.next().await.is_some_and(|piece| piece.is_ok()) {} };
    let _ = tokio::time::timeout(DRAIN_TIME, rest).await;
}

/// The content type, without its parameters, and the length.
fn declared(headers: &HeaderMap) -> (String, Option<u64>) {
    let told = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = told(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (kind, told(header::CONTENT_LENGTH).parse().ok())
}

/// Whether the content type says what stands between the parts of a form.
fn has_boundary(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().contains("boundary=")
}

/// The first part of a form that is a file, or is called `image`.
async fn part(form: &mut Multipart, most: usize, too_large: impl Fn() -> ApiError) -> Result<Bytes, ApiError> {
    let wrong = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => ApiError::new(StatusCode::BAD_REQUEST, "form", format!("the form is malformed: {}", error.body_text())),
    };
    for _ in 0..PARTS {
        let Some(mut part) = form.next_field().await.map_err(&wrong)? else {
            return Err(ApiError::invalid("image", "image: the form has no file; send it as the part `image`"));
        };
        if part.file_name().is_none() && part.name() != Some("image") {
            continue;
        }
        let mut bytes = Vec::new();
        while let Some(piece) = part.chunk().await.map_err(&wrong)? {
            if bytes.len() + piece.len() > most {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        return Ok(bytes.into());
    }
    let message = format!("the form has more than {PARTS} parts before its file");
    Err(ApiError::new(StatusCode::BAD_REQUEST, "form", message))
}
