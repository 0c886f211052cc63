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

/// Whatever all threads are busy with that may wait for something: nobody waits for one of them who asks for what is anybody's.
#[test]
fn what_is_anybodys_wants_no_thread_of_its_own() {
    use std::sync::{Arc, Condvar, Mutex};

    let trial = Trial::start(|_| ());
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    // As many as a runtime has.
    let busy: Vec<_> = (0..600)
        .map(|_| {
            let gate = Arc::clone(&gate);
            trial.aside(move || drop(gate.1.wait_while(gate.0.lock().unwrap(), |is_over| !*is_over)))
        })
        .collect();
    let shown = [vec![], vec![("Authorization", "Bearer enc_some"), ("Cookie", "encaustic_session=some")]];
    let mut statuses = Vec::new();
    for headers in &shown {
        for path in ["/health", "/", "/nothing.js", "/api/openapi.json", "/api/docs/"] {
            statuses.push((path, trial.raw(&format!("GET {path}"), headers, "").status));
        }
    }
    // Who shows nothing is not looked up.
    statuses.push(("/api/v1/server", trial.raw("GET /api/v1/server", &[], "").status));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    drop(busy);
    for (path, status) in statuses {
        assert_eq!(status, if path == "/nothing.js" { 404 } else { 200 }, "{path}");
    }
}

/// S9: whoever shows a key is not looked up where nobody needs to be.
#[test]
fn a_busy_database_does_not_make_the_server_look_dead() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use encaustic_server::db::DbError;

    let trial = Trial::start(|_| ());
    let app = &trial.server.as_ref().unwrap().app;
    let (held, is_over, begun) = (AtomicUsize::new(0), AtomicBool::new(false), Instant::now());
    let hold = || {
        held.fetch_add(1, Ordering::SeqCst);
        // Not for ever: a test that fails has to end.
        while !is_over.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(40) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        // More than there are connections: others read as well, so that two of these may want the same one.
        for reader in 0..9 {
            scope.spawn(move || match reader {
                0 => app.db.write::<_, DbError>(|_| hold()).unwrap(),
                _ => app.db.read::<_, DbError>(|_| hold()).unwrap(),
            });
        }
        trial.until("the writer and all readers to be held", || (held.load(Ordering::SeqCst) == 5).then_some(()));
        let begun = Instant::now();
        let shown = [vec![], vec![("Authorization", "Bearer enc_some"), ("Cookie", "encaustic_session=some")]];
        let asked = shown.iter().flat_map(|headers| ["GET /health", "GET /"].map(|path| (path, headers)));
        let statuses: Vec<_> = asked.map(|(path, headers)| trial.raw(path, headers, "").status).collect();
        let seconds = begun.elapsed();
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(statuses, [200; 4]);
        assert!(seconds < Duration::from_secs(5), "{seconds:?}");
    });
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
    for (host, status) in [
        (format!("encaustic:{}", free.port()), 200),
        (free.to_string(), 200),
        (format!("evil.com:{}", free.port()), 403),
        (format!("2130706433:{}", free.port()), 403),
        ("encaustic:1".to_owned(), 403),
    ] {
        let asked = ureq::get(format!("http://{free}/metrics")).header("host", &host);
        let answer = asked.config().http_status_as_error(false).build().call().unwrap();
        assert_eq!(answer.status(), status, "{host}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
    drop(trial);
}

#[test]
fn metrics_are_shown_to_others_only_where_there_is_a_key() {
    use std::sync::Arc;

    use encaustic_server::auth::{Keys, NewKey, Scope};
    use encaustic_server::config::Config;
    use encaustic_server::db::Db;
    use encaustic_server::{Server, time};

    use crate::support::Easel;

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = |listen: &str, has_key: bool| {
        let folder = tempfile::tempdir().unwrap();
        if has_key {
            let keys = Keys::new(Arc::new(Db::open(&folder.path().join("encaustic.db")).unwrap()), time::system());
            let new = NewKey { name: "admin".into(), scopes: vec![Scope::Admin], per_minute: None, per_day: None };
            keys.add(&new).unwrap();
        }
        let listen = Some(listen.parse().unwrap());
        let config = Config { listen: ([127, 0, 0, 1], 0).into(), metrics_listen: listen, open: false, ..Config::default() };
        runtime.block_on(async {
            let server = Server::start(config, folder.path(), Arc::new(Easel::default())).await;
            server.map_err(|error| error.to_string())?.stop().await;
            Ok::<_, String>(())
        })
    };
    for (listen, has_key, starts) in
        [("127.0.0.1:0", false, true), ("0.0.0.0:0", false, false), ("[::]:0", false, false), ("0.0.0.0:0", true, true)]
    {
        let started = start(listen, has_key);
        assert_eq!(started.is_ok(), starts, "{listen}: {started:?}");
        if let Err(error) = started {
            assert!(error.contains("encaustic key add") && error.contains("--metrics-listen 127.0.0.1"), "{error}");
        }
    }
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
