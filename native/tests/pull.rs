//! Models from the hub, against a hub of our own that can be told to misbehave. Files by URL are in `pull_web.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::hub::{COMMIT, FOLDER, Hub, REPO, Trick, at_home, cache, escaped, is_whole, model, sha, unfinished};
use common::{Run, scratch};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const PULL: &[&str] = &["pull", REPO, "--json"];

/// The requests for a file's bytes.
fn ranges(hub: &Hub, name: &str) -> Vec<Option<String>> {
    let wanted = format!("GET /cdn/{name}");
    let seen = hub.seen().into_iter().filter(|seen| seen.line.starts_with(&wanted));
    seen.map(|seen| seen.headers.get("range").cloned()).collect()
}

#[test]
fn a_model_is_pulled_once_and_works_from_then_on() {
    let hub = Hub::with_model();
    for name in ["model.safetensors", "unet/diffusion_pytorch_model.bin", "safety_checker/model.safetensors", "README.md"] {
        hub.put(name, b"not needed".to_vec());
    }
    hub.put("unet/../../../evil.json", b"evil".to_vec());
    let home = scratch("pull-model");
    let run = hub.run(&home, PULL);
    run.status(0);
    let report = run.json();
    let path = report["path"].as_str().unwrap().to_owned();
    assert!(path.ends_with(&format!("{FOLDER}/snapshots/{COMMIT}")), "{path}");
    assert_eq!((&report["repo"], &report["revision"], &report["commit"]), (&REPO.into(), &"main".into(), &COMMIT.into()));
    let files = report["files"].as_array().unwrap();
    let mut names: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, model().keys().map(String::as_str).collect::<Vec<_>>());
    for file in files {
        let bytes = &model()[file["name"].as_str().unwrap()];
        assert_eq!((&file["size"], &file["sha256"]), (&bytes.len().into(), &sha(bytes).into()), "{file}");
        assert_eq!(file["cached"], false);
    }
    is_whole(&home);
    #[cfg(unix)]
    {
        let link = fs::read_link(Path::new(&path).join(UNET)).unwrap();
        assert_eq!(link, Path::new("../../../blobs").join(sha(&model()[UNET])));
    }

    assert_eq!(escaped(&home), Vec::<PathBuf>::new());

    // Again: the hub is asked for the commit, and for no file.
    hub.seen();
    let run = hub.run(&home, PULL);
    run.status(0);
    let seen = hub.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].line.starts_with("GET /api/models/tester/tiny/revision/main"), "{seen:?}");
    let report = run.json();
    assert!(report["files"].as_array().unwrap().iter().all(|file| file["cached"] == true) && report["bytes"] == 0, "{report}");

    // Without a hub: there is only a closed port.
    let out = home.join("picture.png");
    let model = format!("hf:{REPO}");
    let args = ["generate", "x", "--model", &model, "--device", "cpu", "--steps", "2", "--out", out.to_str().unwrap()];
    Run::new(&args, at_home(&home).args(args).output().unwrap()).status(0);
    assert!(out.is_file());
    for args in [["info", &model, "--json"], ["pull", REPO, "--offline"], ["pull", &format!("{REPO}@{COMMIT}"), "--offline"]] {
        Run::new(&args, at_home(&home).args(args).output().unwrap()).status(0);
    }
    let info = Run::new(&["info"], at_home(&home).args(["info", &model, "--json"]).output().unwrap());
    assert_eq!(info.json()["model"], "tiny", "not the commit, as the folder is called");
    let listed = Run::new(&["models"], at_home(&home).args(["models", "--json"]).output().unwrap()).json();
    let listed = listed["models"].as_array().unwrap().iter().find(|listed| listed["name"] == *model).unwrap().clone();
    assert_eq!((&listed["place"], &listed["family"], &listed["read_only"]), (&"hub".into(), &"sd1".into(), &true.into()));
    let there = encaustic_launcher::pull::env::Hub {
        endpoint: String::new(),
        cache: home.join("hf/hub"),
        token: None,
        offline: true,
        silence: Duration::from_secs(1),
    };
    let found = encaustic_launcher::pull::cached_at(&there);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].path.to_str().unwrap()), (model.as_str(), path.as_str()));
}

#[test]
fn generate_fetches_what_it_needs() {
    let (hub, home) = (Hub::with_model(), scratch("pull-generate"));
    let out = home.join("picture.png");
    let model = format!("hf:{REPO}");
    let run =
        hub.run(&home, &["generate", "x", "--model", &model, "--device", "cpu", "--steps", "2", "--out", out.to_str().unwrap()]);
    run.status(0);
    assert!(out.is_file() && run.stderr.contains("files fetched"), "{}", run.stderr);
    is_whole(&home);
}

#[test]
fn without_a_network_it_is_said_what_is_missing() {
    let (hub, home) = (Hub::with_model(), scratch("pull-offline"));
    let run = hub.run(&home, &["pull", REPO, "--offline"]);
    run.status(2);
    assert!(run.stderr.contains("not whole in the cache") && hub.seen().is_empty(), "{}", run.stderr);
    hub.run(&home, PULL).status(0);
    hub.seen();
    fs::remove_file(cache(&home).join("blobs").join(sha(&model()[UNET]))).unwrap();
    for (name, value) in [("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "yes")] {
        let args = ["generate", "x", "--model", "hf:tester/tiny"];
        let run = Run::new(&args, hub.command(&home).env(name, value).args(args).output().unwrap());
        run.status(2);
        assert!(run.stderr.contains("model: ") && run.stderr.contains("unet: no weights"), "{}", run.stderr);
    }
    assert!(hub.seen().is_empty());
    // A link that leads to nothing is mended.
    hub.run(&home, PULL).status(0);
    assert_eq!(ranges(&hub, ""), [None]);
    is_whole(&home);
    // And where nobody answers, that is said at once.
    let begun = Instant::now();
    let run = Run::new(PULL, at_home(&home).args(PULL).output().unwrap());
    run.status(1);
    assert!(run.stderr.contains("cannot be reached") && begun.elapsed() < Duration::from_secs(5), "{}", run.stderr);
    assert_eq!(run.json()["error"]["kind"], "fetch");
}

#[test]
fn a_connection_that_breaks_goes_on_where_it_broke() {
    let hub = Hub::with_model();
    let size = model()[UNET].len();
    for cut in [0, 1, 7, 8, 1000, 65_536, size / 2, size - 65_536, size - 2, size - 1] {
        let home = scratch("pull-cut");
        hub.behave();
        hub.trick(&format!("GET /cdn/{UNET}"), 1, Trick::Cut(cut));
        hub.seen();
        hub.run(&home, PULL).status(0);
        let from = (cut > 0).then(|| format!("bytes={cut}-"));
        assert_eq!(ranges(&hub, UNET), [None, from], "{cut}");
        is_whole(&home);
    }
}

#[test]
fn a_download_that_was_given_up_goes_on_at_the_next_try() {
    let (hub, home) = (Hub::with_model(), scratch("pull-resume"));
    let size = model()[UNET].len();
    let mut have = None;
    for cut in [size / 3, size - 1] {
        hub.behave();
        hub.trick(&format!("GET /cdn/{UNET}"), 99, Trick::Cut(cut));
        hub.seen();
        let run = hub.run(&home, PULL);
        run.status(1);
        assert!(run.stderr.contains("the same command goes on from there"), "{}", run.stderr);
        let asked = ranges(&hub, UNET);
        assert_eq!(asked.first(), Some(&have), "what is there is not asked for again");
        assert!(asked.len() <= 7, "tries are bounded: {asked:?}");
        assert_eq!(unfinished(&home), [format!("{}.incomplete", sha(&model()[UNET]))]);
        assert!(!cache(&home).join("refs/main").exists(), "what is not whole is not the branch");
        have = Some(format!("bytes={cut}-"));
    }
    hub.behave();
    hub.run(&home, PULL).status(0);
    assert_eq!(ranges(&hub, UNET), [have]);
    is_whole(&home);
}

#[test]
fn parts_that_servers_do_not_go_on_with_are_begun_anew() {
    let hub = Hub::with_model();
    let size = model()[UNET].len();
    let rest = |length: usize| vec![b'x'; length];
    let content_range = || Trick::Header("Content-Range", format!("bytes 5-{}/{size}", size - 1));
    for (what, part, trick, requests) in [
        ("everything comes", rest(1000), Some(Trick::NoRange), 1),
        ("the range is refused", rest(1000), Some(Trick::Status(416, "")), 2),
        ("another range comes", rest(1000), Some(content_range()), 2),
        ("the part is of another file", rest(1000), None, 2),
        ("the part is too long", rest(size + 1), None, 1),
        ("the part has the right length and wrong bytes", rest(size), None, 1),
    ] {
        let home = scratch("pull-anew");
        hub.behave();
        fs::create_dir_all(cache(&home).join("blobs")).unwrap();
        fs::write(cache(&home).join("blobs").join(format!("{}.incomplete", sha(&model()[UNET]))), part).unwrap();
        if let Some(trick) = trick {
            hub.trick(&format!("GET /cdn/{UNET}"), 1, trick);
        }
        hub.seen();
        let run = hub.run(&home, PULL);
        assert_eq!(run.code, Some(0), "{what}: {}", run.stderr);
        let asked = ranges(&hub, UNET);
        assert_eq!(asked.len(), requests, "{what}: {asked:?}");
        is_whole(&home);
    }
}

#[test]
fn a_page_of_the_network_does_not_cost_what_is_there() {
    let (hub, home) = (Hub::with_model(), scratch("pull-portal"));
    let part = cache(&home).join("blobs").join(format!("{}.incomplete", sha(&model()[UNET])));
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    fs::write(&part, &model()[UNET][..5000]).unwrap();
    hub.trick(&format!("GET /cdn/{UNET}"), 9, Trick::Body(b"<html>sign in".to_vec(), "text/html"));
    hub.run(&home, PULL).status(1);
    hub.behave();
    hub.seen();
    hub.run(&home, PULL).status(0);
    assert_eq!(ranges(&hub, UNET), [Some("bytes=5000-".to_owned())]);
    is_whole(&home);
}

#[test]
fn bad_answers_are_told_and_nothing_of_them_is_kept() {
    let hub = Hub::with_model();
    let file = format!("GET /cdn/{UNET}");
    let head = format!("HEAD /{REPO}/resolve/{COMMIT}/{UNET}");
    let etag = |value: &str| Trick::Header("X-Linked-Etag", value.to_owned());
    let to = |value: &str| Trick::Header("Location", value.to_owned());
    let resolve = format!("GET /{REPO}/resolve/{COMMIT}/{UNET}");
    let circle = format!("/{REPO}/resolve/{COMMIT}/{UNET}");
    let api = || "GET /api/".to_owned();
    for (on, trick, status, words) in [
        (file.clone(), Trick::Lie, 1, "the SHA-256 should be"),
        (file.clone(), Trick::Length(5), 1, "bytes were promised"),
        (file.clone(), Trick::Length(-5), 1, "bytes were promised"),
        (file.clone(), Trick::Header("Content-Encoding", "gzip".to_owned()), 1, "compressed"),
        (file.clone(), Trick::Bomb, 1, "bytes were promised"),
        (file.clone(), Trick::Status(403, ""), 1, "403"),
        (file.clone(), Trick::Status(500, ""), 1, "a problem of its own"),
        (head.clone(), etag("\"../../../../evil\""), 1, "neither a SHA-256"),
        (head.clone(), etag(&"a/".repeat(32)), 1, "neither a SHA-256"),
        (head.clone(), etag(""), 1, "neither a SHA-256"),
        (head.clone(), Trick::Header("X-Linked-Size", "many".to_owned()), 1, "how many bytes"),
        (head.clone(), Trick::Header("X-Repo-Commit", "f".repeat(40)), 1, "another commit"),
        (head.clone(), Trick::Status(404, "X-Error-Code: EntryNotFound"), 1, "no such file in this revision"),
        (head, Trick::Status(404, ""), 1, "no such repository, revision or file"),
        (resolve.clone(), to(&circle), 1, "in a circle"),
        (resolve.clone(), to("http://example.com/x"), 1, "plain http is for servers on this machine"),
        (resolve.clone(), to("https://169.254.169.254/latest"), 1, "link-local"),
        (resolve.clone(), to("file:///etc/passwd"), 1, "does not say where to"),
        (resolve.clone(), to("ftp://127.0.0.1/x"), 1, "is not gone to"),
        (resolve, to("ht tp://"), 1, "does not say where to"),
        (api(), Trick::Status(401, ""), 1, "HF_TOKEN"),
        (api(), Trick::Status(403, "X-Error-Code: GatedRepo"), 1, "is gated"),
        (api(), Trick::Status(404, "X-Error-Code: RevisionNotFound"), 1, "no such branch"),
        (api(), Trick::Bomb, 1, "has no end"),
        (api(), Trick::Status(404, ""), 1, "no such repository"),
        (api(), Trick::Status(429, "Retry-After: 0"), 1, "too many requests"),
        (api(), Trick::Body(b"<html>".to_vec(), "text/html"), 1, "it is no listing"),
        (api(), Trick::Body(br#"{"sha": "../../x", "siblings": []}"#.to_vec(), "application/json"), 1, "names no commit"),
        (api(), Trick::Body(vec![b'['; 1 << 20], "application/json"), 1, "it is no listing"),
    ] {
        let home = scratch("pull-bad");
        hub.behave();
        hub.trick(&on, 99, trick.clone());
        let run = hub.run(&home, PULL);
        assert_eq!(run.code, Some(status), "{trick:?}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{trick:?}: {words:?} in {}", run.stderr);
        assert!(!run.stderr.contains("secret") && !run.stderr.contains("panicked"), "{}", run.stderr);
        assert!(!cache(&home).join("snapshots").join(COMMIT).join(UNET).exists(), "{trick:?}");
        assert!(!cache(&home).join("blobs").join(sha(&model()[UNET])).exists(), "{trick:?}");
        let kept = unfinished(&home);
        assert!(kept.is_empty(), "{trick:?}: {kept:?}");
        // And the same home recovers.
        hub.behave();
        hub.run(&home, PULL).status(0);
        is_whole(&home);
        assert_eq!(escaped(&home), Vec::<PathBuf>::new(), "{trick:?}");
    }
}

#[test]
fn a_wrong_hash_is_fetched_anew_once() {
    let (hub, home) = (Hub::with_model(), scratch("pull-lie"));
    hub.trick(&format!("GET /cdn/{UNET}"), 1, Trick::Lie);
    let run = hub.run(&home, PULL);
    run.status(0);
    assert!(run.stderr.contains("once more from the beginning"), "{}", run.stderr);
    assert_eq!(ranges(&hub, UNET), [None, None]);
    is_whole(&home);
}

#[test]
fn servers_that_recover_are_asked_again() {
    let (hub, home) = (Hub::with_model(), scratch("pull-passing"));
    hub.trick("GET /api/", 1, Trick::Status(503, ""));
    hub.trick("HEAD ", 1, Trick::Status(429, "Retry-After: 0"));
    hub.trick(&format!("GET /cdn/{UNET}"), 2, Trick::Status(502, ""));
    hub.trick(&format!("GET /cdn/{UNET}"), 1, Trick::Stall(500));
    let run = Run::new(PULL, hub.command(&home).env("HF_HUB_DOWNLOAD_TIMEOUT", "1").args(PULL).output().unwrap());
    run.status(0);
    assert_eq!(ranges(&hub, UNET), [None, None, None, Some("bytes=500-".to_owned())]);
    is_whole(&home);
    // One that never does is given up.
    let home = scratch("pull-silent");
    hub.trick("GET /api/", 99, Trick::Stall(0));
    let run = Run::new(PULL, hub.command(&home).env("HF_HUB_DOWNLOAD_TIMEOUT", "1").args(PULL).output().unwrap());
    run.status(1);
    assert!(run.stderr.contains("silent for 1 s"), "{}", run.stderr);
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let hub = Hub::with_model();
    for (what, is_file) in [("pull-token", false), ("pull-token-file", true)] {
        let home = scratch(what);
        hub.seen();
        let mut command = hub.command(&home);
        if is_file {
            fs::create_dir_all(home.join("hf")).unwrap();
            fs::write(home.join("hf/token"), "hf_secret\n").unwrap();
        } else {
            command.env("HF_TOKEN", "hf_secret");
        }
        Run::new(PULL, command.args(PULL).output().unwrap()).status(0);
        let seen = hub.seen();
        assert!(seen.iter().any(|seen| seen.line.contains("/cdn/")));
        for seen in seen {
            let expected = (!seen.line.contains("/cdn/")).then_some("Bearer hf_secret");
            assert_eq!(seen.headers.get("authorization").map(String::as_str), expected, "{seen:?}");
        }
    }
    let home = scratch("pull-token-bad");
    let run = Run::new(PULL, hub.command(&home).env("HF_TOKEN", "a\u{7f}b c").args(PULL).output().unwrap());
    run.status(2);
    assert!(run.stderr.contains("HF_TOKEN") && !run.stderr.contains("b c"), "{}", run.stderr);
}

#[test]
fn of_several_copies_the_wanted_one_is_fetched() {
    let hub = Hub::with_model();
    let half = "unet/diffusion_pytorch_model.fp16.safetensors";
    hub.put(half, model()[UNET].iter().copied().chain([]).collect());
    hub.put("vae/diffusion_pytorch_model.fp16.bin", b"pickle".to_vec());
    for (variant, wanted, other) in [("fp16", half, UNET), ("full", UNET, half)] {
        let home = scratch("pull-variant");
        let run = hub.run(&home, &["pull", REPO, "--variant", variant, "--json"]);
        run.status(0);
        let report = run.json();
        let has = |name: &str| report["files"].as_array().unwrap().iter().any(|file| file["name"] == name);
        assert!(has(wanted) && !has(other) && has("vae/diffusion_pytorch_model.safetensors"), "{variant}: {report}");
        assert!(!has("vae/diffusion_pytorch_model.fp16.bin"));
    }
}

#[test]
fn shards_are_followed_but_not_out_of_their_folder() {
    let hub = Hub::with_model();
    let mut files = model();
    let unet = files.remove(UNET).unwrap();
    let shard = "diffusion_pytorch_model-00001-of-00001.safetensors";
    let index = "unet/diffusion_pytorch_model.safetensors.index.json";
    files.insert(format!("unet/{shard}"), unet);
    for (target, status, words) in [
        (shard, 0, "fetched"),
        ("missing.safetensors", 2, "which is not there"),
        ("../../../evil.safetensors", 2, "is damaged"),
        ("/etc/passwd.safetensors", 2, "is damaged"),
    ] {
        let home = scratch("pull-shards");
        let hub = Hub::serve(files.clone());
        hub.put(index, format!(r#"{{"metadata": {{}}, "weight_map": {{"a": "{target}"}}}}"#).into_bytes());
        let run = hub.run(&home, &["pull", REPO]);
        assert_eq!(run.code, Some(status), "{target}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{target}: {}", run.stderr);
    }
    // Nor are parts with odd names.
    hub.put(
        "model_index.json",
        br#"{"_class_name": "StableDiffusionPipeline", "../../x": ["diffusers", "AutoencoderKL"]}"#.to_vec(),
    );
    let run = hub.run(&scratch("pull-part"), &["pull", REPO]);
    run.status(2);
    assert!(run.stderr.contains("cannot be a folder"), "{}", run.stderr);
}

#[test]
fn repositories_of_single_files_are_understood() {
    let file = || model()[UNET].clone();
    for (names, wish, status, words) in [
        (&["a.safetensors", "README.md"][..], REPO, 0, "fetched"),
        (&["a.safetensors", "b.safetensors"], REPO, 2, "a.safetensors (619 KiB), b.safetensors"),
        (&["a.safetensors", "b.safetensors"], "tester/tiny:b.safetensors", 0, "1 of 1 files fetched"),
        (&["a.safetensors", "x/b.safetensors"], "tester/tiny@v1:x/b.safetensors", 0, "fetched"),
        (&["a.safetensors"], "tester/tiny:c.safetensors", 2, "there is no c.safetensors; there are a.safetensors"),
        (&["a.ckpt"], REPO, 2, "in a format that can run programs"),
        (&["a.ckpt"], "tester/tiny:a.ckpt", 2, "in a format that can run programs"),
        (&["README.md"], REPO, 2, "there is no model in it"),
        (&["a.safetensors"], "tester/other", 1, "no such repository"),
        (&["a.safetensors"], "tester", 2, "give OWNER/NAME"),
        (&["a.safetensors"], "tester/tiny:../a.safetensors", 2, "no name of a file"),
    ] {
        let home = scratch("pull-single");
        let hub = Hub::serve(names.iter().map(|&name| (name.to_owned(), file())).collect());
        let run = hub.run(&home, &["pull", wish]);
        assert_eq!(run.code, Some(status), "{wish}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{wish}: {}", run.stderr);
        if status == 0 {
            assert_eq!(fs::read(run.stdout.trim()).unwrap(), file(), "{wish}");
            // From the cache, and with the scheme before it.
            let wish = format!("hf:{wish}");
            let run = Run::new(&["info"], at_home(&home).args(["info", &wish]).output().unwrap());
            run.status(0);
        }
    }
}

#[test]
fn two_at_once_fetch_everything_once() {
    let (hub, home) = (Hub::with_model(), scratch("pull-two"));
    hub.trick(&format!("GET /cdn/{UNET}"), 9, Trick::Slow(5));
    let start = || hub.command(&home).args(PULL).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (one, other) = (start(), start());
    for child in [one, other] {
        Run::new(PULL, child.wait_with_output().unwrap()).status(0);
    }
    assert_eq!(ranges(&hub, UNET), [None], "the second waits for the first");
    is_whole(&home);
}

/// A limit on the size of files stands in for a full disk.
#[cfg(unix)]
#[test]
fn a_disk_that_takes_no_more_is_told_and_what_came_is_kept() {
    let (hub, home) = (Hub::with_model(), scratch("pull-full"));
    let binary = env!("CARGO_BIN_EXE_encaustic");
    let script = format!("trap '' XFSZ; ulimit -f 300; exec {binary} pull {REPO}");
    let limited = hub.command(&home);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]);
    for (name, value) in limited.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let run = Run::new(&["sh", "-c", &script], shell.output().unwrap());
    run.status(1);
    assert!(run.stderr.contains("cannot write it") && run.stderr.contains(".incomplete"), "{}", run.stderr);
    hub.seen();
    hub.run(&home, PULL).status(0);
    let asked = ranges(&hub, UNET);
    assert!(asked.len() == 1 && asked[0].is_some(), "{asked:?}");
    is_whole(&home);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_has_come() {
    let hub = Hub::with_model();
    let part = |home: &Path| cache(home).join("blobs").join(format!("{}.incomplete", sha(&model()[UNET])));
    for args in [&["pull", REPO][..], &["generate", "x", "--model", "hf:tester/tiny"]] {
        let home = scratch("pull-interrupt");
        hub.behave();
        hub.trick(&format!("GET /cdn/{UNET}"), 1, Trick::Slow(40));
        let child = hub.command(&home).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while fs::metadata(part(&home)).map_or(0, |about| about.len()) < 20_000 {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing comes");
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let asked = Instant::now();
        let run = Run::new(args, child.wait_with_output().unwrap());
        run.status(130);
        assert!(asked.elapsed() < Duration::from_secs(2), "it ends at once");
        assert!(run.stderr.contains("goes on from there"), "{}", run.stderr);
        let have = fs::metadata(part(&home)).unwrap().len();
        hub.seen();
        hub.run(&home, PULL).status(0);
        assert_eq!(ranges(&hub, UNET), [Some(format!("bytes={have}-"))]);
        is_whole(&home);
    }
}
