//! What is asked of `txt2img`: its fields as A1111 names them, their defaults, and what is refused.

use encaustic_picture::infotext::KEYWORD;
use encaustic_picture::png_text::PngText;
use encaustic_picture::restore;
use encaustic_protocol::{Catalog, Entry, PARAMS, Range, Request, Rng, nearest, validate};
use serde_json::{Map, Value};

use super::options::{self, Choices};
use crate::App;
use crate::http::ApiError;
use crate::http::fields::Fields;

/// The most pictures of one request: each waits in memory until all are there.
const PICTURES: u32 = 64;

/// What is to be drawn.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// One run; each of the others has seeds of its own.
    pub(super) request: Request,
    /// The seed of the first picture.
    pub(super) seed: u64,
    /// How many runs.
    pub(super) runs: u32,
    /// What the client chose, for all or this request.
    pub(super) choices: Choices,
    /// Whether the choices of this request are to stay.
    pub(super) keeps_choices: bool,
    /// Whether pictures are sent.
    pub(super) sends_images: bool,
    /// What was asked, with everything filled in, for the answer.
    pub(super) echo: Map<String, Value>,
}

/// The fields that there are, with what they are if nobody says.
const DEFAULTS: &str = r#"{
    "prompt": "", "negative_prompt": "", "styles": null, "seed": -1, "subseed": -1, "subseed_strength": 0,
    "seed_resize_from_h": -1, "seed_resize_from_w": -1, "sampler_name": null, "scheduler": null, "batch_size": 1,
    "n_iter": 1, "steps": 50, "cfg_scale": 7.0, "width": 512, "height": 512, "restore_faces": null, "tiling": null,
    "do_not_save_samples": false, "do_not_save_grid": false, "eta": null, "denoising_strength": null, "s_min_uncond": null,
    "s_churn": null, "s_tmax": null, "s_tmin": null, "s_noise": null, "override_settings": null,
    "override_settings_restore_afterwards": true, "refiner_checkpoint": null, "refiner_switch_at": null,
    "disable_extra_networks": false, "firstpass_image": null, "comments": null, "enable_hr": false, "firstphase_width": 0,
    "firstphase_height": 0, "hr_scale": 2.0, "hr_upscaler": null, "hr_second_pass_steps": 0, "hr_resize_x": 0,
    "hr_resize_y": 0, "hr_checkpoint_name": null, "hr_sampler_name": null, "hr_scheduler": null, "hr_prompt": "",
    "hr_negative_prompt": "", "force_task_id": null, "sampler_index": "Euler", "script_name": null, "script_args": [],
    "send_images": true, "save_images": false, "alwayson_scripts": {}, "infotext": null
}"#;

/// Reads a request. It blocks.
///
/// # Errors
/// 422 that names the field.
pub(super) fn read(app: &App, body: Map<String, Value>, choices: Choices) -> Result<Ask, ApiError> {
    let catalog = app.host.catalog();
    let mut echo: Map<String, Value> = serde_json::from_str(DEFAULTS).unwrap_or_default();
    for (name, value) in body.iter().filter(|(_, value)| !value.is_null()) {
        if let Some(known) = echo.get_mut(name) {
            *known = value.clone();
        }
    }
    let mut fields = Fields::new(body);
    refuse(&mut fields)?;
    let told = infotext(&mut fields, &catalog)?;
    let mut choices = choices;
    if let Some(overrides) = fields.object("override_settings")? {
        choices = options::change(app, choices, overrides, "override_settings.")?;
    }
    let mut request = told.clone().unwrap_or_default();
    request.prompt = fields.text("prompt")?.unwrap_or(request.prompt);
    request.negative = fields.text("negative_prompt")?.unwrap_or(request.negative);
    extra_networks(&request.prompt, "prompt")?;
    extra_networks(&request.negative, "negative_prompt")?;
    request.steps = number(&mut fields, "steps", "steps")?.or(request.steps).or(Some(50));
    request.cfg = fields.number("cfg_scale")?.or(request.cfg).or(Some(7.0));
    request.width = number(&mut fields, "width", "width")?.or(request.width).or(Some(512));
    request.height = number(&mut fields, "height", "height")?.or(request.height).or(Some(512));
    request.eta = fields.number("eta")?.or(request.eta);
    request.batch = number(&mut fields, "batch_size", "batch")?.unwrap_or(1);
    request.clip_skip = choices.clip_skip.or(request.clip_skip);
    if told.is_none() {
        request.rng = choices.rng;
    }
    sampler(&mut fields, &mut request, &catalog)?;
    let asked_seed = fields.within::<i128>("seed", -1, i128::from(u64::MAX))?.filter(|seed| *seed >= 0);
    let seed = asked_seed.and_then(|seed| u64::try_from(seed).ok()).or(request.seed).map_or_else(draw_seed, Ok)?;
    request.seed = Some(seed);
    let runs: u32 = fields.within("n_iter", 1, i128::from(PICTURES))?.unwrap_or(1);
    check(&request, &catalog)?;
    if runs.saturating_mul(request.batch) > PICTURES {
        let message = format!("n_iter: batch_size times n_iter is {}; use at most {PICTURES}", runs * request.batch);
        return Err(ApiError::invalid("n_iter", message));
    }
    Ok(Ask {
        seed,
        runs,
        keeps_choices: !fields.truth("override_settings_restore_afterwards")?.unwrap_or(true),
        sends_images: fields.truth("send_images")?.unwrap_or(true),
        request,
        choices,
        echo,
    })
}

/// A whole number within the limits of a setting of ours.
fn number(fields: &mut Fields, field: &str, id: &str) -> Result<Option<u32>, ApiError> {
    let range = PARAMS.iter().find(|param| param.id == id).map(|param| param.range);
    let Some(Range::Integer { min, max, .. }) = range else { return Ok(None) };
    fields.within(field, i128::from(min), i128::from(max))
}

/// What changes pictures in a way that is not possible here.
fn refuse(fields: &mut Fields) -> Result<(), ApiError> {
    let no = |field: &str, message: &str| Err(ApiError::invalid(field, format!("{field}: {message}")));
    if fields.truth("enable_hr")?.unwrap_or(false) {
        return no("enable_hr", "the second pass at a higher resolution (hires fix) is not possible here yet; send false");
    }
    if fields.whole("firstphase_width")?.unwrap_or(0) != 0 || fields.whole("firstphase_height")?.unwrap_or(0) != 0 {
        return no("firstphase_width", "the second pass at a higher resolution (hires fix) is not possible here yet; send 0");
    }
    if fields.number("subseed_strength")?.unwrap_or(0.0) != 0.0 {
        return no("subseed_strength", "variations of a seed are not possible here yet; send 0");
    }
    for field in ["seed_resize_from_w", "seed_resize_from_h"] {
        if fields.whole(field)?.unwrap_or(-1) > 0 {
            return no(field, "noise of another size is not possible here yet; send -1");
        }
    }
    for (field, what) in [("restore_faces", "restoring faces"), ("tiling", "a picture that can be tiled")] {
        if fields.truth(field)?.unwrap_or(false) {
            return no(field, &format!("{what} is not possible here; send false"));
        }
    }
    for (field, neutral) in [("s_churn", 0.0), ("s_noise", 1.0), ("s_min_uncond", 0.0)] {
        if fields.number(field)?.is_some_and(|given| given != neutral) {
            return no(field, &format!("it cannot be changed here; send {neutral}"));
        }
    }
    if fields.list("styles")?.is_some_and(|styles| !styles.is_empty()) {
        return no("styles", "there are no styles here; write their words into the prompt");
    }
    let is_none = |name: &String| name.eq_ignore_ascii_case("none");
    if fields.word("refiner_checkpoint")?.is_some_and(|name| !is_none(&name)) {
        return no("refiner_checkpoint", "changing to a refiner on the way is not possible here yet; leave it out");
    }
    if fields.word("script_name")?.is_some_and(|name| !is_none(&name)) {
        return no("script_name", "there are no scripts here; leave it out");
    }
    if fields.any("firstpass_image").is_some() {
        return no("firstpass_image", "pictures to begin with are not possible here yet; leave it out");
    }
    for (name, script) in fields.object("alwayson_scripts")?.unwrap_or_default() {
        if !is_idle(&script) {
            let name: String = name.chars().take(80).collect();
            return no("alwayson_scripts", &format!("there is no script {name:?} here; leave it out"));
        }
    }
    Ok(())
}

/// Whether a script would do nothing: it has no arguments, or is told that it is off.
fn is_idle(script: &Value) -> bool {
    let arguments = script.get("args").unwrap_or(script);
    let is_off = |value: &Value| {
        let told = value.get("enabled").or_else(|| value.get("enable")).unwrap_or(value);
        told == &Value::Bool(false) || told.is_null()
    };
    match arguments {
        Value::Array(list) => list.iter().all(is_off) || list.first() == Some(&Value::Bool(false)),
        Value::Object(object) => object.is_empty() || is_off(arguments),
        other => other.is_null(),
    }
}

/// `<lora:name:1>` and its like.
fn extra_networks(text: &str, field: &str) -> Result<(), ApiError> {
    for (kind, what) in [("<lora:", "LoRAs"), ("<lyco:", "LyCORIS adapters"), ("<hypernet:", "hypernetworks")] {
        let lower = text.to_ascii_lowercase();
        let Some(at) = lower.find(kind) else { continue };
        let tag = text.get(at..).unwrap_or_default();
        let tag: String = tag.split_inclusive('>').next().unwrap_or_default().chars().take(80).collect();
        let message = format!("{field}: it names {tag}, and {what} are not possible here yet; take it out of the {field}");
        return Err(ApiError::invalid(field, message));
    }
    Ok(())
}

/// What a picture's text says, for all that the request leaves open.
fn infotext(fields: &mut Fields, catalog: &Catalog) -> Result<Option<Request>, ApiError> {
    let Some(text) = fields.word("infotext")? else { return Ok(None) };
    let text = PngText { entries: vec![(KEYWORD.to_owned(), text)], ..PngText::default() };
    let restored = restore::read(&text, catalog).map_err(|error| ApiError::invalid("infotext", format!("infotext: {error}")))?;
    Ok(Some(restored.request))
}

/// Sampler and schedule; a sampler's name may end with a schedule, as it did before A1111 1.9, and then that counts.
fn sampler(fields: &mut Fields, request: &mut Request, catalog: &Catalog) -> Result<(), ApiError> {
    let index = fields.word("sampler_index")?;
    let scheduler = fields.word("scheduler")?;
    let name = fields.word("sampler_name")?.or(index);
    let name = match (name, &request.sampler) {
        (Some(name), _) => name,
        (None, Some(_)) => String::new(),
        (None, None) => "Euler".to_owned(),
    };
    let mut is_told = false;
    if !name.is_empty() {
        let (sampler, schedule) =
            restore::sampler(&name, catalog).ok_or_else(|| unknown("sampler_name", &name, &catalog.samplers))?;
        request.sampler = Some(sampler);
        is_told = schedule.is_some();
        if is_told || scheduler.is_some() {
            request.schedule = schedule;
        }
    }
    let automatic = || catalog.schedules.iter().find(|entry| entry.is_called("automatic")).map(|entry| entry.id.clone());
    match scheduler {
        _ if is_told => {}
        Some(name) if name.eq_ignore_ascii_case("automatic") => request.schedule = automatic(),
        Some(name) => {
            let found = restore::schedule(&name, catalog).ok_or_else(|| unknown("scheduler", &name, &catalog.schedules))?;
            request.schedule = Some(found);
        }
        None if request.schedule.is_none() => request.schedule = automatic(),
        None => {}
    }
    Ok(())
}

fn unknown(field: &str, name: &str, entries: &[Entry]) -> ApiError {
    let labels: Vec<&str> = entries.iter().map(|entry| entry.label.as_str()).collect();
    let label = |id: &str| entries.iter().find(|entry| entry.id == id).map(|entry| entry.label.clone());
    let near = nearest(name, entries).and_then(label).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    let name: String = name.chars().take(80).collect();
    ApiError::invalid(field, format!("{field}: {name:?} is not allowed; use one of {}{near}", labels.join(", ")))
}

/// Holds everything to its limits, under the names that the client used.
fn check(request: &Request, catalog: &Catalog) -> Result<(), ApiError> {
    let Err(mut faults) = validate(request, catalog) else { return Ok(()) };
    for fault in &mut faults {
        fault.field = name_of(&fault.field).to_owned();
    }
    let messages: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let field = faults.first().map(|fault| fault.field.clone()).unwrap_or_default();
    Err(ApiError::invalid(field, messages.join("; ")))
}

/// An error with A1111's name for its field.
pub(super) fn named(error: ApiError) -> ApiError {
    ApiError { field: error.field.map(|field| name_of(&field).to_owned()), ..error }
}

/// A1111's name for a setting of ours.
fn name_of(id: &str) -> &str {
    match id {
        "negative" => "negative_prompt",
        "cfg" => "cfg_scale",
        "sampler" => "sampler_name",
        "schedule" => "scheduler",
        "batch" => "batch_size",
        "clip_skip" => "override_settings.CLIP_stop_at_last_layers",
        "rng" => "override_settings.randn_source",
        id => id,
    }
}

/// A seed that other programs can show as well.
fn draw_seed() -> Result<u64, ApiError> {
    match getrandom::u32() {
        Ok(seed) => Ok(u64::from(seed)),
        Err(error) => Err(ApiError::internal(format!("this system gives no random numbers: {error}"))),
    }
}

/// The noise that A1111 means by a name.
pub(super) fn rng(name: &str) -> Option<Rng> {
    match name.to_ascii_uppercase().as_str() {
        "CPU" => Some(Rng::Cpu),
        // A1111's own default is the graphics card's, which NVIDIA's is everywhere.
        "GPU" | "NV" => Some(Rng::Nv),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_defaults_can_be_read() {
        let defaults: Map<String, Value> = serde_json::from_str(DEFAULTS).unwrap();
        assert_eq!((&defaults["steps"], &defaults["sampler_index"]), (&json!(50), &json!("Euler")));
    }

    #[test]
    fn scripts_that_do_nothing_are_none() {
        for (script, is_idle_here) in [
            (json!({"args": []}), true),
            (json!({"args": [false]}), true),
            (json!({"args": [false, {"ad_model": "x"}]}), true),
            (json!({"args": [{"enabled": false, "module": "canny"}]}), true),
            (json!({"args": [{"enable": false}]}), true),
            (json!({}), true),
            (json!({"args": [{"enabled": true}]}), false),
            (json!({"args": [{"module": "canny"}]}), false),
            (json!({"args": [true, 0.5]}), false),
            (json!([1]), false),
        ] {
            assert_eq!(is_idle(&script), is_idle_here, "{script}");
        }
    }

    #[test]
    fn networks_in_prompts_are_refused() {
        for (prompt, tag) in [("a <lora:x:1> b", "<lora:x:1>"), ("<LyCo:y>", "<LyCo:y>"), ("a <hypernet:z", "<hypernet:z")] {
            let error = extra_networks(prompt, "prompt").unwrap_err();
            assert!(error.message.contains(tag), "{error}");
        }
        assert!(extra_networks("a < b > (lora:1)", "prompt").is_ok());
    }
}
