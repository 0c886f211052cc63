//! What handlers take out of a request; what is wrong with it is told as [`ApiError`], with the field.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use encaustic_protocol::{Entry, nearest};
use serde::de::DeserializeOwned;
use tokio_stream::StreamExt as _;

use super::ApiError;
use crate::auth::{Caller, Scope};
use crate::job::Client;

/// How long a small body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long one with a picture in it may.
pub(super) const LARGE_BODY_TIME: Duration = Duration::from_secs(60);

/// A body of JSON. Other content types are refused, as a page of a stranger could send them without being asked.
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        json(request, BODY_TIME).await.map(Self)
    }
}

/// A body of JSON that may take so long to arrive.
///
/// # Errors
/// If it is none, too large, or too slow.
pub(super) async fn json<T: DeserializeOwned>(request: Request, within: Duration) -> Result<T, ApiError> {
    if !is_json(request.headers()) {
        let message = "send JSON, with `Content-Type: application/json`";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message));
    }
    let Ok(read) = tokio::time::timeout(within, Bytes::from_request(request, &())).await else {
        let message = format!("the body took longer than {} s to arrive", within.as_secs());
        return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message));
    };
    let bytes = read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        _ => ApiError::new(StatusCode::BAD_REQUEST, "body", rejection.body_text()),
    })?;
    parse(&bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let told = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = told.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Reads JSON; what is wrong is told with its place in it.
///
/// # Errors
/// 422 with the field if there is one that is wrong, else 400.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // serde would take a list of values for an object as well.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "the body is a list; send an object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = error.path().to_string();
        let problem = error.inner().to_string();
        if place.is_empty() || place == "." {
            let is_json = error.inner().is_data();
            let (status, code) =
                if is_json { (StatusCode::UNPROCESSABLE_ENTITY, "invalid") } else { (StatusCode::BAD_REQUEST, "json") };
            return ApiError::new(status, code, format!("the body cannot be read: {}", meant(problem)));
        }
        ApiError::invalid(place.clone(), format!("{place}: {}", meant(problem)))
    })?;
    reader
        .end()
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "json", format!("the body goes on after its end: {error}")))?;
    Ok(value)
}

/// What serde says, with the name that was probably meant where it knows none of that name. It lists those that it knows
/// between backticks after the one that it was given.
fn meant(problem: String) -> String {
    if !problem.starts_with("unknown field") && !problem.starts_with("unknown variant") {
        return problem;
    }
    let names: Vec<Entry> = problem.split('`').skip(1).step_by(2).map(|name| Entry::new(name, name)).collect();
    let near = names.split_first().and_then(|(given, known)| nearest(&given.id, known));
    match near {
        Some(name) => format!("{problem}; did you mean `{name}`?"),
        None => problem,
    }
}

/// A body that means nothing: it is read and forgotten, so that the connection can be used again.
#[derive(Clone, Copy, Debug)]
pub struct AnyBody;

/// The most bytes of a body that is forgotten.
const FORGOTTEN: usize = 64 << 20;

impl<S: Send + Sync> FromRequest<S> for AnyBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let mut body = request.into_body().into_data_stream();
        let drain = async {
            let mut read = 0;
            while let Some(Ok(bytes)) = body.next().await {
                read += bytes.len();
                if read > FORGOTTEN {
                    break;
                }
            }
        };
        // Who takes longer loses his connection, and nothing else.
        let _ = tokio::time::timeout(BODY_TIME, drain).await;
        Ok(Self)
    }
}

/// The parameters after the `?`.
#[derive(Clone, Copy, Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let problem = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, problem)| problem);
            match problem.split_once(": ") {
                Some((field, what)) if !field.contains(' ') => {
                    ApiError::invalid(field, format!("{field}: {}", meant(what.to_owned())))
                }
                _ => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", meant(problem.to_owned())),
            }
        })?;
        Ok(Self(query.0))
    }
}

/// The parts of the path that a route names.
#[derive(Clone, Copy, Debug)]
pub struct Place<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Place<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = <Path<T> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        path.map(|Path(place)| Self(place)).map_err(|rejection| {
            // A number that is none, or no UTF-8: nothing can be there.
            ApiError::not_found(format!("there is nothing at this address: {}", rejection.body_text()))
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::internal("a route lies outside of what asks for keys"))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl Caller {
    /// Refuses what he may not do.
    ///
    /// # Errors
    /// 403 that names the scope.
    pub fn needs(&self, scope: Scope) -> Result<(), ApiError> {
        if self.may(scope) {
            return Ok(());
        }
        let message = format!("this key may not do that: it lacks the scope `{scope}`; use one that has it");
        Err(ApiError::new(StatusCode::FORBIDDEN, "scope", message))
    }

    /// Refuses what he may not do with any of these scopes.
    ///
    /// # Errors
    /// 403 that names the first.
    pub fn needs_any(&self, scopes: &[Scope]) -> Result<(), ApiError> {
        match scopes.first() {
            Some(first) if !scopes.iter().any(|scope| self.may(*scope)) => self.needs(*first),
            _ => Ok(()),
        }
    }

    /// Refuses to let him change what is another's.
    ///
    /// # Errors
    /// 403 that says whose it is.
    pub fn needs_to_own(&self, owner: &Client) -> Result<(), ApiError> {
        self.needs(Scope::Generate)?;
        if self.may_change(owner) {
            return Ok(());
        }
        let message = format!("that belongs to {:?}; only that client, or a key with the scope `admin`, may change it", owner.0);
        Err(ApiError::new(StatusCode::FORBIDDEN, "owner", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::NewJob;

    #[test]
    fn what_is_wrong_with_json_is_told_with_its_field() {
        for (body, status, field, words) in [
            (r#"{"request": {"promt": "x"}}"#, 422, Some("request.promt"), "did you mean `prompt`?"),
            (r#"{"reqest": {}}"#, 422, Some("reqest"), "did you mean `request`?"),
            (r#"{"request": {"cfg": NaN}}"#, 422, Some("request.cfg"), "expected"),
            (r#"{"request": {"cfg": "7"}}"#, 422, Some("request.cfg"), "expected f64"),
            (r#"{"request": {"steps": 4.5}}"#, 422, Some("request.steps"), "expected u32"),
            (r#"{"request": {"steps": -1}}"#, 422, Some("request.steps"), "expected u32"),
            (r#"{"request": {"rng": "gpu"}}"#, 422, Some("request.rng"), "unknown variant"),
            (r#"{"request": {"steps": 1000000000000}}"#, 422, Some("request.steps"), "expected u32"),
            (" []", 422, None, "send an object"),
            ("7", 422, None, "cannot be read"),
            ("nonsense", 400, None, "cannot be read"),
            ("", 400, None, "cannot be read"),
            (r#"{"priority": 1} {}"#, 400, None, "after its end"),
        ] {
            let error = parse::<NewJob>(body.as_bytes()).unwrap_err();
            assert_eq!((error.status.as_u16(), error.field.as_deref()), (status, field), "{body}: {error}");
            assert!(error.message.contains(words), "{body}: {error}");
        }
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(parse::<NewJob>(format!(r#"{{"request": {deep}}}"#).as_bytes()).is_err());
    }
}
