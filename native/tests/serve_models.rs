//! Models through the server: fetched from a hub of our own, drawn with, and removed.

#![cfg(unix)] // the server is ended by signals in its own tests; this one shares their helper
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use common::hub::{Hub, REPO, Trick, is_whole, model};
use common::served::Served;
use common::{copy, golden_model, scratch};
use serde_json::{Value, json};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

/// A server with a home of its own and a hub, and what it tells about models.
struct Place {
    home: PathBuf,
    hub: Hub,
    served: Served,
    told: Receiver<Value>,
}

impl Place {
    fn new(name: &str, prepare: impl FnOnce(&Path)) -> Self {
        let (home, hub) = (scratch(name), Hub::with_model());
        prepare(&home);
        let mut command = hub.command(&home);
        command.env("ENCAUSTIC_HOME", home.join("own")).env("ENCAUSTIC_MODELS", home.join("tree"));
        command.env("HF_HUB_DOWNLOAD_TIMEOUT", "2");
        let served = Served::begin(command, &home.join("data"), &[]);
        let told = follow(&served.address);
        Self { home, hub, served, told }
    }

    #[track_caller]
    fn pull(&self, source: &str) -> (u16, Value) {
        let answer = self.served.ask("POST /api/v1/models/pull", None, Some(&json!({"source": source})));
        (answer.status, answer.json())
    }

    /// What is told of a pull, up to its end.
    #[track_caller]
    fn followed(&self, source: &str) -> Vec<Value> {
        let mut heard: Vec<Value> = Vec::new();
        while heard.last().is_none_or(|last| last["done"].is_null()) {
            let news = self.told.recv_timeout(Duration::from_secs(60)).expect("it comes to an end");
            if news["type"] == "pull" && news["source"] == source {
                heard.push(news);
            }
        }
        heard
    }

    /// The model of this name as it is listed.
    #[track_caller]
    fn listed(&self, name: &str) -> Option<Value> {
        let listed = self.served.get("/api/v1/models").unwrap().json();
        listed["items"].as_array().unwrap().iter().find(|model| model["name"] == name).cloned()
    }

    /// Removes a model: the status, and the sentence if it is refused.
    #[track_caller]
    fn remove(&self, name: &str) -> (u16, String) {
        let name = name.replace(':', "%3A").replace('/', "%2F");
        let answer = self.served.ask(&format!("DELETE /api/v1/models/{name}"), None, None);
        let sentence = if answer.status == 204 { Value::Null } else { answer.json()["error"]["message"].clone() };
        (answer.status, sentence.as_str().unwrap_or_default().to_owned())
    }

    #[track_caller]
    fn drawn(&self, model: &str, steps: u32) -> u64 {
        let request = json!({"prompt": "a red circle", "seed": 3, "steps": steps, "width": 64, "height": 64});
        self.served.job(&json!({"request": request, "model": model}))
    }
}

/// Hears what happens from now on.
fn follow(address: &str) -> Receiver<Value> {
    let (tell, told) = sync_channel(1024);
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let stream = agent.get(format!("{address}/api/v1/events")).call().unwrap().into_body().into_reader();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let news = line.strip_prefix("data:").and_then(|text| serde_json::from_str(text.trim()).ok());
            if news.is_some_and(|news: Value| tell.send(news).is_err()) {
                return;
            }
        }
    });
    told
}

#[test]
fn a_model_of_the_hub_is_fetched_and_drawn_with() {
    let place = Place::new("serve-pull", |_| ());
    let name = format!("hf:{REPO}");
    assert_eq!(place.listed(&name), None);
    let (status, pull) = place.pull(REPO);
    assert_eq!((status, &pull["source"]), (202, &json!(REPO)), "{pull}");
    let told = place.followed(REPO);
    let last = told.last().unwrap();
    assert_eq!((&last["done"], &last["problem"]), (&json!(true), &Value::Null), "{last}");
    let of = last["transfer"]["of"].as_u64().unwrap();
    assert_eq!(of, model().values().map(|bytes| bytes.len() as u64).sum::<u64>(), "{last}");
    let bytes: Vec<u64> = told.iter().map(|news| news["transfer"]["bytes"].as_u64().unwrap()).collect();
    assert!(bytes.is_sorted() && bytes.iter().all(|bytes| *bytes <= of), "{bytes:?}");
    is_whole(&place.home);

    let listed = place.listed(&name).unwrap();
    assert_eq!((&listed["kind"], &listed["family"]), (&json!("checkpoint"), &json!("sd1")), "{listed}");
    assert_eq!((&listed["is_own"], &listed["is_usable"]), (&json!(false), &json!(true)), "{listed}");
    assert_eq!(place.served.get("/api/v1/models/hf%3Atester%2Ftiny/card").unwrap().json()["family"], "sd1");
    let job = place.served.ended(place.drawn(&name, 2));
    assert_eq!(job["state"], "finished", "{job}");
    let id = place.served.get("/api/v1/images").unwrap().json()["items"][0].clone();
    assert_eq!(id["model"], json!(name), "{id}");
    // It is other programs' as well.
    let (status, sentence) = place.remove(&name);
    assert_eq!(status, 422);
    assert!(sentence.contains("hub's cache") && sentence.contains("hf cache delete"), "{sentence}");
    is_whole(&place.home);
}

#[test]
fn a_pull_is_stopped_and_goes_on() {
    let place = Place::new("serve-stop", |_| ());
    place.hub.trick(&format!("GET /cdn/{UNET}"), 1, Trick::Slow(100));
    assert_eq!(place.pull(REPO).0, 202);
    let (status, again) = place.pull(REPO);
    assert_eq!((status, &again["error"]["code"]), (409, &json!("conflict")), "{again}");
    // Some of the weights are here.
    loop {
        let news = place.told.recv_timeout(Duration::from_secs(60)).unwrap();
        if news["transfer"]["file"] == UNET && news["transfer"]["bytes"].as_u64() > Some(0) {
            break;
        }
    }
    let under_way = place.served.get("/api/v1/models/pull").unwrap().json();
    assert_eq!(under_way["items"][0]["source"], json!(REPO), "{under_way}");
    assert!(under_way["items"][0]["transfer"]["of"].as_u64() > Some(0), "{under_way}");
    assert_eq!(place.served.ask(&format!("DELETE /api/v1/models/pull?source={REPO}"), None, None).status, 202);
    let last = place.followed(REPO).pop().unwrap();
    assert_eq!(last["done"], json!(false), "{last}");
    let problem = last["problem"].as_str().unwrap();
    assert!(problem.contains("stopped") && problem.contains("kept") && !problem.contains("Ctrl-C"), "{problem}");
    assert_eq!(place.served.ask(&format!("DELETE /api/v1/models/pull?source={REPO}"), None, None).status, 404);
    assert_eq!(place.listed(&format!("hf:{REPO}")), None, "what is not whole is no model");

    place.hub.behave();
    assert_eq!(place.pull(REPO).0, 202);
    let last = place.followed(REPO).pop().unwrap();
    assert_eq!(last["done"], json!(true), "{last}");
    is_whole(&place.home);
}

#[test]
fn what_cannot_be_fetched_is_said_in_a_sentence() {
    let place = Place::new("serve-nowhere", |_| ());
    for (source, words) in [
        ("tester/nothing".to_owned(), "there is no such repository"),
        (format!("{REPO}@nothing:x.safetensors"), "x.safetensors"),
        // Not even whether something is there: a server must not be sent to look around in its own network.
        (place.hub.url(UNET), "is not gone to: it is an address of this machine or of a private network"),
        ("http://127.0.0.1:9/x.safetensors".to_owned(), "is not gone to"),
        ("http://169.254.169.254/x.safetensors".to_owned(), "is not gone to"),
        ("file:///etc/passwd".to_owned(), "OWNER/NAME"),
        ("nonsense".to_owned(), "OWNER/NAME"),
        ("../../etc/passwd".to_owned(), "OWNER/NAME"),
    ] {
        let (status, answer) = place.pull(&source);
        assert_eq!(status, 202, "{source}: {answer}");
        let last = place.followed(&source).pop().unwrap();
        let problem = last["problem"].as_str().unwrap_or_else(|| panic!("{source}: {last}"));
        assert!(last["done"] == false && problem.contains(words), "{source}: {problem}");
        assert!(!problem.contains("root:") && problem.len() > 20, "{source}: {problem}");
    }
    assert_eq!(place.served.get("/api/v1/models/pull").unwrap().json()["items"], json!([]));
}

#[test]
fn models_of_the_own_folder_are_removed_and_no_others() {
    let place = Place::new("serve-remove", |home| {
        for folder in ["own/models/tiny", "tree/theirs"] {
            copy(&golden_model("sd15"), &home.join(folder));
        }
    });
    // What is fetched beside the server lands in that folder as well, and is seen soon.
    let mut command = place.hub.command(&place.home);
    let pulled = command.env("ENCAUSTIC_HOME", place.home.join("own")).args(["pull", &place.hub.url(UNET)]).output().unwrap();
    assert!(pulled.status.success(), "{pulled:?}");
    let own = place.home.join("own/models");
    let file = own.join("diffusion_pytorch_model.safetensors");
    assert_eq!(fs::read(&file).unwrap(), model()[UNET]);
    let begun = Instant::now();
    while place.listed("diffusion_pytorch_model").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not seen");
        thread::sleep(Duration::from_millis(50));
    }

    // A job draws with it: its files stay where they are.
    let job = place.drawn("tiny", 1000);
    place.served.until(job, &["running"]);
    let (status, sentence) = place.remove("tiny");
    assert_eq!(status, 409, "{sentence}");
    assert!(sentence.contains("\"tiny\" is in use on cpu") && sentence.contains("cancel"), "{sentence}");
    assert!(own.join("tiny/model_index.json").is_file());
    assert_eq!(place.served.ask(&format!("DELETE /api/v1/jobs/{job}"), None, None).status, 202);
    place.served.ended(job);
    let device = || place.served.get("/api/v1/devices").unwrap().json()["items"][0].clone();
    assert_eq!(device()["model"], json!("tiny"));

    for (name, status, words) in [
        ("theirs", 422, "not in the library's own folder"),
        ("demo", 422, "part of this program"),
        ("nothing", 404, "there is no model"),
        ("../data", 404, "there is no model"),
        ("diffusion_pytorch_model", 204, ""),
        ("tiny", 204, ""),
        ("tiny", 404, "there is no model"),
    ] {
        let (found, sentence) = place.remove(name);
        assert!(found == status && sentence.contains(words), "{name}: {found} {sentence}");
    }
    assert_eq!((device()["model"].clone(), place.listed("tiny")), (Value::Null, None), "nobody holds it any more");
    assert!(!file.exists() && !own.join("tiny").exists() && place.home.join("tree/theirs/model_index.json").is_file());
    let late = place.served.submit(&json!({"request": {"prompt": "x", "steps": 1}, "model": "tiny"}), None).unwrap();
    assert_eq!((late.status, late.json()["error"]["field"].clone()), (422, json!("model")));
    assert_eq!(place.served.ended(place.drawn("theirs", 1))["state"], "finished");
}
