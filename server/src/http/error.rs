//! What is answered when something is wrong: `{"error": {"code", "message", "field"?}}`, with the status that fits.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use encaustic_protocol::{Failure, FailureKind, Invalid};
use serde_json::json;

use crate::app::Interrupted;
use crate::db::DbError;
use crate::queue::QueueError;

/// By this header OpenAI's clients, which try again after many errors, know better.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An answer that is not what was asked for.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The status.
    pub status: StatusCode,
    /// What is wrong, for programs: `invalid`, `not_found`, ...
    pub code: &'static str,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// The field of the request that it is about.
    pub field: Option<String>,
    /// When to try again, in seconds.
    pub retry_secs: Option<u32>,
    /// Whether the same request would not fare better, whatever its status says: clients that try again by themselves are told.
    pub is_final: bool,
}

impl ApiError {
    /// An answer without a field.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None, retry_secs: None, is_final: false }
    }

    /// A field that is not allowed: 422.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message) }
    }

    /// The same without a prefix of its field, for interfaces in which nothing stands around it.
    #[must_use]
    pub fn without(mut self, prefix: &str) -> Self {
        self.field = self.field.map(|field| field.strip_prefix(prefix).map_or(field.clone(), str::to_owned));
        self
    }

    /// The same, and nobody is to try again by himself.
    #[must_use]
    pub fn finally(self) -> Self {
        Self { is_final: true, ..self }
    }

    /// There is nothing of that name: 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The body is larger than this route takes: 413.
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is larger than this route takes; send less")
    }

    /// The server failed: 500. `message` says so to anybody: no names of files or folders; those go to the log.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(field), Some(error)) = (&self.field, error.as_object_mut()) {
            error.insert("field".to_owned(), field.clone().into());
        }
        let mut response = (self.status, Json(json!({"error": error}))).into_response();
        if let Some(seconds) = self.retry_secs {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.is_final {
            response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        // Interfaces that speak another form of errors make theirs from it.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Interrupted> for ApiError {
    fn from(error: Interrupted) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        tracing::error!("{error}");
        if error.is_full() {
            let message = "no room is left on the server's disk; nothing was changed. Make room, and try again";
            return Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message);
        }
        Self::internal("the server's database failed; its log says how")
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        let message = error.to_string();
        match error {
            QueueError::Unknown(_) => Self::not_found(message),
            QueueError::Over { .. } | QueueError::NotNow { .. } | QueueError::Unequal { .. } | QueueError::Lost(_) => {
                Self::new(StatusCode::CONFLICT, "conflict", message)
            }
            QueueError::KeyReused(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key", message),
            QueueError::Full { retry_secs, .. } => {
                Self { retry_secs: Some(retry_secs), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", message) }
            }
            QueueError::Database(error) => error.into(),
        }
    }
}

impl From<Invalid> for ApiError {
    fn from(error: Invalid) -> Self {
        let message = error.to_string();
        Self::invalid(error.field, message)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Invalid => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", failure.message),
            FailureKind::Model => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "model", failure.message),
            FailureKind::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "busy", failure.message),
            FailureKind::Device => Self::internal(failure.message),
            FailureKind::Storage => {
                tracing::error!("{}", failure.message);
                Self::internal("the server could not read or write its files; its log says which and why")
            }
        }
    }
}
