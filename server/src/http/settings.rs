//! The settings: all of them with their help, and changes to those that can change while the server runs.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::JsonBody;
use super::{ApiError, schema};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::config::{Config, ENTRIES};
use crate::settings::{SettingError, Settings};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, change))
}

/// All settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllSettings {
    /// In the order of the documentation.
    pub items: Vec<Setting>,
}

/// A setting.
#[derive(Debug, Serialize, ToSchema)]
pub struct Setting {
    /// Its name.
    #[schema(example = "timeout_secs")]
    pub id: &'static str,
    /// Its table in the configuration file.
    #[schema(example = "queue")]
    pub section: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Its value now, as a configuration file has it between quotes. Secrets are not told.
    pub value: String,
    /// What the configuration says.
    pub configured: String,
    /// What it is where nobody says anything.
    pub default: String,
    /// Whether it can be changed while the server runs.
    pub can_change: bool,
}

impl From<SettingError> for ApiError {
    fn from(error: SettingError) -> Self {
        let message = error.to_string();
        match error {
            SettingError::Unknown(id) | SettingError::Fixed(id) | SettingError::Value { id, .. } => Self::invalid(id, message),
            SettingError::Database(error) => error.into(),
        }
    }
}

/// The settings.
#[utoipa::path(get, path = "/api/v1/settings", tag = "settings", responses(
    (status = 200, description = "all settings", body = AllSettings),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<AllSettings>, ApiError> {
    caller.needs(Scope::Admin)?;
    Ok(Json(all(&app.settings, &app.settings.now())))
}

fn all(settings: &Settings, now: &Config) -> AllSettings {
    let defaults = Config::default();
    let setting = |entry: &crate::config::Entry| Setting {
        id: entry.id,
        section: entry.section,
        help: entry.help.trim(),
        value: (entry.get)(now),
        configured: (entry.get)(settings.configured()),
        default: (entry.get)(&defaults),
        can_change: Settings::can_change(entry.id),
    };
    AllSettings { items: ENTRIES.iter().map(setting).collect() }
}

/// Change settings.
///
/// An object of names and values; `null` is what the configuration says. All are changed or none. A change holds over a restart,
/// until the configuration says something else.
#[utoipa::path(patch, path = "/api/v1/settings", tag = "settings",
    request_body(content = Object, example = json!({"timeout_secs": 600})), responses(
    (status = 200, description = "all settings, as they are then", body = AllSettings),
    (status = 403, description = "that wants the scope `admin`", body = schema::Problem),
    (status = 422, description = "a setting or its value is not allowed", body = schema::Problem)))]
async fn change(
    State(app): State<App>,
    caller: Caller,
    JsonBody(changes): JsonBody<Map<String, Value>>,
) -> Result<Json<AllSettings>, ApiError> {
    caller.needs(Scope::Admin)?;
    let changes = changes.into_iter().map(|(id, value)| Ok((text(&id, value)?, id)).map(|(value, id)| (id, value)));
    let changes: Vec<(String, Option<String>)> = changes.collect::<Result<_, ApiError>>()?;
    let changed = app.blocking(move |app| {
        let now = app.settings.change(&changes)?;
        let names: Vec<&str> = changes.iter().map(|(id, _)| id.as_str()).collect();
        tracing::info!(settings = names.join(","), "settings were changed");
        Ok::<_, ApiError>(all(&app.settings, &now))
    });
    changed.await.map(Json)
}

/// A value as a text, as flags and variables have it.
fn text(id: &str, value: Value) -> Result<Option<String>, ApiError> {
    let one = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    };
    let text = match value {
        Value::Null => return Ok(None),
        Value::Array(values) => values.into_iter().map(one).collect::<Option<Vec<_>>>().map(|values| values.join(",")),
        value => one(value),
    };
    let message = || format!("{id}: use a text, a number, true, false, a list of them, or null");
    text.map(Some).ok_or_else(|| ApiError::invalid(id, message()))
}
