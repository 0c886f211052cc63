//! What is to be fetched: a model on the hub by its name, or a file by its URL.

use ureq::http::Uri;

use super::names::{decoded, is_hex, is_plain, is_repo_part, is_revision};
use crate::failure::Refusal;

/// The branch that is meant where none is named.
pub const MAIN: &str = "main";

/// What names a model on the hub where a path or another name could be meant.
pub const SCHEME: &str = "hf:";

const FORMS: &str = "give OWNER/NAME, OWNER/NAME@REVISION, OWNER/NAME:FILE.safetensors, or a URL that begins with https://";

/// Hosts of the hub itself: pages of theirs that a user copies are understood as names.
const HUB_HOSTS: &[&str] = &["huggingface.co", "hf.co", "www.huggingface.co"];

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A model on the hub.
    Hub(Address),
    /// A file anywhere.
    Web(Uri),
}

/// A model on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `owner/name`.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// One file of it.
    pub file: Option<String>,
}

impl Wanted {
    /// Understands what a user writes.
    ///
    /// # Errors
    /// If it is neither a name nor a URL, with the forms that are.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        if !text.contains("://") || text.starts_with(SCHEME) {
            return Address::parse(text).map(Self::Hub);
        }
        let url: Uri = text.parse().map_err(|_| Refusal::new("source", "this is no URL").hint(FORMS))?;
        match url.host() {
            Some(host) if HUB_HOSTS.iter().any(|known| host.eq_ignore_ascii_case(known)) => match Address::of_page(&url) {
                Some(address) => Ok(Self::Hub(address)),
                None => Ok(Self::Web(url)),
            },
            Some(_) => Ok(Self::Web(url)),
            None => Err(Refusal::new("source", "there is no host in this URL").hint(FORMS)),
        }
    }
}

impl Address {
    /// Understands `owner/name[@revision][:file]`, with or without `hf:` before it.
    ///
    /// # Errors
    /// If it has another form, or a part that no repository has.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let shown: String = text.chars().take(200).collect();
        let refuse = |problem: &str| Refusal::new("source", format!("{shown:?}: {problem}")).hint(FORMS);
        let text = text.strip_prefix(SCHEME).unwrap_or(text).trim_start_matches("//");
        let (head, file) = text.split_once(':').map_or((text, None), |(head, file)| (head, Some(file)));
        let (repo, revision) = head.split_once('@').unwrap_or((head, MAIN));
        let Some((owner, name)) = repo.split_once('/') else {
            return Err(refuse("a model on the hub is named by its owner and its name, with a slash between them"));
        };
        if !is_repo_part(owner) || !is_repo_part(name) {
            return Err(refuse("no repository can be called so"));
        }
        if !is_revision(revision) {
            return Err(refuse("no branch, tag or commit can be called so"));
        }
        if file.is_some_and(|file| !is_plain(file)) {
            return Err(refuse("this is no name of a file in a repository"));
        }
        Ok(Self { repo: repo.to_owned(), revision: revision.to_owned(), file: file.map(str::to_owned) })
    }

    /// The model that one of the hub's pages shows: `/owner/name`, `/owner/name/{tree,blob,resolve}/revision/file`.
    fn of_page(url: &Uri) -> Option<Self> {
        let mut parts = url.path().trim_matches('/').splitn(5, '/');
        let repo = format!("{}/{}", parts.next()?, parts.next()?);
        let text = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => repo,
            (Some("tree"), Some(revision), None) => format!("{repo}@{}", decoded(revision)?),
            (Some("blob" | "resolve"), Some(revision), Some(file)) => {
                format!("{repo}@{}:{}", decoded(revision)?, decoded(file)?)
            }
            _ => return None,
        };
        Self::parse(&text).ok()
    }

    /// Whether the revision is a commit, which never changes.
    pub fn is_commit(&self) -> bool {
        is_hex(&self.revision, 40)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.repo)?;
        if self.revision != MAIN {
            write!(f, "@{}", self.revision)?;
        }
        self.file.as_ref().map_or(Ok(()), |file| write!(f, ":{file}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_pages_are_understood() {
        for (text, shown) in [
            ("a/b", "a/b"),
            ("hf:a/b", "a/b"),
            ("hf://a/b@main", "a/b"),
            ("a/b@refs/pr/1", "a/b@refs/pr/1"),
            ("a/b@v1:c/d e.safetensors", "a/b@v1:c/d e.safetensors"),
            ("a/b:x.safetensors", "a/b:x.safetensors"),
            ("https://huggingface.co/a/b", "a/b"),
            ("https://huggingface.co/a/b/tree/fp16", "a/b@fp16"),
            ("https://hf.co/a/b/resolve/main/c/d%20e.safetensors?download=true", "a/b:c/d e.safetensors"),
            ("https://huggingface.co/a/b/blob/refs%2Fpr%2F1/x.safetensors", "a/b@refs/pr/1:x.safetensors"),
        ] {
            let Ok(Wanted::Hub(address)) = Wanted::parse(text) else { panic!("{text}") };
            assert_eq!(address.to_string(), shown);
        }
        for text in ["https://example.com/x.safetensors", "http://127.0.0.1:80/x", "https://huggingface.co/datasets/a/b/c"] {
            assert!(matches!(Wanted::parse(text), Ok(Wanted::Web(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a", "a/b/c", "../b", "a/..", "a/b@", "a/b@../x", "a/b:", "a/b:../x", "a/b:/x", "a/b@x y", "https://"] {
            assert!(Wanted::parse(text).is_err(), "{text}");
        }
    }
}
