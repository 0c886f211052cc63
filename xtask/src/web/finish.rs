//! What trunk leaves to do, when all parts are built and lie in its staging folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Effort;
use crate::{execute, output};

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
        let mut shrink = Command::new("wasm-opt");
        shrink.arg("-Oz").args(FEATURES).arg(&module).arg("-o").arg(&module);
        if output(Command::new("wasm-opt").arg("--version")).is_ok() {
            execute(&mut shrink)?;
        } else {
            eprintln!("web: the worker stays as large as the compiler leaves it, without wasm-opt: npm would bring it");
        }
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
    let mut names = Vec::new();
    list(staging, "", &mut names)?;
    names.retain(|name| !name.starts_with("models/") && name != "sw.js");
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let digest = hexadecimal(&Sha256::digest(fs::read(staging.join(&name))?));
        files.push((name, digest));
    }
    let list = serde_json::to_string(&files)?;
    let version = hexadecimal(&Sha256::digest(&list)[..8]);
    let script = fs::read_to_string(root.join("app/sw.js"))?;
    fs::write(staging.join("sw.js"), format!("const VERSION = \"{version}\";\nconst FILES = {list};\n{script}"))?;
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
