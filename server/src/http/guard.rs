//! Against pages of strangers: by which names the server may be called, and from which pages it may be used.
//!
//! A browser does for any page what that page asks for, also towards this machine. Two things give such a page away. The name by
//! which it calls the server (`Host`) is the page's own if it has had that name point here; so only known names are answered. And
//! a browser says with every request that could do harm which page it comes from (`Origin`); so only our own may.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{ApiError, openapi};
use crate::config::Config;

/// How long a browser may remember what another page may do here, in seconds.
const REMEMBER: &str = "600";

/// What an answer may do that is no page: nothing.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox";

/// Who may call the server, and by what name.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    port: u16,
    is_public: bool,
    hosts: Vec<String>,
    origins: Vec<String>,
    knows_neighbours: bool,
}

impl Guard {
    /// For a server at an address.
    pub(super) fn new(config: &Config, address: SocketAddr) -> Arc<Self> {
        let plain = |text: &String| text.trim().trim_end_matches('/').to_ascii_lowercase();
        Arc::new(Self {
            port: address.port(),
            is_public: !address.ip().to_canonical().is_loopback(),
            hosts: config.hosts.0.iter().map(plain).collect(),
            origins: config.origins.0.iter().map(plain).collect(),
            knows_neighbours: false,
        })
    }

    /// For the address of metrics, which a collector in the same network calls by a name without a dot. No stranger's page
    /// has such a name.
    pub(super) fn apart(config: &Config, address: SocketAddr) -> Arc<Self> {
        let guard = Arc::unwrap_or_clone(Self::new(config, address));
        Arc::new(Self { knows_neighbours: true, ..guard })
    }

    /// Whether the server is known by this name.
    fn knows(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().to_ascii_lowercase();
        let rest = host.get(name.len()..).unwrap_or_default();
        let port = match rest.strip_prefix(':') {
            Some(port) => match port.parse::<u16>() {
                Ok(port) => Some(port),
                Err(_) => return false,
            },
            None if rest.is_empty() => None,
            None => return false,
        };
        let with_port = port.map(|port| format!("{name}:{port}"));
        if self.hosts.iter().any(|known| *known == name || Some(known) == with_port.as_ref()) {
            return true;
        }
        if port.unwrap_or(80) != self.port {
            return false;
        }
        // A name can be made to point anywhere; an address is what it is.
        let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_neighbour = self.knows_neighbours
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !name.bytes().all(|byte| byte.is_ascii_digit());
        name == "localhost" || is_neighbour || ip.is_ok_and(|ip| self.is_public || ip.is_loopback())
    }

    /// Whether a page from there may use the server that it calls `host`.
    fn trusts(&self, origin: &str, host: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let own = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
        own == Some(host) || self.is_listed(&origin)
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known == origin)
    }
}

/// Turns away what does not come from our own page, nor from a program.
pub(super) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let host = match host(&request) {
        Ok(host) => host,
        Err(error) => return error.into_response(),
    };
    if !guard.knows(&host) {
        let message = format!(
            "this server is not known as {host:?}; if you trust that name, add it to the setting `hosts` \
             (`encaustic serve --hosts {host}`)"
        );
        return ApiError::new(StatusCode::FORBIDDEN, "host", message).into_response();
    }
    let origin = request.headers().get(header::ORIGIN).map(|value| value.to_str().unwrap_or("null").to_ascii_lowercase());
    let Some(origin) = origin else { return next.run(request).await };
    let is_listed = guard.is_listed(&origin);
    if request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) && is_listed {
        let mut response = StatusCode::NO_CONTENT.into_response();
        allow(response.headers_mut(), &origin);
        return response;
    }
    let is_harmless = [Method::GET, Method::HEAD].contains(request.method()) && !request.headers().contains_key(header::UPGRADE);
    if !is_harmless && !guard.trusts(&origin, &host) {
        let message = format!(
            "pages from {origin:?} may not use this server; if you trust them, add that to the setting `origins` \
             (`encaustic serve --origins {origin}`)"
        );
        return ApiError::new(StatusCode::FORBIDDEN, "origin", message).into_response();
    }
    let mut response = next.run(request).await;
    if is_listed {
        allow(response.headers_mut(), &origin);
    }
    response
}

/// The one name by which the server is called, in lower case.
fn host(request: &Request) -> Result<String, ApiError> {
    let wrong = |message: &str| ApiError::new(StatusCode::BAD_REQUEST, "host", message);
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
    if hosts.next().is_some() {
        return Err(wrong("there are several `Host` headers"));
    }
    let host = host.ok_or_else(|| wrong("there is no `Host` header that could be read"))?;
    match request.uri().authority() {
        Some(other) if !other.as_str().eq_ignore_ascii_case(&host) => {
            Err(wrong("the address and the `Host` header name two hosts"))
        }
        _ => Ok(host),
    }
}

/// Has a browser let a page of another origin read this.
fn allow(headers: &mut HeaderMap, origin: &str) {
    let Ok(origin) = HeaderValue::from_str(origin) else { return };
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::VARY, "origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, PUT, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, idempotency-key, last-event-id, x-api-key, x-request-id",
        ),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "content-disposition, etag, location, retry-after, x-request-id"),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBER),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}

/// What every answer tells the browser, unless it says otherwise itself.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let policy = if openapi::is_page(request.uri().path()) { openapi::POLICY } else { POLICY };
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let usual: [(HeaderName, &'static str); 6] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in usual {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().entry(header::WWW_AUTHENTICATE).or_insert(super::identify::CHALLENGE);
    }
    response
}
