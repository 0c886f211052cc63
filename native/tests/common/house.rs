//! A home with models in it, beside other programs' trees, for tests of the library.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::{Run, command, scratch};

/// A home with a folder of models of its own, beside other programs' trees.
pub(crate) struct House {
    /// Where all of it is.
    pub(crate) root: PathBuf,
    /// Other programs' trees.
    pub(crate) trees: Vec<PathBuf>,
}

impl House {
    /// Without models.
    pub(crate) fn new(name: &str) -> Self {
        let root = scratch(name);
        fs::create_dir_all(root.join("home/models")).unwrap();
        Self { root, trees: Vec::new() }
    }

    /// Our own folder.
    pub(crate) fn own(&self) -> PathBuf {
        self.root.join("home/models")
    }

    /// A tree of another program.
    pub(crate) fn tree(&mut self, name: &str) -> PathBuf {
        let tree = self.root.join(name);
        fs::create_dir_all(&tree).unwrap();
        self.trees.push(tree.clone());
        tree
    }

    /// Runs the binary in it.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let home = self.root.join("home");
        let mut command = command();
        command.env("HOME", &home).env("ENCAUSTIC_HOME", &home).args(args).current_dir(&self.root);
        command.env("ENCAUSTIC_MODELS", std::env::join_paths(&self.trees).unwrap());
        command.stdin(std::process::Stdio::null());
        Run::new(args, command.output().unwrap())
    }

    /// What `models --json` lists, by name.
    pub(crate) fn listed(&self, args: &[&str]) -> BTreeMap<String, Value> {
        let run = self.run(&[&["models", "--json"][..], args].concat());
        run.status(0);
        let report = run.json();
        assert_eq!(report["count"], report["models"].as_array().unwrap().len());
        report["models"].as_array().unwrap().iter().map(|m| (m["name"].as_str().unwrap().to_owned(), m.clone())).collect()
    }

    /// The names that are listed, without that of the model in the box.
    pub(crate) fn names(&self) -> Vec<String> {
        self.listed(&[]).into_keys().filter(|name| name != "demo").collect()
    }
}

/// Writes a file and the folders that it lies in.
pub(crate) fn put(path: PathBuf, bytes: impl AsRef<[u8]>) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// Everything below a folder: kind, size, time of change and content of each file and folder.
pub(crate) fn state(folder: &Path) -> BTreeMap<PathBuf, (bool, SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            found.extend(state(&path));
        }
        let bytes = if about.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        found.insert(path, (about.is_dir(), about.modified().unwrap(), bytes));
    }
    found
}
