//! Files: whole or not at all, never one over another, never outside the folder that was meant.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;

use common::{golden_model, scratch, tensors};
use encaustic_engine::family::Files;
use encaustic_engine::weights::WeightSource;
use encaustic_launcher::dump::Dump;
use encaustic_launcher::files::{self, Target};
use encaustic_launcher::library::ModelFiles;
use encaustic_launcher::mapped::MappedFile;

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let folder = scratch("whole");
    let path = folder.join("a.txt");
    files::write(&path, |file| file.write_all(b"old")).unwrap();
    let failed = files::write(&path, |file| {
        file.write_all(&vec![b'x'; 1 << 20])?;
        Err(io::Error::other("the pixels ran out"))
    });
    assert!(failed.unwrap_err().to_string().contains("the pixels ran out"));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    files::write(&path, |file| file.write_all(b"new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(&folder).len(), 1, "nothing else is left");
    let absent = folder.join("absent/a.txt");
    assert!(files::write(&absent, |_| Ok(())).unwrap_err().to_string().contains("a.txt"));
}

#[test]
fn a_name_says_whether_a_file_or_a_folder_is_meant() {
    let folder = scratch("target");
    let join = |name: &str| folder.join(name);
    fs::create_dir(join("folder.png")).unwrap();
    fs::write(join("text"), "").unwrap();
    for (name, target) in [
        ("a.png", Target::File(join("a.png"))),
        ("a.PNG", Target::File(join("a.PNG"))),
        ("new", Target::Folder(join("new"))),
        ("v1.5", Target::Folder(join("v1.5"))),
        ("folder.png", Target::Folder(join("folder.png"))),
        ("", Target::Folder(join(""))),
    ] {
        assert_eq!(Target::resolve(&join(name)), Ok(target), "{name}");
    }
    for name in ["a.jpg", "a.WebP", "text"] {
        let refusal = Target::resolve(&join(name)).unwrap_err();
        assert_eq!(refusal.field, "out", "{name}");
    }
}

#[test]
fn no_number_is_given_twice() {
    let folder = scratch("many");
    let target = Target::Folder(folder.clone());
    // As many programs at once.
    thread::scope(|scope| {
        for writer in 0..8 {
            let target = &target;
            scope.spawn(move || {
                for picture in 0..25 {
                    let content = format!("{writer} {picture}");
                    let path = target.save(0, 1, 7, |file| file.write_all(content.as_bytes())).unwrap();
                    assert_eq!(fs::read_to_string(path).unwrap(), content);
                }
            });
        }
    });
    let names = names(&folder);
    let numbers: BTreeSet<_> = names.iter().map(|name| name.split_once('-').unwrap().0.to_owned()).collect();
    assert_eq!(numbers, (1..=200).map(|number| format!("{number:05}")).collect());
}

#[test]
fn a_full_row_of_numbers_is_an_error() {
    let folder = scratch("full");
    fs::write(folder.join("999999999-1.png"), "").unwrap();
    let error = Target::Folder(folder).save(0, 1, 1, |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("no free number"), "{error}");
}

#[test]
fn a_dump_is_read_by_others() {
    let folder = scratch("dump");
    let path = folder.join("dump.safetensors");
    let mut dump = Dump::create(path.clone()).unwrap();
    dump.begin("noise", &[1, 2, 3]);
    dump.values(&[1.0, -2.0, 3.5, f32::MAX, f32::MIN_POSITIVE, 0.0]).unwrap();
    // In two pieces.
    dump.begin("image", &[2, 1, 1, 2]);
    dump.values(&[0.25, 0.5]).unwrap();
    dump.values(&[0.75, 1.0]).unwrap();
    assert!(!path.exists(), "it appears when it is whole");
    assert_eq!(dump.finish().unwrap(), path);
    let found = tensors::read(&path);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["image", "noise"]);
    assert_eq!(found["noise"].shape, [1, 2, 3]);
    assert_eq!(found["noise"].values, [1.0, -2.0, 3.5, f32::MAX, f32::MIN_POSITIVE, 0.0]);
    assert_eq!(found["image"].shape, [2, 1, 1, 2]);
    assert_eq!(found["image"].values, [0.25, 0.5, 0.75, 1.0]);
    let length = fs::read(&path).unwrap().first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).unwrap();
    assert_eq!(length % 8, 0, "the values are aligned");
    assert_eq!(names(&folder).len(), 1);

    drop(Dump::create(folder.join("given-up.safetensors")).unwrap());
    assert_eq!(names(&folder).len(), 1, "a dump that was given up leaves nothing");
}

#[test]
fn a_mapped_file_gives_its_bytes() {
    let folder = scratch("mapped");
    let path = folder.join("weights");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    fs::write(&path, &bytes).unwrap();
    let file = MappedFile::open(&path).unwrap();
    assert_eq!(file.len(), 3_000_000);
    // Back and forth: pages that were given up come back as they were.
    for range in [0..10, 1_000_000..2_500_000, 0..3_000_000, 5..5, 2_999_999..3_000_000, 999_999..1_000_001, 0..3_000_000] {
        let found = file.read(range.clone()).unwrap();
        assert!(*found == bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    for range in [0..3_000_001, 3_000_001..3_000_002, std::ops::Range { start: 10, end: 5 }, u64::MAX - 1..u64::MAX] {
        assert!(file.read(range.clone()).is_err(), "{range:?}");
    }
    fs::write(&path, "").unwrap();
    let empty = MappedFile::open(&path).unwrap();
    assert!(empty.is_empty() && empty.read(0..0).is_ok() && empty.read(0..1).is_err());
    assert!(MappedFile::open(&folder).is_err());
    assert!(MappedFile::open(&folder.join("absent")).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn reading_a_mapped_file_keeps_little_of_it_in_memory() {
    let path = scratch("resident").join("weights");
    let (part, parts) = (8 << 20, 24);
    fs::write(&path, vec![1; part * parts]).unwrap();
    let resident = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
    };
    let file = MappedFile::open(&path).unwrap();
    let before = resident();
    for at in 0..parts {
        let bytes = file.read((at * part) as u64..((at + 1) * part) as u64).unwrap();
        assert_eq!(bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(), part as u64);
        let held = resident().saturating_sub(before);
        assert!(held < 3 * part, "{held} bytes of the file are held after part {at}");
    }
}

#[test]
fn no_name_leads_out_of_a_model() {
    let folder = scratch("inside");
    common::copy(&golden_model("sd15"), &folder.join("model"));
    fs::write(folder.join("secret"), "secret").unwrap();
    fs::create_dir(folder.join("model-evil")).unwrap();
    fs::write(folder.join("model-evil/config.json"), "{}").unwrap();
    let files = ModelFiles::find(folder.join("model").to_str()).unwrap();
    let absolute = folder.join("secret");
    for name in [
        "../secret",
        "unet/../../secret",
        "./../secret",
        "../model-evil/config.json",
        "..",
        "/etc/passwd",
        absolute.to_str().unwrap(),
    ] {
        assert!(matches!(files.text(name), Ok(None)), "{name}");
        assert!(files.open(name).is_err(), "{name}");
        assert!(files.list(name).is_empty(), "{name}");
        assert_eq!(files.path(name), None, "{name}");
    }
    assert!(files.text("unet/config.json").unwrap().is_some());
    assert_eq!(files.list("unet"), ["config.json", "diffusion_pytorch_model.safetensors"]);
    assert_eq!(files.list(""), ["model_index.json"]);
    assert!(files.list("absent").is_empty());
}
