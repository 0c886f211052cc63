//! The server's own interface: what each route answers, and what it refuses.

use serde_json::{Value, json};

use crate::support::Trial;

/// A server whose queue does not give out jobs.
fn paused() -> Trial {
    let trial = Trial::start(|_| ());
    assert_eq!(trial.post("/api/v1/queue", &json!({"is_paused": true})).status, 200);
    trial
}

fn submit(trial: &Trial, wish: &Value) -> u64 {
    let answer = trial.post("/api/v1/jobs", wish);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let id = answer.json()["id"].as_u64().unwrap();
    assert_eq!(answer.headers["location"], format!("/api/v1/jobs/{id}"));
    id
}

fn ids(answer: &Value) -> Vec<u64> {
    answer["items"].as_array().unwrap().iter().map(|job| job["id"].as_u64().unwrap()).collect()
}

#[test]
fn what_is_wrong_with_a_wish_is_told_with_its_field() {
    let trial = paused();
    let request = |field: &str, value: Value| json!({"request": {field: value}});
    for (wish, field, words) in [
        (request("prompt", "x".repeat(500_000).into()), "request.prompt", "at most 16384 bytes"),
        (request("prompt", "(".repeat(10_000).into()), "request.prompt", "nested 10000 deep"),
        (request("negative", "[".repeat(200).into()), "request.negative", "nested 200 deep"),
        (request("cfg", json!("NaN")), "request.cfg", "expected f64"),
        (request("cfg", json!(1e300)), "request.cfg", "from 0 to 100"),
        (request("width", json!(0)), "request.width", "multiple of 8"),
        (request("height", json!(65536)), "request.height", "64 to 8192"),
        (request("steps", json!(1_000_000_000)), "request.steps", "1 to 1000"),
        (request("batch", json!(0)), "request.batch", "1 to 64"),
        (request("seed", json!(-1)), "request.seed", "expected u64"),
        (request("sampler", json!("eulr")), "request.sampler", "did you mean \"euler\"?"),
        (request("promt", json!("x")), "request.promt", "did you mean `prompt`?"),
        (json!({"model": "../../etc/passwd"}), "model", "no model"),
        (json!({"priority": 1000}), "priority", "-100 to 100"),
        (json!({"not_before": -5}), "not_before", "milliseconds"),
        (json!({"webhook": "http://169.254.169.254/"}), "webhook", "link-local"),
        (json!({"timeout_secs": 0}), "timeout_secs", "1 to"),
        (json!({"reqest": {}}), "reqest", "did you mean `request`?"),
    ] {
        let answer = trial.post("/api/v1/jobs", &wish);
        let error = &answer.json()["error"];
        assert_eq!((answer.status, error["field"].as_str()), (422, Some(field)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{words}: {error}");
    }
    let both = trial.post("/api/v1/jobs", &json!({"request": {"steps": 0, "width": 1}, "priority": 101}));
    let message = both.json()["error"]["message"].to_string();
    assert!(["steps: 0", "width: 1", "priority: 101"].iter().all(|part| message.contains(part)), "{message}");
    assert_eq!(trial.get("/api/v1/queue").json()["waiting"], 0);
}

#[test]
fn jobs_come_go_and_change_places() {
    let trial = paused();
    let wish = |prompt: &str| json!({"request": {"prompt": prompt, "seed": 7}});
    let [a, b, c] = ["a", "b", "c"].map(|prompt| submit(&trial, &wish(prompt)));
    let waiting = || ids(&trial.get("/api/v1/jobs?state=waiting").json());
    assert_eq!(waiting(), [a, b, c]);
    assert_eq!(trial.post(&format!("/api/v1/jobs/{c}/place"), &json!({"before": b})).status, 200);
    assert_eq!(waiting(), [a, c, b]);
    assert_eq!(trial.post(&format!("/api/v1/jobs/{c}/place"), &json!({"before": null})).status, 200);
    assert_eq!(waiting(), [a, b, c]);
    let raised = trial.post(&format!("/api/v1/jobs/{c}/priority"), &json!({"priority": 5}));
    assert_eq!(raised.status, 200);
    assert_eq!(waiting(), [c, a, b]);
    assert_eq!(trial.post(&format!("/api/v1/jobs/{c}/priority"), &json!({"priority": 500})).status, 422);

    let cancelled = trial.delete(&format!("/api/v1/jobs/{a}"));
    assert_eq!((cancelled.status, cancelled.json()["state"].as_str()), (202, Some("cancelled")));
    assert_eq!(trial.delete(&format!("/api/v1/jobs/{a}")).status, 409);
    assert_eq!(trial.post(&format!("/api/v1/jobs/{a}/place"), &json!({})).status, 409);
    let again = trial.post(&format!("/api/v1/jobs/{a}/retry"), &json!({}));
    assert_eq!((again.status, again.json()["wish"]["request"]["prompt"].as_str()), (202, Some("a")));
    assert_eq!(trial.post(&format!("/api/v1/jobs/{b}/retry"), &json!({})).status, 409);
    for (path, status) in [
        ("/api/v1/jobs/999", 404),
        ("/api/v1/jobs/x", 404),
        ("/api/v1/jobs?state=nonsense", 422),
        ("/api/v1/jobs?limit=0", 422),
        ("/api/v1/jobs?limit=x", 422),
        ("/api/v1/jobs?limt=1", 422),
        ("/api/v1/jobs?state=waiting,cancelled", 200),
        ("/api/v1/nothing", 404),
    ] {
        let answer = trial.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.json()["error"]["message"].is_string(), status != 200, "{path}");
    }
}

#[test]
fn lists_come_in_pages() {
    let trial = paused();
    let ids_of = |path: &str| {
        let answer = trial.get(path).json();
        (ids(&answer), answer["next"].as_u64())
    };
    let jobs: Vec<u64> = (0..5).map(|_| submit(&trial, &json!({}))).collect();
    for job in &jobs {
        trial.delete(&format!("/api/v1/jobs/{job}"));
    }
    let (first, next) = ids_of("/api/v1/jobs?state=cancelled&limit=2");
    assert_eq!(first, [jobs[4], jobs[3]]);
    let (second, next) = ids_of(&format!("/api/v1/jobs?state=cancelled&limit=2&before={}", next.unwrap()));
    assert_eq!(second, [jobs[2], jobs[1]]);
    assert_eq!(ids_of(&format!("/api/v1/jobs?limit=2&before={}", next.unwrap())), (vec![jobs[0]], None));
    assert_eq!(ids_of("/api/v1/jobs?client=nobody").0, [0; 0]);
    assert_eq!(ids_of("/api/v1/jobs?client=local").0.len(), 5);
}

/// However many wait, all others can be reached behind them.
#[test]
fn a_long_line_hides_nothing() {
    let trial = paused();
    let jobs: Vec<u64> = (0..9).map(|_| submit(&trial, &json!({}))).collect();
    let (ended, line) = jobs.split_at(3);
    for job in ended {
        trial.delete(&format!("/api/v1/jobs/{job}"));
    }
    trial.post(&format!("/api/v1/jobs/{}/priority", line[5]), &json!({"priority": 5}));
    let expected: Vec<u64> = [line[5]].into_iter().chain(line[..5].iter().copied()).chain(ended.iter().rev().copied()).collect();
    for limit in 1..=10 {
        let (mut seen, mut before) = (Vec::new(), String::new());
        loop {
            let page = trial.get(&format!("/api/v1/jobs?limit={limit}{before}")).json();
            seen.extend(ids(&page));
            let Some(next) = page["next"].as_u64() else { break };
            before = format!("&before={next}");
        }
        assert_eq!(seen, expected, "{limit} at a time");
    }
}

#[test]
fn an_idempotency_key_makes_a_second_submission_harmless() {
    let trial = paused();
    let post = |key: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(trial.url("/api/v1/jobs")).header("content-type", "application/json");
        let mut answer = request.header("idempotency-key", key).send("{}").unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let id = |body: &str| serde_json::from_str::<Value>(body).unwrap()["id"].as_u64().unwrap();
    let (first, second) = (post("k1"), post("k1"));
    assert_eq!((first.0, second.0), (202, 202));
    assert_eq!(id(&first.1), id(&second.1));
    assert_ne!(id(&post("k2").1), id(&first.1));
    assert_eq!(post(&"k".repeat(300)).0, 422);
}

#[test]
fn models_devices_and_what_they_offer() {
    let trial = Trial::start(|_| ());
    let names: Vec<Value> = trial.get("/api/v1/models").json()["items"].as_array().unwrap().to_vec();
    assert_eq!(names.len(), 2);
    assert_eq!(trial.get("/api/v1/models/other/card").json()["chunk_tokens"], 75);
    let counted = trial.post("/api/v1/models/demo/count", &json!({"texts": ["a b c", ""]}));
    assert_eq!(counted.json()["tokens"], json!([3, 0]));
    assert_eq!(trial.post("/api/v1/models/demo/count", &json!({"texts": vec!["x"; 17]})).status, 422);
    for path in ["/api/v1/models/none/card", "/api/v1/models/hf:owner%2Fname/card", "/api/v1/models/..%2F..%2Fetc/card"] {
        assert_eq!(trial.get(path).status, 404, "{path}");
    }
    assert_eq!(trial.delete("/api/v1/models/other").status, 204);
    assert_eq!(trial.delete("/api/v1/models/demo").status, 422);
    assert_eq!(trial.delete("/api/v1/models/none").status, 404);
    assert_eq!(trial.get("/api/v1/catalog").json()["samplers"][0]["id"], "euler");
    assert!(trial.get("/api/v1/devices").json()["items"][0]["name"].as_str().unwrap().starts_with("easel"));
    let server = trial.get("/api/v1/server").json();
    assert_eq!((server["client"].as_str(), server["limits"]["capacity"].as_u64()), (Some("local"), Some(1000)));
}

#[test]
fn a_model_that_draws_stays_where_it_is() {
    let trial = Trial::start(|_| ());
    let job = submit(&trial, &json!({"request": {"prompt": "slow:20", "steps": 1000}, "model": "other"}));
    let device = || trial.get("/api/v1/devices").json()["items"][0].clone();
    let until = |doing: &str| trial.until(doing, || (device()["doing"] == doing).then_some(()));
    until("drawing");
    let refused = trial.delete("/api/v1/models/other");
    let error = refused.json()["error"].clone();
    assert_eq!((refused.status, error["code"].as_str()), (409, Some("conflict")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("\"other\" is in use on easel:0"), "{error}");
    trial.delete(&format!("/api/v1/jobs/{job}"));
    until("idle");
    assert_eq!(device()["model"], "other");
    assert_eq!(trial.delete("/api/v1/models/other").status, 204);
    assert_eq!(device()["model"], Value::Null, "it has let go of it");
}

#[test]
fn models_are_fetched_and_stopped() {
    let trial = Trial::start(|_| ());
    let pull = |source: &str| trial.post("/api/v1/models/pull", &json!({"source": source})).status;
    assert_eq!(pull("owner/name"), 202);
    assert_eq!(pull("owner/name"), 409);
    assert_eq!(trial.get("/api/v1/models/pull").json()["items"][0]["source"], "owner/name");
    assert_eq!(pull(""), 422);
    assert_eq!(pull("a\nb"), 422);
    assert_eq!(trial.delete("/api/v1/models/pull?source=owner/name").status, 202);
    assert_eq!(trial.delete("/api/v1/models/pull?source=another").status, 404);
    trial.until("it is gone", || trial.get("/api/v1/models/pull").json()["items"].as_array().unwrap().is_empty().then_some(()));
}
