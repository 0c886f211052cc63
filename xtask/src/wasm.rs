//! Checks that what runs in a browser compiles for it: the engine, the importer, the worker and the page, which is a build of its
//! own, without Burn.
//!
//! The target's standard library comes from rustup where it can be downloaded; elsewhere `tools/wasm-toolchain.sh` builds it
//! from Debian's sources as the toolchain `web`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Rust's name for a browser.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// rustup's name for the toolchain that `tools/wasm-toolchain.sh` makes.
const FALLBACK: &str = "web";

/// What looks at the code.
#[derive(Clone, Copy)]
pub(crate) enum Tool {
    Check,
    Clippy,
}

/// Checks the packages as a browser would build them: WebGPU only.
pub(crate) fn run(root: &Path, tool: Tool) -> Result<()> {
    let engine = ["encaustic-engine", "encaustic-importer", "encaustic-app"];
    for (packages, features) in [(&engine[..], "encaustic-engine/wgpu,encaustic-app/engine"), (&["encaustic-app"][..], "ui")] {
        let mut cargo = cargo(root)?;
        cargo.arg(match tool {
            Tool::Check => "check",
            Tool::Clippy => "clippy",
        });
        cargo.args(["--release", "--locked", "--no-default-features", "--features", features, "--target", TARGET]);
        for package in packages {
            cargo.args(["--package", package]);
        }
        if matches!(tool, Tool::Clippy) {
            cargo.args(["--", "-D", "warnings"]);
        }
        crate::execute(&mut cargo)?;
    }
    println!("wasm: the engine, the importer, the worker and the page compile for {TARGET}");
    Ok(())
}

/// A cargo that can build for the target, to be run in the repository.
pub(crate) fn cargo(root: &Path) -> Result<Command> {
    let toolchain = toolchain(root)?;
    let mut cargo = Command::new("cargo");
    // inside `cargo xtask` these name the toolchain that built xtask
    cargo.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    if let Some(name) = &toolchain {
        cargo.arg(format!("+{name}"));
    }
    cargo.current_dir(root);
    Ok(cargo)
}

/// The toolchain that has the target: `None` for rustup's active one.
pub(crate) fn toolchain(root: &Path) -> Result<Option<String>> {
    if has_target() || rustup(&["target", "add", TARGET]) {
        return Ok(None);
    }
    let script = root.join("tools/wasm-toolchain.sh");
    crate::execute(&mut Command::new(script))
        .with_context(|| format!("the target {TARGET} can be neither downloaded nor built here"))?;
    Ok(Some(FALLBACK.into()))
}

fn has_target() -> bool {
    let sysroot = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    sysroot.is_ok_and(|out| out.status.success() && Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir())
}

fn rustup(words: &[&str]) -> bool {
    Command::new("rustup").args(words).status().is_ok_and(|status| status.success())
}
