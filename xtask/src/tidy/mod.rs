//! Checks the house rules of `ARCHITECTURE.md` that compilers and clippy cannot see.
//!
//! Each rule is a function from the tracked files to findings; a finding says where, what, and what to do instead.

mod files;
mod manifests;
mod rules;
mod source;

use std::path::Path;

use anyhow::{Result, bail};

pub(crate) use files::Tree;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path in the repository.
    pub(crate) path: String,
    /// Line, counted from 1; 0 for the whole file.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

/// Every rule, by the name that the report shows.
type Rule = fn(&Tree) -> Result<Vec<Finding>>;
const RULES: &[(&str, Rule)] = &[
    ("forbidden paths", rules::forbidden_paths),
    ("readback", rules::readback),
    ("left-overs", rules::left_overs),
    ("machine paths", rules::machine_paths),
    ("file length", rules::file_length),
    ("module docs", rules::module_docs),
    ("weight of the repository", rules::weight),
    ("dependencies", manifests::dependencies),
    ("manifests", manifests::inheritance),
    ("unused dependencies", manifests::usage),
];

/// Runs every rule over the repository at `root`.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    for (name, rule) in RULES {
        for finding in rule(&tree)? {
            findings.push((finding, *name));
        }
    }
    findings.sort();
    for (finding, name) in &findings {
        eprintln!("{}:{}: {} [{name}]", finding.path, finding.line, finding.message);
    }
    if !findings.is_empty() {
        bail!("{} breaches of the house rules", findings.len());
    }
    println!("tidy: {} rules hold in {} files", RULES.len(), tree.files.len());
    Ok(())
}
