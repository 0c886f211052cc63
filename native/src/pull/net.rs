//! Requests: one client for the hub and for any other server, with redirects that are looked at one by one.
//!
//! The library's own redirects are off. A token goes to the server that it is for and to no other; a redirect may not lead
//! from the internet into a private network ([`super::reach`]); bodies come as they are, never compressed, as a small answer
//! could otherwise fill a disk.

use std::time::Duration;

use ureq::http::{HeaderMap, Response, Uri, header};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Proxy};

use super::fault::{Fault, host};
use super::reach::{self, Guard, Names, Reach};

/// How many redirects are followed.
const REDIRECTS: usize = 8;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(15);

/// The longest that a server may ask to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Makes requests.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// For this machine, past any proxy.
    here: Agent,
    any: Agent,
    public: Agent,
    silence: Duration,
    /// How far the first connection goes.
    reach: Reach,
}

/// What is asked for of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All that is told about it, and none of it. The first answer that names another server is the answer.
    Head,
    /// It, from a byte on.
    From(u64),
    /// One byte, from servers that tell nothing without.
    First,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a Uri,
    /// For the server that `url` names.
    pub(crate) token: Option<&'a str>,
    pub(crate) part: Part,
    /// The version of the file that a part is asked of.
    pub(crate) version: Option<&'a str>,
}

/// An answer, and who gave it.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    pub(crate) url: Uri,
}

impl Client {
    /// A client that waits so long for a silent server.
    pub(crate) fn new(silence: Duration) -> Self {
        let agent = |reach, proxy| {
            let config = Agent::config_builder()
                .proxy(proxy)
                .user_agent(concat!("encaustic/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .max_redirects(0)
                .max_redirects_will_error(false)
                .http_status_as_error(false)
                .timeout_resolve(Some(CONNECT.min(silence)))
                .timeout_connect(Some(CONNECT.min(silence)))
                .timeout_recv_response(Some(silence))
                .timeout_per_read(Some(silence))
                .timeout_per_write(Some(silence))
                .build();
            Agent::with_parts(config, DefaultConnector::default(), Guard(reach))
        };
        let proxy = Proxy::try_from_env();
        let (here, any) = (agent(Reach::Any, None), agent(Reach::Any, proxy.clone()));
        Self { here, any, public: agent(Reach::Public, proxy), silence, reach: Reach::Any }
    }

    /// The same, for wishes of strangers: it goes to public addresses only.
    pub(crate) fn public(silence: Duration) -> Self {
        Self { reach: Reach::Public, ..Self::new(silence) }
    }

    /// How long a silent server is waited for.
    pub(crate) fn silence(&self) -> Duration {
        self.silence
    }

    /// Asks, and follows redirects.
    ///
    /// # Errors
    /// If no answer comes, or it leads where no request goes. A status that is no success is an answer.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let mut url = ask.url.clone();
        let mut reach = self.reach;
        let names = if self.any.config().proxy().is_some() { Names::Proxys } else { Names::Ours };
        reach::begin(&url, reach)?;
        for _ in 0..=REDIRECTS {
            let response = self.send(ask, &url, reach)?;
            let Some(to) = redirect(&response, &url)? else { return Ok(Answer { response, url }) };
            if ask.part == Part::Head && !is_same_server(&url, &to) {
                return Ok(Answer { response, url });
            }
            reach = reach::follow(&url, &to, reach, names)?;
            url = to;
        }
        Err(Fault::Malformed { what: "the redirects".to_owned(), host: host(&url), problem: "they lead in a circle".to_owned() })
    }

    fn send(&self, ask: &Ask<'_>, url: &Uri, reach: Reach) -> Result<Response<Body>, Fault> {
        let agent = match reach {
            Reach::Public => &self.public,
            Reach::Any if url.host().is_some_and(reach::is_loopback) => &self.here,
            Reach::Any => &self.any,
        };
        let mut request = if ask.part == Part::Head { agent.head(url) } else { agent.get(url) };
        if let Some(token) = ask.token.filter(|_| is_same_server(ask.url, url)) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let range = match ask.part {
            Part::Head | Part::From(0) => None,
            Part::From(start) => Some(format!("bytes={start}-")),
            Part::First => Some("bytes=0-0".to_owned()),
        };
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
            if let Some(version) = ask.version {
                request = request.header(header::IF_RANGE, version);
            }
        }
        request.call().map_err(|error| Fault::of_request(error, url, self.silence))
    }
}

impl Answer {
    /// The status.
    pub(crate) fn code(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// A header, if it is there once and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        text(self.response.headers(), name)
    }

    /// The fault that a status means which is no success.
    pub(crate) fn fault(&self, what: &str, is_hub: bool) -> Fault {
        let wait = self.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
        let wait = wait.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        Fault::of_status(self.code(), what, &self.url, is_hub.then(|| self.header("x-error-code").unwrap_or_default()), wait)
    }

    /// An answer that cannot be meant so.
    pub(crate) fn malformed(&self, what: &str, problem: impl Into<String>) -> Fault {
        Fault::Malformed { what: what.to_owned(), host: host(&self.url), problem: problem.into() }
    }

    /// Refuses a compressed body.
    ///
    /// The library, as `hf-hub` has it built, unpacks gzip unasked, and hides the encoding and the length of what it unpacks. So
    /// a body without a length is taken for one; where it comes in chunks both look alike, and the file's size is the bound.
    ///
    /// # Errors
    /// If it is one.
    pub(crate) fn is_plain(&self, what: &str) -> Result<(), Fault> {
        let encoding = self.header("content-encoding").map(str::trim).unwrap_or_default();
        let is_named = !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity");
        let is_hidden = self.length().is_none() && self.header("transfer-encoding").is_none();
        if is_named || is_hidden {
            return Err(self.malformed(what, "it is compressed, which was not asked for, or does not say how long it is"));
        }
        Ok(())
    }

    /// The length that is told; of a part, that of the part.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Which bytes of how many a part has: `bytes 5-9/10`.
    pub(crate) fn range(&self) -> Option<(u64, Option<u64>)> {
        let (range, total) = self.header("content-range")?.trim().strip_prefix("bytes ")?.split_once('/')?;
        let start = range.split_once('-')?.0.trim().parse().ok()?;
        Some((start, total.trim().parse().ok()))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Where an answer sends us, if it does.
fn redirect(response: &Response<Body>, from: &Uri) -> Result<Option<Uri>, Fault> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let to = text(response.headers(), "location").and_then(|location| join(from, location));
    let wrong =
        || Fault::Malformed { what: "a redirect".to_owned(), host: host(from), problem: "it does not say where to".to_owned() };
    to.map(Some).ok_or_else(wrong)
}

/// A location as seen from a URL.
fn join(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let location = location.trim();
    if location.contains("://") && !location.starts_with('/') {
        return location.parse().ok();
    }
    let text = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    text.parse().ok()
}

/// Whether two URLs are of one server: the same scheme, host and port.
pub(crate) fn is_same_server(one: &Uri, other: &Uri) -> bool {
    let port = |url: &Uri| url.port_u16().or(if url.scheme_str() == Some("https") { Some(443) } else { Some(80) });
    let host = |url: &Uri| url.host().map(str::to_ascii_lowercase);
    one.scheme_str() == other.scheme_str() && host(one) == host(other) && port(one) == port(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_as_browsers_read_them() {
        let from: Uri = "https://example.com:8/a/b?q=1".parse().unwrap();
        for (location, to) in [
            ("https://other.org/x", "https://other.org/x"),
            ("//other.org/x", "https://other.org/x"),
            ("/x?y=http://z", "https://example.com:8/x?y=http://z"),
            ("x", "https://example.com:8/a/x"),
        ] {
            assert_eq!(join(&from, location).unwrap().to_string(), to);
        }
        assert_eq!(join(&from, "https://"), None);
    }

    #[test]
    fn a_server_is_a_scheme_a_host_and_a_port() {
        let same = |one: &str, other: &str| is_same_server(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(same("https://a.org/x", "https://A.org:443/y"));
        for other in ["http://a.org/", "https://a.org:8/", "https://b.a.org/", "https://a.org.b/"] {
            assert!(!same("https://a.org/", other), "{other}");
        }
    }
}
