//! Options: what a client has chosen for all of its requests. Each client has its own; they are kept in the database.
//!
//! Three can be chosen: the model, the layer at which the text encoder is read, and whose random numbers make the noise. The
//! others are told as they are, and can be sent back unchanged, which many clients do with the whole list.

use axum::Json;
use axum::extract::State;
use encaustic_protocol::Rng;
use serde_json::{Map, Value, json};

use super::names::{self, SdModel};
use super::shapes;
use crate::App;
use crate::auth::{Caller, Scope};
use crate::http::ApiError;
use crate::http::extract::JsonBody;
use crate::http::fields::Fields;
use crate::job::Client;
use crate::preferences;

/// The model.
const MODEL: &str = "sd_model_checkpoint";
/// The layer, counted from the end.
const LAYER: &str = "CLIP_stop_at_last_layers";
/// What is shown where none was chosen.
const USUAL_LAYER: u32 = 1;
/// The noise.
const NOISE: &str = "randn_source";

/// What a client has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choices {
    /// The model; the server's usual one if nothing is said.
    pub(super) model: Option<SdModel>,
    /// The layer; the model's if nothing is said.
    pub(super) clip_skip: Option<u32>,
    /// The noise; A1111's seeds mean that of a graphics card unless somebody says otherwise.
    pub(super) rng: Rng,
}

/// What a client has chosen. It blocks.
///
/// # Errors
/// If the database or the library cannot be read.
pub(super) fn choices(app: &App, client: &Client) -> Result<Choices, ApiError> {
    let mut choices = Choices { model: None, clip_skip: None, rng: Rng::Nv };
    for (name, value) in preferences::read(&app.db, client)? {
        match name.as_str() {
            // A model that is gone is no choice any more.
            MODEL => choices.model = names::model(app, &value, MODEL).ok(),
            LAYER => choices.clip_skip = value.parse().ok(),
            NOISE => choices.rng = super::ask::rng(&value).unwrap_or(Rng::Nv),
            _ => {}
        }
    }
    Ok(choices)
}

/// Keeps what a client has chosen. It blocks.
///
/// # Errors
/// If the database fails.
pub(super) fn keep(app: &App, client: &Client, choices: &Choices) -> Result<(), ApiError> {
    let chosen = [
        (MODEL, choices.model.as_ref().map(|model| model.model_name.clone())),
        (LAYER, choices.clip_skip.map(|layer| layer.to_string())),
        (NOISE, Some(noise(choices.rng).to_owned())),
    ];
    Ok(preferences::write(&app.db, client, &chosen)?)
}

/// Changes choices by what a request says; `prefix` stands before the fields in messages. It blocks.
///
/// # Errors
/// 422 that names the option.
pub(super) fn change(app: &App, choices: Choices, told: Map<String, Value>, prefix: &str) -> Result<Choices, ApiError> {
    let mut changed = choices.clone();
    let mut fields = Fields::new(told);
    let inner = |fields: &mut Fields| -> Result<(), ApiError> {
        if let Some(name) = fields.word(MODEL)? {
            changed.model = Some(names::model(app, &name, MODEL)?);
        }
        // The whole list that is sent back says 1 where nothing was chosen, which leaves the choice to the model. For one request it
        // is meant as it is said.
        let layer = fields.within(LAYER, 1, 64)?;
        let is_shown = prefix.is_empty() && choices.clip_skip.is_none() && layer == Some(USUAL_LAYER);
        changed.clip_skip = layer.filter(|_| !is_shown).or(changed.clip_skip);
        if let Some(name) = fields.word(NOISE)? {
            let unknown = || ApiError::invalid(NOISE, format!("{NOISE}: {name:?} is not allowed; use GPU, NV or CPU"));
            changed.rng = super::ask::rng(&name).ok_or_else(unknown)?;
        }
        let is_none = |vae: &String| !["none", "automatic"].contains(&vae.to_lowercase().as_str());
        if fields.word("sd_vae")?.is_some_and(|vae| is_none(&vae)) {
            let message = "sd_vae: another VAE cannot be chosen here yet; send \"Automatic\"";
            return Err(ApiError::invalid("sd_vae", message));
        }
        Ok(())
    };
    let mut inner = inner;
    inner(&mut fields).and_then(|()| fixed(app, &choices, &mut fields)).map_err(|error| under(prefix, error))?;
    Ok(changed)
}

/// What is left has to be as it is.
fn fixed(app: &App, choices: &Choices, fields: &mut Fields) -> Result<(), ApiError> {
    let known = shown(app, choices)?;
    let names: Vec<String> = fields.rest().map(str::to_owned).collect();
    for name in names {
        let given = fields.any(&name);
        let is_same = |known: &Value| {
            given.as_ref().is_none_or(|given| given == known || given.as_f64().is_some_and(|n| known.as_f64() == Some(n)))
        };
        if known.get(&name).is_some_and(is_same) || name == "sd_checkpoint_hash" || given.is_none() {
            continue;
        }
        let name: String = name.chars().take(80).collect();
        let what = if known.contains_key(&name) { "this option cannot be changed here" } else { "there is no such option here" };
        let message = format!("{name}: {what}; those that can be changed are {MODEL}, {LAYER} and {NOISE}");
        return Err(ApiError::invalid(name, message));
    }
    Ok(())
}

fn under(prefix: &str, error: ApiError) -> ApiError {
    match &error.field {
        Some(field) if !prefix.is_empty() => {
            ApiError { field: Some(format!("{prefix}{field}")), message: format!("{prefix}{}", error.message), ..error }
        }
        _ => error,
    }
}

fn noise(rng: Rng) -> &'static str {
    match rng {
        Rng::Cpu => "CPU",
        Rng::Nv => "NV",
    }
}

/// All options, as a client sees them.
fn shown(app: &App, choices: &Choices) -> Result<Map<String, Value>, ApiError> {
    let model = match &choices.model {
        Some(model) => Some(model.clone()),
        None => names::usual(app)?,
    };
    let options = json!({
        MODEL: model.as_ref().map(|model| &model.title),
        "sd_checkpoint_hash": model.as_ref().and_then(|model| model.sha256.as_ref()),
        LAYER: choices.clip_skip.unwrap_or(USUAL_LAYER),
        NOISE: noise(choices.rng),
        "sd_vae": "Automatic",
        "eta_noise_seed_delta": 0,
        "samples_format": app.config.image_format.name(),
        "enable_pnginfo": true,
        "save_txt": false,
        "return_grid": false,
        "grid_save": false,
        "emphasis": "Original",
        "comma_padding_backtrack": 20,
        "live_previews_enable": true,
        "sd_checkpoints_limit": 1,
    });
    match options {
        Value::Object(options) => Ok(options),
        _ => Ok(Map::new()),
    }
}

/// What is chosen.
#[utoipa::path(get, path = "/sdapi/v1/options", tag = "A1111", responses((status = 200, description = "options and their values", body = Object)))]
pub(super) async fn get(State(app): State<App>, caller: Caller) -> Result<Json<Map<String, Value>>, ApiError> {
    caller.needs(Scope::Read)?;
    let options = app.blocking(move |app| shown(app, &choices(app, &caller.client)?));
    Ok(Json(options.await?))
}

/// Choose for all requests to come.
#[utoipa::path(post, path = "/sdapi/v1/options", tag = "A1111", request_body = Object, responses(
    (status = 200, description = "they are kept"),
    (status = 422, description = "that cannot be chosen", body = shapes::Problem)))]
pub(super) async fn post(
    State(app): State<App>,
    caller: Caller,
    JsonBody(told): JsonBody<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    caller.needs(Scope::Generate)?;
    app.blocking(move |app| {
        let changed = change(app, choices(app, &caller.client)?, told, "")?;
        keep(app, &caller.client, &changed)
    })
    .await?;
    Ok(Json(Value::Null))
}
