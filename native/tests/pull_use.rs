//! Models of the hub where they are used: read, listed, imported, named and left alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::fs;

use common::hub::{COMMIT, FOLDER, Hub, REPO, Trick, at_home, cache, is_whole, model, sha};
use common::{Run, scratch};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const PULL: &[&str] = &["pull", REPO, "--json"];

#[test]
fn what_is_read_in_whole_has_a_limit() {
    let (hub, home) = (Hub::with_model(), scratch("pull-large"));
    for name in ["model_index.json", "unet/config.json"] {
        hub.behave();
        hub.trick(&format!("HEAD /{REPO}/resolve/{COMMIT}/{name}"), 9, Trick::Header("X-Linked-Size", (3u64 << 30).to_string()));
        hub.seen();
        let run = hub.run(&home, PULL);
        run.status(2);
        assert!(run.stderr.contains(&format!("{name} has 3.00 GiB")) && run.stderr.contains("64 MiB"), "{}", run.stderr);
        let asked = hub.seen().into_iter().any(|seen| seen.line.starts_with("GET ") && seen.line.ends_with(name));
        assert!(!asked, "{name}: nothing of it is fetched");
    }
    // Nor is one that is in the cache already.
    hub.behave();
    hub.run(&home, PULL).status(0);
    let index = cache(&home).join("snapshots").join(COMMIT).join("model_index.json");
    fs::remove_file(&index).unwrap();
    fs::File::create(&index).unwrap().set_len(65 << 20).unwrap();
    for args in [&["pull", REPO][..], &["pull", REPO, "--offline"]] {
        let run = hub.run(&home, args);
        run.status(2);
        assert!(run.stderr.contains("model_index.json") && run.stderr.contains("64 MiB"), "{}", run.stderr);
    }
}

/// Copies without links, as on Windows, do not say what they are.
#[test]
fn files_of_the_cache_are_hashed_only_to_tell_their_hashes() {
    let (hub, home) = (Hub::with_model(), scratch("pull-no-links"));
    hub.run(&home, PULL).status(0);
    for name in model().keys() {
        let path = cache(&home).join("snapshots").join(COMMIT).join(name);
        let blob = fs::canonicalize(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::copy(blob, path).unwrap();
    }
    let _ = fs::remove_dir_all(home.join(".cache"));
    let hashes = || home.join(".cache/encaustic/hashes.json").exists();
    let listed = hub.run(&home, &["models", "--json"]).json();
    assert!(listed["models"].as_array().unwrap().iter().any(|model| model["name"] == "hf:tester/tiny"), "{listed}");
    hub.run(&home, &["pull", REPO, "--offline"]).status(0);
    assert!(!hashes(), "nothing was hashed");
    let report = hub.run(&home, &["pull", REPO, "--offline", "--json"]).json();
    for file in report["files"].as_array().unwrap() {
        assert_eq!(file["sha256"], sha(&model()[file["name"].as_str().unwrap()]), "{file}");
    }
    assert!(hashes());
}

#[test]
fn an_import_uses_the_copy_as_trained() {
    let half = "unet/diffusion_pytorch_model.fp16.safetensors";
    let mut both = model();
    // Nearly the same numbers: the same bytes would be one file of the cache.
    let mut other = model()[UNET].clone();
    *other.last_mut().unwrap() ^= 0x10;
    both.insert(half.to_owned(), other);
    let mut only_half = both.clone();
    only_half.remove(UNET);
    for (what, files, dtype, wanted) in [
        ("another copy is fetched", both.clone(), "q8", Some(UNET)),
        ("the one that is there is wanted", both, "f16", None),
        ("there is no other", only_half, "f32", None),
    ] {
        let (hub, home) = (Hub::serve(files), scratch("pull-import"));
        hub.run(&home, PULL).status(0);
        hub.seen();
        let out = home.join("packed");
        let import = ["import", "hf:tester/tiny", "--dtype", dtype, "--replace", "--out", out.to_str().unwrap()];
        hub.run(&home, &import).status(0);
        let fetched: Vec<String> = hub.seen().into_iter().map(|seen| seen.line).filter(|line| line.contains("/cdn/")).collect();
        assert_eq!(fetched.len(), usize::from(wanted.is_some()), "{what}: {fetched:?}");
        assert!(fetched.iter().all(|line| wanted.is_some_and(|wanted| line.contains(wanted))), "{what}: {fetched:?}");
        // What is there does where nobody can be asked.
        fs::remove_dir_all(&out).unwrap();
        Run::new(&import, at_home(&home).args(import).output().unwrap()).status(0);
        let offline = at_home(&home).env("HF_HUB_OFFLINE", "1").args(import).output().unwrap();
        Run::new(&import, offline).status(0);
    }
}

#[test]
fn names_of_the_hub_work_where_models_are_named() {
    let (hub, home) = (Hub::with_model(), scratch("pull-names"));
    let info = ["info", "hf:tester/tiny"];
    let run = hub.run(&home, &info);
    run.status(2);
    assert!(run.stderr.contains("model: ") && run.stderr.contains("encaustic pull tester/tiny"), "{}", run.stderr);
    assert_eq!(hub.seen().len(), 0, "to tell about a model nobody is asked");
    let rm = ["rm", "hf:tester/tiny", "--yes"];
    let run = hub.run(&home, &rm);
    run.status(2);
    assert!(run.stderr.contains("NAME: there is no") && !run.stderr.contains(".safetensors"), "{}", run.stderr);

    let out = home.join("a.png");
    let picture = ["generate", "x", "--vae", "hf:tester/tiny", "--device", "cpu", "--steps", "1", "--out", out.to_str().unwrap()];
    hub.run(&home, &picture).status(0);
    is_whole(&home);
    // What is whole needs nothing of the hub, and none of what is said about it wrongly.
    for args in [&info[..], &picture] {
        Run::new(args, hub.command(&home).env("HF_ENDPOINT", "ftp://x").args(args).output().unwrap()).status(0);
    }
    let run = hub.run(&home, &rm);
    run.status(2);
    assert!(run.stderr.contains("hub's cache") && run.stderr.contains("hf cache delete"), "{}", run.stderr);
    assert!(run.stderr.contains(FOLDER), "{}", run.stderr);
    is_whole(&home);

    for (option, name, words) in [
        ("--model", "tester/tiny", "`hf:tester/tiny`"),
        ("--model", "https://example.com/x.safetensors?token=secret", "`encaustic pull URL`"),
        ("--model", "https://huggingface.co/tester/tiny", "`hf:tester/tiny`"),
        ("--vae", "tester/tiny", "`hf:tester/tiny`"),
    ] {
        let run = hub.run(&home, &["generate", "x", option, name]);
        run.status(2);
        assert!(run.stderr.contains("there is no") && run.stderr.contains(words), "{name}: {}", run.stderr);
    }
}
