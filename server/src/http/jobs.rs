//! Jobs: submit, list, follow, cancel, try again, and change their order.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use encaustic_protocol::JobId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{JsonBody, Params, Place};
use super::submit::{self, Accepted};
use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::job::{Client, Job, NewJob, PRIORITIES, Priority, State as JobState};
use crate::queue::Wanted;
use crate::work::Glance;

/// How many jobs are listed if nobody says.
const USUAL: u32 = 100;
/// How many may be asked for at once.
const MOST: u32 = 1000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, post))
        .routes(routes!(get, cancel))
        .routes(routes!(progress))
        .routes(routes!(preview))
        .routes(routes!(retry))
        .routes(routes!(prioritise))
        .routes(routes!(place))
}

/// Some jobs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Jobs {
    /// The jobs: waiting ones in the order in which they will be done, the others newest first.
    pub items: Vec<Job>,
    /// What to give as `before` for the next ones; absent where there are no more.
    pub next: Option<u64>,
}

/// Which jobs.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// In these states, with commas between them.
    #[param(example = "waiting,running")]
    pub state: Option<String>,
    /// Of this client.
    pub client: Option<String>,
    /// Those that come after this job in the list: `next` of the page before.
    pub before: Option<u64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// Another priority.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPriority {
    /// Jobs of a higher priority come first.
    #[schema(minimum = -100, maximum = 100)]
    pub priority: Priority,
}

/// Another place.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlace {
    /// Before this waiting job of the same priority; behind all of them if nothing is said.
    #[serde(default)]
    pub before: Option<u64>,
}

/// Submit a job.
///
/// It is on the disk when this answers. With a header `Idempotency-Key`, a second submission of the same job answers with the
/// job of the first.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = NewJob,
    params(("Idempotency-Key" = Option<String>, Header, description = "a text of your own, such as a UUID")),
    responses(
        (status = 202, description = "it is in the queue", body = Job, headers(("location" = String, description = "where the job is"))),
        (status = 415, description = "no JSON", body = schema::Problem),
        (status = 422, description = "a field is not allowed", body = schema::Problem),
        (status = 429, description = "too many jobs wait; `Retry-After` says when to try again", body = schema::Problem)))]
async fn post(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(wish): JsonBody<NewJob>,
) -> Result<Response, ApiError> {
    let key = submit::idempotency_key(&headers)?;
    Ok(accepted(submit::submit(&app, &caller, wish, key).await?))
}

fn accepted(Accepted { job, is_new }: Accepted) -> Response {
    let location = format!("/api/v1/jobs/{}", job.id.0);
    let mut response = (StatusCode::ACCEPTED, Json(job)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if !is_new {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// List jobs.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(Which), responses(
    (status = 200, description = "jobs", body = Jobs),
    (status = 422, description = "a parameter is not allowed", body = schema::Problem)))]
async fn list(State(app): State<App>, caller: Caller, Params(which): Params<Which>) -> Result<Json<Jobs>, ApiError> {
    caller.needs(Scope::Read)?;
    let limit = limit(which.limit, USUAL, MOST)?;
    let states = states(which.state.as_deref().unwrap_or_default())?;
    let wanted = Wanted { states, client: which.client.map(Client), before: which.before.map(JobId), most: limit };
    let items = app.blocking(move |app| app.queue.jobs(&wanted).map_err(ApiError::from)).await?;
    let is_full = u32::try_from(items.len()).is_ok_and(|found| found == limit);
    let last = items.last().filter(|_| is_full);
    Ok(Json(Jobs { next: last.map(|job| job.id.0), items }))
}

/// A limit of a list.
///
/// # Errors
/// 422 if it is not within what may be asked for.
pub(super) fn limit(asked: Option<u32>, usual: u32, most: u32) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::invalid("limit", format!("limit: {limit} is not allowed; use 1 to {most}")))
}

fn states(text: &str) -> Result<Vec<JobState>, ApiError> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let state = |name: &str| {
        JobState::ALL.into_iter().find(|state| state.name() == name).ok_or_else(|| {
            let all: Vec<&str> = JobState::ALL.iter().map(|state| state.name()).collect();
            ApiError::invalid("state", format!("state: {name:?} is not allowed; use {}", all.join(", ")))
        })
    };
    names.map(state).collect()
}

/// One job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = u64, Path, description = "the job's number")), responses(
    (status = 200, description = "the job", body = Job),
    (status = 404, description = "there is none of that number", body = schema::Problem)))]
async fn get(State(app): State<App>, caller: Caller, Place(id): Place<u64>) -> Result<Json<Job>, ApiError> {
    caller.needs(Scope::Read)?;
    find(&app, id).await.map(Json)
}

/// How far a running job is.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/progress", tag = "jobs", params(("id" = u64, Path, description = "the job's number")), responses(
    (status = 200, description = "how far it is", body = Glance),
    (status = 404, description = "it does not run", body = schema::Problem)))]
async fn progress(State(app): State<App>, caller: Caller, Place(id): Place<u64>) -> Result<Json<Glance>, ApiError> {
    caller.needs(Scope::Read)?;
    glance(&app, id).map(Json)
}

fn glance(app: &App, id: u64) -> Result<Glance, ApiError> {
    app.crew.live.job(JobId(id)).ok_or_else(|| ApiError::not_found(format!("job {id} does not run")))
}

/// The latest look at a running job's first picture.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/preview", tag = "jobs", params(("id" = u64, Path, description = "the job's number")), responses(
    (status = 200, description = "a small picture", content((Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"))),
    (status = 404, description = "it does not run, or there is none yet", body = schema::Problem)))]
async fn preview(State(app): State<App>, caller: Caller, Place(id): Place<u64>) -> Result<Response, ApiError> {
    caller.needs(Scope::Read)?;
    let look = glance(&app, id)?.look.ok_or_else(|| ApiError::not_found(format!("there is no look at job {id} yet")))?;
    let headers = [(header::CONTENT_TYPE, look.mime), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, look.bytes.clone()).into_response())
}

/// A job of the queue.
pub(super) async fn find(app: &App, id: u64) -> Result<Job, ApiError> {
    app.blocking(move |app| app.queue.job(JobId(id)).map_err(ApiError::from)).await
}

/// Changes a job that is the caller's, and returns it as it is then.
async fn change(
    app: &App,
    caller: Caller,
    id: u64,
    change: impl FnOnce(&App) -> Result<(), ApiError> + Send + 'static,
) -> Result<Json<Job>, ApiError> {
    caller.needs(Scope::Generate)?;
    let job = app.blocking(move |app| {
        let job = app.queue.job(JobId(id))?;
        caller.needs_to_own(&job.client)?;
        change(app)?;
        Ok::<_, ApiError>(app.queue.job(JobId(id))?)
    });
    job.await.map(Json)
}

/// Cancel a job.
///
/// One that waits ends at once, one that runs after its current step.
#[utoipa::path(delete, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = u64, Path, description = "the job's number")), responses(
    (status = 202, description = "it ends; the job as it is now", body = Job),
    (status = 403, description = "it is another client's", body = schema::Problem),
    (status = 404, description = "there is none of that number", body = schema::Problem),
    (status = 409, description = "it has ended", body = schema::Problem)))]
async fn cancel(State(app): State<App>, caller: Caller, Place(id): Place<u64>) -> Result<impl IntoResponse, ApiError> {
    let job = change(&app, caller, id, move |app| Ok(app.queue.cancel(JobId(id)).map(|_| ())?)).await?;
    Ok((StatusCode::ACCEPTED, job))
}

/// Try a failed or cancelled job again, as a new one.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "jobs", params(("id" = u64, Path, description = "the job's number")), responses(
    (status = 202, description = "the new job", body = Job, headers(("location" = String, description = "where it is"))),
    (status = 404, description = "there is none of that number", body = schema::Problem),
    (status = 409, description = "it has not failed", body = schema::Problem),
    (status = 429, description = "too many jobs wait", body = schema::Problem)))]
async fn retry(State(app): State<App>, caller: Caller, Place(id): Place<u64>) -> Result<Response, ApiError> {
    Ok(accepted(submit::retry(&app, &caller, id).await?))
}

/// Change the priority of a waiting job.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/priority", tag = "jobs", request_body = NewPriority,
    params(("id" = u64, Path, description = "the job's number")), responses(
    (status = 200, description = "the job as it is now", body = Job),
    (status = 403, description = "it is another client's", body = schema::Problem),
    (status = 404, description = "there is none of that number", body = schema::Problem),
    (status = 409, description = "it does not wait", body = schema::Problem),
    (status = 422, description = "there is no such priority", body = schema::Problem)))]
async fn prioritise(
    State(app): State<App>,
    caller: Caller,
    Place(id): Place<u64>,
    JsonBody(NewPriority { priority }): JsonBody<NewPriority>,
) -> Result<Json<Job>, ApiError> {
    submit::may_have(&caller, priority)?;
    if !PRIORITIES.contains(&priority) {
        let (least, most) = (PRIORITIES.start(), PRIORITIES.end());
        let message = format!("priority: {priority} is not allowed; use {least} to {most}");
        return Err(ApiError::invalid("priority", message));
    }
    change(&app, caller, id, move |app| Ok(app.queue.prioritise(JobId(id), priority)?)).await
}

/// Move a waiting job before another.
///
/// Clients take turns, so a job's place is one among its own client's jobs of the same priority.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/place", tag = "jobs", request_body = NewPlace,
    params(("id" = u64, Path, description = "the job's number")), responses(
    (status = 200, description = "the job as it is now", body = Job),
    (status = 403, description = "it is another client's", body = schema::Problem),
    (status = 404, description = "there is none of that number", body = schema::Problem),
    (status = 409, description = "it does not wait, or the other does not", body = schema::Problem)))]
async fn place(
    State(app): State<App>,
    caller: Caller,
    Place(id): Place<u64>,
    JsonBody(NewPlace { before }): JsonBody<NewPlace>,
) -> Result<Json<Job>, ApiError> {
    let mover = caller.clone();
    let place = move |app: &App| {
        // Before another client's job it would come before everything that is that client's turn.
        if let Some(other) = before
            && !mover.may(Scope::Admin)
        {
            mover.needs_to_own(&app.queue.job(JobId(other))?.client)?;
        }
        Ok(app.queue.place(JobId(id), before.map(JobId))?)
    };
    change(&app, caller, id, place).await
}
