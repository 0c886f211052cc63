//! What the environment says about the hub: the variables that Python's `huggingface_hub` knows, with the same meaning, so
//! that a machine that is set up for one is set up for both.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use directories::BaseDirs;
use ureq::http::Uri;

use super::reach;
use crate::failure::Refusal;

/// The hub, where no other is named.
const ENDPOINT: &str = "https://huggingface.co";

/// How long a silent server is waited for, in seconds.
const SILENCE: u64 = 30;

/// The longest token that is sent, in bytes.
const LONGEST_TOKEN: usize = 4096;

/// Where the hub is, and where its files are kept.
#[derive(Clone)]
pub struct Hub {
    /// The hub's URL, without a slash at its end.
    pub endpoint: String,
    /// The folder that programs for the hub share.
    pub cache: PathBuf,
    /// What the user signs in with.
    pub token: Option<String>,
    /// Whether the network is left alone.
    pub offline: bool,
    /// How long a silent server is waited for.
    pub silence: Duration,
}

impl Hub {
    /// Reads the environment; of what only a network needs nothing where there is none.
    ///
    /// # Errors
    /// If a variable cannot be meant so.
    pub fn from_env(offline: bool) -> Result<Self, Refusal> {
        let home = home()?;
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| home.join("hub"));
        if offline || is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE") {
            let silence = Duration::from_secs(SILENCE);
            return Ok(Self { endpoint: ENDPOINT.to_owned(), cache, token: None, offline: true, silence });
        }
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()).trim_end_matches('/').to_owned();
        let url: Uri = endpoint.parse().map_err(|_| Refusal::new("HF_ENDPOINT", "this is no URL"))?;
        reach::allow(&url).map_err(|fault| Refusal::new("HF_ENDPOINT", fault.to_string()))?;
        Ok(Self { endpoint, token: token(&home)?, cache, offline: false, silence: silence()? })
    }
}

/// How long a silent server is waited for: all that a server other than the hub needs of these variables.
///
/// # Errors
/// If the variable is no number of seconds.
pub(crate) fn silence() -> Result<Duration, Refusal> {
    let seconds = match text("HF_HUB_DOWNLOAD_TIMEOUT") {
        None => SILENCE,
        Some(seconds) => seconds.parse().ok().filter(|seconds| (1..=86_400).contains(seconds)).ok_or_else(|| {
            Refusal::new("HF_HUB_DOWNLOAD_TIMEOUT", format!("{seconds:?} is no number of seconds from 1 to 86400"))
        })?,
    };
    Ok(Duration::from_secs(seconds))
}

/// The folder of everything that belongs to the hub.
fn home() -> Result<PathBuf, Refusal> {
    if let Some(home) = path("HF_HOME") {
        return Ok(home);
    }
    let folder = path("XDG_CACHE_HOME").or_else(|| Some(BaseDirs::new()?.home_dir().join(".cache")));
    let folder = folder.map(|folder| folder.join("huggingface"));
    folder.ok_or_else(|| Refusal::new("HF_HOME", "there is no home folder to keep models in").hint("name a folder with HF_HOME"))
}

fn token(home: &std::path::Path) -> Result<Option<String>, Refusal> {
    if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") && text("HF_TOKEN").is_none() {
        return Ok(None);
    }
    let file = || fs::read_to_string(path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"))).ok();
    let Some(token) = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(file) else { return Ok(None) };
    let token = token.trim();
    if token.len() > LONGEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::new("HF_TOKEN", "what is given as a token (or in the token file) is none")
            .hint("copy it anew from your settings on the hub"));
    }
    Ok(Some(token.to_owned()).filter(|token| !token.is_empty()))
}

/// A variable that is set and not empty.
fn text(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(name).filter(|value| !value.is_empty())?);
    // Python's programs understand `~` here as well.
    match path.strip_prefix("~") {
        Ok(below) => Some(BaseDirs::new()?.home_dir().join(below)),
        Err(_) => Some(path),
    }
}

fn is_set(name: &str) -> bool {
    text(name).is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str()))
}
