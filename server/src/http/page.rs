//! The page: the one that was built into the program, or a folder's. A program without a page says how to get one.
//!
//! What a browser needs to draw by itself (the engine's worker, models) is left out: here the server draws.

mod folder;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{LazyLock, Once, OnceLock};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::Embed;
use sha2::{Digest, Sha256};

use super::ApiError;
use crate::App;
use crate::app::Interrupted;

#[derive(Embed)]
#[folder = "../dist"]
#[allow_missing = true]
#[exclude = "worker*"]
#[exclude = "models/*"]
#[exclude = "sw.js"]
struct Built;

/// The page's first file.
const INDEX: &str = "index.html";
/// By this the page knows that a server is behind it.
const SIGN: &str = "<meta name=\"encaustic-server\" content=\"1\">";
/// What the page may do: nothing from elsewhere, no script or style within its text.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; \
                      img-src 'self' blob: data:; connect-src 'self' blob:; manifest-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
/// Smaller files are not worth compressing.
const WORTH_BYTES: usize = 1024;

/// A file of the page.
struct File {
    mime: &'static str,
    tag: HeaderValue,
    is_forever: bool,
    bytes: Bytes,
    /// Made aside, once the page is asked for; until then it is sent as it is.
    gzip: OnceLock<Option<Bytes>>,
}

impl File {
    fn new(path: &str, bytes: Cow<'static, [u8]>) -> Self {
        let bytes = match bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        let bytes = if path == INDEX { signed(&bytes) } else { bytes };
        let digest = Sha256::digest(&bytes);
        let tag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { mime: mime(path), tag, is_forever: is_hashed(path), bytes, gzip: OnceLock::new() }
    }

    fn pack(&self) {
        let packed = || {
            let is_worth = self.bytes.len() >= WORTH_BYTES && !self.mime.starts_with("image/png");
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            let packed = encoder.write_all(&self.bytes).and_then(|()| encoder.finish());
            packed.ok().filter(|packed| is_worth && packed.len() < self.bytes.len()).map(Bytes::from)
        };
        self.gzip.get_or_init(packed);
    }

    /// What is sent; `pack` makes its gzip where that is wanted and not there.
    fn answer(&self, headers: &HeaderMap, pack: bool) -> Response {
        let says = |name: header::HeaderName, what: &str| {
            headers.get_all(name).iter().any(|value| value.to_str().is_ok_and(|text| text.contains(what)))
        };
        let mut response = if says(header::IF_NONE_MATCH, self.tag.to_str().unwrap_or("-")) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let wants_gzip = says(header::ACCEPT_ENCODING, "gzip");
            if pack && wants_gzip {
                self.pack();
            }
            match self.gzip.get().filter(|_| wants_gzip) {
                Some(Some(packed)) => ([(header::CONTENT_ENCODING, "gzip")], Body::from(packed.clone())).into_response(),
                _ => Body::from(self.bytes.clone()).into_response(),
            }
        };
        let cache = if self.is_forever { "public, max-age=31536000, immutable" } else { "no-cache" };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.mime));
        headers.insert(header::ETAG, self.tag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }
}

/// The files that are built in.
static FILES: LazyLock<BTreeMap<String, File>> = LazyLock::new(|| {
    let file = |path: Cow<'static, str>| {
        let data = Built::get(&path)?.data;
        Some((path.to_string(), File::new(&path, data)))
    };
    Built::iter().filter_map(file).collect()
});

/// Packs the files that are built in, the first time that one of them is asked for. It takes a second or two, so nobody waits for it.
fn pack_all() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let packing = std::thread::Builder::new().name("page".to_owned()).spawn(|| FILES.values().for_each(|file| file.pack()));
        if let Err(error) = packing {
            tracing::warn!("the page is sent as it is, without gzip: no thread could be started: {error}");
        }
    });
}

/// Answers what no route does: with a file of the page, or that there is nothing.
pub(super) async fn serve(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let nothing = || ApiError::not_found("there is nothing at this address");
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Err(nothing());
    }
    let Some(path) = request.uri().path().strip_prefix('/').map(str::to_owned) else { return Err(nothing()) };
    let path = if path.is_empty() { INDEX.to_owned() } else { path };
    let answer = match app.config.page.clone() {
        // What is built in lies in memory: it is there whatever else the server is busy with.
        None => FILES.get(&path).map(|file| {
            pack_all();
            file.answer(request.headers(), false)
        }),
        Some(folder) => {
            let (wanted, headers) = (path.clone(), request.headers().clone());
            let read = app.blocking(move |_| {
                let file = folder::read(&folder, &wanted).map(|bytes| File::new(&wanted, bytes.into()));
                Ok::<_, Interrupted>(file.map(|file| file.answer(&headers, true)))
            });
            read.await?
        }
    };
    match answer {
        Some(response) => Ok(response),
        None if path == INDEX => Ok(without(&app)),
        None => Err(nothing()),
    }
}

/// Whether there is a page to serve.
pub(crate) fn is_there(folder: Option<&std::path::Path>) -> bool {
    match folder {
        Some(folder) => folder.join(INDEX).is_file(),
        None => Built::get(INDEX).is_some(),
    }
}

/// What is shown where there is no page.
fn without(app: &App) -> Response {
    let why = match &app.config.page {
        Some(folder) => format!("The folder of the setting <code>page</code> ({}) has no index.html.", escaped(folder)),
        None => "This program was built without its page. To build it in: <code>cargo xtask web</code>, then \
                 <code>cargo build --release -p encaustic</code> again."
            .to_owned(),
    };
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"dark light\">{SIGN}<title>Encaustic</title>\
         <h1>Encaustic is running</h1><p>{why}</p>\
         <p>Programs can use it as it is: <a href=\"/api/docs/\">its interface</a>.</p></html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, text).into_response()
}

fn escaped(path: &std::path::Path) -> String {
    path.display().to_string().replace('&', "&amp;").replace('<', "&lt;")
}

/// The page's first file, with the sign that a server is behind it.
fn signed(bytes: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(bytes);
    text.replacen("<head>", &format!("<head>\n    {SIGN}"), 1).into_bytes().into()
}

/// Whether a name says what is in the file, as trunk's do: `app-ac389563b8ca763_bg.wasm`.
fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(['-', '_', '.']).any(|part| part.len() >= 14 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, kind)| kind).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_names_are_known() {
        for (name, is) in [
            ("app-ac389563b8ca763_bg.wasm", true),
            ("icons/base-37da394254c24012.css", true),
            ("index.html", false),
            ("start.js", false),
            ("models.json", false),
        ] {
            assert_eq!(is_hashed(name), is, "{name}");
        }
    }

    #[test]
    fn the_sign_stands_in_the_head() {
        assert_eq!(signed(b"<html><head><title>").as_ref(), format!("<html><head>\n    {SIGN}<title>").as_bytes());
    }
}
