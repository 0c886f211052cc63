//! What is asked for: fields as OpenAI names them, their defaults, and what is refused.

use axum::http::StatusCode;
use encaustic_protocol::{Request, validate};
use serde_json::{Map, Value};

use super::models;
use crate::App;
use crate::http::ApiError;
use crate::http::fields::Fields;
use crate::images::format::{Format, Quality};
use crate::job::NewJob;
use crate::pulls;

/// The most pictures of a request.
const PICTURES: i128 = 10;

/// Accepted, and without effect: who asks is known by the key, and nothing here looks at what pictures show.
const IGNORED: [&str; 4] = ["user", "safety_identifier", "moderation", "style"];

/// What is to be drawn.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The job.
    pub(super) wish: NewJob,
    /// Whether addresses are answered in place of pictures.
    pub(super) sends_links: bool,
    /// The form of the pictures.
    pub(super) format: Format,
    /// How good they are, for JPEG.
    pub(super) compression: Option<Quality>,
    /// What was said about quality.
    pub(super) quality: &'static str,
    /// Whether events are wanted.
    pub(super) is_stream: bool,
    /// How many looks on the way.
    pub(super) looks: u32,
}

/// Reads a request. It blocks.
///
/// # Errors
/// 422 that names the field (the interface says 400), 404 for an unknown model.
pub(super) fn read(app: &App, body: Map<String, Value>) -> Result<Ask, ApiError> {
    let mut fields = Fields::new(body);
    let invalid = |field: &str, message: &str| ApiError::invalid(field, format!("{field}: {message}"));
    let prompt = fields.text("prompt")?.filter(|prompt| !prompt.is_empty());
    let prompt = prompt.ok_or_else(|| {
        let error = invalid("prompt", "say what the picture shows");
        ApiError { code: "missing_required_parameter", ..error }
    })?;
    let name = fields.word("model")?;
    let is_dall_e = name.as_deref().is_some_and(|name| name.starts_with("dall-e-"));
    let model = models::find(app, name.as_deref())?;
    let card = pulls::card(app, model.as_deref())?;
    let mut request = Request { prompt, ..Request::default() };
    request.batch = fields.within("n", 1, PICTURES)?.unwrap_or(1);
    if let Some(size) = fields.word("size")?.filter(|size| size != "auto") {
        let sides = size.split_once('x').and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        let (width, height) = sides.ok_or_else(|| invalid("size", "use WIDTHxHEIGHT in pixels, like 512x512, or auto"))?;
        (request.width, request.height) = (Some(width), Some(height));
    }
    let qualities = ["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"];
    let quality = fields.choice("quality", &qualities)?.unwrap_or("auto");
    request.steps = steps(card.and_then(|card| card.defaults.steps), quality);
    let form = fields.choice("response_format", &["url", "b64_json"])?;
    let format = match fields.choice("output_format", &["png", "jpeg", "webp"])? {
        Some("jpeg") => Format::Jpeg,
        Some("webp") => Format::Webp,
        _ => Format::Png,
    };
    let compression: Option<u8> = fields.within("output_compression", 0, 100)?;
    if format != Format::Jpeg && compression.is_some_and(|compression| compression != 100) {
        let message = "PNG and WebP are written without loss here; use the output_format jpeg, or leave it out";
        return Err(invalid("output_compression", message));
    }
    if fields.choice("background", &["auto", "opaque", "transparent"])? == Some("transparent") {
        return Err(invalid("background", "transparent pictures are not possible here; use auto or opaque"));
    }
    let is_stream = fields.truth("stream")?.unwrap_or(false);
    let looks = fields.within("partial_images", 0, 3)?.unwrap_or(0);
    if looks > 0 && !is_stream {
        return Err(invalid("partial_images", "looks on the way come with \"stream\": true only"));
    }
    if is_stream && form == Some("url") {
        return Err(invalid("response_format", "a stream carries the pictures themselves; use b64_json, or leave it out"));
    }
    IGNORED.into_iter().for_each(|name| drop(fields.any(name)));
    if let Some(name) = fields.rest().next().map(|name| name.chars().take(80).collect::<String>()) {
        let message = format!("Unknown parameter: '{name}'; what there is, `/api/docs/` tells");
        let error = ApiError::new(StatusCode::BAD_REQUEST, "unknown_parameter", message);
        return Err(ApiError { field: Some(name), ..error });
    }
    check(app, &request)?;
    let wish = NewJob { request, model, ..NewJob::default() };
    Ok(Ask {
        wish,
        sends_links: form == Some("url") || form.is_none() && is_dall_e && !is_stream,
        format,
        compression: compression.filter(|_| format == Format::Jpeg).map(|compression| Quality(compression.max(1))),
        quality,
        is_stream,
        looks,
    })
}

/// How many steps a quality means; the model's own if it means none.
fn steps(own: Option<u32>, quality: &str) -> Option<u32> {
    let own = own?;
    match quality {
        "low" => Some(own.div_ceil(2)),
        "high" | "hd" | "xhigh" | "max" => Some((own + own / 2).clamp(1, 1000)),
        _ => None,
    }
}

/// Holds everything to its limits, under the names that the client used.
fn check(app: &App, request: &Request) -> Result<(), ApiError> {
    let Err(mut faults) = validate(request, &app.host.catalog()) else { return Ok(()) };
    for fault in &mut faults {
        let name = match fault.field.as_str() {
            "width" | "height" => {
                fault.value = format!("a {} of {}", fault.field, fault.value);
                "size"
            }
            "batch" => "n",
            _ => continue,
        };
        fault.field = name.to_owned();
    }
    let messages: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let field = faults.first().map(|fault| fault.field.clone()).unwrap_or_default();
    Err(ApiError::invalid(field, messages.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_a_matter_of_steps() {
        for (own, quality, wanted) in [
            (Some(20), "low", Some(10)),
            (Some(1), "low", Some(1)),
            (Some(20), "hd", Some(30)),
            (Some(1000), "max", Some(1000)),
            (Some(20), "auto", None),
            (Some(20), "standard", None),
            (None, "high", None),
        ] {
            assert_eq!(steps(own, quality), wanted, "{quality}");
        }
    }
}
