//! Files of weights by URL: named, resumed, checked, and never in another file's place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::hub::{Hub, Trick, model, sha};
use common::{Run, scratch};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

/// A server with one file of weights, and its bytes.
fn server() -> (Hub, Vec<u8>) {
    let bytes = model()[UNET].clone();
    (Hub::serve(BTreeMap::from([("x/lighthouse.safetensors".to_owned(), bytes.clone())])), bytes)
}

/// Everything in a folder but what the program remembers, where the folder is its home.
fn all(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".cache");
    names.sort();
    names
}

#[test]
fn a_file_is_fetched_into_the_library_and_found_there() {
    let (server, bytes) = server();
    let home = scratch("web-library");
    let url = format!("{}?download=true&token=secret", server.url("x/lighthouse.safetensors"));
    let run = server.run(&home, &["pull", &url, "--json"]);
    run.status(0);
    let report = run.json();
    let path = Path::new(report["path"].as_str().unwrap()).to_owned();
    assert!(path.starts_with(&home) && path.ends_with("models/lighthouse.safetensors"), "{report}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(all(path.parent().unwrap()), ["lighthouse.safetensors"], "nothing else is left");
    assert_eq!((&report["files"][0]["sha256"], &report["bytes"]), (&sha(&bytes).into(), &bytes.len().into()));
    assert!(!run.stdout.contains("secret"), "{}", run.stdout);
    assert!(server.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));

    // Again: the same file is there, which is seen without fetching it, as long as the server says that its is the same.
    for (args, requests) in [(&["pull", &url][..], 1), (&["pull", &url, "--sha256", &sha(&bytes)], 1)] {
        let run = server.run(&home, args);
        run.status(0);
        assert!(run.stderr.contains("there already"), "{}", run.stderr);
        assert_eq!(server.seen().len(), requests);
    }
    for trick in [Trick::Header("ETag", "\"another\"".to_owned()), Trick::Header("ETag", "W/\"weak\"".to_owned())] {
        server.trick("GET ", 9, trick);
        let run = server.run(&home, &["pull", &url]);
        run.status(0);
        assert!(run.stderr.contains("there already"), "{}", run.stderr);
        assert_eq!(server.seen().len(), 2, "it is fetched to be compared");
        server.behave();
    }
    // What the variables of the hub say wrong is nothing to another server.
    let args = ["pull", &url];
    let mut odd = server.command(&home);
    let run = Run::new(&args, odd.env("HF_ENDPOINT", "ftp://x").env("HF_TOKEN", "a b").args(args).output().unwrap());
    run.status(0);
    server.seen();
    // Another file is not replaced, of whatever length.
    for other in [bytes.iter().map(|byte| byte ^ 1).collect(), vec![1, 2, 3]] {
        fs::write(&path, &other).unwrap();
        let run = server.run(&home, &["pull", &url]);
        run.status(2);
        assert!(run.stderr.contains("it is not replaced"), "{}", run.stderr);
        assert_eq!(fs::read(&path).unwrap(), other);
        assert_eq!(all(path.parent().unwrap()), ["lighthouse.safetensors"]);
    }
}

#[test]
fn what_is_no_file_of_weights_is_not_kept() {
    let (server, bytes) = server();
    let url = server.url("x/lighthouse.safetensors");
    let zeros = "0".repeat(64);
    let pickle = b"PK\x03\x04archive/data.pkl and more of it".to_vec();
    for (trick, args, status, words) in [
        (Some(Trick::Body(b"<!doctype html><p>hello".to_vec(), "text/html; charset=utf-8")), &[][..], 1, "a web page"),
        (Some(Trick::Body(b"<!doctype html><p>hello".to_vec(), "application/octet-stream")), &[], 2, "was not kept"),
        (Some(Trick::Body(pickle, "application/octet-stream")), &[], 2, "was not kept"),
        (Some(Trick::Body(bytes[..1000].to_vec(), "application/octet-stream")), &[], 2, "was not kept"),
        (Some(Trick::Body(Vec::new(), "application/octet-stream")), &[], 2, "was not kept"),
        (Some(Trick::Header("Content-Encoding", "gzip".to_owned())), &[], 1, "compressed"),
        (Some(Trick::Bomb), &[], 1, "does not say how long"),
        (Some(Trick::Status(404, "")), &[], 1, "no such file"),
        (Some(Trick::Status(401, "")), &[], 1, "without signing in"),
        (Some(Trick::Status(302, "Location: http://example.com/x.safetensors")), &[], 1, "plain http"),
        (Some(Trick::Status(302, "Location: https://169.254.169.254/x.safetensors")), &[], 1, "link-local"),
        (Some(Trick::Status(302, "Location: /cdn/x/lighthouse.safetensors")), &[], 1, "in a circle"),
        (None, &["--sha256", &zeros], 1, "the SHA-256 should be 0000"),
        (None, &["--sha256", "abc"], 2, "64 hexadecimal digits"),
        (None, &["--offline"], 2, "without a network"),
    ] {
        let folder = scratch("web-bad");
        server.behave();
        if let Some(trick) = &trick {
            server.trick("GET ", 99, trick.clone());
        }
        let out = folder.join("out");
        let run = server.run(&folder, &[&["pull", &url, "--out", out.to_str().unwrap()], args].concat());
        assert_eq!(run.code, Some(status), "{trick:?} {args:?}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{trick:?} {args:?}: {words:?} in {}", run.stderr);
        assert_eq!(all(&out), Vec::<String>::new(), "{trick:?}");
    }
}

#[test]
fn names_come_from_the_server_and_stay_in_the_folder() {
    let (server, bytes) = server();
    let disposition = |name: &str| Trick::Header("Content-Disposition", format!("attachment; filename=\"{name}\""));
    for (trick, kept) in [
        (disposition("../../../evil.safetensors"), Some("evil.safetensors")),
        (disposition("C:\\evil.safetensors"), Some("evil.safetensors")),
        (disposition(".hidden.safetensors"), Some("hidden.safetensors")),
        (disposition("evil.exe"), Some("lighthouse.safetensors")),
        (Trick::Header("X-Nothing", String::new()), Some("lighthouse.safetensors")),
    ] {
        let folder = scratch("web-names");
        let out = folder.join("a/b/c");
        server.behave();
        server.trick("GET ", 99, trick.clone());
        let run = server.run(&folder, &["pull", &server.url("x/lighthouse.safetensors"), "--out", out.to_str().unwrap()]);
        assert_eq!(run.code, Some(0), "{trick:?}: {}", run.stderr);
        assert_eq!(all(&out), kept.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{trick:?}");
        assert_eq!(all(&folder), ["a"]);
    }
    server.behave();
    server.put("no-name", bytes.clone());
    let folder = scratch("web-no-name");
    let run = server.run(&folder, &["pull", &server.url("no-name"), "--out", folder.to_str().unwrap()]);
    run.status(2);
    assert!(run.stderr.contains("--out FILE.safetensors"), "{}", run.stderr);
    let file = folder.join("named.safetensors");
    server.run(&folder, &["pull", &server.url("no-name"), "--out", file.to_str().unwrap()]).status(0);
    assert_eq!(fs::read(file).unwrap(), bytes);
}

#[test]
fn a_part_goes_on_if_the_file_is_the_same() {
    let (server, bytes) = server();
    let folder = scratch("web-resume");
    let args = ["pull", &server.url("x/lighthouse.safetensors"), "--out", folder.to_str().unwrap()];
    let give_up = || {
        server.trick("GET ", 1, Trick::Header("X-Nothing", String::new()));
        server.trick("GET ", 99, Trick::Cut(3000));
        server.run(&folder, &args).status(1);
        assert_eq!(all(&folder), [".lighthouse.safetensors.part", ".lighthouse.safetensors.part.json"]);
        server.behave();
        server.seen();
    };
    let asked = || -> Vec<_> { server.seen().iter().map(|seen| seen.headers.get("range").cloned()).collect() };
    let (probe, rest) = (Some("bytes=0-0".to_owned()), Some("bytes=3000-".to_owned()));
    give_up();
    server.run(&folder, &args).status(0);
    assert_eq!(asked(), [probe.clone(), rest]);
    assert_eq!(fs::read(folder.join("lighthouse.safetensors")).unwrap(), bytes);
    assert_eq!(all(&folder), ["lighthouse.safetensors"]);
    fs::remove_file(folder.join("lighthouse.safetensors")).unwrap();

    // The file has changed in the meantime: what is there is no part of it.
    give_up();
    let mut other = bytes;
    *other.last_mut().unwrap() ^= 1;
    server.put("x/lighthouse.safetensors", other.clone());
    server.run(&folder, &args).status(0);
    assert_eq!(asked(), [probe, None]);
    assert_eq!(fs::read(folder.join("lighthouse.safetensors")).unwrap(), other);
}

#[test]
fn only_https_and_this_machine_are_asked() {
    let home = scratch("web-places");
    for (url, words) in [
        ("http://example.com/x.safetensors", "plain http is for servers on this machine"),
        ("http://127.0.0.1.example.com/x.safetensors", "plain http"),
        ("ftp://127.0.0.1/x.safetensors", "is not gone to"),
        ("https://user:secret@127.0.0.1/x.safetensors", "names and passwords"),
        ("https://169.254.169.254/x.safetensors", "link-local"),
        ("http://127.0.0.1:9/x.safetensors", "cannot be reached"),
    ] {
        let run = common::Run::new(&["pull", url], common::hub::at_home(&home).args(["pull", url]).output().unwrap());
        run.status(1);
        assert!(run.stderr.contains(words) && !run.stderr.contains("secret"), "{url}: {}", run.stderr);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_what_the_next_try_needs_and_no_lock() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let (server, bytes) = server();
    let folder = scratch("web-interrupt");
    let args = ["pull", &server.url("x/lighthouse.safetensors"), "--out", folder.to_str().unwrap()];
    server.trick("GET ", 1, Trick::Header("X-Nothing", String::new()));
    server.trick("GET ", 1, Trick::Slow(40));
    let child = server.command(&folder).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (part, begun) = (folder.join(".lighthouse.safetensors.part"), Instant::now());
    while fs::metadata(&part).map_or(0, |about| about.len()) < 20_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing comes");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    Run::new(&args, child.wait_with_output().unwrap()).status(130);
    assert_eq!(all(&folder), [".lighthouse.safetensors.part", ".lighthouse.safetensors.part.json"]);
    server.run(&folder, &args).status(0);
    assert_eq!(fs::read(folder.join("lighthouse.safetensors")).unwrap(), bytes);
    assert_eq!(all(&folder), ["lighthouse.safetensors"]);
}
