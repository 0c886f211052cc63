//! The examples of `docs/api.md` are run, in their order, as they stand there.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use crate::support::Trial;

/// The shell's blocks of a page.
fn examples(page: &str) -> impl Iterator<Item = &str> {
    page.split("\n```sh\n").skip(1).filter_map(|rest| rest.split_once("\n```")).map(|(example, _)| example)
}

#[test]
fn the_examples_of_the_interfaces_work() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let page = std::fs::read_to_string(page).unwrap();
    let trial = Trial::start(|_| ());
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for example in examples(&page) {
        let mut shell = Command::new("sh");
        shell.args(["-euc", example]).env("ENCAUSTIC", trial.url("")).env("no_proxy", "*").current_dir(&folder);
        let told = shell.output().unwrap();
        assert!(told.status.success(), "{example}\n{}\n{}", told.status, String::from_utf8_lossy(&told.stderr));
        count += 1;
    }
    assert!(count > 5, "{count}");
}
