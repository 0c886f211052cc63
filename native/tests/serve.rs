//! `encaustic serve` as a process, with the model in the box: what it draws, and what it does not lose.

#![cfg(unix)] // signals
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::served::Served;
use common::{command, encaustic, scratch};
use encaustic_picture::png_text;
use serde_json::{Value, json};

const PROMPT: &str = "a red circle above a blue square on a yellow background";

fn pixels(path: &Path) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap())).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut rgb).unwrap();
    rgb
}

fn names(job: &Value) -> Vec<String> {
    job["images"].as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_job_is_drawn_as_the_command_draws_it() {
    let folder = scratch("serve-draws");
    let served = Served::start(&folder.join("data"), &[]);
    let job = served.ended(served.job(&json!({"request": {"prompt": PROMPT, "seed": 61, "steps": 3, "batch": 2}})));
    let first = served.begun.elapsed();
    assert_eq!(job["state"], "finished", "{job}");
    assert!(served.ready < Duration::from_secs(2), "it listens after {:?}", served.ready);
    assert!(first < Duration::from_secs(30), "the first picture is there after {first:?}");

    let out = folder.join("out.png");
    let args = ["generate", PROMPT, "--seed", "61", "--steps", "3", "--batch", "2", "--device", "cpu", "--out"];
    encaustic(&[args.as_slice(), &[out.to_str().unwrap()]].concat()).status(0);
    for (name, file) in names(&job).iter().zip(["out-1.png", "out-2.png"]) {
        let (ours, theirs) = (served.picture(name), folder.join(file));
        assert_eq!(pixels(&ours), pixels(&theirs), "{file}");
        let parameters = |path: &Path| {
            let text = png_text::read(fs::File::open(path).unwrap()).unwrap();
            text.get("parameters").unwrap().to_owned()
        };
        assert_eq!(parameters(&ours), parameters(&theirs), "{file}");
    }

    let demo = served.get("/api/v1/models/demo/card").unwrap().json();
    assert_eq!(demo["family"], "sd1", "{demo}");
    let devices = served.get("/api/v1/devices").unwrap().json();
    assert_eq!(devices["items"][0]["model"], "demo", "{devices}");
    assert!(devices["items"][0]["memory"]["used"].as_u64() > Some(1 << 20), "{devices}");
}

#[test]
fn two_workers_draw_at_once() {
    let served = Served::start(&scratch("serve-two"), &["--devices", "cpu,cpu"]);
    let jobs = [1, 2].map(|seed| served.job(&json!({"request": {"prompt": PROMPT, "seed": seed, "steps": 30}})));
    let jobs = jobs.map(|job| served.ended(job));
    let [started, ended] = ["started", "ended"].map(|key| jobs.each_ref().map(|job| job[key].as_i64().unwrap()));
    assert!(started.iter().max() < ended.iter().min(), "each began before any ended: {jobs:?}");
    let mut devices = jobs.map(|job| job["device"].as_str().unwrap().to_owned());
    devices.sort();
    assert_eq!(devices, ["cpu", "cpu#2"]);
}

#[test]
fn without_a_command_it_serves() {
    let data = scratch("serve-plain");
    let mut command = command();
    let command = command.arg("--json").env("ENCAUSTIC_LISTEN", "127.0.0.1:0").env("ENCAUSTIC_OPEN", "false");
    let command = command.env("ENCAUSTIC_DATA", &data).env("ENCAUSTIC_DEVICES", "cpu");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("{\"address\":\"http://127.0.0.1:"), "{line}");
    assert!(data.join("encaustic.db").exists());
}

#[test]
fn a_model_is_a_name_and_never_a_path() {
    let served = Served::start(&scratch("serve-names"), &[]);
    for name in ["/etc/passwd", "../..", "nothing-of-that-name", "hf:nobody/nothing-of-that-name"] {
        let answer = served.submit(&json!({"request": {"prompt": "x", "steps": 1}, "model": name}), None).unwrap();
        let told = if answer.status == 202 {
            let job = served.ended(answer.json()["id"].as_u64().unwrap());
            assert_eq!((&job["state"], &job["failure"]["kind"]), (&json!("failed"), &json!("model")), "{job}");
            job["failure"]["message"].to_string()
        } else {
            assert_eq!(answer.status, 422, "{name}");
            answer.json().to_string()
        };
        assert!(!told.contains("root:"), "{told}");
    }
}

/// The limits are between what the model in the box takes by our own estimate (`needed` in the job's log).
#[test]
fn memory_that_is_short_costs_time_before_it_costs_a_job() {
    let mib = |size: f64| ((size * f64::from(1 << 20)) as u64).to_string();
    let small = json!({"prompt": PROMPT, "seed": 5, "steps": 2, "batch": 4});
    let large = json!({"prompt": PROMPT, "seed": 5, "steps": 1, "width": 512, "height": 512});
    for (limit, request, state, words) in [
        (mib(1024.0), &small, "finished", ""),
        (mib(38.0), &small, "finished", "4 pictures at once (39.3 MiB needed, 38.0 MiB there): 2 at once are tried"),
        (mib(55.0), &large, "finished", "its decoding is tried in tiles"),
        (mib(1.0), &small, "failed", "its decoding is tried in tiles"),
    ] {
        let folder = scratch(&format!("serve-memory-{limit}"));
        let served = Served::start(&folder, &["--memory-limit", &limit]);
        let job = served.ended(served.job(&json!({"request": request})));
        assert_eq!(job["state"], state, "{limit}: {job}");
        assert!(job["log"].to_string().contains(words), "{limit}: {job}");
        assert_eq!(job["log"].as_array().unwrap().is_empty(), words.is_empty(), "{limit}: {job}");
        if state == "failed" {
            let message = job["failure"]["message"].as_str().unwrap();
            assert!(message.contains("MiB needed, 1.0 MiB there"), "{message}");
        }
    }
}

#[test]
fn what_runs_at_the_end_is_drawn_after_the_next_start() {
    let folder = scratch("serve-ends");
    let served = Served::start(&folder, &["--shutdown-secs", "0"]);
    let job = served.job(&json!({"request": {"prompt": PROMPT, "seed": 9, "steps": 60}}));
    served.until(job, &["running"]);

    // The folder is in use, and whoever else wants it is told by whom.
    let second = command().args(["serve", "--listen", "127.0.0.1:0", "--open", "false", "--data"]).arg(&folder).output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(2) && told.contains(&served.address) && told.contains("--data"), "{told}");
    let port = served.address.trim_start_matches("http://").to_owned();
    let second = command().args(["serve", "--open", "false", "--listen", &port, "--data"]).arg(scratch("serve-ends-2")).output();
    let second = second.unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(2) && told.contains("is in use") && told.contains("--listen"), "{told}");

    served.signal("TERM");
    assert!(served.wait().success());
    let served = Served::start(&folder, &[]);
    assert_eq!(served.look(job)["attempts"].as_u64().unwrap_or(9).max(1), 1, "an end that was asked for does not count");
    let ended = served.ended(job);
    assert_eq!((&ended["state"], served.pictures().len()), (&json!("finished"), 1), "{ended}");
    assert_eq!(served.told(job), ["queued", "started", "queued", "started", "finished"]);
}

/// Numbers that look random; the same ones every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// With the settings that everybody has.
#[test]
fn a_job_outlives_the_ends_of_its_server() {
    let folder = scratch("serve-outlives");
    let mut served = Served::start(&folder, &[]);
    let job = served.job(&json!({"request": {"prompt": PROMPT, "seed": 4, "steps": 60}}));
    for _ in 0..5 {
        served.until(job, &["running"]);
        served.kill();
        served = Served::start(&folder, &[]);
    }
    let ended = served.ended(job);
    assert_eq!((&ended["state"], &ended["crashes"], &ended["attempts"]), (&json!("finished"), &json!(5), &json!(6)), "{ended}");
}

/// Kills the server again and again while jobs are submitted and drawn. Whoever is not answered asks again under the same key.
fn killed(name: &str, kills: u32, jobs: usize) {
    let folder = scratch(name);
    let (mut dice, mut numbers, mut left) = (Dice(7), Vec::new(), kills);
    // So many ends look like a job's own fault; that they are not is known here alone.
    let start = || Served::start(&folder, &["--crashes", "1000", "--log-level", "error"]);
    let mut served = start();
    while left > 0 || numbers.len() < jobs {
        let until = Instant::now() + Duration::from_millis(dice.below(400));
        while Instant::now() < until {
            if numbers.len() == jobs {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                break;
            }
            let seed = numbers.len() as u64;
            let wish = json!({"request": {"prompt": PROMPT, "seed": seed, "steps": 2 + seed % 7, "width": 64, "height": 64}});
            // Killed in between, it may or may not have been taken: the key makes it one job.
            let answer = served.submit(&wish, Some(&format!("job {seed}"))).unwrap();
            assert!([200, 202].contains(&answer.status), "{}", String::from_utf8_lossy(&answer.body));
            if dice.below(4) > 0 {
                numbers.push(answer.json()["id"].as_u64().unwrap());
            }
        }
        if left > 0 {
            left -= 1;
            served.kill();
            served = start();
        }
    }
    let listed = served.get("/api/v1/jobs?limit=200").unwrap().json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(jobs), "no job is lost, and none is there twice");
    let mut pictures = Vec::new();
    for job in numbers {
        let ended = served.ended(job);
        assert_eq!(ended["state"], "finished", "{ended}");
        let told = served.told(job);
        assert_eq!(told.iter().filter(|change| *change == "finished").count(), 1, "{told:?}");
        assert_eq!(told.first().map(String::as_str), Some("queued"));
        pictures.extend(names(&ended));
    }
    pictures.sort();
    pictures.dedup();
    assert_eq!((pictures.len(), served.pictures().len()), (jobs, jobs), "one set of pictures");
}

#[test]
fn nothing_is_lost_however_often_it_is_killed() {
    killed("serve-killed", 15, 12);
}

/// Reliability under a power cut: fifty jobs, two hundred ends at moments of no choosing.
#[test]
#[ignore = "takes minutes"]
fn nothing_is_lost_in_two_hundred_ends() {
    killed("serve-killed-often", 200, 50);
}
