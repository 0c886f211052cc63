//! What must never happen in the library of models: a name that leads out, a removal of what is not ours, a file that stops
//! the rest, a hash that is wrong or lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;
#[path = "../../tests/support/checkpoint.rs"]
mod support;

use std::fs;

use common::house::{House, put, state};
use common::{copy, golden_model, scratch};
use encaustic_launcher::hash::{Cache, of_bytes};
use encaustic_launcher::library::Library;
use encaustic_launcher::library::find::Wanted;
use encaustic_launcher::library::names::assign;
use encaustic_launcher::library::places::Place;
use encaustic_launcher::library::scan::scan;
use serde_json::Value;
use support::Checkpoint;

fn lora() -> Vec<u8> {
    Checkpoint::zeros(&[("lora_unet_a_attn2_to_k.lora_down.weight", &[4, 768])]).bytes()
}

fn embedding(width: usize) -> Vec<u8> {
    Checkpoint::zeros(&[("emb_params", &[2, width])]).bytes()
}

const PICKLE: &[u8] = b"PK\x03\x04archive/data.pkl";

/// Ways to write a path out of a folder.
fn traversals(house: &House) -> Vec<String> {
    let target = house.root.join("outside/secret.safetensors");
    let absolute = target.to_str().unwrap().to_owned();
    let mut texts: Vec<String> = Vec::new();
    for up in [
        "../",
        "..\\",
        "....//",
        "..../\\",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%2f",
        "..%5c",
        "%252e%252e%252f",
        "..%c0%af",
        "．．/",
        "..∕",
    ] {
        for depth in [1, 2, 3] {
            texts.push(format!("{}outside/secret.safetensors", up.repeat(depth)));
        }
        texts.push(format!("{up}models-evil/secret"));
        texts.push(format!("mine/{up}{up}outside/secret"));
    }
    texts.extend(
        ["mine/../../outside/secret", "./../../outside/secret", "models-evil/secret", "-evil/secret", "secret", "file://secret"]
            .map(str::to_owned),
    );
    texts.extend(
        ["~/secret", "$HOME/secret", "..", "../..", ".", "/", "//", "\\\\?\\C:\\secret", "C:\\secret", "CON", "*", "?"]
            .map(str::to_owned),
    );
    texts.push(format!("file://{absolute}"));
    texts.push(format!("mine{absolute}"));
    texts.push(format!("{absolute}/"));
    texts.push("secret\n.safetensors".to_owned());
    texts.push("../".repeat(5000));
    texts
}

#[test]
fn no_name_leads_out() {
    let house = House::new("library-escape");
    put(house.own().join("mine.safetensors"), embedding(768));
    put(house.root.join("outside/secret.safetensors"), embedding(768));
    put(house.root.join("home/models-evil/secret.safetensors"), embedding(768));
    let before = state(&house.root);
    let texts = traversals(&house);
    assert!(texts.len() >= 60, "{}", texts.len());
    for text in &texts {
        // `--` since some begin with a dash.
        let run = house.run(&["rm", "--yes", "--", text]);
        run.status(2);
        assert!(run.stderr.contains("NAME: there is no"), "{text}: {}", run.stderr);
        assert_eq!(run.stdout, "");
        // `info` takes paths as well: those that are none must not become some.
        if !house.root.join(text).exists() {
            let run = house.run(&["info", "--", text]);
            run.status(2);
            assert!(run.stderr.contains("model: there is no"), "{text}: {}", run.stderr);
            let model = format!("--model={text}");
            house.run(&["generate", "x", "--device", "cpu", &model]).status(2);
        }
    }
    assert_eq!(state(&house.root), before);
    // What cannot be an argument of a program can be one of the library.
    let places = vec![Place { path: house.own(), label: "own".to_owned(), is_own: true }];
    let found = scan(&places).found;
    let library = Library { names: assign(&found), found, places, warnings: Vec::new() };
    assert!(library.find("mine", Wanted::Any, "x").is_ok());
    for name in ["mine\0", "\0", "mine\0.safetensors", "../models/mine", "models/mine"] {
        assert!(library.find(name, Wanted::Any, "x").is_err(), "{name:?}");
    }
}

#[test]
fn only_what_is_ours_is_removed() {
    let mut house = House::new("library-rm");
    let tree = house.tree("webui/models");
    let foreign = put(tree.join("Stable-diffusion/theirs.safetensors"), lora());
    let own = house.own();
    let file = put(own.join("deep/file.safetensors"), embedding(768));
    copy(&golden_model("sd15"), &own.join("folder"));
    put(own.join("old.ckpt"), PICKLE);
    put(own.join(".encaustic-1-0.removed/unet/left"), "of a removal that was cut short");
    put(own.join("broken.safetensors"), "");
    let refused = |args: &[&str], words: &[&str]| {
        let before = state(&house.root);
        let run = house.run(args);
        run.status(2);
        assert!(words.iter().all(|word| run.stderr.contains(word)), "{words:?} in {}", run.stderr);
        assert_eq!(state(&house.root), before, "{args:?}");
    };
    refused(&["rm", "file"], &["yes: there is no terminal to ask on", "--yes"]);
    refused(&["rm", "demo", "--yes"], &["demo model is part of this program"]);
    refused(&["rm", "theirs", "--yes"], &["it lies in ", "Stable-diffusion", "which is not ours: delete it there"]);
    refused(&["rm", "flie", "--yes"], &["there is no \"flie\"", "did you mean \"file\""]);
    refused(&["rm", foreign.to_str().unwrap(), "--yes"], &["which is not ours"]);
    for (name, path) in [("deep/file", file), ("folder", own.join("folder")), ("old", own.join("old.ckpt"))] {
        let run = house.run(&["rm", name, "--yes"]);
        run.status(0);
        assert!(run.stderr.contains(path.to_str().unwrap()) && !path.exists(), "{}", run.stderr);
    }
    let run = house.run(&["rm", "broken", "--yes", "--json"]);
    run.status(0);
    assert_eq!(run.json()["removed"], "broken");
    assert_eq!(fs::read_dir(&own).unwrap().count(), 1, "nothing is left but an empty folder");
    assert!(foreign.is_file());
}

#[cfg(unix)]
#[test]
fn links_are_removed_and_not_followed() {
    use std::os::unix::fs::symlink;

    let mut house = House::new("library-links");
    let tree = house.tree("tree");
    let file = put(tree.join("far/file.safetensors"), embedding(768));
    copy(&golden_model("sd15"), &tree.join("far/folder"));
    let own = house.own();
    symlink(&file, own.join("link.safetensors")).unwrap();
    symlink(tree.join("far/folder"), own.join("model")).unwrap();
    symlink(&own, own.join("circle")).unwrap();
    symlink(own.join("nowhere.safetensors"), own.join("dangling.safetensors")).unwrap();
    copy(&golden_model("sd15"), &own.join("real"));
    symlink(tree.join("far"), own.join("real/unet/far")).unwrap();
    let before = state(&tree);
    let listed = house.listed(&[]);
    assert_eq!(house.names(), ["dangling", "file", "folder", "link", "model", "real"]);
    assert_eq!((&listed["link"]["read_only"], &listed["file"]["read_only"]), (&false.into(), &true.into()));
    assert_eq!(listed["dangling"]["kind"], "damaged");
    for name in ["link", "model", "dangling", "real"] {
        house.run(&["rm", name, "--yes"]).status(0);
    }
    assert_eq!(house.names(), ["file", "folder"]);
    // Two ways to one thing are one where it is read, and two where it is removed.
    put(own.join("b/twice.safetensors"), embedding(768));
    fs::create_dir_all(own.join("a")).unwrap();
    symlink(own.join("b/twice.safetensors"), own.join("a/twice.safetensors")).unwrap();
    house.run(&["info", "twice"]).status(0);
    let run = house.run(&["rm", "twice", "--yes"]);
    run.status(2);
    assert!(run.stderr.contains("\"a/twice\"") && run.stderr.contains("\"b/twice\""), "{}", run.stderr);
    house.run(&["rm", "a/twice", "--yes"]).status(0);
    assert!(own.join("b/twice.safetensors").is_file());
    // A tree inside our own folder that is named as somebody else's is theirs.
    house.run(&["rm", "b/twice", "--yes", "--models", own.join("b").to_str().unwrap()]).status(2);
    house.run(&["rm", "b/twice", "--yes"]).status(0);
    // Behind a folder that is a link, nothing is ours.
    symlink(tree.join("far"), own.join("theirs")).unwrap();
    let run = house.run(&["rm", "file", "--yes"]);
    run.status(2);
    assert!(run.stderr.contains("which is not ours"), "{}", run.stderr);
    assert_eq!(state(&tree), before);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_stops_nothing() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let mut house = House::new("library-faults");
    let tree = house.tree("tree");
    put(tree.join("good.safetensors"), lora());
    symlink(&tree, tree.join("loop")).unwrap();
    symlink("b", tree.join("a")).unwrap();
    symlink("a", tree.join("b")).unwrap();
    put(tree.join("locked/x.safetensors"), lora());
    fs::create_dir_all(tree.join(vec!["d"; 40].join("/"))).unwrap();
    put(tree.join("line\nbreak\u{1b}[2J.safetensors"), lora());
    let name = std::ffi::OsString::from("bytes-\u{fffd}.safetensors");
    put(tree.join(&name), lora());
    put(tree.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"bytes-\xff.safetensors")), lora());
    put(tree.join("index/model_index.json"), "{");
    put(tree.join("list/manifest.json"), "[1]");
    copy(&golden_model("sd15"), &tree.join("piped"));
    fs::remove_file(tree.join("piped/scheduler/scheduler_config.json")).unwrap();
    // Pipes that nobody writes to: opening one would wait for ever.
    for pipe in ["pipe.safetensors", "piped/scheduler/scheduler_config.json"] {
        assert!(std::process::Command::new("mkfifo").arg(tree.join(pipe)).status().unwrap().success());
    }
    fs::set_permissions(tree.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    let run = house.run(&["models", "--json"]);
    let table = house.run(&["models"]);
    // Root reads what nobody may.
    let is_root = fs::read_dir(tree.join("locked")).is_ok();
    fs::set_permissions(tree.join("locked"), fs::Permissions::from_mode(0o755)).unwrap();
    run.status(0);
    let report = run.json();
    let kind = |name: &str| {
        let models = report["models"].as_array().unwrap();
        models.iter().find(|model| model["name"] == name).unwrap_or_else(|| panic!("{name} in {report}"))["kind"].clone()
    };
    for (name, expected) in
        [("good", "lora"), ("pipe", "damaged"), ("index", "damaged"), ("list", "damaged"), ("piped", "damaged")]
    {
        assert_eq!(kind(name), expected, "{name}");
    }
    assert!(is_root || run.stderr.contains("locked"), "{}", run.stderr);
    assert!(run.stderr.contains("folders deep"), "{}", run.stderr);
    assert_eq!(report["models"].as_array().unwrap().len(), 9 + usize::from(is_root), "{report}");
    table.status(0);
    assert!(table.stdout.contains("line break\\u{1b}[2J") && !table.stdout.contains('\u{1b}'), "{}", table.stdout);
}

#[test]
fn hashes_are_kept_for_many_and_by_many() {
    let house = House::new("library-hashes");
    let mut files = Vec::new();
    for index in 0..8 {
        files.push(put(house.own().join(format!("file-{index}.safetensors")), embedding(768 + index)));
    }
    // Eight processes at once: none forgets what another has found.
    std::thread::scope(|scope| {
        for index in 0..8 {
            let house = &house;
            scope.spawn(move || house.run(&["info", &format!("file-{index}")]).status(0));
        }
    });
    let listed = house.listed(&[]);
    assert!(files.iter().enumerate().all(|(index, _)| listed[&format!("file-{index}")]["hash"].is_string()), "{listed:?}");
    let cache = house.root.join("home/.cache/encaustic/hashes.json");
    let text = fs::read_to_string(&cache).expect("the cache is where the system keeps such");
    let sha = listed["file-0"]["sha256"].as_str().unwrap();
    let hash_of = |args: &[&str]| house.listed(args)["file-0"]["sha256"].clone();

    // Believed while the file is unchanged; a changed or removed file is not.
    fs::write(&cache, text.replace(sha, &"ab".repeat(32))).unwrap();
    assert_eq!(hash_of(&["--hash"]), "ab".repeat(32));
    fs::write(&files[0], embedding(700)).unwrap();
    assert_eq!(hash_of(&[]), Value::Null);
    assert_ne!(hash_of(&["--hash"]), "ab".repeat(32));
    for spoilt in ["", "{", "[]", r#"{"files": 3}"#, "\u{0}"] {
        fs::write(&cache, spoilt).unwrap();
        assert_eq!(hash_of(&[]), Value::Null, "{spoilt:?}");
        assert!(hash_of(&["--hash"]).is_string(), "{spoilt:?}");
    }
    // Entries of files that are gone go at times.
    fs::remove_file(&files[7]).unwrap();
    let mut kept: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(kept["files"].as_object().unwrap().len(), 8);
    kept["cleaned"] = 0.into();
    fs::write(&cache, kept.to_string()).unwrap();
    fs::write(&files[0], embedding(701)).unwrap();
    house.listed(&["--hash"]);
    let kept: Value = serde_json::from_slice(&fs::read(&cache).unwrap()).unwrap();
    assert_eq!(kept["files"].as_object().unwrap().len(), 7);
    assert!(!kept["files"].to_string().contains("file-7"));
}

#[test]
fn a_file_is_hashed_again_when_somebody_doubts() {
    let folder = scratch("library-verify");
    let file = put(folder.join("a.safetensors"), embedding(768));
    let mut heard = Vec::new();
    let place = folder.join("hashes.json");
    let mut cache = Cache::at(Some(place.clone()));
    let verified = cache.verify(&file, &mut |done, of| heard.push((done, of))).unwrap();
    assert_eq!(verified.remembered, None);
    cache.save();
    let mut cache = Cache::at(Some(place));
    let again = cache.verify(&file, &mut |_, _| {}).unwrap();
    let size = fs::metadata(&file).unwrap().len();
    assert_eq!((verified.now.clone(), heard.last()), (of_bytes(&fs::read(&file).unwrap()), Some(&(size, size))));
    assert_eq!(again.remembered, Some(verified.now.clone()));
    // Other bytes under the same size and time: what a cache cannot see, and this does.
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    let changed = cache.verify(&file, &mut |_, _| {}).unwrap();
    assert_eq!(changed.remembered, Some(verified.now));
    assert_ne!(Some(changed.now), changed.remembered);
}
