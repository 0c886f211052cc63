//! What there is: samplers, schedules, models; and lists that clients ask for and that are empty here. What could not be used
//! is not listed: clients put what they find into requests.

use axum::Json;
use axum::extract::State;
use encaustic_protocol::Entry;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::names::{self, SdModel};
use crate::App;
use crate::auth::{Caller, Scope};
use crate::host::Memory;
use crate::http::ApiError;
use crate::http::extract::AnyBody;

/// A sampler.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = A1111Sampler)]
pub(super) struct Sampler {
    #[schema(example = "DPM++ 2M")]
    name: String,
    aliases: Vec<String>,
    #[schema(value_type = Object)]
    options: Map<String, Value>,
}

/// A schedule.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = A1111Scheduler)]
pub(super) struct Scheduler {
    #[schema(example = "karras")]
    name: String,
    label: String,
    aliases: Option<Vec<String>>,
    default_rho: f64,
    need_inner_model: bool,
}

/// How a picture can be enlarged.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = A1111Upscaler)]
pub(super) struct Upscaler {
    name: &'static str,
    model_name: Option<String>,
    model_path: Option<String>,
    model_url: Option<String>,
    scale: f64,
}

/// Looks at the caller, and answers.
fn told<T>(caller: &Caller, answer: T) -> Result<Json<T>, ApiError> {
    caller.needs_any(&[Scope::Read, Scope::Generate])?;
    Ok(Json(answer))
}

/// Samplers.
#[utoipa::path(get, path = "/sdapi/v1/samplers", tag = "A1111", responses((status = 200, description = "samplers", body = Vec<Sampler>)))]
pub(super) async fn samplers(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Sampler>>, ApiError> {
    let sampler = |entry: Entry| Sampler { name: entry.label, aliases: entry.aliases, options: Map::new() };
    let samplers = app.blocking(move |app| Ok::<_, ApiError>(app.host.catalog().samplers)).await?;
    told(&caller, samplers.into_iter().map(sampler).collect())
}

/// Schedules.
#[utoipa::path(get, path = "/sdapi/v1/schedulers", tag = "A1111", responses((status = 200, description = "schedules", body = Vec<Scheduler>)))]
pub(super) async fn schedulers(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Scheduler>>, ApiError> {
    let scheduler = |entry: Entry| Scheduler {
        default_rho: if entry.id == "karras" { 7.0 } else { -1.0 },
        name: entry.id.replace('-', "_"),
        label: entry.label,
        aliases: Some(entry.aliases).filter(|aliases| !aliases.is_empty()),
        need_inner_model: false,
    };
    let schedules = app.blocking(move |app| Ok::<_, ApiError>(app.host.catalog().schedules)).await?;
    told(&caller, schedules.into_iter().map(scheduler).collect())
}

/// Models that pictures can be made with.
#[utoipa::path(get, path = "/sdapi/v1/sd-models", tag = "A1111", responses((status = 200, description = "models", body = Vec<SdModel>)))]
pub(super) async fn sd_models(State(app): State<App>, caller: Caller) -> Result<Json<Vec<SdModel>>, ApiError> {
    told(&caller, app.blocking(names::models).await?)
}

/// How pictures can be enlarged: not at all yet.
#[utoipa::path(get, path = "/sdapi/v1/upscalers", tag = "A1111", responses((status = 200, description = "one that does nothing", body = Vec<Upscaler>)))]
pub(super) async fn upscalers(caller: Caller) -> Result<Json<Vec<Upscaler>>, ApiError> {
    told(&caller, vec![Upscaler { name: "None", model_name: None, model_path: None, model_url: None, scale: 4.0 }])
}

macro_rules! empty {
    ($( $(#[doc = $help:literal])+ $id:ident $path:literal; )+) => { $(
        $(#[doc = $help])+
        #[utoipa::path(get, path = $path, tag = "A1111", responses((status = 200, description = "none", body = Vec<Object>)))]
        pub(super) async fn $id(caller: Caller) -> Result<Json<Vec<Value>>, ApiError> {
            told(&caller, Vec::new())
        }
    )+ };
}

empty! {
    /// Ways to enlarge latents: none yet.
    latent_upscale_modes "/sdapi/v1/latent-upscale-modes";
    /// VAEs that can be chosen: none yet.
    sd_vae "/sdapi/v1/sd-vae";
    /// Text encoders and VAEs that can be chosen, as Forge lists them: none yet.
    sd_modules "/sdapi/v1/sd-modules";
    /// LoRAs: none yet.
    loras "/sdapi/v1/loras";
    /// Hypernetworks: none.
    hypernetworks "/sdapi/v1/hypernetworks";
    /// Ways to restore faces: none.
    face_restorers "/sdapi/v1/face-restorers";
    /// Real-ESRGAN's models: none yet.
    realesrgan_models "/sdapi/v1/realesrgan-models";
    /// Styles: none.
    prompt_styles "/sdapi/v1/prompt-styles";
    /// Arguments of scripts: there are no scripts.
    script_info "/sdapi/v1/script-info";
    /// Extensions: none.
    extensions "/sdapi/v1/extensions";
}

/// Embeddings: none yet.
#[utoipa::path(get, path = "/sdapi/v1/embeddings", tag = "A1111", responses((status = 200, description = "none", body = Object)))]
pub(super) async fn embeddings(caller: Caller) -> Result<Json<Value>, ApiError> {
    told(&caller, json!({"loaded": {}, "skipped": {}}))
}

/// Scripts: none.
#[utoipa::path(get, path = "/sdapi/v1/scripts", tag = "A1111", responses((status = 200, description = "none", body = Object)))]
pub(super) async fn scripts(caller: Caller) -> Result<Json<Value>, ApiError> {
    told(&caller, json!({"txt2img": [], "img2img": []}))
}

/// How the server was started, as far as A1111 has words for it.
#[utoipa::path(get, path = "/sdapi/v1/cmd-flags", tag = "A1111", responses((status = 200, description = "flags", body = Object)))]
pub(super) async fn cmd_flags(State(app): State<App>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let listen = app.config.listen;
    told(
        &caller,
        json!({"api": true, "api_log": false, "listen": !listen.ip().is_loopback(), "port": listen.port(), "nowebui": false}),
    )
}

/// Memory of the machine and of its first device, in bytes.
#[utoipa::path(get, path = "/sdapi/v1/memory", tag = "A1111", responses((status = 200, description = "memory", body = Object)))]
pub(super) async fn memory(State(app): State<App>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let ram = app.blocking(|_| Ok::<_, ApiError>(ram())).await?;
    let desks = app.crew.desks();
    let first = desks.iter().find(|desk| desk.device.as_ref().is_some_and(|device| device.kind != "cpu"));
    let device = first.map(|desk| desk.memory).and_then(|Memory { used, total }| {
        let (used, total) = (used?, total?);
        let share = json!({"free": total.saturating_sub(used), "used": used, "total": total});
        let pool = json!({"current": used, "peak": used});
        Some(json!({
            "system": share, "active": pool, "allocated": pool, "reserved": pool, "inactive": {"current": 0, "peak": 0},
            "events": {"retries": 0, "oom": 0}
        }))
    });
    let none = || json!({"error": "unavailable"});
    told(&caller, json!({"ram": ram.unwrap_or_else(none), "cuda": device.unwrap_or_else(none)}))
}

/// The machine's memory, where the system tells it in a file.
fn ram() -> Option<Value> {
    let facts = std::fs::read_to_string("/proc/meminfo").ok()?;
    let own = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |text: &str, name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let number: u64 = line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(number * 1024)
    };
    Some(json!({"free": bytes(&facts, "MemAvailable")?, "used": bytes(&own, "VmRSS")?, "total": bytes(&facts, "MemTotal")?}))
}

/// Look for models again: they are looked for whenever somebody asks.
#[utoipa::path(post, path = "/sdapi/v1/refresh-checkpoints", tag = "A1111", responses((status = 200, description = "nothing is to be done")))]
pub(super) async fn refresh_checkpoints(caller: Caller, _: AnyBody) -> Result<Json<Value>, ApiError> {
    told(&caller, Value::Null)
}

/// Have all devices let go of their models.
#[utoipa::path(post, path = "/sdapi/v1/unload-checkpoint", tag = "A1111", responses((status = 200, description = "they do as soon as they do not draw")))]
pub(super) async fn unload_checkpoint(State(app): State<App>, caller: Caller, _: AnyBody) -> Result<Json<Value>, ApiError> {
    caller.needs(Scope::Admin)?;
    for desk in app.crew.desks() {
        app.crew.unload(&desk.name);
    }
    Ok(Json(json!({})))
}

/// Load the model again: the next job does.
#[utoipa::path(post, path = "/sdapi/v1/reload-checkpoint", tag = "A1111", responses((status = 200, description = "nothing is to be done")))]
pub(super) async fn reload_checkpoint(caller: Caller, _: AnyBody) -> Result<Json<Value>, ApiError> {
    told(&caller, json!({}))
}
