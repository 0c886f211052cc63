//! Who asks: by a key in a header, by the cookie of a session, or because he sits at this machine.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{ApiError, openapi};
use crate::App;
use crate::auth::{Caller, Known, Scope, Wait};
use crate::db::DbError;

/// The cookie of a session.
pub(super) const COOKIE: &str = "encaustic_session";

/// Routes that want no key; what is at the last is signed. Addresses without a route want none either: there is the page, or
/// nothing. Nobody is looked up for them, which would want the database: they are asked for whatever the server is busy with.
const OPEN: &[&str] = &["/health", "/ready", "/api/v1/session", "/api/openapi.json", "/v1/images/files/{name}"];
/// A route that wants no key, and says more to whoever has one.
const GREETING: &str = "/api/v1/server";
/// What a page asks for by the hundred without anybody doing anything: it does not count towards a key's rate.
const BY_THE_HUNDRED: &[&str] = &["/api/v1/images/{id}/thumbnail", "/api/v1/images/{id}/file", "/api/v1/jobs/{id}/preview"];

/// What somebody shows to say who he is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    /// A key.
    Key(String),
    /// A key with the name that it has.
    NamedKey(String, String),
    /// A session's cookie.
    Session(String),
}

/// Finds out who asks, and turns away whoever may not.
pub(super) async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let is_open = |route: &str| OPEN.contains(&route) || openapi::is_page(route);
    let Some(route) = route.filter(|route| !is_open(route)) else { return next.run(request).await };
    let is_open = route == GREETING;
    let is_counted = !is_open && !BY_THE_HUNDRED.contains(&route.as_str());
    match caller(&app, request.headers()).await {
        Ok((caller, known)) => {
            if is_counted
                && let Some(known) = known
                && let Err(wait) = app.keys.count(&known, app.settings.now().key_rate)
            {
                return too_many(&wait).into_response();
            }
            // Which of them a request needs, its handler knows.
            if !is_open && let Err(error) = caller.needs_any(&Scope::ALL) {
                return error.into_response();
            }
            request.extensions_mut().insert(caller);
        }
        Err(_) if is_open => {}
        Err(error) => return error.into_response(),
    }
    next.run(request).await
}

/// Who asks, and by which key.
async fn caller(app: &App, headers: &HeaderMap) -> Result<(Caller, Option<Known>), ApiError> {
    let shown = shown(headers);
    let is_here = !app.config.require_key && app.config.listen.ip().to_canonical().is_loopback() && !is_forwarded(headers);
    let (known, has_keys) = match shown.clone() {
        Some(shown) => app.blocking(move |app| Ok::<_, ApiError>((recognise(app, &shown)?, !app.keys.is_empty()?))).await?,
        // Then there is nothing to look up.
        None => (None, false),
    };
    match (known, shown) {
        (Some(known), _) => Ok((known.caller(), Some(known))),
        // Clients of other programs send some key or other because they must.
        (None, shown) if is_here && (shown.is_none() || !has_keys) => Ok((Caller::local(), None)),
        (None, None) => Err(unknown("an API key is needed: send it as `Authorization: Bearer enc_...`")),
        (None, Some(Shown::Session(_))) if is_here => Ok((Caller::local(), None)),
        (None, Some(Shown::Session(_))) => Err(unknown("the session has ended: sign in again")),
        (None, Some(_)) => Err(unknown(
            "the API key is not valid: it may have been revoked, or is not whole; at this machine send no key, or a valid one",
        )),
    }
}

fn recognise(app: &App, shown: &Shown) -> Result<Option<Known>, DbError> {
    match shown {
        Shown::Key(key) => app.keys.recognise(key),
        Shown::NamedKey(name, key) => Ok(app.keys.recognise(key)?.filter(|known| name.is_empty() || known.name() == name)),
        Shown::Session(token) => app.keys.session(token),
    }
}

/// Whether a proxy has passed it on: then nobody is at this machine.
fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name))
}

fn shown(headers: &HeaderMap) -> Option<Shown> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, rest) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
        if scheme.eq_ignore_ascii_case("basic") {
            let text = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
            let (name, key) = text.split_once(':').unwrap_or_default();
            return Some(Shown::NamedKey(name.to_owned(), key.to_owned()));
        }
        return Some(Shown::Key(rest.trim().to_owned()));
    }
    if let Some(value) = headers.get("x-api-key") {
        return Some(Shown::Key(value.to_str().unwrap_or_default().trim().to_owned()));
    }
    session(headers).map(Shown::Session)
}

/// What the cookie of a session says.
pub(super) fn session(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// 401.
pub(super) fn unknown(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "key", message)
}

/// 429 for too many requests.
fn too_many(wait: &Wait) -> ApiError {
    let message = format!("this key may make {} requests a minute; try again in {} s", wait.limit, wait.seconds);
    ApiError { retry_secs: Some(wait.seconds), ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate", message) }
}

/// What a 401 says of how to sign in. (Not `Basic`: browsers would ask for a name and a password in a window of their own.)
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"encaustic\"");
