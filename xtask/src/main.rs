//! The project's chores that are more than one command of cargo: `cargo xtask help`.
//!
//! Plain arguments and the standard library, so that a chore starts at once and compiles nothing heavy.

mod tidy;
mod wasm;
mod web;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const HELP: &str = "cargo xtask CHORE

  tidy           check what the house rules say about sources and manifests
  wasm           check that what runs in a browser compiles for it (wasm32-unknown-unknown)
  wasm clippy    the same with clippy, warnings denied
  web            build what a browser gets into dist/: page, worker and demo model; fetches trunk and the like once
  web quick      the same without the minutes that make it small
  web test       run the unit tests of what only a browser can do, in Chromium through chromedriver
  web --serve    build it quickly, open it in the browser, and build it anew when a source changes";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy::run(&root()?),
        ["wasm"] => wasm::run(&root()?, wasm::Tool::Check),
        ["wasm", "clippy"] => wasm::run(&root()?, wasm::Tool::Clippy),
        ["web"] => web::run(&root()?, web::Task::Build(web::Effort::Small)),
        ["web", "quick"] => web::run(&root()?, web::Task::Build(web::Effort::Quick)),
        ["web", "--serve"] => web::run(&root()?, web::Task::Serve),
        ["web", "test"] => web::unit_tests(&root()?),
        // trunk's hook, not for people
        ["web", "finish"] => web::finish(&root()?),
        [] | ["help" | "-h" | "--help"] => {
            println!("{HELP}");
            Ok(())
        }
        other => bail!("no chore is called `{}`\n\n{HELP}", other.join(" ")),
    }
}

/// The repository, wherever the chore is started from.
fn root() -> Result<PathBuf> {
    // Asked for now: where checkouts share a target folder, another may have built this program.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    Ok(here.parent().context("xtask lies directly in the repository")?.to_path_buf())
}

/// Runs a command to its end; its output is shown, its failure is an error.
fn execute(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}

/// A command's standard output as text, or an error that carries its standard error.
fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !out.status.success() {
        bail!("{command:?} failed ({}): {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    String::from_utf8(out.stdout).with_context(|| format!("{command:?} printed something that is not UTF-8"))
}
