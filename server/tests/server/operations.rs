//! What watches over the server: health, readiness, metrics, the numbers of requests.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use encaustic_protocol::Request;
use encaustic_server::job::{Client, NewJob};
use serde_json::json;

use crate::support::Trial;

/// The value of a line of `/metrics` that begins with `name`.
fn metric(trial: &Trial, name: &str) -> Option<f64> {
    let text = String::from_utf8(trial.get("/metrics").body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[test]
fn health_and_readiness_are_told() {
    let trial = Trial::start(|_| ());
    let health = trial.get("/health");
    assert_eq!(health.status, 200);
    assert_eq!(health.json(), json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    let ready = trial.get("/ready");
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json(), json!({"is_ready": true, "problems": []}));
}

#[test]
fn a_server_without_a_device_is_alive_and_not_ready() {
    let trial = Trial::start(|config| config.devices.0 = vec!["nowhere:0".to_owned()]);
    let ready = trial.until("the device to be given up", || {
        let ready = trial.get("/ready");
        (ready.status == 503).then_some(ready)
    });
    let problem = "no device works; the log and /api/v1/devices say why";
    assert_eq!(ready.json(), json!({"is_ready": false, "problems": [problem]}));
    assert_eq!(trial.get("/health").status, 200);
}

#[test]
fn requests_and_the_queue_are_measured() {
    let trial = Trial::start(|config| config.capacity = 7);
    assert_eq!(trial.get("/metrics").headers["content-type"], encaustic_server::metrics::CONTENT_TYPE);
    assert_eq!(metric(&trial, "encaustic_queue_capacity"), Some(7.0));
    assert_eq!(metric(&trial, "encaustic_queue_jobs{state=\"waiting\"}"), Some(0.0));
    assert_eq!(metric(&trial, "encaustic_jobs_total{outcome=\"failed\"}"), Some(0.0));
    assert!(metric(&trial, "encaustic_database_bytes").unwrap() > 0.0);
    trial.get("/health");
    trial.get("/nothing/of/the/kind");
    let requests = |route: &str, status: u16| {
        metric(&trial, &format!("encaustic_http_requests_total{{method=\"GET\",route=\"{route}\",status=\"{status}\"}}"))
    };
    assert_eq!(requests("/health", 200), Some(1.0));
    assert_eq!(requests("other", 404), Some(1.0), "a path that somebody makes up makes no new line");
}

#[test]
fn metrics_can_be_had_at_an_address_of_their_own() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let trial = Trial::start(|config| config.metrics_listen = Some(free));
    for (path, status) in [("/health", 200), ("/ready", 200), ("/metrics", 200), ("/", 404), ("/api/v1/jobs", 404)] {
        let answer = ureq::get(format!("http://{free}{path}")).config().http_status_as_error(false).build().call().unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    drop(trial);
}

#[test]
fn requests_have_numbers() {
    let trial = Trial::start(|_| ());
    let long = "a".repeat(65);
    for (given, is_kept) in [("a-b_c.1", true), ("", false), ("a b", false), ("a\tb", false), ("ä", false), (&long, false)] {
        let answer = ureq::get(trial.url("/health")).header("x-request-id", given).call().unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(id == given, is_kept, "{given:?}: {id:?}");
        assert!(is_kept || id.len() == 16, "{id:?}");
    }
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("encaustic_")).map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let trial = Trial::start(|_| ());
    let request = Request { prompt: "a lighthouse slow:1".into(), seed: Some(1), ..Request::default() };
    let wish = NewJob { request, ..NewJob::default() };
    let app = &trial.server.as_ref().unwrap().app;
    app.queue.submit(&wish, &Client::local(), None).unwrap();
    trial.until("the job to end", || metric(&trial, "encaustic_jobs_total{outcome=\"finished\"}").filter(|jobs| *jobs == 1.0));
    assert_eq!(metric(&trial, "encaustic_stage_seconds_count{stage=\"save\"}"), Some(1.0));
    assert_eq!(metric(&trial, "encaustic_steps_total{device=\"easel:0\"}"), Some(4.0));
    assert_eq!(metric(&trial, "encaustic_images"), Some(1.0));

    let text = String::from_utf8(trial.get("/metrics").body).unwrap();
    let mut told = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        told.insert(match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        });
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let named = |file: &str| names(&std::fs::read_to_string(root.join(file)).unwrap());
    assert_eq!(named("deploy/monitoring/grafana/dashboards/encaustic.json"), told);
    assert_eq!(named("docs/metrics.md"), told);
    let alerts = named("deploy/monitoring/alerts.yml");
    assert!(alerts.is_subset(&told), "{:?}", alerts.difference(&told));
}
