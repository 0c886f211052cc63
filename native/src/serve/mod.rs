//! `encaustic serve`, and plain `encaustic`: the page, the interfaces for programs and the queue, around the engine.
//!
//! The server itself is `encaustic-server`, which knows no tensors; here is what it asks for: devices ([`host`], [`engine`]),
//! models and their cards ([`models`], [`cards`]), and a life as a process: configuration, a lock on its data, signals, a
//! browser.

mod cards;
mod engine;
mod flags;
mod host;
mod lock;
mod models;
mod watch;

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::Instant;

use directories::ProjectDirs;
use encaustic_server::config::Config;
use encaustic_server::server::StartError;
use encaustic_server::{Server, logs};
use serde_json::json;
use tokio::signal;

use crate::failure::{Failure, Refusal};
use crate::library::places;
use crate::{files, interrupt, terminal};
pub use flags::Args;

/// What `--help` shows.
pub const EXAMPLES: &str = "\
Examples:
  encaustic serve
      serves the page and its interfaces at http://127.0.0.1:7801 and opens it
  encaustic serve --listen 127.0.0.1:8080 --open false --devices cuda:0,cuda:1
      elsewhere, without a browser, on two cards at once
  encaustic serve --config server.toml
      with settings from a file

Every setting can be given as a flag, as a variable (ENCAUSTIC_LISTEN) or in a
file; a flag wins over a variable, and that over the file.
Ctrl-C ends it: what runs is finished, or begun again at the next start. A second
one ends at once, and nothing is lost either.";

/// The file of settings that is read if nobody names one.
const FILE: &str = "encaustic.toml";

/// Serves until it is asked to end.
///
/// # Errors
/// If a setting is wrong, the data folder is another server's, or the address is taken.
pub fn run(args: &Args, verbose: u8, json: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let config = settings(args)?;
    let _logs = logs::start(&config, verbose).map_err(|error| Failure::System(error.to_string()))?;
    let data = data_folder(&config)?;
    let _lock = lock::take(&data)?;
    let host = Arc::new(host::Machine::new(&config)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::System(format!("no threads could be started: {error}")))?;
    let outcome = runtime.block_on(async {
        let wants_browser = config.open && has_display();
        let server = Server::start(config, &data, host).await.map_err(|error| not_started(&error))?;
        let address = format!("http://{}", server.address());
        lock::note(&data, &address);
        tracing::info!(data = %data.display(), seconds = begun.elapsed().as_secs_f64(), "serving at {address}");
        terminal::tell(if json { json!({"address": address}).to_string() } else { address.clone() })?;
        if wants_browser && let Err(error) = open::that_detached(&address) {
            tracing::info!("no browser could be opened: {error}");
        }
        asked_to_end().await?;
        terminal::say("ending; what runs is finished or kept for the next start (again: ends at once)");
        tokio::spawn(end_at_once());
        server.stop().await;
        Ok(())
    });
    // A device that does not come to its end is not waited for: its job is begun again.
    runtime.shutdown_background();
    outcome
}

/// The settings: from the file, the environment and the flags.
///
/// # Errors
/// The first that is wrong.
pub fn settings(args: &Args) -> Result<Config, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let named = args.config.clone().or_else(|| variable("ENCAUSTIC_CONFIG").map(PathBuf::from));
    let is_named = named.is_some();
    let path = named.or_else(|| Some(ProjectDirs::from("", "", "encaustic")?.config_dir().join(FILE)));
    let path = path.filter(|path| is_named || path.is_file());
    let text = path.as_deref().map(read_settings).transpose()?;
    let file = path.as_deref().zip(text.as_deref());
    // The library's own, which is a list of folders and no model of the server's.
    let environment = |name: &str| variable(name).filter(|_| name != places::TREES);
    Config::read(file, environment, &args.given)
        .map_err(|error| Refusal { field: error.place, problem: error.problem, hint: String::new() }.into())
}

fn read_settings(path: &Path) -> Result<String, Refusal> {
    std::fs::read_to_string(path).map_err(|error| {
        Refusal::new("config", format!("{}: {error}", path.display())).hint("`encaustic config` prints a file to begin with")
    })
}

/// Where the server keeps its things.
///
/// # Errors
/// If nobody says, and there is no home folder.
pub(crate) fn data_folder(config: &Config) -> Result<PathBuf, Refusal> {
    let usual = || Some(places::own()?.parent()?.join("server"));
    let folder = config.data.clone().or_else(usual);
    folder.ok_or_else(|| Refusal::new("data", "there is no home folder to keep pictures in").hint("say where with --data DIR"))
}

fn not_started(error: &StartError) -> Failure {
    match error {
        StartError::Listen { address, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
            let problem = format!("{address} is in use, perhaps by another server of ours");
            Refusal::new("listen", problem)
                .hint(format!("open http://{address} to see, or give another: --listen 127.0.0.1:{}", free_port(address.port())))
                .into()
        }
        error => Failure::System(error.to_string()),
    }
}

fn free_port(taken: u16) -> u16 {
    taken.checked_add(1).unwrap_or(7801)
}

/// Whether somebody could see a browser.
fn has_display() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_remote = is_set("SSH_CONNECTION") && !is_set("DISPLAY");
    let has_screen = cfg!(any(windows, target_os = "macos")) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
    has_screen && !is_remote
}

/// Waits for Ctrl-C, or for what a service manager sends.
async fn asked_to_end() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::System(format!("signals cannot be caught: {error}"));
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            asked = signal::ctrl_c() => asked.map_err(failed),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await.map_err(failed)
}

/// Ends the process when it is asked once more.
#[allow(clippy::disallowed_methods)] // to end at once, whatever is under way, is what the second signal asks for
async fn end_at_once() {
    if asked_to_end().await.is_ok() {
        files::remove_unfinished();
        process::exit(interrupt::STATUS.into());
    }
}
