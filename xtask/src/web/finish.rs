//! What trunk leaves to do, when all parts are built and lie in its staging folder.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use super::Effort;
use crate::execute;

/// What rustc's WebAssembly uses, all of which browsers with WebGPU have.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Completes what trunk has built: the worker's start, its size, the demo model, and the list of files that the page keeps
/// for when there is no network.
pub(crate) fn finish(root: &Path) -> Result<()> {
    let staging =
        env::var_os("TRUNK_STAGING_DIR").context("only trunk calls this, which says where it has built: `trunk build`")?;
    let staging = PathBuf::from(staging);
    let script = staging.join("worker.js");
    let both = [fs::read_to_string(&script)?, fs::read_to_string(root.join("app/boot.js"))?].join("\n");
    fs::write(&script, both)?;
    if Effort::of_hook() == Effort::Small {
        let module = staging.join("worker_bg.wasm");
        execute(Command::new("wasm-opt").arg("-Oz").args(FEATURES).arg(&module).arg("-o").arg(&module))?;
    }
    copy_model(&root.join("assets/demo"), &staging.join("models/demo"))?;
    offline(root, &staging)
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

/// Writes the service worker, with the list of all files but the models: those the engine's worker keeps.
fn offline(root: &Path, staging: &Path) -> Result<()> {
    let mut files = Vec::new();
    list(staging, "", &mut files)?;
    files.retain(|file| !file.starts_with("models/") && file != "sw.js");
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in &files {
        (file, fs::read(staging.join(file))?).hash(&mut hasher);
    }
    let script = fs::read_to_string(root.join("app/sw.js"))?;
    let head = format!("const VERSION = \"{:016x}\";\nconst FILES = {};\n", hasher.finish(), serde_json::to_string(&files)?);
    fs::write(staging.join("sw.js"), head + &script)?;
    Ok(())
}

/// All files below a folder, by their paths with `/`.
fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push(name);
        }
    }
    Ok(())
}
