//! Hostile requests: strange hosts, pages of strangers, bodies without end, connections that hold on.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Trial;

fn list(items: &[&str]) -> encaustic_server::config::List<String> {
    encaustic_server::config::List(items.iter().map(|item| (*item).to_owned()).collect())
}

#[test]
fn only_known_hosts_are_answered() {
    let trial = Trial::start(|config| config.hosts = list(&["pictures.example", "proxy.example:8443"]));
    let port = trial.address().split_once(':').unwrap().1.to_owned();
    for (host, is_known) in [
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("LOCALHOST:{port}"), true),
        (format!("[::1]:{port}"), true),
        (format!("127.0.0.2:{port}"), true),
        ("pictures.example".into(), true),
        ("pictures.example:1234".into(), true),
        ("proxy.example:8443".into(), true),
        ("proxy.example".into(), false),
        ("127.0.0.1".into(), false),
        ("localhost:1".into(), false),
        (format!("127.0.0.1.evil.com:{port}"), false),
        (format!("localhost.evil.com:{port}"), false),
        (format!("evil.com:{port}"), false),
        (format!("192.168.0.1:{port}"), false),
        (format!("0.0.0.0:{port}"), false),
        (format!("2130706433:{port}"), false),
        (format!("127.1:{port}"), false),
        (format!("user@127.0.0.1:{port}"), false),
        (format!("localhost:{port}@evil.com"), false),
        (format!("127.0.0.1:{port}/"), false),
        (format!("127.0.0.1:{port}0"), false),
        (format!("notpictures.example:{port}"), false),
        (format!("localhost.:{port}"), false),
        (format!("[::1:{port}"), false),
        ("".into(), false),
    ] {
        for path in ["GET /", "GET /api/v1/queue", "GET /health"] {
            let status = trial.raw(path, &[("Host", &host)], "").status;
            assert_eq!(![400, 403].contains(&status), is_known, "{path} at {host:?}: {status}");
        }
    }
    let address = trial.address();
    for (text, status) in [
        ("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400),
        (format!("GET /health HTTP/1.1\r\nHost: {address}\r\nHost: evil.com\r\nConnection: close\r\n\r\n"), 400),
        (format!("GET http://evil.com/health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"), 400),
        (format!("GET http://{address}/health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"), 200),
    ] {
        assert_eq!(trial.say(&text).status, status, "{text}");
    }
}

#[test]
fn pages_of_strangers_may_do_nothing() {
    let trial = Trial::start(|config| config.origins = list(&["https://friend.example"]));
    let own = trial.url("");
    let json = ("Content-Type", "application/json");
    let upgrade = [
        ("Connection", "upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (origin, is_trusted) in [
        (own.as_str(), true),
        ("https://friend.example", true),
        ("-", true),
        ("null", false),
        ("http://evil.com", false),
        ("http://localhost:1", false),
        ("http://127.0.0.1", false),
        ("http://friend.example", false),
        ("https://friend.example.evil.com", false),
        ("https://friend.example:444", false),
        ("file://", false),
        ("", false),
    ] {
        let refused = if is_trusted { 202 } else { 403 };
        assert_eq!(trial.raw("POST /api/v1/jobs", &[json, ("Origin", origin)], "{}").status, refused, "POST from {origin:?}");
        let removed = trial.raw("DELETE /api/v1/jobs/999", &[("Origin", origin)], "").status;
        assert_eq!(removed, if is_trusted { 404 } else { 403 }, "DELETE from {origin:?}");
        let reading = trial.raw("GET /", &[("Origin", origin)], "");
        assert_eq!(reading.status, 200, "GET from {origin:?}");
        let may_read = reading.header("access-control-allow-origin");
        assert_eq!(may_read, (origin == "https://friend.example").then_some(origin), "GET from {origin:?}");
        if !is_trusted {
            let headers: Vec<_> = upgrade.iter().copied().chain([("Origin", origin)]).collect();
            assert_eq!(trial.raw("GET /api/v1/ws", &headers, "").status, 403, "WebSocket from {origin:?}");
        }
    }
    let preflight = |origin| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        trial.raw("OPTIONS /api/v1/jobs", &headers, "").status
    };
    assert_eq!((preflight("https://friend.example"), preflight("http://evil.com")), (204, 403));
}

#[test]
fn only_json_is_taken_for_json() {
    let trial = Trial::start(|_| ());
    for (kind, status) in [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("APPLICATION/JSON", 202),
        ("application/vnd.encaustic+json", 202),
        ("text/plain", 415),
        ("text/plain;application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
        ("-", 415),
    ] {
        assert_eq!(trial.raw("POST /api/v1/jobs", &[("Content-Type", kind)], "{}").status, status, "{kind:?}");
    }
}

#[test]
fn bodies_and_heads_have_their_limits() {
    let trial = Trial::start(|_| ());
    let json = ("Content-Type", "application/json");
    let prompt = |bytes: usize| format!(r#"{{"request": {{"prompt": "{}"}}}}"#, "x".repeat(bytes));
    assert_eq!(trial.raw("POST /api/v1/jobs", &[json], &prompt(1000)).status, 202);
    let long = trial.raw("POST /api/v1/jobs", &[json], &prompt(1_000_000));
    assert_eq!(long.status, 422);
    assert!(long.body.contains("request.prompt"), "{}", long.body);
    assert_eq!(trial.raw("POST /api/v1/jobs", &[json], &prompt(2 << 20)).status, 413);
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16));
    let chunks = format!("{}0\r\n\r\n", chunk.repeat(40));
    assert_eq!(trial.raw("POST /api/v1/jobs", &[json, ("Transfer-Encoding", "chunked")], &chunks).status, 413);
    let both = [json, ("Transfer-Encoding", "chunked"), ("Content-Length", "2")];
    assert_eq!(trial.raw("POST /api/v1/jobs", &both, "2\r\n{}\r\n0\r\n\r\n").status, 202);
    // A connection that is closed with something unread is reset: the answer may be lost on its way.
    assert!([0, 400, 431].contains(&trial.raw("GET /health", &[("X-Long", &"x".repeat(400_000))], "").status));
    let many: Vec<(String, String)> = (0..200).map(|n| (format!("X-{n}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert!([0, 431].contains(&trial.raw("GET /health", &many, "").status));
    assert!([0, 400, 414, 431].contains(&trial.raw(&format!("GET /{}", "x".repeat(400_000)), &[], "").status));
    for text in ["nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET /\u{7f} HTTP/1.1\r\nHost: x\r\n\r\n"] {
        assert!([0, 400].contains(&trial.say(text).status), "{text:?}");
    }
    assert_eq!(trial.get("/health").status, 200);
}

#[test]
fn every_answer_tells_the_browser_to_be_careful() {
    let trial = Trial::start(|_| ());
    for path in ["GET /", "GET /api/v1/queue", "GET /nothing", "GET /api/docs/", "GET /health", "POST /health"] {
        let reply = trial.raw(path, &[], "");
        for (name, words) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'"),
            ("content-security-policy", "frame-ancestors 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-request-id", ""),
        ] {
            let value = reply.header(name).unwrap_or_else(|| panic!("{path} has no {name}: {}", reply.head));
            assert!(value.contains(words), "{path}: {name}: {value}");
        }
        assert!(!reply.header("content-security-policy").unwrap().contains("script-src 'unsafe-inline'"), "{path}");
    }
}

/// S5: 500 connections that never finish their heads, or their bodies, are let go, and others are answered meanwhile.
#[test]
fn connections_that_hold_on_are_let_go() {
    let trial = Trial::start(|_| ());
    let begun = Instant::now();
    let body = |line: &str, kind: &str| {
        let head = format!("POST {line} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\n", trial.address());
        format!("{head}Content-Length: 1000\r\n\r\n{{")
    };
    let starts = [
        String::new(),
        "GET / HT".to_owned(),
        "GET / HTTP/1.1\r\nHost: ".to_owned(),
        "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nX-A: b\r\n".to_owned(),
        body("/api/v1/jobs", "application/json"),
        body("/v1/images/generations", "application/json"),
        body("/api/v1/jobs", "text/plain"),
        body("/nothing", "application/json"),
    ];
    let mut slow: Vec<_> = (0..500).map(|_| trial.connect()).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        stream.write_all(starts[n % starts.len()].as_bytes()).unwrap();
    }
    while begun.elapsed() < Duration::from_secs(3) {
        // One more byte now and then does not help them.
        for stream in slow.iter_mut().skip(1).step_by(49) {
            let _ = stream.write_all(b"x");
        }
        assert_eq!(trial.get("/health").status, 200);
        assert_eq!(trial.get("/api/v1/queue").status, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    for stream in &mut slow {
        let mut rest = Vec::new();
        // Closed or reset, it is at its end.
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn nobody_else_is_let_in_without_a_key() {
    use std::sync::Arc;

    use encaustic_server::Server;
    use encaustic_server::config::Config;

    use crate::support::Easel;
    let start = |listen: &str, require_key: bool| {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { listen: listen.parse().unwrap(), open: false, require_key, ..Config::default() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let server =
                Server::start(config, folder.path(), Arc::new(Easel::default())).await.map_err(|error| error.to_string())?;
            server.stop().await;
            Ok::<_, String>(())
        })
    };
    for (listen, require_key, starts) in [
        ("127.0.0.1:0", false, true),
        ("127.0.0.2:0", false, true),
        ("127.0.0.1:0", true, false),
        ("0.0.0.0:0", false, false),
        ("[::]:0", false, false),
        ("192.0.2.1:0", false, false),
    ] {
        let started = start(listen, require_key);
        assert_eq!(started.is_ok(), starts, "{listen}: {started:?}");
        if let Err(error) = started {
            assert!(error.contains("encaustic key add") && error.contains("--listen 127.0.0.1"), "{error}");
        }
    }
}

/// S7, small: followers who take nothing cost little, and the others hear everything.
#[test]
fn slow_followers_hold_nobody_up() {
    let trial = Trial::start(|_| ());
    trial.post("/api/v1/queue", &json!({"is_paused": true}));
    let open = || {
        let mut stream = trial.connect();
        write!(stream, "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: {}\r\n\r\n", trial.address()).unwrap();
        stream
    };
    let stalled: Vec<_> = (0..20).map(|_| open()).collect();
    let mut follower = open();
    let last =
        (0..2000).map(|_| trial.post("/api/v1/jobs", &json!({"request": {"seed": 1}}))).filter(|answer| answer.status == 202);
    let last = last.last().unwrap().json()["id"].as_u64().unwrap();
    let mut heard = Vec::new();
    let mut part = [0; 1 << 16];
    let wanted = format!("\"job\":{last},");
    while !String::from_utf8_lossy(&heard).contains(&wanted) {
        let read = follower.read(&mut part).unwrap();
        assert!(read > 0);
        heard.extend_from_slice(&part[..read]);
    }
    assert_eq!(trial.get("/health").status, 200);
    drop(stalled);
}
