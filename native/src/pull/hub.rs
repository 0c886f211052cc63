//! What the hub says about a repository and its files, read as what a stranger says.
//!
//! URLs are those of `hf-hub`; the requests are our own ([`super::net`]), for the library follows any redirect, waits without
//! end and panics on answers that it does not expect.

use std::io::Read;

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;
use ureq::http::Uri;

use super::address::Address;
use super::env::Hub;
use super::fault::Fault;
use super::fetch::again;
use super::names::{encoded, is_hex, is_plain};
use super::net::{Ask, Client, Part};
use super::news::Teller;

/// The longest listing that is read, in bytes.
const LISTING: u64 = 32 << 20;

/// A repository on the hub.
pub(crate) struct Remote<'a> {
    hub: &'a Hub,
    client: &'a Client,
    address: &'a Address,
}

/// What is in a repository.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// The commit that the revision is.
    pub(crate) commit: String,
    /// Its files, those with names that can be paths.
    pub(crate) files: Vec<Listed>,
}

/// A file of a repository.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) size: Option<u64>,
}

/// What the hub promises about a file.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    /// The name of its bytes in the cache: their SHA-256, or git's number for them.
    pub(crate) etag: String,
    pub(crate) size: u64,
}

impl Promise {
    /// The SHA-256 that the bytes must have, if that is promised.
    pub(crate) fn sha(&self) -> Option<&str> {
        Some(self.etag.as_str()).filter(|etag| etag.len() == 64)
    }
}

#[derive(Deserialize)]
struct Told {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
}

impl<'a> Remote<'a> {
    pub(crate) fn new(hub: &'a Hub, client: &'a Client, address: &'a Address) -> Self {
        Self { hub, client, address }
    }

    /// The commit of a revision, and its files.
    ///
    /// # Errors
    /// If there is no such repository or revision, it may not be read, or the answer is none.
    pub(crate) fn listing(&self, teller: &Teller) -> Result<Listing, Fault> {
        let what = self.address.to_string();
        let request = self.api(&self.address.revision)?.info_request();
        let path = request.uri_ref().map(ToString::to_string).unwrap_or_default();
        // With sizes, where the server knows the question.
        let url = parse(&format!("{path}?blobs=true"), &what)?;
        let answer = again(teller, || {
            let answer = self.client.ask(&Ask { url: &url, token: self.token(), part: Part::From(0), version: None })?;
            if answer.code() == 200 { Ok(answer) } else { Err(answer.fault(&what, true)) }
        })?;
        let wrong = |problem: String| Fault::Malformed { what: what.clone(), host: super::fault::host(&url), problem };
        let mut text = Vec::new();
        let body = answer.response.into_body().into_reader();
        let read = body.take(LISTING + 1).read_to_end(&mut text);
        read.map_err(|error| Fault::of_request(ureq::Error::from(error), &url, self.client.silence()).into_dropped())?;
        if text.len() as u64 > LISTING {
            return Err(wrong("the listing has no end".to_owned()));
        }
        let told: Told = serde_json::from_slice(&text).map_err(|error| wrong(format!("it is no listing: {error}")))?;
        if !is_hex(&told.sha, 40) {
            return Err(wrong("it names no commit".to_owned()));
        }
        let (plain, odd): (Vec<_>, Vec<_>) = told.siblings.into_iter().partition(|file| is_plain(&file.rfilename));
        if !odd.is_empty() {
            tracing::warn!(repo = %what, count = odd.len(), "files whose names cannot be paths are left aside");
        }
        let files = plain.into_iter().map(|file| Listed { name: file.rfilename, size: file.size }).collect();
        Ok(Listing { commit: told.sha, files })
    }

    /// What the hub promises about a file: its first answer has it, before it sends us to where the bytes are.
    ///
    /// # Errors
    /// If there is no such file, or the promise is none.
    pub(crate) fn promise(&self, commit: &str, name: &str, teller: &Teller) -> Result<Promise, Fault> {
        let url = self.url(commit, name)?;
        let answer = again(teller, || {
            let answer = self.client.ask(&Ask { url: &url, token: self.token(), part: Part::Head, version: None })?;
            let status = answer.response.status();
            if status.is_success() || status.is_redirection() { Ok(answer) } else { Err(answer.fault(name, true)) }
        })?;
        if answer.header("x-repo-commit").is_some_and(|told| told != commit) {
            return Err(answer.malformed(name, "it is of another commit than was asked for"));
        }
        let etag = answer.header("x-linked-etag").or_else(|| answer.header("etag")).unwrap_or_default();
        let etag = etag.trim().trim_start_matches("W/").trim_matches('"');
        // It becomes a file's name.
        if !is_hex(etag, 64) && !is_hex(etag, 40) {
            return Err(answer.malformed(name, "its etag is neither a SHA-256 nor a number of git's"));
        }
        let size = match answer.header("x-linked-size") {
            Some(size) => size.trim().parse().ok(),
            // What a redirect has is the length of its own words.
            None => answer.length().filter(|_| answer.response.status().is_success()),
        };
        let size = size.ok_or_else(|| answer.malformed(name, "it does not say how many bytes there are"))?;
        Ok(Promise { etag: etag.to_owned(), size })
    }

    /// The URL of a file.
    ///
    /// # Errors
    /// If there can be none.
    pub(crate) fn url(&self, commit: &str, name: &str) -> Result<Uri, Fault> {
        parse(&self.api(commit)?.url(&encoded(name)), name)
    }

    /// What the user signs in with.
    pub(crate) fn token(&self) -> Option<&'a str> {
        self.hub.token.as_deref()
    }

    fn api(&self, revision: &str) -> Result<ApiRepo, Fault> {
        let builder = ApiBuilder::from_cache(Cache::new(self.hub.cache.clone()));
        let api = builder.with_endpoint(self.hub.endpoint.clone()).with_token(None).with_progress(false).build();
        let repo = Repo::with_revision(self.address.repo.clone(), RepoType::Model, revision.to_owned());
        api.map(|api| api.repo(repo)).map_err(|error| Fault::Broken(error.to_string()))
    }
}

fn parse(url: &str, what: &str) -> Result<Uri, Fault> {
    url.parse().map_err(|_| Fault::Broken(format!("{what}: there is no URL for it")))
}
