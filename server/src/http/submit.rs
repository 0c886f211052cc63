//! How a wish gets into the queue, whichever interface it came by: checked, then entered. Devices hear of it by its event.

use axum::http::{HeaderMap, StatusCode};
use encaustic_protocol::{Invalid, JobId, validate};

use super::ApiError;
use crate::App;
use crate::auth::{Caller, Scope, Wait};
use crate::job::{Job, NewJob, PRIORITIES, Priority};
use crate::pulls;
use crate::time::Millis;
use crate::webhooks::target::Target;

/// The header that makes a second submission harmless.
pub const KEY: &str = "idempotency-key";
/// The longest idempotency key, in bytes.
const KEY_BYTES: usize = 255;
/// How deep brackets may be nested in a prompt. Nobody means more; each level multiplies the weight of its words by 1.1.
const NESTED: u32 = 100;
/// How far ahead a job may be scheduled.
const AHEAD_MS: Millis = 366 * 24 * 60 * 60 * 1000;
/// For how long a job may ask to run.
const LONGEST_SECS: u32 = 7 * 24 * 60 * 60;

/// A job that has been taken in.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The job.
    pub job: Job,
    /// Whether it is new; not if its idempotency key was known.
    pub is_new: bool,
}

/// Checks a wish and enters it into the queue.
///
/// # Errors
/// 403 without the scope, 422 with the field, 429 where the queue is full.
pub async fn submit(app: &App, caller: &Caller, wish: NewJob, key: Option<String>) -> Result<Accepted, ApiError> {
    submit_then(app, caller, wish, key, |_, _| ()).await
}

/// As [`submit`], and goes on with `then` even if nobody waits for the answer any more.
///
/// # Errors
/// As [`submit`].
pub(super) async fn submit_then(
    app: &App,
    caller: &Caller,
    wish: NewJob,
    key: Option<String>,
    then: impl FnOnce(&App, JobId) + Send + 'static,
) -> Result<Accepted, ApiError> {
    caller.needs(Scope::Generate)?;
    let caller = caller.clone();
    app.blocking(move |app| {
        let client = &caller.client;
        // What has been taken in already is answered as it was then, whatever a new job would have to keep to now.
        if let Some(key) = &key
            && let Some(job) = app.queue.known(&wish, client, key)?
        {
            return Ok(Accepted { job: app.queue.job(job)?, is_new: false });
        }
        may_have(&caller, wish.priority)?;
        check(app, &wish)?;
        let pictures = wish.request.batch;
        app.keys.take(client, pictures)?.map_err(|wait| spent(&wait))?;
        let submitted = app.queue.submit(&wish, client, key.as_deref());
        if !submitted.as_ref().is_ok_and(|submitted| submitted.is_new) {
            app.keys.give_back(client, pictures)?;
        }
        let submitted = submitted?;
        then(app, submitted.job);
        let job = app.queue.job(submitted.job)?;
        Ok(Accepted { job, is_new: submitted.is_new })
    })
    .await
}

/// Enters a failed or cancelled job again.
///
/// # Errors
/// As [`submit`], and 404 or 409 if there is no such job.
pub async fn retry(app: &App, caller: &Caller, id: u64) -> Result<Accepted, ApiError> {
    caller.needs(Scope::Generate)?;
    let caller = caller.clone();
    app.blocking(move |app| {
        let client = caller.client.clone();
        let wish = app.queue.job(JobId(id))?.wish;
        may_have(&caller, wish.priority)?;
        let pictures = wish.request.batch;
        app.keys.take(&client, pictures)?.map_err(|wait| spent(&wait))?;
        let submitted = app.queue.retry(JobId(id), &client);
        if submitted.is_err() {
            app.keys.give_back(&client, pictures)?;
        }
        Ok(Accepted { job: app.queue.job(submitted?.job)?, is_new: true })
    })
    .await
}

/// Refuses to let him come before all others, unless he looks after them.
///
/// # Errors
/// 403 without the scope `admin` for a priority above the usual one.
pub fn may_have(caller: &Caller, priority: Priority) -> Result<(), ApiError> {
    if priority <= 0 || caller.may(Scope::Admin) {
        return Ok(());
    }
    let message =
        format!("priority: {priority} wants a key with the scope `admin`, as it is before everybody else's jobs; use 0 or less");
    Err(ApiError { field: Some("priority".to_owned()), ..ApiError::new(StatusCode::FORBIDDEN, "scope", message) })
}

/// 429 for too many pictures in a day.
fn spent(wait: &Wait) -> ApiError {
    let (limit, seconds) = (wait.limit, wait.seconds);
    let message = format!("this key may make {limit} pictures a day (UTC), and not so many are left; try again in {seconds} s");
    ApiError { retry_secs: Some(seconds), ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "quota", message) }.finally()
}

/// Holds a wish to its limits.
///
/// # Errors
/// 422 with the first field that is wrong; the message tells all.
pub fn check(app: &App, wish: &NewJob) -> Result<(), ApiError> {
    let mut faults: Vec<(String, String)> = Vec::new();
    if let Err(invalid) = validate(&wish.request, &app.host.catalog()) {
        faults.extend(invalid.into_iter().map(|fault: Invalid| (format!("request.{}", fault.field), fault.to_string())));
    }
    let request = &wish.request;
    let texts = [
        ("prompt", Some(&request.prompt)),
        ("negative", Some(&request.negative)),
        ("prompt_2", request.prompt_2.as_ref()),
        ("negative_2", request.negative_2.as_ref()),
    ];
    for (field, text) in texts {
        let depth = text.map_or(0, |text| nesting(text));
        if depth > NESTED {
            let message = format!("{field}: brackets are nested {depth} deep; use at most {NESTED} levels, or write (words:1.5)");
            faults.push((format!("request.{field}"), message));
        }
    }
    let mut limit = |is_allowed: bool, field: &str, message: String| {
        if !is_allowed {
            faults.push((field.to_owned(), format!("{field}: {message}")));
        }
    };
    let (least, most) = (PRIORITIES.start(), PRIORITIES.end());
    let priority = wish.priority;
    limit(PRIORITIES.contains(&priority), "priority", format!("{priority} is not allowed; use {least} to {most}"));
    if let Some(moment) = wish.not_before {
        let latest = (app.clock)().saturating_add(AHEAD_MS);
        let message = format!("{moment} is not allowed; use milliseconds since 1970, at most a year from now ({latest})");
        limit((0..=latest).contains(&moment), "not_before", message);
    }
    if let Some(seconds) = wish.timeout_secs {
        let message = format!("{seconds} is not allowed; use 1 to {LONGEST_SECS} seconds");
        limit((1..=LONGEST_SECS).contains(&seconds), "timeout_secs", message);
    }
    if let Some(url) = &wish.webhook
        && let Err(error) = Target::parse(url, &app.settings.now().webhook_hosts.0)
    {
        limit(false, "webhook", error.to_string());
    }
    if let Some(model) = &wish.model
        && let Err(failure) = pulls::card(app, Some(model))
    {
        let message = failure.message.strip_prefix("model: ").unwrap_or(&failure.message).to_owned();
        limit(false, "model", message);
    }
    let Some((field, _)) = faults.first() else { return Ok(()) };
    let messages: Vec<&str> = faults.iter().map(|(_, message)| message.as_str()).collect();
    Err(ApiError::invalid(field.clone(), messages.join("; ")))
}

/// How deep the brackets of a prompt are nested that mean weight.
fn nesting(text: &str) -> u32 {
    let (mut depth, mut deepest, mut is_escaped) = (0_u32, 0_u32, false);
    for c in text.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '(' | '[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The idempotency key of a request, if it has one.
///
/// # Errors
/// 422 if it is empty, too long or not of visible ASCII.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > KEY_BYTES {
        let message = format!("Idempotency-Key: use 1 to {KEY_BYTES} visible ASCII characters, like a UUID");
        let field = Some("Idempotency-Key".to_owned());
        return Err(ApiError { field, ..ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key", message) });
    }
    Ok(Some(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_counted_as_prompts_read_them() {
        for (text, depth) in
            [("", 0), ("a (b) [c]", 1), ("((a)) (b)", 2), ("([(", 3), (r"\(\(\((a)", 1), (")))((", 2), ("((((", 4)]
        {
            assert_eq!(nesting(text), depth, "{text}");
        }
    }
}
