//! The rules about files and sources: each one a table of facts and a small function.

use anyhow::Result;

use super::{Finding, Tree};

/// Paths that a room must not name, with the reason.
struct Forbidden {
    room: &'static str,
    paths: &'static [&'static str],
    reason: &'static str,
}

/// How requests are answered.
const HTTP: &[&str] = &["axum", "hyper", "tower", "tower_http"];
const BELOW_HTTP: &str = "only `server/src/http` knows HTTP: what is below it is called by it and knows no request";

const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        room: "engine/src/",
        paths: &["std::fs", "std::net", "std::process", "std::os", "tokio", "web_sys", "memmap2"],
        reason: "the engine has no files, sockets or processes: bytes come in through `weights::WeightSource`",
    },
    Forbidden {
        room: "engine/src/",
        paths: &[
            "std::env::var",
            "std::env::var_os",
            "std::env::vars",
            "std::env::args",
            "std::env::current_dir",
            "std::env::temp_dir",
        ],
        reason: "the engine reads no environment: the host decides and says so in an argument",
    },
    Forbidden {
        room: "engine/src/",
        paths: &["std::thread", "std::time::Instant", "std::time::SystemTime"],
        reason: "the engine has no threads or clocks of its own: the host owns them, and a browser has none",
    },
    Forbidden {
        room: "engine/src/sampling/",
        paths: &["crate::model", "crate::family", "crate::weights", "crate::prompt", "crate::kernel"],
        reason: "samplers know no model: they see `Denoise` and levels",
    },
    Forbidden {
        room: "engine/src/schedule/",
        paths: &["crate::model", "crate::family", "crate::weights", "crate::sampling", "burn::nn"],
        reason: "a schedule is a list of numbers: it knows neither models nor samplers",
    },
    Forbidden {
        room: "engine/src/model/",
        paths: &["crate::sampling", "crate::schedule", "crate::family"],
        reason: "a network does not know how it is used",
    },
    Forbidden { room: "protocol/src/", paths: &["std::fs", "std::net", "burn"], reason: "the protocol is words, nothing else" },
    Forbidden { room: "server/src/work", paths: HTTP, reason: BELOW_HTTP },
    Forbidden { room: "server/src/queue/", paths: HTTP, reason: BELOW_HTTP },
    Forbidden { room: "server/src/images/", paths: HTTP, reason: BELOW_HTTP },
    Forbidden { room: "server/src/webhooks/", paths: HTTP, reason: BELOW_HTTP },
    Forbidden { room: "server/src/metrics/", paths: HTTP, reason: BELOW_HTTP },
    Forbidden {
        room: "",
        paths: &["std::sync::mpsc::channel"],
        reason: "unbounded: a slow reader would grow it without end; use `sync_channel`",
    },
];

/// No room names what the table forbids it.
pub(super) fn forbidden_paths(tree: &Tree) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for rule in FORBIDDEN {
        for (file, source) in tree.rust(rule.room) {
            for named in source.paths() {
                let is_under = |p: &str| named.path == p || named.path.strip_prefix(p).is_some_and(|r| r.starts_with("::"));
                if rule.paths.iter().any(|p| is_under(p)) {
                    let message = format!("`{}`: {}", named.path, rule.reason);
                    found.push(Finding { path: file.path.clone(), line: named.line, message });
                }
            }
        }
    }
    Ok(found)
}

/// The only file of the engine that may wait for a device.
const READBACK: &str = "engine/src/readback.rs";
/// Calls that copy a tensor to the host, and whether readback may use them.
const READS: &[&str] =
    &["into_data", "to_data", "try_into_data", "into_scalar", "into_data_async", "to_data_async", "into_scalar_async"];

/// Only the readback file copies tensors to the host; nobody blocks on it.
pub(super) fn readback(tree: &Tree) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for (file, source) in tree.rust("").filter(|(f, _)| !is_test(&f.path) && !f.path.starts_with("xtask/")) {
        for (i, line) in source.shipped.lines().enumerate() {
            for call in READS.iter().filter(|c| has_call(line, c)) {
                let is_async = call.ends_with("_async");
                if file.path == READBACK && is_async {
                    continue;
                }
                let message = match is_async {
                    true => format!("`{call}`: only `{READBACK}` waits for a device; use its functions"),
                    false => format!("`{call}` blocks, and panics in a browser: await a function of `{READBACK}`"),
                };
                found.push(Finding { path: file.path.clone(), line: i + 1, message });
            }
        }
    }
    Ok(found)
}

/// Whether `line` calls `name` as a method or function, generic or not.
fn has_call(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].trim_end();
        let after = line[at + name.len()..].trim_start();
        (before.ends_with('.') || before.ends_with("::")) && (after.starts_with('(') || after.starts_with("::<"))
    })
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Marks of unfinished work. Written in halves, so that this table is not a finding.
const LEFT_OVERS: &[&str] =
    &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];

/// Nothing unfinished is checked in.
pub(super) fn left_overs(tree: &Tree) -> Result<Vec<Finding>> {
    Ok(grep(tree, LEFT_OVERS, "unfinished work: finish it, or say in `docs/` what is missing"))
}

/// Paths of somebody's machine, again in halves.
const MACHINE: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("../sha", "red")];

/// No file depends on where it lies on somebody's machine.
pub(super) fn machine_paths(tree: &Tree) -> Result<Vec<Finding>> {
    Ok(grep(tree, MACHINE, "a path of one machine: take it from the environment, or make it relative"))
}

fn grep(tree: &Tree, needles: &[&str], message: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|f| f.path != "Cargo.lock" && !f.path.starts_with("LICENSE")) {
        for (i, line) in file.text.iter().flat_map(|t| t.lines().enumerate()) {
            for needle in needles.iter().filter(|n| line.contains(**n)) {
                let message = format!("`{needle}`: {message}");
                found.push(Finding { path: file.path.clone(), line: i + 1, message });
            }
        }
    }
    found
}

/// Longest file that one reads in one go.
const MAX_LINES: usize = 500;
/// Longer files, each with the reason why it is not split.
const LONG_FILES: &[(&str, &str)] = &[];

/// No source is longer than [`MAX_LINES`] without a reason.
pub(super) fn file_length(tree: &Tree) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let is_source = |p: &str| [".rs", ".py", ".sh"].iter().any(|e| p.ends_with(e));
    for file in tree.files.iter().filter(|f| is_source(&f.path)) {
        let lines = file.text.as_deref().map_or(0, |t| t.lines().count());
        let is_listed = LONG_FILES.iter().any(|(path, _)| *path == file.path);
        let message = match (lines > MAX_LINES, is_listed) {
            (true, false) => format!("{lines} lines, more than {MAX_LINES}: split it by subject"),
            (false, true) => format!("{lines} lines: take it off the list of long files"),
            _ => continue,
        };
        found.push(Finding { path: file.path.clone(), line: 0, message });
    }
    for (path, _) in LONG_FILES.iter().filter(|(path, _)| tree.files.iter().all(|f| f.path != *path)) {
        found.push(Finding { path: (*path).to_owned(), line: 0, message: "is gone: take it off the list of long files".into() });
    }
    Ok(found)
}

/// Every Rust file opens by saying what it is and why.
pub(super) fn module_docs(tree: &Tree) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for (file, _) in tree.rust("") {
        let first = file.text.as_deref().and_then(|t| t.lines().find(|l| !l.trim().is_empty())).unwrap_or_default();
        if !first.starts_with("//!") {
            let message = "a file opens with `//!`: what is it, and why is it there".into();
            found.push(Finding { path: file.path.clone(), line: 1, message });
        }
    }
    Ok(found)
}

/// What folders of data may weigh, in bytes: a clone stays quick.
const BUDGETS: &[(&str, u64)] = &[("assets/demo/", 24_000_000), ("tests/goldens/", 8_000_000)];
/// What any other file may weigh.
const MAX_FILE: u64 = 2_000_000;

/// The repository stays light.
pub(super) fn weight(tree: &Tree) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for (dir, limit) in BUDGETS {
        let bytes: u64 = tree.files.iter().filter(|f| f.path.starts_with(dir)).map(|f| f.bytes).sum();
        if bytes > *limit {
            found.push(Finding { path: (*dir).to_owned(), line: 0, message: format!("{bytes} bytes, more than {limit}") });
        }
    }
    let is_free = |p: &str| BUDGETS.iter().all(|(dir, _)| !p.starts_with(dir));
    for file in tree.files.iter().filter(|f| is_free(&f.path) && f.bytes > MAX_FILE) {
        let message = format!("{} bytes, more than {MAX_FILE}: keep data out of the repository", file.bytes);
        found.push(Finding { path: file.path.clone(), line: 0, message });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rule = fn(&Tree) -> Result<Vec<Finding>>;

    #[track_caller]
    fn check(rule: Rule, path: &str, text: &str, lines: &[usize]) {
        let found = rule(&Tree::of(&[(path, text)])).unwrap();
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), lines, "{path}: {found:?}");
    }

    #[test]
    fn rooms_keep_to_themselves() {
        check(forbidden_paths, "engine/src/a.rs", "use std::{fmt,\n  fs};\nlet t = std::time::Instant::now();", &[2, 3]);
        check(forbidden_paths, "engine/src/a.rs", "use std::time::Duration; // std::fs", &[]);
        check(forbidden_paths, "native/src/a.rs", "use std::fs;", &[]);
        check(forbidden_paths, "native/src/a.rs", "let c = std::sync::mpsc::channel();", &[1]);
        check(forbidden_paths, "native/src/a.rs", "let c = std::sync::mpsc::sync_channel(1);", &[]);
        check(forbidden_paths, "engine/src/sampling/euler.rs", "use crate::model::unet::UNet;\nuse crate::noise::X;", &[1]);
    }

    #[test]
    fn only_readback_waits() {
        check(readback, "engine/src/a.rs", "x.into_data();\nx.into_data_async().await;\nfn into_data() {}", &[1, 2]);
        check(readback, READBACK, "x.into_data();\nx.into_data_async().await;", &[1]);
        check(readback, "engine/tests/a.rs", "x.into_data();", &[]);
        check(readback, "engine/src/a.rs", "#[cfg(test)]\nmod tests { fn f() { x.into_data(); } }", &[]);
        check(readback, "engine/src/a.rs", "x.into_scalar::<f32>();", &[1]);
    }

    #[test]
    fn text_rules() {
        check(left_overs, "engine/src/a.rs", &format!("fn f() {{ {}) }}", LEFT_OVERS[0]), &[1]);
        check(machine_paths, "README.md", &format!("a\n{}x", MACHINE[0]), &[2]);
        check(module_docs, "engine/src/a.rs", "// hello\n", &[1]);
        check(module_docs, "engine/src/a.rs", "\n//! hello\n", &[]);
        check(file_length, "engine/src/a.rs", &"//! x\n".repeat(MAX_LINES + 1), &[0]);
        check(file_length, "engine/src/a.rs", &"//! x\n".repeat(MAX_LINES), &[]);
    }
}
