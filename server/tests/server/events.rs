//! Events: none is lost over a break, the slow are told to ask anew, and the end of the server is told.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use crate::support::Trial;

/// Events over a stream of server-sent events: their `id` and what they say.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(trial: &Trial, path: &str, headers: &str) -> Self {
        let address = trial.url("").replace("http://", "");
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").unwrap();
        let mut stream = BufReader::new(stream);
        // From when the answer has begun, nothing is missed.
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0, "{path}: it has no answer");
        }
        Self(stream)
    }

    /// The next event; `None` at the end.
    fn next(&mut self) -> Option<(Option<u64>, Value)> {
        let (mut id, mut data, begun) = (None, None, Instant::now());
        loop {
            // It says that it is alive for ever.
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing comes");
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 || line == "0\r\n" {
                return None;
            }
            if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).unwrap());
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = text.trim().parse().ok();
            } else if line == "\n"
                && let Some(data) = data.take()
            {
                return Some((id, data));
            }
        }
    }
}

fn submit(trial: &Trial) -> u64 {
    trial.post("/api/v1/jobs", &json!({})).json()["id"].as_u64().unwrap()
}

fn paused() -> Trial {
    let trial = Trial::start(|_| ());
    trial.post("/api/v1/queue", &json!({"is_paused": true}));
    trial
}

fn kind(event: &Value) -> String {
    match &event["change"] {
        Value::Object(change) => change.keys().next().unwrap().clone(),
        Value::String(change) => change.clone(),
        _ => event["type"].as_str().unwrap().to_owned(),
    }
}

#[test]
fn a_job_is_followed_from_its_beginning_to_its_end() {
    let trial = paused();
    let job = submit(&trial);
    let path = format!("/api/v1/jobs/{job}/events");
    let mut stream = Stream::open(&trial, &path, "");
    submit(&trial);
    let (queued, _) = stream.next().map(|(id, event)| (id.unwrap(), assert_eq!(kind(&event), "queued"))).unwrap();
    trial.delete(&format!("/api/v1/jobs/{job}"));
    let (id, event) = stream.next().unwrap();
    assert_eq!(kind(&event), "cancelled");
    assert!(stream.next().is_none());

    let again = |after: u64| Stream::open(&trial, &path, &format!("Last-Event-ID: {after}\r\n")).next();
    assert_eq!(kind(&again(queued).unwrap().1), "cancelled");
    assert_eq!(trial.get(&format!("{path}?after={}", id.unwrap())).status, 204);
    assert_eq!(trial.get("/api/v1/jobs/999/events").status, 404);
}

#[test]
fn nothing_is_lost_over_a_break() {
    let trial = paused();
    let before = trial.get("/api/v1/server").json()["last_event"].as_u64().unwrap();
    let jobs: Vec<u64> = (0..600).map(|_| submit(&trial)).collect();
    let mut seen = Vec::new();
    let mut last = before;
    while seen.len() < jobs.len() {
        // A break after every 250 events.
        let mut stream = Stream::open(&trial, &format!("/api/v1/events?after={last}"), "");
        for _ in 0..250.min(jobs.len() - seen.len()) {
            let (id, event) = stream.next().unwrap();
            assert_eq!(id.unwrap(), last + 1);
            last += 1;
            seen.push(event["job"].as_u64().unwrap());
        }
    }
    assert_eq!(seen, jobs);
}

#[test]
fn a_number_that_was_never_given_means_another_database() {
    let trial = paused();
    let mut stream = Stream::open(&trial, "/api/v1/events?after=1000000", "");
    let (id, event) = stream.next().unwrap();
    assert_eq!((id, kind(&event).as_str()), (None, "resync"));
    let job = submit(&trial);
    assert_eq!(stream.next().unwrap().1["job"], job);
    assert_eq!(trial.get("/api/v1/events?after=x").status, 422);
}

#[test]
fn a_web_socket_says_the_same() {
    let trial = paused();
    let job = submit(&trial);
    let url = trial.url("/api/v1/ws?after=0").replace("http", "ws");
    let stream = TcpStream::connect(trial.url("").replace("http://", "")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut socket, _) = tungstenite::client(&url, stream).unwrap();
    let mut next = || loop {
        match socket.read().unwrap() {
            tungstenite::Message::Text(text) => return Some(serde_json::from_str::<Value>(&text).unwrap()),
            tungstenite::Message::Close(_) => return None,
            _ => {}
        }
    };
    assert_eq!(kind(&next().unwrap()), "queue");
    assert_eq!(next().unwrap()["job"], job);
    let later = submit(&trial);
    assert_eq!(next().unwrap()["job"], later);
    assert_eq!(trial.get("/api/v1/ws").status, 400);
    trial.stop();
    assert_eq!(next(), None);
}

#[test]
fn who_comes_late_hears_how_far_it_is() {
    let trial = Trial::start(|_| ());
    let wish = json!({"request": {"prompt": "slow:300", "steps": 50}});
    let job = trial.post("/api/v1/jobs", &wish).json()["id"].as_u64().unwrap();
    trial.until("it has made a step", || {
        (trial.get(&format!("/api/v1/jobs/{job}/progress")).json()["progress"]["done"].as_u64()? > 0).then_some(())
    });
    let mut stream = Stream::open(&trial, "/api/v1/events", "");
    let (id, event) = stream.next().unwrap();
    assert_eq!((id, event["job"].as_u64(), kind(&event).as_str()), (None, Some(job), "progress"));
    let preview = trial.until("it can be looked at", || {
        Some(trial.get(&format!("/api/v1/jobs/{job}/preview"))).filter(|answer| answer.status == 200)
    });
    assert!(preview.headers["content-type"].to_str().unwrap().starts_with("image/"));
    trial.delete(&format!("/api/v1/jobs/{job}"));
    trial.until("it has ended", || (trial.get(&format!("/api/v1/jobs/{job}")).json()["state"] == "cancelled").then_some(()));
}

#[test]
fn a_revoked_key_hears_nothing_more() {
    let trial = paused();
    let key = trial.post("/api/v1/keys", &json!({"name": "gone"})).json()["key"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {key}\r\n");
    let mut stream = Stream::open(&trial, "/api/v1/events", &bearer);
    let mut local = Stream::open(&trial, "/api/v1/events", "");
    let job = submit(&trial);
    for stream in [&mut stream, &mut local] {
        assert_eq!(stream.next().unwrap().1["job"], job);
    }
    assert_eq!(trial.delete("/api/v1/keys/gone").status, 204);
    // It ends; who needs no key goes on.
    assert!(std::iter::from_fn(|| stream.next()).count() <= 1);
    let next = submit(&trial);
    assert_eq!(local.next().unwrap().1["job"], next);
}
