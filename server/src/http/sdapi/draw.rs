//! `txt2img`: one job per run of the request (`n_iter`), and an answer when all have ended.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encaustic_picture::infotext::Infotext;
use encaustic_protocol::{Catalog, Entry, ImageRef};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::ask::{self, Ask};
use super::runs::{Runs, timestamp};
use super::{names, options, shapes};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::http::errand::{self, Errand};
use crate::http::extract::JsonBody;
use crate::http::{ApiError, picture};
use crate::job::{Job, NewJob};
use crate::time::Millis;

/// Pictures.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = A1111Drawn)]
pub(super) struct Drawn {
    /// The files in Base64.
    images: Vec<String>,
    /// What was asked, with everything filled in.
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// How they were made: an object, as a text of JSON.
    info: String,
}

/// Draw pictures of words.
///
/// Fields and their defaults are A1111's; those that it has and that are not possible here are refused. Hang up to take the
/// request back.
#[utoipa::path(post, path = "/sdapi/v1/txt2img", tag = "A1111", request_body = shapes::Txt2Img, responses(
    (status = 200, description = "the pictures", body = Drawn),
    (status = 422, description = "a field is not allowed", body = shapes::Problem),
    (status = 429, description = "too many jobs wait; `Retry-After` says when to try again", body = shapes::Problem)))]
pub(super) async fn txt2img(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<Json<Drawn>, ApiError> {
    caller.needs(Scope::Generate)?;
    let client = caller.client.clone();
    let ask = app.blocking(move |app| {
        let ask = ask::read(app, body, options::choices(app, &client)?)?;
        if ask.keeps_choices {
            options::keep(app, &client, &ask.choices)?;
        }
        Ok::<_, ApiError>(ask)
    });
    let ask = ask.await?;
    let wishes = (0..ask.runs).map(|run| wish(&ask, run)).collect();
    let begun = (app.clock)();
    let errand = Errand::begin(&app, &caller, wishes).await.map_err(ask::named)?;
    let entered = Runs::enter(&app, &caller.client, errand.jobs(), ask.request.steps.unwrap_or(0));
    let jobs = errand.wait().await?;
    drop(entered);
    if let Some(failure) = jobs.iter().find_map(|job| job.failure.as_ref()) {
        return Err(errand::failed(failure));
    }
    Ok(Json(app.blocking(move |app| answer(app, &ask, &jobs, begun)).await?))
}

fn wish(ask: &Ask, run: u32) -> NewJob {
    let mut request = ask.request.clone();
    let before = u64::from(run) * u64::from(request.batch);
    request.seed = Some(ask.seed.wrapping_add(before));
    NewJob { request, model: ask.choices.model.as_ref().map(|model| model.model_name.clone()), ..NewJob::default() }
}

fn answer(app: &App, ask: &Ask, jobs: &[Job], begun: Millis) -> Result<Drawn, ApiError> {
    let refs: Vec<&ImageRef> = jobs.iter().flat_map(|job| &job.images).collect();
    let mut images = Vec::new();
    let mut pictures = Vec::new();
    for reference in refs {
        let found = picture::find(app, &reference.name)?;
        if ask.sends_images {
            images.push(STANDARD.encode(picture::file(app, &found)?));
        }
        pictures.push(found);
    }
    let info = info(app, ask, &pictures, begun)?;
    Ok(Drawn { images, parameters: ask.echo.clone(), info: info.to_string() })
}

/// How the pictures were made, in A1111's words.
fn info(app: &App, ask: &Ask, pictures: &[picture::Found], begun: Millis) -> Result<Value, ApiError> {
    let catalog: Catalog = app.host.catalog();
    let first = pictures.first();
    // What was done, where something was; else what was asked.
    let done = first.map_or(&ask.request, |picture| &picture.settings);
    let label = |id: &Option<String>, entries: &[Entry]| {
        let known = id.as_ref().and_then(|id| entries.iter().find(|entry| entry.is_called(id)));
        known.map(|entry| entry.label.clone()).or_else(|| id.clone())
    };
    let model = match (&ask.choices.model, first) {
        (Some(model), _) => Some(model.clone()),
        (None, Some(picture)) => names::model(app, &picture.model, "model").ok(),
        (None, None) => names::usual(app)?,
    };
    let told = first.map(|picture| Infotext::parse(&picture.parameters));
    let hash = told.as_ref().and_then(|told| told.get("Model hash")).map(str::to_owned);
    let hash = hash.or_else(|| model.as_ref().and_then(|model| model.hash.clone()));
    let seeds: Vec<u64> = pictures.iter().map(|picture| picture.seed).collect();
    let subseed = ask.echo.get("subseed").and_then(Value::as_u64);
    let subseeds: Vec<u64> =
        (0_u64..).zip(&seeds).map(|(i, seed)| subseed.map_or(*seed, |subseed| subseed.wrapping_add(i))).collect();
    let mut extra = Map::new();
    if let Some(schedule) = label(&done.schedule, &catalog.schedules) {
        extra.insert("Schedule type".to_owned(), schedule.into());
    }
    Ok(json!({
        "prompt": done.prompt,
        "all_prompts": vec![&done.prompt; pictures.len()],
        "negative_prompt": done.negative,
        "all_negative_prompts": vec![&done.negative; pictures.len()],
        "seed": seeds.first().unwrap_or(&ask.seed),
        "all_seeds": seeds,
        "subseed": subseeds.first().unwrap_or(&ask.seed),
        "all_subseeds": subseeds,
        "subseed_strength": 0,
        "width": done.width,
        "height": done.height,
        "sampler_name": label(&done.sampler, &catalog.samplers),
        "cfg_scale": done.cfg,
        "steps": done.steps,
        "batch_size": ask.request.batch,
        "restore_faces": false,
        "face_restoration_model": null,
        "sd_model_name": model.as_ref().map(|model| &model.model_name),
        "sd_model_hash": hash,
        "sd_vae_name": null,
        "sd_vae_hash": null,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": null,
        "extra_generation_params": extra,
        "index_of_first_image": 0,
        "infotexts": pictures.iter().map(|picture| &picture.parameters).collect::<Vec<_>>(),
        "styles": [],
        "job_timestamp": timestamp(begun),
        "clip_skip": done.clip_skip.unwrap_or(1),
        "is_using_inpainting_conditioning": false,
        "version": concat!("encaustic ", env!("CARGO_PKG_VERSION")),
    }))
}
