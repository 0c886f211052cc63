//! Questions to the server, and its answers: `fetch` on its `/api/v1`, relative to the page.
//!
//! Answers are read as text by our own parser: seeds have 64 bits, more than a number in JavaScript holds.

use encaustic_protocol::{Card, Catalog, Failure, FailureKind, JobId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Headers, RequestInit, Response};

use crate::remote::wire::{self, About, Counts, Device, Job, Model, NewJob, Part};
use crate::remote::{self, escaped};

/// Where the interface lies, relative to the page.
pub const ROOT: &str = "api/v1";

/// Why there is no answer that is of use.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// Nobody answers.
    Offline,
    /// The server wants to know who asks.
    SignedOut,
    /// The server has too much to do, or has been asked too often: it will take the same question in a while.
    Later {
        /// In how many seconds.
        seconds: u32,
        /// Why.
        failure: Failure,
    },
    /// The server refuses.
    Refused {
        /// The status.
        status: u16,
        /// Why.
        failure: Failure,
    },
}

impl Trouble {
    /// The same for whoever asked.
    pub fn failure(&self) -> Failure {
        let say = |kind, message: &str| Failure { kind, message: message.to_owned() };
        match self {
            Self::Offline => say(FailureKind::Device, "the server does not answer; it is tried again by itself"),
            Self::SignedOut => say(FailureKind::Invalid, "the server wants to know who asks: sign in"),
            Self::Later { failure, .. } | Self::Refused { failure, .. } => failure.clone(),
        }
    }

    /// Whether the same question will be answered later: [`Server::on_anew`](super::Server::on_anew) tells when.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Offline | Self::SignedOut | Self::Later { .. })
    }
}

/// Asks, and reads the answer.
pub async fn ask<T: DeserializeOwned>(method: &str, path: &str, body: Option<String>, key: Option<&str>) -> Result<T, Trouble> {
    let response = send(method, path, body, key).await?;
    let text = text(&response).await?;
    let text = if text.trim().is_empty() { "null" } else { &text };
    serde_json::from_str(text).map_err(|error| {
        let message = format!("the server answers what this page does not understand: reload the page ({path}: {error})");
        Trouble::Refused { status: response.status(), failure: Failure { kind: FailureKind::Device, message } }
    })
}

/// Asks for something.
pub async fn get<T: DeserializeOwned>(path: &str) -> Result<T, Trouble> {
    ask("GET", path, None, None).await
}

/// Tells something; what is answered is of no interest.
pub async fn tell(method: &str, path: &str, body: &impl Serialize) -> Result<(), Trouble> {
    let body = serde_json::to_string(body).ok();
    send(method, path, body, None).await.map(|_| ())
}

/// Tells something even if the page goes meanwhile.
pub async fn tell_at_last(method: &str, path: &str, body: &impl Serialize) -> Result<(), Trouble> {
    let body = serde_json::to_string(body).ok();
    fetch(method, path, &lasting(request(body, None)?)).await.map(|_| ())
}

/// Deletes something.
pub async fn delete(path: &str) -> Result<(), Trouble> {
    send("DELETE", path, None, None).await.map(|_| ())
}

/// Deletes something even if the page goes meanwhile.
pub async fn delete_at_last(path: &str) -> Result<(), Trouble> {
    fetch("DELETE", path, &lasting(request(None, None)?)).await.map(|_| ())
}

/// The same request, which the browser sees to even without the page.
fn lasting(request: RequestInit) -> RequestInit {
    // Not all browsers know it; there the page has to stay.
    let _ = js_sys::Reflect::set(&request, &"keepalive".into(), &JsValue::TRUE);
    request
}

/// Fetches a file.
pub async fn file(path: &str) -> Result<Blob, Trouble> {
    let response = send("GET", path, None, None).await?;
    body(&response).await
}

/// Sends what is wanted and fetches the file that comes of it.
pub async fn file_of(path: &str, wanted: &impl Serialize) -> Result<Blob, Trouble> {
    let response = send("POST", path, serde_json::to_string(wanted).ok(), None).await?;
    body(&response).await
}

async fn body(response: &Response) -> Result<Blob, Trouble> {
    let blob = response.blob().map_err(|_| Trouble::Offline)?;
    JsFuture::from(blob).await.ok().and_then(|blob| blob.dyn_into().ok()).ok_or(Trouble::Offline)
}

async fn text(response: &Response) -> Result<String, Trouble> {
    let text = response.text().map_err(|_| Trouble::Offline)?;
    JsFuture::from(text).await.ok().and_then(|text| text.as_string()).ok_or(Trouble::Offline)
}

/// The address of something of the server's, relative to the page.
pub fn address(path: &str) -> String {
    format!("{ROOT}/{path}")
}

async fn send(method: &str, path: &str, body: Option<String>, key: Option<&str>) -> Result<Response, Trouble> {
    fetch(method, path, &request(body, key)?).await
}

fn request(body: Option<String>, key: Option<&str>) -> Result<RequestInit, Trouble> {
    let request = RequestInit::new();
    let headers = Headers::new().map_err(|_| Trouble::Offline)?;
    // Both fail for names and values that are none, and these are.
    let _ = headers.set("accept", "application/json, */*");
    if let Some(body) = body {
        let _ = headers.set("content-type", "application/json");
        request.set_body(&JsValue::from_str(&body));
    }
    if let Some(key) = key {
        let _ = headers.set("idempotency-key", key);
    }
    request.set_headers(&headers);
    Ok(request)
}

async fn fetch(method: &str, path: &str, request: &RequestInit) -> Result<Response, Trouble> {
    request.set_method(method);
    let window = web_sys::window().ok_or(Trouble::Offline)?;
    let answer = JsFuture::from(window.fetch_with_str_and_init(&address(path), request)).await;
    let response: Response = answer.ok().and_then(|answer| answer.dyn_into().ok()).ok_or(Trouble::Offline)?;
    if response.ok() {
        return Ok(response);
    }
    match response.status() {
        401 => Err(Trouble::SignedOut),
        // What stands between us and the server says so when the server is away.
        502..=504 => Err(Trouble::Offline),
        status => {
            let text = text(&response).await.unwrap_or_default();
            let failure = wire::failure(status, &text);
            let told = response.headers().get("retry-after").ok().flatten();
            match remote::later(status, told.as_deref()) {
                Some(seconds) => Err(Trouble::Later { seconds, failure }),
                None => Err(Trouble::Refused { status, failure }),
            }
        }
    }
}

/// A list that may come whole or in parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum List<T> {
    Whole(Vec<T>),
    Part(Part<T>),
}

impl<T> List<T> {
    fn items(self) -> Vec<T> {
        match self {
            Self::Whole(items) | Self::Part(Part { items, .. }) => items,
        }
    }
}

/// What the server is, and what may be done with it.
pub async fn about() -> Result<About, Trouble> {
    get("server").await
}

/// The library.
pub async fn models() -> Result<Vec<Model>, Trouble> {
    get::<List<Model>>("models").await.map(List::items)
}

/// Models that are on their way into the library.
pub async fn pulls() -> Result<Vec<wire::Pull>, Trouble> {
    get::<List<wire::Pull>>("models/pull").await.map(List::items)
}

/// What a model is and wants.
pub async fn card(model: &str) -> Result<Card, Trouble> {
    get(&format!("models/{}/card", escaped(model))).await
}

/// How many tokens texts have in a model's words.
pub async fn count(model: &str, texts: &[String]) -> Result<Vec<u32>, Trouble> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Counted {
        Plain(Vec<u32>),
        Named { tokens: Vec<u32> },
    }
    let body = serde_json::json!({ "texts": texts }).to_string();
    let counted = ask("POST", &format!("models/{}/count", escaped(model)), Some(body), None).await?;
    Ok(match counted {
        Counted::Plain(tokens) | Counted::Named { tokens } => tokens,
    })
}

/// What the engine can do.
pub async fn catalog() -> Result<Catalog, Trouble> {
    get("catalog").await
}

/// The devices.
pub async fn devices() -> Result<Vec<Device>, Trouble> {
    get::<List<Device>>("devices").await.map(List::items)
}

/// Hands in a wish.
pub async fn submit(wish: &NewJob, key: &str) -> Result<Job, Trouble> {
    ask("POST", "jobs", serde_json::to_string(wish).ok(), Some(key)).await
}

/// A job.
pub async fn job(id: JobId) -> Result<Job, Trouble> {
    get(&format!("jobs/{}", id.0)).await
}

/// Jobs in a state.
pub async fn jobs(state: &str, most: u32) -> Result<Vec<Job>, Trouble> {
    get::<List<Job>>(&format!("jobs?state={state}&limit={most}")).await.map(List::items)
}

/// How it stands with the queue.
pub async fn counts() -> Result<Counts, Trouble> {
    get("queue").await
}
