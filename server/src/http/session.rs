//! Signing in with a key, for browsers; and the keys themselves, for whoever administers the server.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{JsonBody, Place};
use super::identify::{self, COOKIE};
use super::{ApiError, schema};
use crate::App;
use crate::auth::keys::SESSION_SECS;
use crate::auth::{Caller, Key, KeyError, NewKey, Scope};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(begin, end)).routes(routes!(list, add)).routes(routes!(revoke))
}

/// Signing in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// An API key.
    #[schema(example = "enc_...")]
    key: String,
}

/// Who has signed in.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignedIn {
    /// By what name jobs know him.
    pub client: String,
    /// What he may do.
    pub scopes: Vec<Scope>,
}

/// A new key.
#[derive(Serialize, ToSchema)]
pub struct Made {
    /// The key. It is shown this once.
    key: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    about: Key,
}

/// The keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllKeys {
    /// In the order of their names.
    pub items: Vec<Key>,
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        let message = error.to_string();
        match error {
            KeyError::Name(_) => Self::invalid("name", message),
            KeyError::Scopes => Self::invalid("scopes", message),
            KeyError::Taken(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            KeyError::Unknown(_) => Self::not_found(message),
            KeyError::Random(_) => Self::internal(message),
            KeyError::Database(error) => error.into(),
        }
    }
}

/// Sign in with a key: the answer sets a cookie that stands for it.
#[utoipa::path(post, path = "/api/v1/session", tag = "access", security(()), request_body = SignIn, responses(
    (status = 200, description = "you are signed in", body = SignedIn, headers(("set-cookie" = String, description = "the session"))),
    (status = 401, description = "the key is not valid", body = schema::Problem)))]
async fn begin(
    State(app): State<App>,
    headers: HeaderMap,
    JsonBody(SignIn { key }): JsonBody<SignIn>,
) -> Result<Response, ApiError> {
    let begun = app.blocking(move |app| {
        let known = app.keys.recognise(key.trim())?;
        let known =
            known.ok_or_else(|| identify::unknown("the API key is not valid: it may have been revoked, or is not whole"))?;
        Ok::<_, ApiError>((app.keys.begin(&known)?, known.caller()))
    });
    let (token, caller) = begun.await?;
    let cookie = cookie(&headers, &token, SESSION_SECS);
    let body = SignedIn { client: caller.client.0, scopes: caller.scopes };
    Ok(([(header::SET_COOKIE, cookie)], Json(body)).into_response())
}

/// Sign out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "access", security(()), responses(
    (status = 204, description = "you are signed out")))]
async fn end(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    if let Some(token) = identify::session(&headers) {
        app.blocking(move |app| app.keys.end(&token).map_err(ApiError::from)).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(&headers, "", 0))]).into_response())
}

/// A cookie that scripts cannot read and other sites cannot send; only over TLS where a proxy says that it speaks it.
fn cookie(headers: &HeaderMap, token: &str, seconds: i64) -> String {
    let is_tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// The API keys.
#[utoipa::path(get, path = "/api/v1/keys", tag = "access", responses(
    (status = 200, description = "the keys, without what is secret of them", body = AllKeys),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<AllKeys>, ApiError> {
    caller.needs(Scope::Admin)?;
    let items = app.blocking(|app| app.keys.list().map_err(ApiError::from)).await?;
    Ok(Json(AllKeys { items }))
}

/// Make an API key.
#[utoipa::path(post, path = "/api/v1/keys", tag = "access", request_body = NewKey, responses(
    (status = 201, description = "the key, which is shown this once", body = Made),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem),
    (status = 409, description = "there is one of that name", body = schema::Problem),
    (status = 422, description = "a field is not allowed", body = schema::Problem)))]
async fn add(State(app): State<App>, caller: Caller, JsonBody(new): JsonBody<NewKey>) -> Result<Response, ApiError> {
    caller.needs(Scope::Admin)?;
    let (key, about) = app.blocking(move |app| app.keys.add(&new).map_err(ApiError::from)).await?;
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(Made { key, about })).into_response())
}

/// Revoke an API key.
#[utoipa::path(delete, path = "/api/v1/keys/{name}", tag = "access", params(("name" = String, Path, description = "its name")), responses(
    (status = 204, description = "it is not valid any more"),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem),
    (status = 404, description = "there is none of that name", body = schema::Problem)))]
async fn revoke(State(app): State<App>, caller: Caller, Place(name): Place<String>) -> Result<StatusCode, ApiError> {
    caller.needs(Scope::Admin)?;
    app.blocking(move |app| app.keys.revoke(&name).map_err(ApiError::from)).await?;
    Ok(StatusCode::NO_CONTENT)
}
