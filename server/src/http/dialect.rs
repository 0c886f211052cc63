//! Errors in the form that an interface's clients read: whatever went wrong, wherever, is an [`ApiError`] first.

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::ApiError;

/// How an interface says an error.
type Form = fn(&ApiError) -> (StatusCode, Value);

/// Says an error of the interface that the path belongs to in its own form. It goes around everything else.
pub async fn speak(request: Request, next: Next) -> Response {
    let form: Option<Form> = match request.uri().path() {
        path if path.starts_with("/sdapi/") => Some(a1111),
        path if path.starts_with("/v1/") => Some(openai),
        _ => None,
    };
    let mut response = next.run(request).await;
    let error = response.extensions_mut().remove::<ApiError>();
    let (Some(form), Some(error)) = (form, error) else { return response };
    let (status, body) = form(&error);
    let mut said = (status, Json(body)).into_response();
    // What else was told stays: when to try again, how to sign in.
    for (name, value) in response.headers() {
        if !said.headers().contains_key(name) && name != "content-length" {
            said.headers_mut().append(name, value.clone());
        }
    }
    said
}

/// A1111's form. `detail` is a text there where a request is refused, and a list where a field is wrong; clients show both.
fn a1111(error: &ApiError) -> (StatusCode, Value) {
    let name = match error.status {
        StatusCode::UNPROCESSABLE_ENTITY if error.field.is_some() => "RequestValidationError",
        status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => "RuntimeError",
        _ => "HTTPException",
    };
    let body = error.field.clone().unwrap_or_default();
    (error.status, json!({"error": name, "detail": error.message, "body": body, "errors": error.message}))
}

/// OpenAI's form: what a request says wrongly is 400 there, `param` names it.
pub(super) fn openai(error: &ApiError) -> (StatusCode, Value) {
    let status = match error.status {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let kind = match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    let code = match (error.code, status) {
        ("invalid", _) => "invalid_value",
        ("queue_full" | "busy", _) => "rate_limit_exceeded",
        (_, StatusCode::UNAUTHORIZED) => "invalid_api_key",
        (code, _) => code,
    };
    (status, json!({"error": {"message": error.message, "type": kind, "param": error.field, "code": code}}))
}
