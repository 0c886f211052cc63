//! Pictures of a job that has ended, for interfaces that send them with their answer.

use encaustic_protocol::Request;

use super::ApiError;
use crate::App;
use crate::images::format::{self, Format, Quality};
use crate::images::{rows, upload};

/// What is known of a picture.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name of its file.
    pub sha256: String,
    /// The form of its file.
    pub format: Format,
    /// Its seed.
    pub seed: u64,
    /// Its model.
    pub model: String,
    /// How it was made, with everything filled in.
    pub settings: Request,
    /// The same in the words of A1111's `parameters`.
    pub parameters: String,
}

/// Finds a picture by the name that its job's last event has for it. It blocks.
///
/// # Errors
/// 404 if somebody has deleted it.
pub fn find(app: &App, name: &str) -> Result<Found, ApiError> {
    let gone = || ApiError::not_found("a picture was deleted before it could be sent");
    let details = app.db.read::<_, crate::db::DbError>(|reader| match rows::find(reader, name)? {
        Some(id) => Ok(rows::details(reader, id)?),
        None => Ok(None),
    });
    let details = details?.ok_or_else(gone)?;
    Ok(Found {
        format: Format::of_mime(&details.image.mime).ok_or_else(gone)?,
        sha256: details.image.sha256,
        seed: details.image.seed,
        model: details.image.model,
        settings: details.settings,
        parameters: details.parameters,
    })
}

/// Its file, as it is. It blocks.
///
/// # Errors
/// If it cannot be read.
pub fn file(app: &App, found: &Found) -> Result<Vec<u8>, ApiError> {
    Ok(app.images.read(&found.sha256, found.format)?)
}

/// Its file in another form, with how it was made. It blocks.
///
/// # Errors
/// If it cannot be read or written.
pub fn file_as(app: &App, found: &Found, format: Format, quality: Option<Quality>) -> Result<Vec<u8>, ApiError> {
    let file = file(app, found)?;
    if found.format == format && quality.is_none() {
        return Ok(file);
    }
    let broken = |error: String| ApiError::internal(format!("a picture cannot be written as {}: {error}", format.name()));
    let pixels = upload::decode(&file).map_err(|error| broken(error.to_string()))?;
    let quality = quality.unwrap_or_else(|| app.images.options().quality);
    format::encode(&pixels, &found.parameters, format, quality).map_err(|error| broken(error.to_string()))
}
