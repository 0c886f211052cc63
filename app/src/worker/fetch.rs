//! Files from a server, never more of them than was promised.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamDefaultReader, Response};

use super::post::{scope, why};

/// How much of a file may come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// So many bytes, no fewer and no more.
    Exactly(u64),
    /// At most so many.
    UpTo(u64),
}

impl Size {
    fn most(self) -> u64 {
        match self {
            Self::Exactly(bytes) | Self::UpTo(bytes) => bytes,
        }
    }
}

/// Gets a file. `seen` is told how many bytes there are, whenever some have come.
///
/// The bytes lie in JavaScript's memory: what WebAssembly has once asked for it never gives back.
pub(super) async fn fetch(address: &str, size: Size, mut seen: impl FnMut(u64)) -> Result<Uint8Array, String> {
    let failed = |error: JsValue| format!("{address} cannot be fetched: {}", why(&error));
    let response = JsFuture::from(scope().fetch_with_str(address)).await.map_err(failed)?;
    let response: Response = response.dyn_into().map_err(failed)?;
    if !response.ok() {
        return Err(format!("{address} cannot be fetched: the server answers {} {}", response.status(), response.status_text()));
    }
    let Some(body) = response.body() else { return Err(format!("{address} is empty")) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut chunks: Vec<Uint8Array> = Vec::new();
    let mut there = 0u64;
    loop {
        let result = JsFuture::from(reader.read()).await.map_err(failed)?;
        if Reflect::get(&result, &"done".into()).map_err(failed)?.is_truthy() {
            break;
        }
        let chunk: Uint8Array = Reflect::get(&result, &"value".into()).map_err(failed)?.dyn_into().map_err(failed)?;
        there += u64::from(chunk.length());
        if there > size.most() {
            let _ = reader.cancel();
            return Err(format!("{address} has more than the {} bytes that it may have", size.most()));
        }
        chunks.push(chunk);
        seen(there);
    }
    if let Size::Exactly(bytes) = size
        && there != bytes
    {
        return Err(format!(
            "{address} has {there} bytes, and the manifest says {bytes}; the file is cut short or of another model"
        ));
    }
    let length = u32::try_from(there).map_err(|_| format!("{address} is too large"))?;
    let whole = Uint8Array::new_with_length(length);
    let mut offset = 0;
    for chunk in chunks {
        whole.set(&chunk, offset);
        offset += chunk.length();
    }
    Ok(whole)
}

/// The SHA-256 of some bytes, by the browser itself, in lower-case hexadecimal digits.
pub(super) async fn sha256(bytes: &Uint8Array) -> Result<String, String> {
    let failed = |error: JsValue| format!("the browser computes no SHA-256: {}", why(&error));
    let crypto = scope().crypto().map_err(failed)?;
    let promise = crypto.subtle().digest_with_str_and_js_u8_array("SHA-256", bytes).map_err(failed)?;
    let digest = JsFuture::from(promise).await.map_err(failed)?;
    Ok(Uint8Array::new(&digest).to_vec().iter().map(|byte| format!("{byte:02x}")).collect())
}
