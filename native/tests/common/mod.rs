//! Running the binary, and a place for its files.

#![allow(dead_code)] // no test uses all of it

pub(crate) mod house;
pub(crate) mod hub;
pub(crate) mod served;
pub(crate) mod tensors;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a finished run left.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its arguments, for messages.
    pub(crate) args: Vec<String>,
    /// The exit status; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The standard output.
    pub(crate) stdout: String,
    /// The standard error.
    pub(crate) stderr: String,
}

impl Run {
    /// Takes over a finished process.
    pub(crate) fn new(args: &[&str], output: Output) -> Self {
        Self {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("the standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("the standard error is UTF-8"),
        }
    }

    /// Demands an exit status.
    #[track_caller]
    pub(crate) fn status(&self, status: u8) {
        assert_eq!(self.code, Some(status.into()), "{:?}\n{}\n{}", self.args, self.stdout, self.stderr);
    }

    /// The last line of the standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let last = self.stdout.lines().last().unwrap_or_else(|| panic!("{:?} printed nothing\n{}", self.args, self.stderr));
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{:?}: {error} in {last}", self.args))
    }
}

/// The binary under test, with a home of its own: nothing of the user's is read or written.
pub(crate) fn command() -> Command {
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("home");
    fs::create_dir_all(&home).expect("the target folder can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_encaustic"));
    command.env("HOME", &home).env_remove("XDG_DATA_HOME").env_remove("XDG_CACHE_HOME").env_remove("RUST_LOG");
    command.env_remove("ENCAUSTIC_HOME").env_remove("ENCAUSTIC_MODELS");
    command
}

/// Runs it to its end.
pub(crate) fn encaustic(args: &[&str]) -> Run {
    Run::new(args, command().args(args).output().expect("the binary starts"))
}

/// An empty folder of this test's own.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// A model of the reference data.
pub(crate) fn golden_model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/models").join(name)
}

/// Copies a folder with all below it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the target folder can be written");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("the file can be copied");
        }
    }
}
