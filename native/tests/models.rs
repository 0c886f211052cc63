//! Model folders: found by path and by name, told about, and refused with a reason when something is wrong with them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::fs;
use std::path::Path;

use common::{Run, command, copy, encaustic, golden_model, scratch};

/// The SHA-256 of the reference model's UNet, by coreutils.
const SD15_SHA256: &str = "707a7e9344f3fff03383b6c6a3fd56e68070590a254b5528de31d7d938bf599d";

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

#[test]
fn a_model_is_described() {
    let folder = golden_model("sd15");
    let run = encaustic(&["info", folder.to_str().unwrap(), "--json"]);
    run.status(0);
    let report = run.json();
    let expected: [(&str, serde_json::Value); 7] = [
        ("model", "sd15".into()),
        ("family", "sd1".into()),
        ("prediction_type", "epsilon".into()),
        ("parameters", 411_099.into()),
        ("hash", SD15_SHA256[..10].into()),
        ("sha256", SD15_SHA256.into()),
        ("hashed_file", UNET.into()),
    ];
    for (key, value) in expected {
        assert_eq!(report[key], value, "{key}");
    }
    let parts: Vec<_> =
        report["components"].as_array().unwrap().iter().map(|part| (&part["name"], &part["parameters"])).collect();
    assert!(parts.contains(&(&"unet".into(), &289_596.into())), "{parts:?}");
    assert_eq!(report["components"][3]["dtypes"], serde_json::json!({"F16": 289_596}));

    let run = encaustic(&["info", folder.to_str().unwrap()]);
    run.status(0);
    for word in ["sd15", "epsilon", "UNet2DConditionModel", "AutoencoderKL", "F16", &SD15_SHA256[..10], UNET] {
        assert!(run.stdout.contains(word), "{word:?} is missing:\n{}", run.stdout);
    }
}

/// Runs `info` with a folder of models of the test's own.
fn info_at_home(home: &Path, model: &str) -> Run {
    let args = ["info", model, "--json"];
    Run::new(&args, command().env("HOME", home).args(args).output().unwrap())
}

#[test]
fn a_model_is_found_by_its_name() {
    let home = scratch("library");
    let library = encaustic_launcher::library::library().unwrap();
    let below = library.strip_prefix(std::env::home_dir().unwrap()).expect("models are kept below the home folder");
    let kept = home.join(below);
    copy(&golden_model("sd15"), &kept.join("lighthouse"));
    fs::create_dir_all(kept.join("no-model")).unwrap();

    let run = info_at_home(&home, "lighthouse");
    run.status(0);
    assert_eq!(run.json()["model"], "lighthouse");
    for (name, words) in [
        ("lihgthouse", &["model", "did you mean \"lighthouse\"?"][..]),
        ("no-model", &["model_index.json"]),
        ("../models/lighthouse", &["there is no \"../models/lighthouse\""]),
        ("", &["there is no \"\""]),
    ] {
        let run = info_at_home(&home, name);
        run.status(2);
        for word in words {
            assert!(run.stderr.contains(word), "{name}: {word:?} is missing:\n{}", run.stderr);
        }
    }
}

/// What can be wrong with a model's files, how to bring it about, and the words that must tell it.
type Fault = (&'static str, fn(&Path), &'static [&'static str]);

fn cut(path: &Path, to: usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..to]).unwrap();
}

const FAULTS: &[Fault] = &[
    ("no-index", |model| fs::remove_file(model.join("model_index.json")).unwrap(), &["there is no model_index.json"]),
    ("index-no-json", |model| fs::write(model.join("model_index.json"), "{").unwrap(), &["model_index.json", "not valid JSON"]),
    (
        "index-too-large",
        |model| fs::write(model.join("model_index.json"), vec![b' '; 65 << 20]).unwrap(),
        &["larger than 64 MiB"],
    ),
    ("weights-cut", |model| cut(&model.join(UNET), 300_000), &["unet", "cut short"]),
    ("weights-empty", |model| cut(&model.join(UNET), 0), &["unet"]),
    ("weights-header-cut", |model| cut(&model.join(UNET), 100), &["unet", "cut short"]),
    ("pickle", |model| fs::write(model.join(UNET), b"PK\x03\x04archive/data.pkl").unwrap(), &["unet", "pickle"]),
    (
        "pickle-only",
        |model| {
            fs::rename(model.join(UNET), model.join("unet/diffusion_pytorch_model.bin")).unwrap();
        },
        &["unet", "diffusion_pytorch_model.bin"],
    ),
    (
        "shard-outside",
        |model| {
            fs::remove_file(model.join(UNET)).unwrap();
            let index = r#"{"weight_map": {"x": "../../../etc/passwd"}}"#;
            fs::write(model.join(format!("{UNET}.index.json")), index).unwrap();
        },
        &["unet", "passwd", "same folder"],
    ),
    (
        "shard-absent",
        |model| {
            fs::remove_file(model.join(UNET)).unwrap();
            let index = r#"{"weight_map": {"x": "part-1.safetensors"}}"#;
            fs::write(model.join(format!("{UNET}.index.json")), index).unwrap();
        },
        &["unet", "part-1.safetensors"],
    ),
];

#[test]
fn a_broken_model_is_refused_with_its_fault() {
    for (name, fault, words) in FAULTS {
        let model = scratch("broken-models").join(name);
        copy(&golden_model("sd15"), &model);
        fault(&model);
        let run = encaustic(&["info", model.to_str().unwrap()]);
        run.status(2);
        assert!(run.stderr.starts_with("error: model: "), "{name}: {}", run.stderr);
        for word in *words {
            assert!(run.stderr.contains(word), "{name}: {word:?} is missing:\n{}", run.stderr);
        }
    }
}

#[test]
fn names_from_files_cannot_talk_to_the_terminal() {
    let model = scratch("escape").join("model");
    copy(&golden_model("sd15"), &model);
    fs::write(model.join("model_index.json"), r#"{"vae": ["diffusers", "\u001b]0;owned\u0007"]}"#).unwrap();
    let run = encaustic(&["info", model.to_str().unwrap()]);
    run.status(0);
    assert!(run.stdout.contains("\\u{1b}]0;owned\\u{7}"), "{}", run.stdout);
}

#[test]
fn a_hash_is_remembered_and_never_wrong() {
    let home = scratch("hashes");
    let model = home.join("model");
    copy(&golden_model("sd15"), &model);
    let model_name = model.to_str().unwrap();
    let hash = || {
        let run = info_at_home(&home, model_name);
        run.status(0);
        run.json()["sha256"].as_str().unwrap().to_owned()
    };
    assert_eq!(hash(), SD15_SHA256);
    let cache = find(&home, "hashes.json").expect("the hash is remembered");
    assert_eq!(hash(), SD15_SHA256);

    // What is in the cache is believed while the file is unchanged ...
    let remembered = fs::read_to_string(&cache).unwrap();
    fs::write(&cache, remembered.replace(SD15_SHA256, &"0".repeat(64))).unwrap();
    assert_eq!(hash(), "0".repeat(64));
    // ... unless it is no hash, or no cache.
    for spoilt in [remembered.replace(SD15_SHA256, "é"), "{".to_owned(), String::new()] {
        fs::write(&cache, spoilt).unwrap();
        assert_eq!(hash(), SD15_SHA256);
    }
    // Another content of the same size.
    let mut weights = fs::read(model.join(UNET)).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    fs::write(model.join(UNET), weights).unwrap();
    assert_ne!(hash(), SD15_SHA256);
    // A cache that cannot be written is no failure.
    fs::remove_file(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    assert_ne!(hash(), SD15_SHA256);
}

fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    fs::read_dir(folder).unwrap().flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { (path.file_name()? == name).then_some(path) }
    })
}
