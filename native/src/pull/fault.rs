//! What can go wrong on the way from a server to a folder, in words that say what to do.

use std::io;
use std::time::Duration;

use ureq::http::Uri;

use crate::failure::{Failure, Refusal};
use crate::files::WriteError;

/// Why something was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// What is wanted cannot be had; asking again changes nothing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No connection came about.
    #[error("{host} cannot be reached ({why}); is there a network?")]
    Unreachable {
        /// Whose server.
        host: String,
        /// What the system said.
        why: String,
    },
    /// The server cannot prove that it is the one.
    #[error(
        "{host} has no certificate that can be trusted ({why}); nothing was fetched. A wrong clock or a program that reads \
             along, as some companies have, can be the cause"
    )]
    Certificate {
        /// Whose server.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing came for too long.
    #[error("{host} has been silent for {seconds} s; try again later, or wait longer with HF_HUB_DOWNLOAD_TIMEOUT=SECONDS")]
    Silent {
        /// Whose server.
        host: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The connection ended too early.
    #[error("the connection to {host} broke off ({why})")]
    Dropped {
        /// Whose server.
        host: String,
        /// What the system said.
        why: String,
    },
    /// The server answered, but not with what was asked for.
    #[error("{what}: {host} answered {code}{hint}")]
    Status {
        /// What was asked for.
        what: String,
        /// Whose server.
        host: String,
        /// The status.
        code: u16,
        /// What it means and what to do; with a separator before it.
        hint: &'static str,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
    /// An answer that cannot be meant so.
    #[error("{what}: the answer of {host} is not to be used: {problem}")]
    Malformed {
        /// What was asked for.
        what: String,
        /// Whose server.
        host: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A place that is not gone to.
    #[error("{place} is not gone to: {why}")]
    Forbidden {
        /// Where it would have gone.
        place: String,
        /// Why not.
        why: &'static str,
    },
    /// The bytes are not those that were promised.
    #[error(
        "{what}: the SHA-256 should be {expected} and is {found}, twice in a row; the file was removed. The server or what \
             is between has a damaged copy: try again later"
    )]
    Hash {
        /// Which file.
        what: String,
        /// What was promised.
        expected: String,
        /// What came.
        found: String,
    },
    /// Other lengths than promised.
    #[error(
        "{what}: {expected} bytes were promised and {found} came. Try again later; where a page asks to sign in to the \
             network, do that first"
    )]
    Length {
        /// Which file.
        what: String,
        /// What was promised.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// It was given up.
    #[error("{what}: {cause}; it was tried {tries} times. What came is kept: the same command goes on from there")]
    GivenUp {
        /// Which file.
        what: String,
        /// What happened last.
        cause: Box<Fault>,
        /// How often without any progress.
        tries: u32,
    },
    /// By Ctrl-C. Whoever asked for the download has heard of it already.
    #[error("the download was stopped")]
    Stopped,
    /// The disk.
    #[error(transparent)]
    Disk(#[from] WriteError),
    /// A fault of ours, or of a library.
    #[error("the download broke down: {0}")]
    Broken(String),
}

impl Fault {
    /// What a failed request means.
    pub(crate) fn of_request(error: ureq::Error, url: &Uri, silence: Duration) -> Self {
        let host = host(url);
        let io = match error {
            ureq::Error::Timeout(_) => return Self::Silent { host, seconds: silence.as_secs() },
            ureq::Error::HostNotFound => return Self::Unreachable { host, why: "its name is not known".to_owned() },
            ureq::Error::Io(error) => error,
            error @ (ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_)) => {
                return Self::Unreachable { host, why: error.to_string() };
            }
            error if error.to_string().contains("rustls") => return Self::Certificate { host, why: error.to_string() },
            error => return Self::Malformed { what: "a request".to_owned(), host, problem: error.to_string() },
        };
        let why = io.to_string();
        match io.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Silent { host, seconds: silence.as_secs() },
            io::ErrorKind::PermissionDenied if io.get_ref().is_some_and(|inner| inner.is::<super::reach::Private>()) => {
                Self::Forbidden { place: host, why: super::reach::PRIVATE }
            }
            _ if why.contains("certificate") => Self::Certificate { host, why },
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Dropped { host, why },
            _ => Self::Unreachable { host, why },
        }
    }

    /// What a status means that is not success.
    /// `reason` is what the hub says beside it, if it is the hub.
    pub(crate) fn of_status(code: u16, what: &str, url: &Uri, reason: Option<&str>, wait: Option<Duration>) -> Self {
        let is_hub = reason.is_some();
        let hint = match code {
            401 | 403 if reason == Some("GatedRepo") => {
                ": the repository is gated. Accept its terms on its page, and give a token of the same account: HF_TOKEN, or the \
                 token file of `hf auth login`"
            }
            401 | 403 if is_hub => {
                ": the repository is private, gated, or does not exist. Accept its terms on its page, and give a token that may \
                 read it: HF_TOKEN, or the token file of `hf auth login`"
            }
            401 | 403 => ": this may not be read without signing in; download it with a browser",
            404 if reason == Some("RevisionNotFound") => ": there is no such branch, tag or commit",
            404 if reason == Some("EntryNotFound") => ": there is no such file in this revision",
            404 | 410 if is_hub => ": there is no such repository, revision or file; see that the name is right",
            404 | 410 => ": there is no such file",
            429 => ": too many requests; wait some minutes, or sign in with HF_TOKEN",
            500..=599 => ": the server has a problem of its own; try again later",
            _ => "",
        };
        Self::Status { what: what.to_owned(), host: host(url), code, hint, wait }
    }

    /// In the middle of a body, an answer that breaks its own rules is one that broke off.
    pub(crate) fn into_dropped(self) -> Self {
        match self {
            Self::Malformed { host, problem, .. } => Self::Dropped { host, why: problem },
            Self::Unreachable { host, why } => Self::Dropped { host, why },
            fault => fault,
        }
    }

    /// Whether asking again may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Dropped { .. } | Self::Unreachable { .. } => true,
            Self::Status { code, .. } => matches!(code, 408 | 429 | 500..=599),
            _ => false,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => Self::Refused(refusal),
            Fault::Disk(error) => Self::Write(error),
            fault => Self::Fetch(fault),
        }
    }
}

/// The host and port of a URL: all that is shown of it, as the rest can be secret.
pub(crate) fn host(url: &Uri) -> String {
    let authority = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}
