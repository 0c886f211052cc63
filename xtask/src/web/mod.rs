//! Builds what a browser gets, into `dist/`: the page, the worker, the demo model, and what keeps them offline.
//!
//! trunk does it, as `index.html` and `Trunk.toml` say, with tools that are found or fetched here ([`tools`]); when it has built
//! all parts it calls this program again ([`finish`]) for what it cannot do itself.

mod finish;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::wasm::{TARGET, cargo, toolchain};
use crate::{execute, output};

pub(crate) use finish::finish;

/// How much trouble is taken over the size of the worker's WebAssembly.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As small as `wasm-opt` makes it, which takes minutes: what people get.
    Small,
    /// As the compiler leaves it: for tests.
    Quick,
}

/// By which trunk's hook knows the effort.
const EFFORT: &str = "ENCAUSTIC_WEB_EFFORT";

impl Effort {
    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Quick => "quick",
        }
    }

    /// What the hook was told; by itself trunk makes what is quick.
    fn of_hook() -> Self {
        if env::var(EFFORT).is_ok_and(|name| name == Self::Small.name()) { Self::Small } else { Self::Quick }
    }
}

/// What trunk is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Build `dist/`.
    Build(Effort),
    /// Build it, open it in the browser, and build it anew when a source changes.
    Serve,
}

/// What is too much to load, compressed, in bytes.
const LIMITS: &[(&str, u64)] = &[("app", 1_000_000), ("worker", 5_000_000)];

/// Prints the size of each file as it is, and in brotli.
const SIZES: &str = "const { brotliCompressSync } = require('node:zlib'); const { readFileSync } = require('node:fs');
    for (const file of process.argv.slice(1)) { const bytes = readFileSync(file); console.log(bytes.length, brotliCompressSync(bytes).length); }";

/// Builds `dist/`.
pub(crate) fn run(root: &Path, task: Task) -> Result<()> {
    let begun = Instant::now();
    let tools = tools::find(root)?;
    let mut trunk = Command::new(&tools.trunk);
    // Inside `cargo xtask` these name the toolchain that built xtask.
    trunk.current_dir(root).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN").env_remove("NO_COLOR");
    if let Some(name) = toolchain(root)? {
        trunk.env("RUSTUP_TOOLCHAIN", name);
    }
    trunk.env("PATH", tools.path()?).arg("--skip-version-check").arg("--offline=false");
    match task {
        Task::Build(effort) => execute(trunk.env(EFFORT, effort.name()).arg("build"))?,
        Task::Serve => return execute(trunk.arg("serve").arg("--open")),
    }
    println!("web: dist/ was built in {} s", begun.elapsed().as_secs());
    // The server builds the page in, and cargo does not see that a folder is there which was not.
    let script = root.join("server/build.rs");
    fs::File::options().append(true).open(&script)?.set_modified(std::time::SystemTime::now())?;
    weigh(&root.join("dist"), task)
}

/// Runs the unit tests of what only a browser can do, in Chromium; wants chromedriver on the search path.
pub(crate) fn unit_tests(root: &Path) -> Result<()> {
    let tools = tools::find(root)?;
    let mut tests = cargo(root)?;
    tests.env(format!("CARGO_TARGET_{}_RUNNER", TARGET.replace('-', "_").to_uppercase()), tools.runner);
    tests.args(["test", "--release", "--locked", "--package", "encaustic-app", "--features", "ui", "--lib", "--target", TARGET]);
    execute(&mut tests)
}

/// Tells what the files weigh, and refuses them if that is too much.
fn weigh(dist: &Path, task: Task) -> Result<()> {
    for (name, most) in LIMITS {
        // What is not small is not sent to anybody, and to compress it takes a minute.
        if *name == "worker" && task != Task::Build(Effort::Small) {
            continue;
        }
        let files = parts(dist, name)?;
        let text = match output(Command::new("node").args(["-e", SIZES]).args(&files)) {
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
        if all > *most {
            bail!("the {name} has {all} bytes in brotli, more than {most}: what has made it larger?");
        }
    }
    Ok(())
}

/// The script and the WebAssembly of a program, whose names may carry a hash.
fn parts(dist: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dist).with_context(|| format!("{} cannot be read", dist.display()))? {
        let path = entry?.path();
        let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        let rest = file.strip_prefix(name).unwrap_or_default();
        if rest.starts_with(['-', '.', '_']) && (rest.ends_with(".js") || rest.ends_with(".wasm")) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { bail!("there is no {name} in {}", dist.display()) } else { Ok(files) }
}
