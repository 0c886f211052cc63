//! Messages about jobs that have ended: how their delivery goes, and sending them again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use encaustic_protocol::JobId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{AnyBody, Place};
use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::webhooks::{self, Delivery};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(send)).routes(routes!(secret))
}

/// Messages.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Deliveries {
    /// Oldest first; empty if the job has not ended, or nobody wanted to be told.
    pub items: Vec<Delivery>,
}

/// What messages are signed with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Secret {
    /// `whsec_` and bytes in Base64, as libraries for Standard Webhooks take it.
    pub secret: String,
}

/// The messages about a job, and how their delivery goes.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/webhooks", tag = "jobs", params(("id" = u64, Path, description = "the job's number")), responses(
    (status = 200, description = "the messages", body = Deliveries),
    (status = 404, description = "there is no such job", body = schema::Problem)))]
async fn list(State(app): State<App>, caller: Caller, Place(id): Place<u64>) -> Result<Json<Deliveries>, ApiError> {
    caller.needs(Scope::Read)?;
    app.blocking(move |app| {
        app.queue.job(JobId(id))?;
        Ok(Json(Deliveries { items: webhooks::deliveries(&app.db, JobId(id))? }))
    })
    .await
}

/// Send a message again, now.
///
/// It has the same `webhook-id`, and all its tries anew.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/webhooks/{webhook}/send", tag = "jobs",
    params(("id" = u64, Path, description = "the job's number"), ("webhook" = String, Path, description = "the message's `webhook-id`")),
    responses(
        (status = 202, description = "it is on its way", body = Delivery),
        (status = 403, description = "it is another client's job", body = schema::Problem),
        (status = 404, description = "there is no such message", body = schema::Problem)))]
async fn send(
    State(app): State<App>,
    caller: Caller,
    Place((id, webhook)): Place<(u64, String)>,
    _: AnyBody,
) -> Result<(StatusCode, Json<Delivery>), ApiError> {
    caller.needs(Scope::Generate)?;
    let sent = app.blocking(move |app| {
        caller.needs_to_own(&app.queue.job(JobId(id))?.client)?;
        let sent = webhooks::send_again(&app.db, JobId(id), &webhook, (app.clock)())?;
        sent.ok_or_else(|| {
            ApiError::not_found(format!("job {id} has no such message; `GET /api/v1/jobs/{id}/webhooks` lists them"))
        })
    });
    let delivery = sent.await?;
    app.webhooks.bell.notify_one();
    Ok((StatusCode::ACCEPTED, Json(delivery)))
}

/// What messages are signed with; receivers check signatures with it.
#[utoipa::path(get, path = "/api/v1/webhooks/secret", tag = "jobs", responses(
    (status = 200, description = "the secret", body = Secret),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem)))]
async fn secret(State(app): State<App>, caller: Caller) -> Result<Json<Secret>, ApiError> {
    caller.needs(Scope::Admin)?;
    Ok(Json(Secret { secret: app.webhooks.signer.secret() }))
}
