//! OpenAI's interface for images: what its clients send and read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, Trial};

const GENERATIONS: &str = "/v1/images/generations";

fn ask(trial: &Trial, more: Value) -> Answer {
    let mut body = json!({"prompt": "a lake"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    trial.post(GENERATIONS, &body)
}

/// The format that a file in Base64 begins like.
fn kind(file: &[u8]) -> &'static str {
    match file {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xff, 0xd8, 0xff, ..] => "jpeg",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        _ => "nothing known",
    }
}

fn file(image: &Value) -> Vec<u8> {
    STANDARD.decode(image["b64_json"].as_str().unwrap()).unwrap()
}

#[test]
fn pictures_are_answered() {
    let trial = Trial::start(|_| ());
    for (more, count, format, size) in [
        (json!({}), 1, "png", "64x64"),
        (
            json!({"model": null, "n": null, "size": "auto", "quality": "auto", "background": "auto", "stream": false}),
            1,
            "png",
            "64x64",
        ),
        (json!({"n": 3, "size": "128x72"}), 3, "png", "128x72"),
        (json!({"output_format": "jpeg", "output_compression": 50, "quality": "low"}), 1, "jpeg", "64x64"),
        (json!({"output_format": "webp", "output_compression": 100}), 1, "webp", "64x64"),
        (
            json!({"model": "dall-e-3", "response_format": "b64_json", "style": "vivid", "quality": "hd", "user": "u"}),
            1,
            "png",
            "64x64",
        ),
        (
            json!({"model": "gpt-image-1", "moderation": "low", "safety_identifier": "s", "background": "opaque"}),
            1,
            "png",
            "64x64",
        ),
        (json!({"model": "other"}), 1, "png", "64x64"),
    ] {
        let answer = ask(&trial, more.clone());
        let body = answer.json();
        assert_eq!(answer.status, 200, "{more}: {body}");
        let data = body["data"].as_array().unwrap();
        assert_eq!((data.len(), body["size"].as_str()), (count, Some(size)), "{more}");
        assert_eq!(body["output_format"], format, "{more}");
        assert!(data.iter().all(|image| kind(&file(image)) == format), "{more}");
        assert_eq!(data[0]["revised_prompt"], "a lake");
        assert_eq!((&body["usage"]["input_tokens"], &body["usage"]["total_tokens"]), (&2.into(), &2.into()));
        assert!(body["created"].as_i64().unwrap() > 1_700_000_000);
    }
    let steps = |more: Value| {
        ask(&trial, more);
        trial.get("/api/v1/jobs?limit=1").json()["items"][0]["wish"]["request"]["steps"].clone()
    };
    assert_eq!(steps(json!({"quality": "low"})), 2);
    assert_eq!(steps(json!({"quality": "high"})), 6);
    assert_eq!(steps(json!({"quality": "medium"})), Value::Null);
}

#[test]
fn addresses_work_for_whoever_has_them() {
    let trial = Trial::start(|_| ());
    for more in [json!({"response_format": "url"}), json!({"model": "dall-e-2", "output_format": "jpeg"})] {
        let body = ask(&trial, more.clone()).json();
        let url = body["data"][0]["url"].as_str().unwrap().to_owned();
        assert!(body["data"][0].get("b64_json").is_none());
        let path = url.strip_prefix(&trial.url("")).unwrap_or_else(|| panic!("{url} is not at {}", trial.url("")));
        let answer = trial.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(kind(&answer.body), body["output_format"].as_str().unwrap());
        assert_eq!(answer.headers["content-type"], format!("image/{}", body["output_format"].as_str().unwrap()));
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let (name, query) = path.split_once('?').unwrap();
        for forged in [
            name.to_owned(),
            format!("{name}?{}", query.replace("until=1", "until=9")),
            format!("{name}?{}&quality=3", query),
            format!("/v1/images/files/{}.png?{query}", "4".repeat(64)),
            format!("{}?{query}", name.rsplit_once('.').unwrap().0),
            format!("{}.webp?{query}", name.rsplit_once('.').unwrap().0),
            format!("{name}?until=99999999999999&proof=AAAA"),
            format!("/v1/images/files/..%2f..%2fencaustic.db?{query}"),
        ] {
            let status = trial.get(&forged).status;
            assert!([400, 403].contains(&status), "{status} {forged}");
        }
    }
}

#[test]
fn what_is_wrong_is_told_in_its_form() {
    let trial = Trial::start(|_| ());
    for (more, status, param, code) in [
        (json!({"prompt": null}), 400, "prompt", "missing_required_parameter"),
        (json!({"prompt": ""}), 400, "prompt", "missing_required_parameter"),
        (json!({"prompt": 5}), 400, "prompt", "invalid_value"),
        (json!({"prompt": "x".repeat(20_000)}), 400, "prompt", "invalid_value"),
        (json!({"n": 0}), 400, "n", "invalid_value"),
        (json!({"n": 11}), 400, "n", "invalid_value"),
        (json!({"n": "1"}), 400, "n", "invalid_value"),
        (json!({"size": "big"}), 400, "size", "invalid_value"),
        (json!({"size": "1x1"}), 400, "size", "invalid_value"),
        (json!({"size": "65536x64"}), 400, "size", "invalid_value"),
        (json!({"size": "-64x64"}), 400, "size", "invalid_value"),
        (json!({"quality": "superb"}), 400, "quality", "invalid_value"),
        (json!({"response_format": "file"}), 400, "response_format", "invalid_value"),
        (json!({"output_format": "gif"}), 400, "output_format", "invalid_value"),
        (json!({"output_format": "webp", "output_compression": 50}), 400, "output_compression", "invalid_value"),
        (json!({"output_format": "jpeg", "output_compression": 101}), 400, "output_compression", "invalid_value"),
        (json!({"background": "transparent"}), 400, "background", "invalid_value"),
        (json!({"partial_images": 2}), 400, "partial_images", "invalid_value"),
        (json!({"stream": true, "partial_images": 4}), 400, "partial_images", "invalid_value"),
        (json!({"stream": true, "response_format": "url"}), 400, "response_format", "invalid_value"),
        (json!({"stream": "yes"}), 400, "stream", "invalid_value"),
        (json!({"steps": 4}), 400, "steps", "unknown_parameter"),
        (json!({"model": "nope"}), 404, "model", "model_not_found"),
    ] {
        let answer = ask(&trial, more.clone());
        let error = &answer.json()["error"];
        let shown: String = more.to_string().chars().take(100).collect();
        assert_eq!(
            (answer.status, error["param"].as_str(), error["code"].as_str()),
            (status, Some(param), Some(code)),
            "{shown}: {error}"
        );
        assert_eq!(error["type"], "invalid_request_error", "{shown}");
    }
    let failed = ask(&trial, json!({"prompt": "broken"}));
    assert_eq!((failed.status, &failed.json()["error"]["type"]), (500, &"server_error".into()));
    // Their package would make a new job of it.
    assert_eq!(failed.headers["x-should-retry"], "false");
    let cancelled = std::thread::scope(|scope| {
        let asked = scope.spawn(|| ask(&trial, json!({"prompt": "slow:600"})));
        let id = trial.until("it runs", || trial.get("/api/v1/jobs?state=running").json()["items"][0]["id"].as_u64());
        trial.delete(&format!("/api/v1/jobs/{id}"));
        asked.join().unwrap()
    });
    assert_eq!((cancelled.status, &cancelled.json()["error"]["code"]), (409, &"cancelled".into()));
    assert_eq!(cancelled.headers["x-should-retry"], "false");
    for path in ["/v1/images/edits", "/v1/images/variations"] {
        let answer = trial.post(path, &json!({}));
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (501, &"not_implemented".into()), "{path}");
    }
    assert_eq!(trial.get("/v1/chat").json()["error"]["type"], "invalid_request_error");
    let full = Trial::start(|config| config.capacity = 1);
    full.post("/api/v1/queue", &json!({"is_paused": true}));
    full.post("/api/v1/jobs", &json!({}));
    let answer = ask(&full, json!({}));
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (429, &"rate_limit_error".into()));
    assert!(answer.headers.contains_key("retry-after") && !answer.headers.contains_key("x-should-retry"));
}

#[test]
fn models_are_listed() {
    let trial = Trial::start(|config| config.openai_models.0.push("fast=other".into()));
    let list = trial.get("/v1/models").json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((ids, &list["object"]), (vec!["demo", "other"], &"list".into()));
    for (name, status) in [("demo", 200), ("dall-e-3", 200), ("fast", 200), ("nope", 404), ("hf%3Aa%2Fb", 404)] {
        let answer = trial.get(&format!("/v1/models/{name}"));
        assert_eq!(answer.status, status, "{name}");
        if status == 200 {
            assert_eq!((&answer.json()["id"], &answer.json()["object"]), (&name.into(), &"model".into()));
        } else {
            assert_eq!(answer.json()["error"]["code"], "model_not_found");
        }
    }
    assert_eq!(ask(&trial, json!({"model": "fast"})).status, 200);
    assert_eq!(trial.get("/api/v1/jobs?limit=1").json()["items"][0]["wish"]["model"], "other");
}

/// The events of a stream: their names and data.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let mut events = Vec::new();
    for block in text.split("\n\n").filter(|block| block.starts_with("event: ")) {
        let (name, data) = block.split_once('\n').unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        events.push((name.strip_prefix("event: ").unwrap().to_owned(), data));
    }
    events
}

#[test]
fn looks_come_on_the_way() {
    let trial = Trial::start(|_| ());
    let slow = "slow:60";
    for (more, looks, pictures) in [
        (json!({"stream": true}), 0..=0, 1),
        (json!({"stream": true, "partial_images": 1, "prompt": slow, "quality": "high"}), 0..=1, 1),
        (json!({"stream": true, "partial_images": 3, "prompt": "slow:600", "output_format": "jpeg"}), 2..=3, 1),
        (json!({"stream": true, "n": 2}), 0..=0, 2),
    ] {
        let answer = ask(&trial, more.clone());
        assert_eq!((answer.status, &answer.headers["content-type"]), (200, &"text/event-stream".parse().unwrap()), "{more}");
        let events = events(&answer);
        let of = |kind: &str| events.iter().filter(|(name, _)| name == kind).map(|(_, data)| data).collect::<Vec<_>>();
        let partial = of("image_generation.partial_image");
        let completed = of("image_generation.completed");
        assert_eq!(completed.len(), pictures, "{more}");
        assert!(looks.contains(&partial.len()), "{more}: {}", partial.len());
        assert_eq!(events.len(), partial.len() + completed.len());
        let format = more["output_format"].as_str().unwrap_or("png");
        for (index, look) in partial.iter().enumerate() {
            assert_eq!((&look["partial_image_index"], &look["type"]), (&index.into(), &"image_generation.partial_image".into()));
            assert_eq!(kind(&file(look)), format);
        }
        for picture in completed {
            assert_eq!((kind(&file(picture)), picture["output_format"].as_str()), (format, Some(format)));
            assert_eq!((&picture["size"], &picture["usage"]["output_tokens"]), (&"64x64".into(), &0.into()));
        }
    }
    let failed = ask(&trial, json!({"stream": true, "prompt": "broken"}));
    let events = events(&failed);
    assert_eq!((events.len(), events[0].0.as_str(), &events[0].1["error"]["type"]), (1, "error", &"server_error".into()));
}
