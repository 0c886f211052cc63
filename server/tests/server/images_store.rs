//! The files of pictures: what is kept, what is swept away, what happens when there is no room; and the folder for people.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use encaustic_protocol::Request;
use encaustic_server::config::Setting;
use encaustic_server::db::DbError;
use encaustic_server::images::name::Pattern;
use encaustic_server::images::{Made, Options, Store, StoreError, Stored, rows};
use encaustic_server::job::Client;

use crate::images::{Entered, app, enter, pixels};
use crate::support::Trial;

/// Where the file for people is of a picture of job 1.
fn publish(store: &Store, seed: u64) -> Result<Option<PathBuf>, StoreError> {
    store.publish(&put(store, seed)?.image, 1, 1_000_000)
}

fn put(store: &Store, seed: u64) -> Result<Stored, StoreError> {
    let settings = Request { prompt: "a fox".into(), ..Request::default() };
    let parameters = format!("a fox\nSteps: 1, Sampler: Euler, Seed: {seed}");
    store.put(&pixels(seed, 64, 64), &Made { seed, model: "demo", settings: &settings, parameters: &parameters })
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn age(path: &Path, days: u64) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60)).unwrap();
}

#[test]
fn equal_pictures_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    let [first, second, other] = [1, 1, 2].map(|seed| put(&store, seed).unwrap().image);
    assert_eq!(first, second);
    assert_ne!(first.sha256, other.sha256);
    assert_eq!(files(&folder.path().join("images")).len(), 2);
    assert_eq!(files(&folder.path().join("thumbnails")).len(), 2);
    let file = store.image(&first.sha256, Default::default()).unwrap();
    assert_eq!(first.bytes, fs::metadata(file).unwrap().len());
}

#[test]
fn what_nobody_has_is_swept_away_after_a_day() {
    let trial = Trial::start(|_| ());
    let app = app(&trial);
    enter(app, &Entered { seed: 1, ..Entered::default() });
    let orphan = put(&app.images, 7).unwrap();
    let held = put(&app.images, 8).unwrap();
    let images = trial.data().join("images");
    let foreign = [images.join("ab/readme.txt"), images.join("notes.txt")];
    fs::create_dir_all(images.join("ab")).unwrap();
    let unfinished = [images.join("ab/.new-0123"), images.join("ab/.new-4567")];
    foreign.iter().chain(&unfinished).for_each(|path| fs::write(path, "x").unwrap());
    let sweep = || rows::sweep(&app.db, &app.images).unwrap();
    assert_eq!(sweep(), 0, "all of it is young");
    drop(orphan);
    for file in files(&images).iter().chain(&files(&trial.data().join("thumbnails"))).filter(|file| **file != unfinished[1]) {
        age(file, 2);
    }
    assert_eq!(sweep(), 3, "a picture, its thumbnail, and what was never finished");
    assert!(foreign.iter().all(|path| path.exists()) && !unfinished[0].exists() && unfinished[1].exists());
    assert_eq!(files(&trial.data().join("thumbnails")).len(), 2);
    // A file whose row is on its way is kept, even from whoever deletes an equal picture.
    let id: Result<u64, DbError> = app.db.write(|change| Ok(rows::insert(change, None, &Client::local(), &held.image, 1)?));
    rows::delete(&app.db, &app.images, &[id.unwrap()]).unwrap();
    let file = app.images.image(&held.image.sha256, Default::default()).unwrap();
    assert!(file.exists());
    drop(held);
    age(&file, 2);
    assert!(sweep() > 0 && !file.exists());
}

#[test]
fn pictures_for_people_have_names_and_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("for people/here");
    let open = |pattern: &str| {
        let pattern = Pattern::parse(pattern).unwrap();
        Store::open(&folder.path().join("data"), Options { output: Some(output.clone()), pattern, ..Options::default() }).unwrap()
    };
    let store = open("{model}/{prompt}-{number}-{seed}");
    let names =
        || files(&output).iter().map(|path| path.strip_prefix(&output).unwrap().display().to_string()).collect::<Vec<_>>();
    for seed in [5, 6, 5] {
        let written = publish(&store, seed).unwrap().unwrap();
        assert_eq!(fs::read(written).unwrap().len() as u64, put(&store, seed).unwrap().image.bytes);
    }
    assert_eq!(names(), ["demo/a fox-00001-5.png", "demo/a fox-00001-6.png"], "the same picture is not written twice");
    put(&store, 9).unwrap();
    assert_eq!(names().len(), 2, "pictures are only written there when they are published");
    // Without a number, names that are taken get one; another program's file stays what it is.
    let store = open("fox");
    fs::write(output.join("fox.png"), "somebody's").unwrap();
    for seed in [5, 6, 7, 6] {
        publish(&store, seed).unwrap();
    }
    assert_eq!(names()[2..], ["fox-2.png", "fox-3.png", "fox-4.png", "fox.png"]);
    assert_eq!(fs::read_to_string(output.join("fox.png")).unwrap(), "somebody's");
    // Numbers go on where they were.
    let store = open("{number}");
    fs::write(output.join("00041.png"), "x").unwrap();
    assert!(publish(&store, 1).unwrap().unwrap().ends_with("00042.png"));
}

#[test]
fn a_folder_for_people_that_fails_costs_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let options = Options { output: Some(output.clone()), ..Options::default() };
    let store = Store::open(folder.path(), options).unwrap();
    fs::remove_dir(&output).unwrap();
    fs::write(&output, "a file").unwrap();
    let stored = put(&store, 1).unwrap();
    let refused = store.publish(&stored.image, 1, 1_000_000).unwrap_err().to_string();
    assert!(stored.remark.is_none() && refused.contains(&output.display().to_string()), "{refused}");
    assert!(store.file(&stored.image.sha256, Default::default()).is_ok());
}

/// D1, on a small file system of its own; only where this test may make one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let mount =
        |args: &[&str]| Command::new("mount").args(args).arg(folder.path()).output().is_ok_and(|done| done.status.success());
    if !mount(&["-t", "tmpfs", "-o", "size=256k", "none"]) {
        eprintln!("not tried: this user may not mount");
        return;
    }
    let store = Store::open(folder.path(), Options::default()).unwrap();
    let mut kept = 0;
    let full = loop {
        match put(&store, kept) {
            Ok(stored) if stored.remark.is_none() => kept += 1,
            Ok(_) => break None,
            Err(error) => break Some(error),
        }
        assert!(kept < 1000, "the disk is never full");
    };
    if let Some(full) = &full {
        assert!(matches!(full, StoreError::Full { .. }) && full.to_string().contains("no room is left"), "{full}");
    }
    let all = files(folder.path());
    let unfinished = all.iter().filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with(".new-")).count();
    let whole = |file: &PathBuf| image::open(file).is_ok();
    assert!(kept > 0 && unfinished == 0 && all.iter().all(whole), "{all:?}");
    // With room again it works again.
    fs::remove_dir_all(folder.path().join("images")).unwrap();
    fs::remove_dir_all(folder.path().join("thumbnails")).unwrap();
    let again = put(&store, 1);
    assert!(Command::new("umount").arg(folder.path()).status().unwrap().success());
    assert!(again.is_ok(), "{again:?}");
}
