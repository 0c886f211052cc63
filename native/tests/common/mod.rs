//! Running the binary, and a place for its files.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs};

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

/// The binary under test.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_encaustic"))
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
