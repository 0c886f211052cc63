//! The page, the description of the interface, and the settings.

use std::fs;

use serde_json::{Value, json};

use crate::support::Trial;

#[test]
fn a_page_in_a_folder_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page");
    fs::create_dir(&page).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(page.join("index.html"), "<html><head><title>x</title></head></html>").unwrap();
    fs::write(page.join("app-0123456789abcdef.js"), "x;".repeat(2000)).unwrap();
    let trial = Trial::start(|config| config.page = Some(page.clone()));
    let index = trial.raw("GET /", &[], "");
    assert!(index.body.contains("<meta name=\"encaustic-server\""), "{}", index.body);
    assert_eq!(index.header("cache-control"), Some("no-cache"));
    let script = trial.raw("GET /app-0123456789abcdef.js", &[("Accept-Encoding", "gzip, br")], "");
    assert_eq!(script.header("content-encoding"), Some("gzip"));
    assert!(script.header("cache-control").unwrap().contains("immutable"));
    assert!(script.header("content-type").unwrap().starts_with("text/javascript"));
    let tag = script.header("etag").unwrap();
    assert_eq!(trial.raw("GET /app-0123456789abcdef.js", &[("If-None-Match", tag)], "").status, 304);
    assert_eq!(trial.raw("GET /app-0123456789abcdef.js", &[], "").body.len(), 4000);
    for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "//secret", "/.git", "/nothing.js", "/index.html/"] {
        assert_eq!(trial.raw(&format!("GET {path}"), &[], "").status, 404, "{path}");
    }
    assert_eq!(trial.raw("POST /", &[], "").status, 404);
    assert_eq!(trial.raw("HEAD /", &[], "").status, 200);
}

#[test]
fn the_program_has_a_page_or_says_how_to_get_one() {
    let trial = Trial::start(|_| ());
    let page = trial.raw("GET /", &[], "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("encaustic-server"), "{}", page.body);
    let empty = tempfile::tempdir().unwrap();
    let trial = Trial::start(|config| config.page = Some(empty.path().to_owned()));
    let page = trial.raw("GET /", &[], "");
    assert!(page.status == 200 && page.body.contains("no index.html") && page.body.contains("/api/docs/"), "{}", page.body);
}

#[test]
fn the_document_describes_every_route() {
    let trial = Trial::start(|_| ());
    let document = trial.get("/api/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20, "{}", paths.len());
    let mut ids = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let place = format!("{method} {path}");
            ids.push(operation["operationId"].to_string());
            assert!(operation["tags"][0].is_string(), "{place} has no tag");
            assert!(operation["summary"].is_string(), "{place} has no summary");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.values().all(|answer| answer["description"] != ""), "{place} has an answer without a word");
            // A route of the document is one of the server: it may find nothing, but it is there.
            let asked: String = path
                .split('{')
                .enumerate()
                .map(|(n, part)| if n == 0 { part.to_owned() } else { format!("1{}", part.split_once('}').unwrap().1) })
                .collect();
            if !asked.contains("/events") && !asked.ends_with("/ws") {
                let reply = trial.raw(&format!("{} {asked}", method.to_uppercase()), &[], "");
                assert!(reply.status != 405 && !reply.body.contains("nothing at this address"), "{place}: {}", reply.body);
            }
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in references {
        let found = document.pointer(reference.trim_start_matches('#'));
        assert!(found.is_some(), "{reference} leads nowhere");
    }
    let request = &document["components"]["schemas"]["Request"]["properties"];
    assert_eq!((&request["steps"]["maximum"], &request["width"]["multipleOf"]), (&json!(1000), &json!(8)));
    assert_eq!(request["rng"]["enum"], json!(["cpu", "nv"]));
    let example = document["components"]["schemas"]["Request"]["examples"][0].clone();
    assert_eq!(trial.post("/api/v1/jobs", &json!({"request": example})).status, 202);
    let docs = trial.raw("GET /api/docs/", &[], "");
    assert!(docs.status == 200 && docs.body.contains("swagger"), "{}", docs.body);
    assert!(docs.header("content-security-policy").unwrap().contains("script-src 'self';"));
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                found.push(reference.clone());
            }
            object.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[test]
fn settings_change_while_it_runs() {
    let trial = Trial::start(|_| ());
    let value = |answer: &Value, id: &str| {
        let found = answer["items"].as_array().unwrap().iter().find(|item| item["id"] == id).cloned();
        found.map(|item| item["value"].as_str().unwrap().to_owned())
    };
    let settings = trial.get("/api/v1/settings").json();
    assert_eq!(value(&settings, "timeout_secs").as_deref(), Some("3600"));
    assert!(settings["items"].as_array().unwrap().iter().all(|item| !item["help"].as_str().unwrap().is_empty()));
    let patch = |body: Value| trial.patch("/api/v1/settings", &body);
    for (body, field) in [
        (json!({"nonsense": 1}), "nonsense"),
        (json!({"listen": "0.0.0.0:1"}), "listen"),
        (json!({"timeout_secs": "long"}), "timeout_secs"),
        (json!({"timeout_secs": {"a": 1}}), "timeout_secs"),
        (json!({"timeout_secs": 60, "key_rate": -1}), "key_rate"),
    ] {
        let answer = patch(body.clone());
        assert_eq!((answer.status, answer.json()["error"]["field"].as_str()), (422, Some(field)), "{body}");
    }
    let changed = patch(json!({"timeout_secs": 60, "webhook_hosts": ["a", "b:1"]}));
    assert_eq!(value(&changed.json(), "webhook_hosts").as_deref(), Some("a,b:1"));
    assert_eq!(trial.get("/api/v1/server").json()["limits"]["timeout_secs"], 60);

    let folder = trial.stop();
    let trial = Trial::over(folder, crate::support::Easel::default(), |_| ());
    assert_eq!(trial.get("/api/v1/server").json()["limits"]["timeout_secs"], 60);
    let folder = trial.stop();
    // What the configuration says anew has the last word.
    let trial = Trial::over(folder, crate::support::Easel::default(), |config| config.timeout_secs = 10);
    assert_eq!(trial.get("/api/v1/server").json()["limits"]["timeout_secs"], 10);
    assert_eq!(trial.patch("/api/v1/settings", &json!({"timeout_secs": 20})).status, 200);
    assert_eq!(trial.patch("/api/v1/settings", &json!({"timeout_secs": null})).status, 200);
    assert_eq!(trial.get("/api/v1/server").json()["limits"]["timeout_secs"], 10);
}
