//! `images/generations`: one job, and an answer when it has ended.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::ask::{self, Ask};
use super::{link, shapes, stream};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::http::errand::{self, Errand};
use crate::http::extract::{AnyBody, JsonBody};
use crate::http::{ApiError, picture};
use crate::job::{Job, State as JobState};

/// Pictures.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImages)]
pub(super) struct Images {
    /// When they were made, in seconds since 1970.
    pub(super) created: i64,
    pub(super) background: &'static str,
    pub(super) output_format: &'static str,
    /// What was asked for; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quality: Option<&'static str>,
    /// `WIDTHxHEIGHT`
    pub(super) size: String,
    pub(super) data: Vec<Image>,
    pub(super) usage: Usage,
}

/// A picture.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImage)]
pub(super) struct Image {
    /// The file in Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) b64_json: Option<String>,
    /// Where it is, for an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    /// What was drawn: the prompt as it was sent.
    pub(super) revised_prompt: String,
}

/// What it cost.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
#[schema(as = OpenAiUsage)]
pub(super) struct Usage {
    /// Tokens of the prompt.
    input_tokens: u32,
    input_tokens_details: UsageDetails,
    /// Always 0: pictures are not made of tokens here.
    output_tokens: u32,
    /// Tokens of the prompt.
    total_tokens: u32,
}

/// Of what.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
#[schema(as = OpenAiUsageDetails)]
pub(super) struct UsageDetails {
    text_tokens: u32,
    image_tokens: u32,
}

impl Usage {
    /// Of a request. It blocks.
    pub(super) fn of(app: &App, ask: &Ask) -> Self {
        let texts = [ask.wish.request.prompt.clone()];
        // It is told for those who keep books; a model that cannot count is no reason to fail.
        let counted = app.host.count(ask.wish.model.as_deref(), &texts).ok();
        let tokens = counted.and_then(|counted| counted.first().copied()).unwrap_or(0);
        let input_tokens_details = UsageDetails { text_tokens: tokens, image_tokens: 0 };
        Self { input_tokens: tokens, input_tokens_details, output_tokens: 0, total_tokens: tokens }
    }
}

/// Draw pictures of words.
///
/// Fields and their defaults are OpenAI's. With `stream`, events are answered: `image_generation.partial_image` and
/// `image_generation.completed`. Hang up to take the request back.
#[utoipa::path(post, path = "/v1/images/generations", tag = "OpenAI", request_body = shapes::Generations, responses(
    (status = 200, description = "the pictures", body = Images),
    (status = 400, description = "a field is not allowed", body = shapes::Problem),
    (status = 404, description = "there is no such model", body = shapes::Problem),
    (status = 429, description = "too many jobs wait; `Retry-After` says when to try again", body = shapes::Problem)))]
pub(super) async fn generations(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Response, ApiError> {
    caller.needs(Scope::Generate)?;
    let ask = app.blocking(move |app| ask::read(app, body)).await?;
    let errand = Errand::begin(&app, &caller, vec![ask.wish.clone()]).await?;
    if ask.is_stream {
        return Ok(stream::answer(app, ask, errand));
    }
    let jobs = errand.wait().await?;
    let job = ended(jobs)?;
    let base = link::base(&headers);
    let turn = app.images.turn().await;
    let images = app.blocking(move |app| {
        let _turn = turn;
        answer(app, &ask, &job, &base)
    });
    Ok(Json(images.await?).into_response())
}

/// The job, if it has pictures.
///
/// # Errors
/// If it failed or was taken back.
pub(super) fn ended(jobs: Vec<Job>) -> Result<Job, ApiError> {
    let job = jobs.into_iter().next().ok_or_else(|| ApiError::internal("there is no job"))?;
    match (&job.failure, job.state) {
        (Some(failure), _) => Err(errand::failed(failure)),
        (None, JobState::Finished) => Ok(job),
        (None, _) => {
            let message = "somebody has cancelled this job in the server's queue";
            // It would be a new job, and be cancelled again.
            Err(ApiError::new(StatusCode::CONFLICT, "cancelled", message).finally())
        }
    }
}

fn answer(app: &App, ask: &Ask, job: &Job, base: &str) -> Result<Images, ApiError> {
    let mut data = Vec::new();
    for image in &job.images {
        let found = picture::find(app, &image.name)?;
        let (b64_json, url) = if ask.sends_links {
            (None, Some(link::make(app, base, &found.sha256, ask.format, ask.compression)?))
        } else {
            (Some(STANDARD.encode(picture::file_as(app, &found, ask.format, ask.compression)?)), None)
        };
        data.push(Image { b64_json, url, revised_prompt: ask.wish.request.prompt.clone() });
    }
    let first = job.images.first();
    Ok(Images {
        created: job.ended.unwrap_or_else(|| (app.clock)()).div_euclid(1000),
        background: "opaque",
        output_format: ask.format.name(),
        quality: Some(ask.quality).filter(|quality| *quality != "auto"),
        size: first.map(|image| format!("{}x{}", image.width, image.height)).unwrap_or_default(),
        data,
        usage: Usage::of(app, ask),
    })
}

macro_rules! refused {
    ($( $(#[doc = $help:literal])+ $id:ident $path:literal $what:literal; )+) => { $(
        $(#[doc = $help])+
        #[utoipa::path(post, path = $path, tag = "OpenAI", responses((status = 501, description = "not yet", body = shapes::Problem)))]
        pub(super) async fn $id(caller: Caller, _: AnyBody) -> Result<Json<Value>, ApiError> {
            caller.needs(Scope::Generate)?;
            let message = concat!($what, " is not possible here yet; `/v1/images/generations` draws pictures of words");
            Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", message))
        }
    )+ };
}

refused! {
    /// Not possible yet: change a picture.
    edits "/v1/images/edits" "to change a picture";
    /// Not possible yet: vary a picture.
    variations "/v1/images/variations" "to vary a picture";
}
