//! The programs that trunk wants beside cargo. They lie in the user's cache and are fetched once: trunk itself and wasm-bindgen
//! from crates.io, the latter in exactly the version that is locked, and binaryen, which makes WebAssembly smaller, from npm.
//! Where npm is missing, trunk gets binaryen by itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::{execute, output};

/// The version of trunk; later ones want a newer compiler than we ask for.
const TRUNK: &str = "0.21.14";

/// The version of binaryen, whose `wasm-opt` it is.
const BINARYEN: &str = "132.0.0";

/// wasm-bindgen's other program.
const RUNNER: &str = "wasm-bindgen-test-runner";

/// Where the programs are.
pub(super) struct Tools {
    /// trunk.
    pub(super) trunk: PathBuf,
    /// What runs WebAssembly's unit tests.
    pub(super) runner: PathBuf,
    /// The folders that trunk finds the others in.
    folders: Vec<PathBuf>,
}

impl Tools {
    /// A search path with the tools before all else.
    pub(super) fn path(&self) -> Result<OsString> {
        let known = env::var_os("PATH").unwrap_or_default();
        let all = self.folders.iter().cloned().chain(env::split_paths(&known));
        env::join_paths(all).context("a folder of the search path has a name that no path can carry")
    }
}

/// Finds the tools, or gets them.
pub(super) fn find(root: &Path) -> Result<Tools> {
    let cache = cache()?;
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    // Another version does not understand what its library has left in the file.
    let version = locked(&lock, "wasm-bindgen").context("Cargo.lock has no wasm-bindgen")?;
    let both = ["--no-default-features", "--bin", "wasm-bindgen", "--bin", RUNNER];
    let runner = crate_of(&cache, RUNNER, "wasm-bindgen-cli", version, &both)?;
    let trunk = crate_of(&cache, "trunk", "trunk", TRUNK, &["--locked"])?;
    let mut folders = vec![cache.join("bin")];
    match wasm_opt(&cache) {
        Ok(folder) => folders.push(folder),
        Err(error) => eprintln!("web: trunk is to get wasm-opt by itself, npm does not: {error:#}"),
    }
    Ok(Tools { trunk, runner, folders })
}

/// The folder that holds `wasm-opt`.
pub(super) fn wasm_opt(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join("npm").join(format!("binaryen-{BINARYEN}"));
    let commands = folder.join("node_modules/.bin");
    if !commands.join("wasm-opt").exists() {
        fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix"]).arg(&folder);
        execute(npm.arg(format!("binaryen@{BINARYEN}")))?;
    }
    Ok(commands)
}

/// The folder for what is fetched and built once, as in `.ci/run`.
fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(base.context("there is neither XDG_CACHE_HOME nor a home folder")?.join("encaustic"))
}

/// A command from crates.io, in one version.
fn crate_of(cache: &Path, command: &str, package: &str, version: &str, options: &[&str]) -> Result<PathBuf> {
    let path = cache.join("bin").join(format!("{command}{}", env::consts::EXE_SUFFIX));
    let told = output(Command::new(&path).arg("--version"));
    if told.is_ok_and(|text| text.split_whitespace().nth(1) == Some(version)) {
        return Ok(path);
    }
    let mut install = Command::new("cargo");
    install.env_remove("CARGO").env_remove("RUSTC").env_remove("CARGO_TARGET_DIR").current_dir(cache.parent().unwrap_or(cache));
    install.args(["install", package, "--version", version, "--force"]).args(options);
    execute(install.arg("--root").arg(cache).arg("--target-dir").arg(cache.join("tools-target")))?;
    Ok(path)
}

/// The version of a package in a lock file.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let named = format!("name = \"{package}\"");
    let after = lock.lines().skip_while(|line| *line != named).nth(1)?;
    after.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_a_lock_file() {
        let lock = "[[package]]\nname = \"a-b\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"a\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked(lock, "a"), Some("0.2.130"));
        assert_eq!(locked(lock, "b"), None);
    }
}
