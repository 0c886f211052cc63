//! Addresses of pictures that work without a key, for an hour: whoever has one may see that one picture, in that one form.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use utoipa::IntoParams;

use super::shapes;
use crate::App;
use crate::http::extract::{Params, Place};
use crate::http::{ApiError, picture};
use crate::images::format::{Format, Quality};
use crate::secrets;
use crate::time::Millis;

/// For how long an address works.
const LIFE_MS: Millis = 60 * 60 * 1000;

/// What an address says beside the picture's name.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Proof {
    /// Until when it works, in milliseconds since 1970.
    until: Millis,
    /// The quality, for JPEG.
    quality: Option<u8>,
    /// What proves that this server made the address.
    proof: String,
}

/// The address of a picture. It blocks.
///
/// # Errors
/// If the database fails.
pub(super) fn make(app: &App, base: &str, sha256: &str, format: Format, quality: Option<Quality>) -> Result<String, ApiError> {
    let until = (app.clock)().saturating_add(LIFE_MS);
    let name = format!("{sha256}.{}", format.ending());
    let proof = URL_SAFE_NO_PAD.encode(mac(app, &name, until, quality.map(|quality| quality.0))?.finalize().into_bytes());
    let quality = quality.map(|quality| format!("&quality={}", quality.0)).unwrap_or_default();
    Ok(format!("{base}/v1/images/files/{name}?until={until}{quality}&proof={proof}"))
}

/// What the client calls this server. Behind a proxy the name comes from it, and so does whether it speaks https.
pub(super) fn base(headers: &HeaderMap) -> String {
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = if told("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    format!("{scheme}://{}", told("host").unwrap_or("127.0.0.1"))
}

/// A picture, by an address that was answered to a request.
#[utoipa::path(get, path = "/v1/images/files/{name}", tag = "OpenAI", security(()),
    params(("name" = String, Path, description = "the picture"), Proof), responses(
    (status = 200, description = "the picture", content_type = "image/png"),
    (status = 403, description = "the address has run out, or was not made here", body = shapes::Problem),
    (status = 404, description = "the picture was deleted", body = shapes::Problem)))]
pub(super) async fn file(
    State(app): State<App>,
    Place(name): Place<String>,
    Params(proof): Params<Proof>,
) -> Result<Response, ApiError> {
    let turn = app.images.turn().await;
    app.blocking(move |app| {
        let _turn = turn;
        let refuse = |message: &str| Err(ApiError::new(StatusCode::FORBIDDEN, "link", message));
        let Ok(given) = URL_SAFE_NO_PAD.decode(&proof.proof) else { return refuse("this address was not made here") };
        if mac(app, &name, proof.until, proof.quality)?.verify_slice(&given).is_err() {
            return refuse("this address was not made here");
        }
        if (app.clock)() > proof.until {
            return refuse("this address has run out; the picture is in the gallery");
        }
        let known = name
            .split_once('.')
            .and_then(|(sha256, ending)| Some((sha256, Format::ALL.into_iter().find(|format| format.ending() == ending)?)));
        let Some((sha256, format)) = known else { return Err(ApiError::not_found("there is no such picture")) };
        let found = picture::find(app, sha256)?;
        let file = picture::file_as(app, &found, format, proof.quality.map(Quality))?;
        let headers = [
            (header::CONTENT_TYPE, format.mime()),
            (header::CACHE_CONTROL, "private, max-age=3600, immutable"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        Ok((headers, file).into_response())
    })
    .await
}

fn mac(app: &App, name: &str, until: Millis, quality: Option<u8>) -> Result<Hmac<Sha256>, ApiError> {
    let secret = secrets::secret(&app.db, "links").map_err(|error| ApiError::internal(error.to_string()))?;
    let mut mac = Hmac::new_from_slice(&secret).map_err(|error| ApiError::internal(error.to_string()))?;
    mac.update(format!("{name} {until} {quality:?}").as_bytes());
    Ok(mac)
}
