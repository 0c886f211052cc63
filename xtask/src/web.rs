//! Builds what a browser gets, into `dist/`: the worker's script, its WebAssembly, and the demo model.
//!
//! The tools beside cargo lie in the user's cache and are fetched once: wasm-bindgen from crates.io, in exactly the version
//! that is locked, and binaryen from npm, which makes the result smaller and may be missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::wasm::{TARGET, cargo};
use crate::{execute, output};

/// The version of binaryen, whose `wasm-opt` it is.
const BINARYEN: &str = "132.0.0";

/// What rustc's WebAssembly uses, all of which browsers with WebGPU have.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// What is too large to load, compressed: 5 MB.
const MOST_BYTES: u64 = 5_000_000;

/// Prints the size of each file as it is, and in brotli.
const SIZES: &str = "const { brotliCompressSync } = require('node:zlib'); const { readFileSync } = require('node:fs');
    for (const file of process.argv.slice(1)) { const bytes = readFileSync(file); console.log(bytes.length, brotliCompressSync(bytes).length); }";

/// How much trouble is taken over the size of the WebAssembly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As small as `wasm-opt` makes it, which takes minutes: what people get.
    Small,
    /// As the compiler leaves it: for tests.
    Quick,
}

/// Builds `dist/`.
pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let dist = root.join("dist");
    let cache = cache()?;
    let mut build = cargo(root)?;
    execute(build.args(["build", "--release", "--locked", "--package", "encaustic-app", "--bin", "worker", "--target", TARGET]))?;
    let built = target_folder(root)?.join(TARGET).join("release/worker.wasm");

    let wasm_bindgen = wasm_bindgen(root, &cache)?;
    fs::create_dir_all(&dist)?;
    execute(
        Command::new(wasm_bindgen)
            .args(["--target", "no-modules", "--no-typescript", "--out-name", "worker", "--out-dir"])
            .args([&dist, &built]),
    )?;
    let script = dist.join("worker.js");
    let both = [fs::read_to_string(&script)?, fs::read_to_string(root.join("app/boot.js"))?].join("\n");
    fs::write(&script, both)?;

    let module = dist.join("worker_bg.wasm");
    if effort == Effort::Small {
        match wasm_opt(&cache) {
            Ok(wasm_opt) => execute(Command::new(wasm_opt).arg("-Oz").args(FEATURES).arg(&module).arg("-o").arg(&module))?,
            Err(error) => eprintln!("web: the WebAssembly stays as large as it is, without wasm-opt: {error:#}"),
        }
    }
    copy_model(&root.join("assets/demo"), &dist.join("models/demo"))?;
    // What is not small is not sent to anybody, and to compress it takes another minute.
    if effort == Effort::Small { weigh(&[script, module]) } else { Ok(()) }
}

/// The folder for what is fetched and built once, as in `.ci/run`.
fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(base.context("there is neither XDG_CACHE_HOME nor a home folder")?.join("encaustic"))
}

fn target_folder(root: &Path) -> Result<PathBuf> {
    let mut metadata = cargo(root)?;
    let text = output(metadata.args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&text).context("`cargo metadata` prints JSON")?;
    Ok(metadata["target_directory"].as_str().context("`cargo metadata` names the target folder")?.into())
}

/// The command of the version that is locked: another one does not understand what its library has left in the file.
fn wasm_bindgen(root: &Path, cache: &Path) -> Result<PathBuf> {
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let version = locked(&lock, "wasm-bindgen").context("Cargo.lock has no wasm-bindgen")?;
    let command = cache.join("bin").join(format!("wasm-bindgen{}", env::consts::EXE_SUFFIX));
    let is_there =
        output(Command::new(&command).arg("--version")).is_ok_and(|text| text.split_whitespace().nth(1) == Some(version));
    if !is_there {
        let mut install = Command::new("cargo");
        install
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(cache.parent().unwrap_or(cache));
        install.args([
            "install",
            "wasm-bindgen-cli",
            "--version",
            version,
            "--no-default-features",
            "--bin",
            "wasm-bindgen",
            "--force",
        ]);
        execute(install.arg("--root").arg(cache).arg("--target-dir").arg(cache.join("tools-target")))?;
    }
    Ok(command)
}

/// The version of a package in a lock file.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let named = format!("name = \"{package}\"");
    let after = lock.lines().skip_while(|line| *line != named).nth(1)?;
    after.strip_prefix("version = \"")?.strip_suffix('"')
}

fn wasm_opt(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join("npm").join(format!("binaryen-{BINARYEN}"));
    let command = folder.join("node_modules/.bin/wasm-opt");
    if !command.exists() {
        fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix"]).arg(&folder);
        execute(npm.arg(format!("binaryen@{BINARYEN}")))?;
    }
    Ok(command)
}

/// Copies a packed model: the manifest and the shards.
fn copy_model(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().context("a file in a folder has a name")?;
        if path.extension().is_some_and(|kind| kind == "json" || kind == "safetensors") {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Tells what the files weigh, and refuses them if that is too much.
fn weigh(files: &[PathBuf]) -> Result<()> {
    let text = match output(Command::new("node").args(["-e", SIZES]).args(files)) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("web: what the files weigh when compressed is not known, without node: {error:#}");
            return Ok(());
        }
    };
    let mut all = 0;
    for (file, line) in files.iter().zip(text.lines()) {
        let (raw, brotli) = line.split_once(' ').context("node prints two sizes")?;
        println!("web: {} {raw} bytes, {brotli} in brotli", file.display());
        all += brotli.parse::<u64>().context("node prints numbers")?;
    }
    if all > MOST_BYTES {
        bail!("the worker has {all} bytes in brotli, more than {MOST_BYTES}: what has made it larger?");
    }
    Ok(())
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
