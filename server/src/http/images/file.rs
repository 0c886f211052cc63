//! A picture's file, in its own format or another, whole or in part, and its thumbnail.
//!
//! A picture never changes, so whoever asks for it by its hash, which is the ETag, may keep it. Its number means another picture in
//! another database: whoever asks by that has to ask again.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{find, flag, flow, format, named};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::db::Failed;
use crate::http::extract::{Params, Place};
use crate::http::{ApiError, schema};
use crate::images::format::{Format, encode};
use crate::images::rows;
use crate::images::upload::decode;

/// For a year, by whoever asked, without asking again.
const FOREVER: &str = "private, max-age=31536000, immutable";

/// By whoever asked, who asks again whether it still is the same.
const ASK_AGAIN: &str = "private, no-cache";

/// How a picture's file is wanted.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct How {
    /// In this format; in that of the file if nothing is said.
    #[param(inline)]
    pub format: Option<Format>,
    /// To be saved under a name, rather than shown.
    #[serde(deserialize_with = "flag")]
    pub download: bool,
}

/// A picture's file.
///
/// In another format than its own it is encoded anew, with how it was made. Of its own file, a range of bytes can be asked for.
#[utoipa::path(get, path = "/api/v1/images/{id}/file", tag = "images",
    params(("id" = String, Path, description = "its number, or the SHA-256 of its file"), How), responses(
    (status = 200, description = "the file", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"))),
    (status = 206, description = "a part of the file", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"))),
    (status = 304, description = "it is the one that you have"),
    (status = 404, description = "there is none", body = schema::Problem),
    (status = 416, description = "the range lies behind the end", body = schema::Problem)))]
pub(super) async fn file(
    State(app): State<App>,
    caller: Caller,
    Place(id): Place<String>,
    Params(how): Params<How>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    caller.needs(Scope::Read)?;
    let keep = keep(&id);
    let image = app.blocking(move |app| app.db.read(|reader| find(reader, &id))).await?;
    let own = format(&image)?;
    let wanted = how.format.unwrap_or(own);
    let tag = if wanted == own { format!("\"{}\"", image.sha256) } else { format!("\"{}-{}\"", image.sha256, wanted.name()) };
    let name = named(&app, &image).numbered(image.id) + "." + wanted.ending();
    let headers = headers(wanted.mime(), &tag, keep, Some((&name, how.download)));
    if is_known(&asked, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    if wanted != own {
        let turn = app.images.turn().await;
        let bytes = app.blocking(move |app| {
            let _turn = turn;
            let picture = decode(&app.images.read(&image.sha256, own)?)
                .map_err(|error| ApiError::internal(format!("the file of picture {} cannot be read: {error}", image.id)))?;
            let details = app.db.read(|reader| Ok::<_, Failed<ApiError>>(rows::details(reader, image.id)?))?;
            let parameters = details.map(|details| details.parameters).unwrap_or_default();
            let quality = app.images.options().quality;
            encode(&picture, &parameters, wanted, quality).map_err(|error| ApiError::internal(error.to_string()))
        });
        return Ok((headers, bytes.await?).into_response());
    }
    let (file, length) = app.blocking(move |app| app.images.file(&image.sha256, own).map_err(ApiError::from)).await?;
    let mut response = match range(&asked, &tag, length) {
        Range::All => (headers, flow::file(file, 0, length)).into_response(),
        Range::Part { first, last } => {
            let mut response = (StatusCode::PARTIAL_CONTENT, headers, flow::file(file, first, last - first + 1)).into_response();
            set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
            set(response.headers_mut(), header::CONTENT_LENGTH, &(last - first + 1).to_string());
            response
        }
        Range::None => {
            let message = format!("the file has {length} bytes; the range lies behind its end");
            let mut response = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", message).into_response();
            set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{length}"));
            return Ok(response);
        }
    };
    if response.status() == StatusCode::OK {
        set(response.headers_mut(), header::CONTENT_LENGTH, &length.to_string());
    }
    set(response.headers_mut(), header::ACCEPT_RANGES, "bytes");
    Ok(response)
}

/// A small picture of a picture, at most 320 pixels wide and high.
#[utoipa::path(get, path = "/api/v1/images/{id}/thumbnail", tag = "images",
    params(("id" = String, Path, description = "its number, or the SHA-256 of its file")), responses(
    (status = 200, description = "a small JPEG", body = Vec<u8>, content_type = "image/jpeg"),
    (status = 304, description = "it is the one that you have"),
    (status = 404, description = "there is none", body = schema::Problem)))]
pub(super) async fn thumbnail(
    State(app): State<App>,
    caller: Caller,
    Place(id): Place<String>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    caller.needs(Scope::Read)?;
    let keep = keep(&id);
    let image = app.blocking(move |app| app.db.read(|reader| find(reader, &id))).await?;
    let own = format(&image)?;
    let tag = format!("\"{}-small\"", image.sha256);
    let headers = headers(Format::Jpeg.mime(), &tag, keep, None);
    if is_known(&asked, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let name = image.sha256.clone();
    let ready = app.blocking(move |app| app.images.ready_thumbnail(&name).map_err(ApiError::from)).await?;
    let bytes = match ready {
        Some(bytes) => bytes,
        None => {
            let turn = app.images.turn().await;
            let made = app.blocking(move |app| {
                let _turn = turn;
                app.images.thumbnail(&image.sha256, own).map_err(ApiError::from)
            });
            made.await?
        }
    };
    Ok((headers, Body::from(bytes)).into_response())
}

/// For how long what is asked for by this name may be kept.
fn keep(id: &str) -> &'static str {
    let is_hash = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { FOREVER } else { ASK_AGAIN }
}

fn headers(mime: &'static str, tag: &str, keep: &'static str, name: Option<(&str, bool)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    set(&mut headers, header::CONTENT_TYPE, mime);
    set(&mut headers, header::ETAG, tag);
    set(&mut headers, header::CACHE_CONTROL, keep);
    set(&mut headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Some((name, is_download)) = name {
        set(&mut headers, header::CONTENT_DISPOSITION, &disposition(name, is_download));
    }
    headers
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // All of them are made of what headers may hold; whatever is not is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// `Content-Disposition` with a name: in ASCII for old clients, in full for all others.
pub(super) fn disposition(name: &str, is_download: bool) -> String {
    let kind = if is_download { "attachment" } else { "inline" };
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | ';') || c == ' ';
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let full: String = name
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

/// Whether the client has what it asks for.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let told = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    told.flat_map(|tags| tags.split(',')).map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    All,
    Part { first: u64, last: u64 },
    None,
}

/// The range that is asked for. What is no range, or several, is answered with all: that is allowed.
fn range(asked: &HeaderMap, tag: &str, length: u64) -> Range {
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|known| known != tag) {
        return Range::All;
    }
    let Some((first, last)) =
        text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.trim().split_once('-'))
    else {
        return Range::All;
    };
    let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
    let (first, last) = match (first, last) {
        ("", last) => match number(last) {
            Some(0) => return Range::None,
            Some(most) => (length.saturating_sub(most), length.saturating_sub(1)),
            None => return Range::All,
        },
        (first, "") => match number(first) {
            Some(first) => (first, length.saturating_sub(1)),
            None => return Range::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last.min(length.saturating_sub(1))),
            _ => return Range::All,
        },
    };
    if first >= length { Range::None } else { Range::Part { first, last } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |first, last| Range::Part { first, last };
        for (text, wanted) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-", part(0, 99)),
            ("bytes=10-19", part(10, 19)),
            ("bytes=90-1000", part(90, 99)),
            ("bytes=-10", part(90, 99)),
            ("bytes=-1000", part(0, 99)),
            ("bytes=99-", part(99, 99)),
            ("bytes=100-", Range::None),
            ("bytes=100-200", Range::None),
            ("bytes=-0", Range::None),
            ("bytes=20-10", Range::All),
            ("bytes=0-1,5-6", Range::All),
            ("bytes=+1-2", Range::All),
            ("bytes=a-b", Range::All),
            ("bytes=-", Range::All),
            ("bytes=99999999999999999999-", Range::All),
            ("lines=1-2", Range::All),
            ("", Range::All),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(header::RANGE, HeaderValue::from_static(text));
            assert_eq!(range(&asked, "\"t\"", 100), wanted, "{text}");
            asked.insert(header::IF_RANGE, HeaderValue::from_static("\"other\""));
            assert_eq!(range(&asked, "\"t\"", 100), Range::All, "{text}");
        }
    }

    #[test]
    fn names_in_headers_are_harmless() {
        assert_eq!(disposition("a b.png", true), "attachment; filename=\"a b.png\"; filename*=UTF-8''a%20b.png");
        for name in ["a\"; x=\"b", "a\r\nSet-Cookie: x", "灯台.png", "%2e%2e", "a\\b"] {
            let text = disposition(name, false);
            assert_eq!(text.matches('"').count(), 2, "{text}");
            assert!(text.is_ascii() && !text.contains(['\r', '\n', '\\']), "{text}");
        }
    }
}
