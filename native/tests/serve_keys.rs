//! `encaustic key` and `encaustic config` beside a running server: what is made there is true here, at once.

#![cfg(unix)] // the helper for servers
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::served::Served;
use common::{Run, command, encaustic, scratch};
use serde_json::json;

/// Runs `encaustic key` over a data folder.
fn key(data: &Path, args: &[&str]) -> Run {
    encaustic(&[&["key", "--data", data.to_str().unwrap()][..], args].concat())
}

/// Makes a key; returns its secret.
#[track_caller]
fn add(data: &Path, args: &[&str]) -> String {
    let run = key(data, &[&["add", "--json"][..], args].concat());
    run.status(0);
    run.json()["key"].as_str().unwrap().to_owned()
}

/// Whether bytes are in a file below a folder.
fn is_below(folder: &Path, wanted: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => is_below(&path, wanted),
            false => fs::read(&path).unwrap_or_default().windows(wanted.len()).any(|part| part == wanted),
        }
    })
}

#[test]
fn keys_are_made_used_and_revoked() {
    let data = scratch("keys").join("data");
    // Before there is a server, and before there is a folder.
    let first = key(&data, &["add", "laptop"]);
    first.status(0);
    let laptop = first.stdout.trim().to_owned();
    assert!(laptop.starts_with("enc_") && laptop.len() >= 47 && !laptop.contains(char::is_whitespace), "{}", first.stdout);
    assert!(first.stderr.contains("laptop may read, generate") && first.stderr.contains("not shown again"), "{}", first.stderr);
    let reader = add(&data, &["viewer", "--scopes", "read"]);
    let writer = add(&data, &["writer", "--scopes", "generate"]);
    let admin = add(&data, &["me", "--scopes", "admin"]);
    let hasty = add(&data, &["hasty", "--per-minute", "3"]);
    let modest = add(&data, &["modest", "--per-day", "2"]);

    for (args, words) in [
        (&["add", "laptop"][..], "there is a key named \"laptop\" already"),
        (&["add", "local"], "cannot be the name of a key"),
        (&["add", "a b"], "cannot be the name of a key"),
        (&["add", "x", "--scopes", "all"], "is no scope; use read, generate or admin"),
        (&["add", "x", "--scopes", ""], "is no scope"),
        (&["add", "x", "--per-day", "many"], "invalid value"),
        (&["revoke", "nobody"], "there is no key named \"nobody\"; `encaustic key list` shows all"),
    ] {
        let run = key(&data, args);
        run.status(2);
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }

    let list = key(&data, &["list"]);
    list.status(0);
    for line in [
        format!("laptop  {}…  read, generate", &laptop[..8]),
        format!("me  {}…  admin", &admin[..8]),
        format!("hasty  {}…  read, generate  3 requests a minute", &hasty[..8]),
        format!("modest  {}…  read, generate  2 pictures a day", &modest[..8]),
        format!("viewer  {}…  read", &reader[..8]),
    ] {
        assert!(list.stdout.lines().any(|told| told == line), "{line} in {}", list.stdout);
    }
    let listed = key(&data, &["list", "--json"]).json();
    let found = |name: &str| listed["keys"].as_array().unwrap().iter().find(|key| key["name"] == name).cloned().unwrap();
    assert_eq!((&found("modest")["per_day"], &found("hasty")["per_minute"]), (&json!(2), &json!(3)), "{listed}");
    for secret in [&laptop, &reader, &writer, &admin, &hasty, &modest] {
        assert!(!list.stdout.contains(secret.as_str()) && !listed.to_string().contains(secret.as_str()), "{listed}");
    }

    let served = Served::start(&data, &["--require-key", "true"]);
    let job = json!({"request": {"prompt": "x", "steps": 1, "width": 64, "height": 64, "batch": 2}});
    let status = |line: &str, key: Option<&str>| {
        let body = line.starts_with("POST").then_some(&job);
        served.ask(line, key, body).status
    };
    for (who, secret, statuses) in [
        ("nobody", None, [401, 401, 401]),
        ("a stranger", Some("enc_0123456789012345678901234567890123456789012"), [401, 401, 401]),
        ("viewer", Some(reader.as_str()), [200, 403, 403]),
        ("writer", Some(&writer), [403, 202, 403]),
        ("laptop", Some(&laptop), [200, 202, 403]),
        ("me", Some(&admin), [200, 202, 200]),
    ] {
        let found = ["GET /api/v1/jobs", "POST /api/v1/jobs", "GET /api/v1/settings"].map(|line| status(line, secret));
        assert_eq!(found, statuses, "{who}");
    }
    assert_eq!([0; 4].map(|_| status("GET /api/v1/jobs", Some(&hasty))), [200, 200, 200, 429]);
    assert_eq!([0; 2].map(|_| status("POST /api/v1/jobs", Some(&modest))), [202, 429]);
    let refused = served.ask("POST /api/v1/jobs", Some(&modest), Some(&job)).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("2 pictures a day"), "{refused}");

    // Beside the server, which hears of it by itself.
    let until = |wanted: u16, secret: &str| {
        let begun = Instant::now();
        while status("GET /api/v1/jobs", Some(secret)) != wanted {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not come to {wanted}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let phone = add(&data, &["phone"]);
    until(200, &phone);
    let revoked = key(&data, &["revoke", "phone"]);
    revoked.status(0);
    assert!(revoked.stderr.contains("phone is revoked"), "{}", revoked.stderr);
    until(401, &phone);
    // Its name is free; the old one stays what it is.
    let again = add(&data, &["phone", "--scopes", "read,generate"]);
    until(200, &again);
    assert_eq!((again == phone, status("GET /api/v1/jobs", Some(&phone))), (false, 401));
    assert_eq!(key(&data, &["revoke", "phone", "--json"]).json(), json!({"revoked": "phone"}));
    until(401, &again);

    for secret in [&laptop, &reader, &writer, &admin, &hasty, &modest, &phone, &again] {
        assert!(!is_below(&data, secret.as_bytes()), "only hashes are kept");
        // Nor the part that is random, however it would be written.
        assert!(!is_below(&data, &secret.as_bytes()[8..]), "only hashes are kept");
    }
    assert!(is_below(&data, b"laptop"), "the search finds what is there");
}

/// Runs `encaustic config` with variables.
fn config(variables: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = command();
    command.arg("config").args(args).envs(variables.iter().copied());
    Run::new(args, command.output().unwrap())
}

#[test]
fn what_config_tells_is_what_a_server_does() {
    let folder = scratch("config");
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    };
    // What it prints is a file that it reads, and means the same.
    let documentation = config(&[], &[]);
    documentation.status(0);
    let usual = write("usual.toml", &documentation.stdout);
    let in_effect = config(&[], &["--in-effect"]);
    assert_eq!(config(&[], &["--in-effect", "--config", &usual]).stdout, in_effect.stdout);
    let again = write("again.toml", &in_effect.stdout);
    assert_eq!(config(&[], &["--in-effect", "--config", &again]).stdout, in_effect.stdout);

    // A flag wins over a variable, that over the file; a file can be named by a variable.
    let file = write(
        "server.toml",
        "[server]\nhosts = [\"a.example\", \"b.example\"]\n[queue]\ncapacity = 7\ntimeout_secs = 7\nattempts = 7\n[access]\nkey_rate = 7\n\
         [webhooks]\nwebhook_secret = \"whsec_aHVzaCBodXNoIGh1c2ggaHVzaCBodXNo\"",
    );
    let variables = [("ENCAUSTIC_CONFIG", file.as_str()), ("ENCAUSTIC_TIMEOUT_SECS", "8"), ("ENCAUSTIC_ATTEMPTS", "8")];
    let flags = ["--attempts", "9", "--log-level", "error"];
    let wanted =
        [("capacity", "7"), ("timeout_secs", "8"), ("attempts", "9"), ("key_rate", "7"), ("hosts", "a.example,b.example")];
    let told = config(&variables, &[&["--in-effect", "--json"][..], &flags].concat());
    told.status(0);
    let settings = told.json()["settings"].clone();
    for (id, value) in wanted {
        assert_eq!(settings[id], value, "{id}");
    }
    let text = config(&variables, &["--in-effect"]);
    for run in [&told, &text] {
        assert!(run.stdout.contains("***") && !run.stdout.contains("aHVzaC"), "{}", run.stdout);
    }

    // And so it is in a server.
    let mut command = command();
    command.envs(variables);
    let data = folder.join("data");
    let served = Served::begin(command, &data, &flags);
    let limits = served.get("/api/v1/server").unwrap().json()["limits"].clone();
    assert_eq!([&limits["capacity"], &limits["timeout_secs"], &limits["attempts"]], [&json!(7), &json!(8), &json!(9)]);
    let listed = served.get("/api/v1/settings").unwrap().json();
    let of = |id: &str| listed["items"].as_array().unwrap().iter().find(|item| item["id"] == id).cloned();
    for (id, value) in wanted {
        assert_eq!(of(id).unwrap()["value"], value, "{id}");
    }
    assert!(!listed.to_string().contains("aHVzaC"), "{listed}");
    let secret = served.get("/api/v1/webhooks/secret").unwrap().json();
    assert_eq!(secret["secret"], "whsec_aHVzaCBodXNoIGh1c2ggaHVzaCBodXNo", "who owns the server may know it");

    // What is wrong is wrong in both, in the same words.
    let wrong = write("wrong.toml", "[queue]\ncapacty = 1");
    let told = config(&[], &["--in-effect", "--config", &wrong]);
    let args = ["serve", "--config", &wrong, "--listen", "127.0.0.1:0", "--open", "false", "--data", folder.to_str().unwrap()];
    let refused = encaustic(&args);
    for run in [&told, &refused] {
        run.status(2);
        assert!(run.stderr.contains("[queue] capacty: there is no such setting; did you mean `capacity`"), "{}", run.stderr);
    }
    assert_eq!(told.stderr, refused.stderr);
    let absent = config(&[], &["--in-effect", "--config", "/nowhere/at/all.toml"]);
    absent.status(2);
    assert!(absent.stderr.contains("/nowhere/at/all.toml") && absent.stderr.contains("encaustic config"), "{}", absent.stderr);
}
