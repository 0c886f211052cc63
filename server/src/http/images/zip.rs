//! Many pictures in one archive, written while it is read. Pictures are compressed already, so they are stored as they are.

use std::collections::HashSet;
use std::io::{self, Write};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::file::disposition;
use super::flow::Pipe;
use super::{Which, bounded, format, named};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::db::Failed;
use crate::http::extract::{JsonBody, Params};
use crate::http::{ApiError, schema};
use crate::images::list;
use crate::images::rows::{self, Image};
use crate::time::{self, civil};

/// How many pictures an archive may have.
const MOST: u32 = 10_000;
/// What stands in the archive if files were missing.
const MISSING: &str = "missing.txt";

/// Which pictures go into an archive.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wish {
    /// These, in this order, at most 10000; else those that the other fields describe.
    #[schema(max_items = 10000)]
    pub ids: Option<Vec<u64>>,
    /// With these words.
    pub q: Option<String>,
    /// Favourites, or all others.
    pub favourite: Option<bool>,
    /// In this collection.
    pub collection: Option<u64>,
    /// Of this model.
    pub model: Option<String>,
    /// Of this client.
    pub client: Option<String>,
    /// Of this job.
    pub job: Option<u64>,
    /// Entered at this moment or later, in milliseconds since 1970.
    pub since: Option<time::Millis>,
    /// Entered before this moment.
    pub until: Option<time::Millis>,
}

/// As [`Wish`], after a `?`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// These, with commas between them.
    #[param(example = "3,4,5")]
    pub ids: Option<String>,
    /// With these words.
    pub q: Option<String>,
    /// Favourites, or all others.
    pub favourite: Option<bool>,
    /// In this collection.
    pub collection: Option<u64>,
    /// Of this model.
    pub model: Option<String>,
    /// Of this client.
    pub client: Option<String>,
    /// Of this job.
    pub job: Option<u64>,
    /// Entered at this moment or later, in milliseconds since 1970.
    pub since: Option<time::Millis>,
    /// Entered before this moment.
    pub until: Option<time::Millis>,
}

/// An archive of pictures.
///
/// For a link in a page: a browser saves it while it comes.
#[utoipa::path(get, path = "/api/v1/images/zip", tag = "images", params(Asked), responses(
    (status = 200, description = "the archive", body = Vec<u8>, content_type = "application/zip"),
    (status = 404, description = "there are no such pictures", body = schema::Problem),
    (status = 422, description = "too many pictures", body = schema::Problem),
    (status = 429, description = "other archives are being made", body = schema::Problem)))]
pub(super) async fn get(State(app): State<App>, caller: Caller, Params(asked): Params<Asked>) -> Result<Response, ApiError> {
    let wrong = || ApiError::invalid("ids", "ids: use numbers with commas between them");
    let number = |id: &str| id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok()).flatten();
    let numbers = |ids: String| ids.split(',').map(|id| number(id).ok_or_else(wrong)).collect::<Result<Vec<u64>, _>>();
    let ids = asked.ids.map(numbers).transpose()?;
    let Asked { q, favourite, collection, model, client, job, since, until, .. } = asked;
    archive(app, caller, Wish { ids, q, favourite, collection, model, client, job, since, until }).await
}

/// An archive of pictures.
#[utoipa::path(post, path = "/api/v1/images/zip", tag = "images", request_body = Wish, responses(
    (status = 200, description = "the archive", body = Vec<u8>, content_type = "application/zip"),
    (status = 404, description = "there are no such pictures", body = schema::Problem),
    (status = 422, description = "too many pictures", body = schema::Problem),
    (status = 429, description = "other archives are being made", body = schema::Problem)))]
pub(super) async fn post(State(app): State<App>, caller: Caller, JsonBody(wish): JsonBody<Wish>) -> Result<Response, ApiError> {
    archive(app, caller, wish).await
}

async fn archive(app: App, caller: Caller, wish: Wish) -> Result<Response, ApiError> {
    caller.needs(Scope::Read)?;
    let Some(permit) = app.images.export() else {
        let message = "other archives are being made; try again when one of them is done";
        return Err(ApiError { retry_secs: Some(10), ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "busy", message) });
    };
    let images = app.blocking(move |app| chosen(app, wish)).await?;
    let (mut pipe, body) = Pipe::new();
    let moment = civil(time::now());
    let name = format!("encaustic-{:04}-{:02}-{:02}.zip", moment.year, moment.month, moment.day);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        if let Err(error) = write(&app, &images, &mut pipe).and_then(|()| pipe.flush()) {
            tracing::warn!("an archive of {} pictures was broken off: {error}", images.len());
            pipe.fail(error);
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, disposition(&name, true)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, body).into_response())
}

/// The pictures; those of a search oldest first, so that their numbers rise with time.
fn chosen(app: &App, wish: Wish) -> Result<Vec<Image>, ApiError> {
    let too_many = |field: &str| {
        ApiError::invalid(field, format!("an archive has at most {MOST} pictures; ask for several with `since` and `until`"))
    };
    let images = match wish.ids {
        Some(ids) if ids.len() > MOST as usize => return Err(too_many("ids")),
        Some(ids) => app.db.read(|reader| {
            let mut images = Vec::new();
            for id in ids {
                images.extend(rows::image(reader, bounded(id))?);
            }
            Ok::<_, Failed<ApiError>>(images)
        })?,
        None => {
            let Wish { q, favourite, collection, model, client, job, since, until, .. } = wish;
            let wanted = Which { q, favourite, collection, model, client, job, since, until }.wanted()?;
            let mut images = app.db.read(|reader| Ok::<_, Failed<ApiError>>(list::page(reader, &wanted, MOST + 1)?))?;
            if images.len() > MOST as usize {
                return Err(too_many("q"));
            }
            images.reverse();
            images
        }
    };
    if images.is_empty() {
        return Err(ApiError::not_found("there are no such pictures"));
    }
    Ok(images)
}

fn write(app: &App, images: &[Image], to: &mut Pipe) -> io::Result<()> {
    let mut archive = ZipWriter::new_stream(to);
    let mut taken = HashSet::from([MISSING.to_owned()]);
    let mut missing = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let read = format(image).and_then(|format| Ok((format, app.images.read(&image.sha256, format)?)));
        let (format, bytes) = match read {
            Ok(read) => read,
            Err(error) => {
                missing.push(format!("picture {}: {error}\n", image.id));
                continue;
            }
        };
        let name = named(app, image);
        // Names that differ in their case alone are one on some systems.
        let paths = (index as u64 + 1..).map(|number| name.path(number, format.ending()));
        let Some(path) = paths.into_iter().find(|path| taken.insert(path.to_lowercase())) else { continue };
        archive.start_file(path, options(image.created))?;
        archive.write_all(&bytes)?;
    }
    if !missing.is_empty() {
        archive.start_file(MISSING, options(time::now()))?;
        archive.write_all(missing.concat().as_bytes())?;
    }
    archive.finish()?;
    Ok(())
}

fn options(at: time::Millis) -> SimpleFileOptions {
    let at = civil(at);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let year = u16::try_from(at.year).unwrap_or_default();
    // Archives know no time before 1980.
    match DateTime::from_date_and_time(year, at.month, at.day, at.hour, at.minute, at.second) {
        Ok(at) => options.last_modified_time(at),
        Err(_) => options,
    }
}
