//! The rules about manifests: who may depend on whom, and where a version is written.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, Tree};

/// A package of the workspace and what it may depend on.
struct Room {
    package: &'static str,
    /// Packages of the workspace: the arrows of the plan.
    rooms: &'static [&'static str],
    /// Foreign crates, where the list is short on purpose; `None` for any.
    crates: Option<&'static [&'static str]>,
}

const ROOMS: &[Room] = &[
    Room { package: "encaustic-protocol", rooms: &[], crates: Some(&["serde", "serde_json", "thiserror", "strsim"]) },
    Room {
        package: "encaustic-picture",
        rooms: &["encaustic-protocol"],
        crates: Some(&["flate2", "png", "serde_json", "thiserror"]),
    },
    Room { package: "encaustic-engine", rooms: &["encaustic-protocol"], crates: None },
    Room {
        package: "encaustic-importer",
        rooms: &["encaustic-engine"],
        crates: Some(&["safetensors", "serde", "serde_json", "sha2", "thiserror"]),
    },
    // Not the engine: it compiles, and is tested, without Burn.
    Room { package: "encaustic-server", rooms: &["encaustic-protocol", "encaustic-picture"], crates: None },
    Room {
        package: "encaustic",
        rooms: &["encaustic-protocol", "encaustic-picture", "encaustic-engine", "encaustic-importer", "encaustic-server"],
        crates: None,
    },
    Room {
        package: "encaustic-app",
        rooms: &["encaustic-protocol", "encaustic-picture", "encaustic-engine", "encaustic-importer"],
        crates: None,
    },
    Room { package: "xtask", rooms: &[], crates: Some(&["anyhow", "serde_json", "sha2"]) },
];

/// Crates that the engine must never see.
const NOT_IN_ENGINE: &[&str] = &["tokio", "web-sys", "js-sys", "hyper", "axum", "reqwest", "memmap2", "clap"];

/// Crates that speak HTTP as a server does: one room answers requests.
const ONLY_IN_SERVER: &[&str] =
    &["axum", "hyper", "hyper-util", "tower", "tower-http", "utoipa", "utoipa-axum", "utoipa-swagger-ui"];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Arrows between rooms point one way, and everything else comes from crates.io with a version.
pub(super) fn dependencies(tree: &Tree) -> Result<Vec<Finding>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&tree.root).args(["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&crate::output(&mut cargo)?).context("`cargo metadata` prints JSON")?;
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().context("`cargo metadata` lists packages")? {
        let root = format!("{}/", tree.root.display());
        let path = package["manifest_path"].as_str().unwrap_or_default();
        judge(package, path.strip_prefix(&root).unwrap_or(path), &mut found);
    }
    Ok(found)
}

fn judge(package: &Value, path: &str, found: &mut Vec<Finding>) {
    let name = package["name"].as_str().unwrap_or_default();
    let mut report = |message: String| {
        found.push(Finding { path: path.to_owned(), line: 0, message });
    };
    let Some(room) = ROOMS.iter().find(|r| r.package == name) else {
        report("is no room that the table in `xtask/src/tidy/manifests.rs` knows: say there what it may depend on".into());
        return;
    };
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let on = dependency["name"].as_str().unwrap_or_default();
        let is_dev = dependency["kind"] == "dev";
        match dependency["source"].as_str() {
            None if !room.rooms.contains(&on) => {
                report(format!(
                    "depends on `{on}`: dependencies point one way, protocol <- engine <- importer <- native, protocol <- picture <- server <- native, and importer <- app -> picture"
                ));
            }
            None => {}
            Some(REGISTRY) => {
                if dependency["req"] == "*" {
                    report(format!("`{on}` has no version"));
                }
                if room.crates.is_some_and(|list| !list.contains(&on)) && !is_dev {
                    report(format!("`{on}` is not on this package's short list"));
                }
                if name != "encaustic-server" && ONLY_IN_SERVER.contains(&on) {
                    report(format!("`{on}`: only `encaustic-server` knows how requests are answered"));
                }
                if name == "encaustic-engine" && NOT_IN_ENGINE.contains(&on) && !is_dev {
                    report(format!("`{on}`: the engine has no files, sockets, clocks or threads of its own"));
                }
            }
            Some(other) => report(format!("`{on}` comes from `{other}`: only crates.io is allowed")),
        }
    }
}

/// Folders with workspaces of their own, built with other flags or features than what ships.
const APART: &[&str] = &["tools/", "fuzz/"];

/// Whether a file is the manifest of a member of the workspace.
fn is_member(path: &str) -> bool {
    path.ends_with("/Cargo.toml") && !APART.iter().any(|dir| path.starts_with(dir))
}

/// Every member inherits its dependencies, lints and package facts from the workspace, where they are written once.
pub(super) fn inheritance(tree: &Tree) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|f| is_member(&f.path)) {
        let (mut section, mut has_lints) = (String::new(), false);
        for (i, line) in file.text.iter().flat_map(|t| t.lines().enumerate()) {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
                continue;
            }
            let is_entry = section.ends_with("dependencies") && line.contains('=') && !line.starts_with('#');
            if is_entry && !line.contains("workspace = true") {
                let message = "a version is written once, in the workspace's manifest: `name.workspace = true`".into();
                found.push(Finding { path: file.path.clone(), line: i + 1, message });
            }
            has_lints |= section == "lints" && line == "workspace = true";
        }
        if !has_lints {
            let message = "the workspace's lints hold everywhere: `[lints] workspace = true`".into();
            found.push(Finding { path: file.path.clone(), line: 0, message });
        }
    }
    Ok(found)
}

/// Dependencies that no source names, with the reason.
const UNNAMED: &[(&str, &str)] =
    &[("getrandom", "switches on a feature for the browser"), ("getrandom-03", "the same, for the other version in the tree")];

/// Every dependency is used by what it is declared for: what only tests need is a dev-dependency.
pub(super) fn usage(tree: &Tree) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|f| is_member(&f.path)) {
        let room = file.path.trim_end_matches("Cargo.toml");
        let mut section = String::new();
        for (i, line) in file.text.iter().flat_map(|t| t.lines().enumerate()) {
            if let Some(name) = line.trim().strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
                continue;
            }
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            let is_entry = section.ends_with("dependencies") && !name.is_empty() && !name.starts_with('#');
            if !is_entry || UNNAMED.iter().any(|(unnamed, _)| *unnamed == name) {
                continue;
            }
            let dir = if section.ends_with("dev-dependencies") { room.to_owned() } else { format!("{room}src/") };
            let word = name.replace('-', "_");
            let is_dev = section.ends_with("dev-dependencies");
            let is_named = tree.rust(&dir).any(|(_, source)| names(if is_dev { &source.code } else { &source.shipped }, &word));
            if !is_named {
                let message = format!("`{name}` is not named in `{dir}`: remove it, or make it a dev-dependency");
                found.push(Finding { path: file.path.clone(), line: i + 1, message });
            }
        }
    }
    Ok(found)
}

/// Whether the code has `word` as a whole word.
fn names(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn messages(package: &Value) -> Vec<String> {
        let mut found = Vec::new();
        judge(package, "Cargo.toml", &mut found);
        found.into_iter().map(|f| f.message).collect()
    }

    #[test]
    fn arrows_point_one_way() {
        let path = |name: &str| json!({ "name": name, "source": null, "req": "^0.1", "kind": null });
        let package = |name: &str, on: Value| json!({ "name": name, "dependencies": [on] });
        assert!(messages(&package("encaustic", path("encaustic-engine"))).is_empty());
        assert_eq!(messages(&package("encaustic-engine", path("encaustic"))).len(), 1);
        assert_eq!(messages(&package("encaustic-protocol", path("encaustic-engine"))).len(), 1);
        assert_eq!(messages(&package("somebody-new", path("encaustic"))).len(), 1);
    }

    #[test]
    fn foreign_crates() {
        let from = |name: &str, source: &str, req: &str, kind: Option<&str>| json!({ "name": name, "source": source, "req": req, "kind": kind });
        let package = |name: &str, on: Value| json!({ "name": name, "dependencies": [on] });
        assert!(messages(&package("encaustic", from("clap", REGISTRY, "^4", None))).is_empty());
        assert_eq!(messages(&package("encaustic", from("clap", REGISTRY, "*", None))).len(), 1);
        assert_eq!(messages(&package("encaustic", from("clap", "git+https://example.com/x", "^4", None))).len(), 1);
        assert_eq!(messages(&package("encaustic-protocol", from("clap", REGISTRY, "^4", None))).len(), 1);
        assert_eq!(messages(&package("encaustic-engine", from("memmap2", REGISTRY, "^0.9", None))).len(), 1);
        assert!(messages(&package("encaustic-engine", from("memmap2", REGISTRY, "^0.9", Some("dev")))).is_empty());
        assert!(messages(&package("encaustic-server", from("axum", REGISTRY, "^0.8", None))).is_empty());
        assert_eq!(messages(&package("encaustic", from("axum", REGISTRY, "^0.8", None))).len(), 1);
    }

    #[test]
    fn dependencies_are_used() {
        let manifest = "[dependencies]\na.workspace = true\nb = { workspace = true, optional = true }\n[dev-dependencies]\nc-d.workspace = true\n";
        let lines = |src: &str, test: &str| {
            let tree = Tree::of(&[("x/Cargo.toml", manifest), ("x/src/lib.rs", src), ("x/tests/t.rs", test)]);
            usage(&tree).unwrap().iter().map(|f| f.line).collect::<Vec<_>>()
        };
        assert!(lines("use a::X; use b::Y;", "use c_d::Z;").is_empty());
        assert_eq!(lines("use a::X; // b", "use b::Y;"), [3, 5]);
        assert!(lines("use a::X; use b::Y;\n#[cfg(test)]\nmod tests { use c_d::Z; }", "").is_empty());
    }

    #[test]
    fn versions_are_written_once() {
        let lines =
            |text: &str| inheritance(&Tree::of(&[("a/Cargo.toml", text)])).unwrap().iter().map(|f| f.line).collect::<Vec<_>>();
        assert_eq!(lines("[lints]\nworkspace = true\n[dependencies]\na.workspace = true\nb = \"1\"\n"), [5]);
        assert_eq!(lines("[dependencies]\na = { workspace = true, optional = true }\n"), [0]);
        assert!(inheritance(&Tree::of(&[("fuzz/Cargo.toml", "[dependencies]\na = \"1\"\n")])).unwrap().is_empty());
    }
}
