//! Files from a server, never more of them than was promised.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, ReadableStreamDefaultReader, RequestCache, RequestInit, Response};

use super::brake::Brake;
use super::post::{scope, why};
use crate::ranges::{Reply, reply};

/// Why nothing, or not all, has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FetchError {
    /// The brake was pulled.
    Stopped,
    /// The connection was not there, or broke, or the server is busy: another try may do better.
    Broken(String),
    /// The server has not what is wanted.
    Refused(String),
    /// The server's file does not go on where ours ends.
    Unlike,
}

/// What a server sends, piece by piece.
pub(super) struct Body {
    address: String,
    reader: ReadableStreamDefaultReader,
    brake: Brake,
    /// The place of the next byte in the file.
    at: u64,
    /// Bytes that the file may have.
    most: u64,
}

/// Asks for a file of `of` bytes (or, where that is not known, at most so many) from byte `from` on. What comes may begin at 0
/// all the same: [`Body::at`] tells.
pub(super) async fn request(address: &str, from: u64, of: u64, brake: &Brake) -> Result<Body, FetchError> {
    let refused = |why: String| FetchError::Refused(format!("{address} cannot be fetched: {why}"));
    let thrown = |error: JsValue| refused(why(&error));
    let options = RequestInit::new();
    // What is kept is kept by us; and a damaged copy in the browser's own cache is of no use. What has no size is a manifest,
    // which may be in that cache if the server says that it is still the same.
    options.set_cache(if from > 0 || of < u64::MAX { RequestCache::NoStore } else { RequestCache::NoCache });
    options.set_signal(brake.signal().as_ref());
    if from > 0 {
        let headers = Headers::new().map_err(thrown)?;
        headers.set("Range", &format!("bytes={from}-")).map_err(thrown)?;
        options.set_headers_headers(&headers);
    }
    let response = JsFuture::from(scope().fetch_with_str_and_init(address, &options)).await;
    let response: Response = response.map_err(|error| broken(address, brake, &error))?.unchecked_into();
    let range = response.headers().get("Content-Range").ok().flatten();
    let at = match reply(response.status(), range.as_deref(), from, of) {
        Reply::Rest if from > 0 => from,
        Reply::Whole => 0,
        Reply::Nothing => return Err(FetchError::Unlike),
        Reply::Later => {
            let (status, text) = (response.status(), response.status_text());
            return Err(FetchError::Broken(format!("{address} cannot be fetched now: the server answers {status} {text}")));
        }
        Reply::Rest | Reply::Other => {
            return Err(refused(format!("the server answers {} {}", response.status(), response.status_text())));
        }
    };
    let Some(body) = response.body() else { return Err(FetchError::Refused(format!("{address} is empty"))) };
    let reader = body.get_reader().unchecked_into();
    Ok(Body { address: address.to_owned(), reader, brake: brake.clone(), at, most: of })
}

fn broken(address: &str, brake: &Brake, error: &JsValue) -> FetchError {
    if brake.is_pulled() {
        return FetchError::Stopped;
    }
    FetchError::Broken(format!(
        "{address} cannot be fetched: {}; see whether there is a connection, and whether that server lets other pages read its \
         files (CORS)",
        why(error)
    ))
}

impl Body {
    /// The place of the next piece in the file.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Lets the server send no more. What has ended by an abort says so once more, which is no news; but where nobody hears it,
    /// the worker would be taken for dead.
    pub(super) async fn cancel(&self) {
        let _ = JsFuture::from(self.reader.cancel()).await;
    }

    /// The next piece, in JavaScript's memory; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Uint8Array>, FetchError> {
        let lost = |error: JsValue| broken(&self.address, &self.brake, &error);
        if self.brake.is_pulled() {
            self.cancel().await;
            return Err(FetchError::Stopped);
        }
        let result = JsFuture::from(self.reader.read()).await.map_err(lost)?;
        if Reflect::get(&result, &"done".into()).map_err(lost)?.is_truthy() {
            return Ok(None);
        }
        let piece: Uint8Array = Reflect::get(&result, &"value".into()).map_err(lost)?.unchecked_into();
        self.at += u64::from(piece.length());
        if self.at > self.most {
            self.cancel().await;
            let problem = format!("{} has more than the {} bytes that it may have", self.address, self.most);
            return Err(FetchError::Refused(problem));
        }
        Ok(Some(piece))
    }
}

/// A small file in whole.
pub(super) async fn small(address: &str, most: u64, brake: &Brake) -> Result<Vec<u8>, FetchError> {
    let mut body = request(address, 0, u64::MAX, brake).await?;
    body.most = most;
    let mut text = Vec::new();
    while let Some(piece) = body.next().await? {
        text.extend(piece.to_vec());
    }
    Ok(text)
}

/// The SHA-256 of some bytes, by the browser itself, in lower-case hexadecimal digits.
pub(super) async fn sha256(bytes: &Uint8Array) -> Result<String, String> {
    let failed = |error: JsValue| format!("the browser computes no SHA-256: {}", why(&error));
    let crypto = scope().crypto().map_err(failed)?;
    let promise = crypto.subtle().digest_with_str_and_js_u8_array("SHA-256", bytes).map_err(failed)?;
    let digest = JsFuture::from(promise).await.map_err(failed)?;
    Ok(Uint8Array::new(&digest).to_vec().iter().map(|byte| format!("{byte:02x}")).collect())
}
