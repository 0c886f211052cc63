//! What begins with a picture: reading how one was made, and what is not possible yet.

use axum::Json;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encaustic_picture::infotext::{Infotext, KEYWORD};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::shapes;
use crate::App;
use crate::auth::{Caller, Scope};
use crate::http::ApiError;
use crate::http::extract::{self, AnyBody, LARGE_BODY_TIME};
use crate::http::fields::Fields;
use crate::http::images::upload;
use crate::images;

/// The most bytes of a request with a picture in it.
const MOST: usize = 64 << 20;

/// Routes that take large bodies.
pub(super) fn large() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(png_info)).layer(DefaultBodyLimit::max(MOST))
}

/// How a picture was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = A1111PngInfo)]
pub(super) struct PngInfo {
    /// The text that says so; empty if there is none.
    info: String,
    /// All texts of the file.
    #[schema(value_type = Object)]
    items: Map<String, Value>,
    /// The settings in that text.
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
}

/// Read how a picture was made.
///
/// Nothing of it is drawn or kept.
#[utoipa::path(post, path = "/sdapi/v1/png-info", tag = "A1111", request_body = shapes::OneImage, responses(
    (status = 200, description = "what it says", body = PngInfo),
    (status = 422, description = "that is no picture", body = shapes::Problem)))]
pub(super) async fn png_info(State(app): State<App>, caller: Caller, request: Request) -> Result<Json<PngInfo>, ApiError> {
    caller.needs_any(&[Scope::Read, Scope::Generate])?;
    // Those who send much wait here before a byte of it is read.
    let reception = upload::reception(&app, &caller).await?;
    let body: Map<String, Value> = extract::json(request, LARGE_BODY_TIME).await?;
    let place = reception.arrived();
    app.blocking(move |app| {
        let _place = place;
        let mut fields = Fields::new(body);
        let text = fields.text("image")?.unwrap_or_default();
        let wrong = |message: &str| ApiError::invalid("image", format!("image: {message}"));
        // A data URI, or what stands in one.
        let text = text.strip_prefix("data:").and_then(|rest| rest.split_once(',')).map_or(text.as_str(), |(_, data)| data);
        let file = STANDARD.decode(text.trim()).map_err(|_| wrong("send the picture's file in Base64"))?;
        let catalog = app.host.catalog();
        let found = images::inspect(&file, &catalog).map_err(|error| wrong(&error.to_string()))?;
        let texts = found.texts.clone();
        let own = texts.iter().find(|(name, _)| name == KEYWORD).map(|(_, text)| text.clone());
        // What other programs tell in words of their own is said in A1111's.
        let info = own.unwrap_or_else(|| found.origin(&catalog).parameters);
        let mut parameters = Map::new();
        if !info.is_empty() {
            let told = Infotext::parse(&info);
            parameters.insert("Prompt".to_owned(), told.prompt.into());
            parameters.insert("Negative prompt".to_owned(), told.negative.into());
            parameters.extend(told.settings.into_iter().map(|(name, value)| (name, value.into())));
        }
        let items = texts.into_iter().map(|(name, text)| (name, text.into())).collect();
        Ok(Json(PngInfo { info, items, parameters }))
    })
    .await
}

macro_rules! refused {
    ($( $(#[doc = $help:literal])+ $id:ident $path:literal $what:literal; )+) => { $(
        $(#[doc = $help])+
        #[utoipa::path(post, path = $path, tag = "A1111", responses((status = 501, description = "not yet", body = shapes::Problem)))]
        pub(super) async fn $id(caller: Caller, _: AnyBody) -> Result<Json<Value>, ApiError> {
            caller.needs(Scope::Generate)?;
            let message = concat!($what, " is not possible here yet; `/sdapi/v1/txt2img` draws pictures of words");
            Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", message))
        }
    )+ };
}

refused! {
    /// Not possible yet: draw over a picture.
    img2img "/sdapi/v1/img2img" "to begin with a picture (img2img)";
    /// Not possible yet: enlarge a picture.
    extra_single_image "/sdapi/v1/extra-single-image" "to enlarge a picture";
    /// Not possible yet: enlarge pictures.
    extra_batch_images "/sdapi/v1/extra-batch-images" "to enlarge pictures";
    /// Not possible yet: describe a picture in words.
    interrogate "/sdapi/v1/interrogate" "to describe a picture in words";
}
