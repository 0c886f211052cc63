//! Traces reach a collector: one of our own, on a socket. A program of its own, because a process has one log.
#![cfg(feature = "otel")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use encaustic_server::config::Config;
use encaustic_server::logs;

/// A request that the collector was sent: its first line and headers, and its body.
struct Sent {
    head: String,
    body: Vec<u8>,
}

/// A collector that takes everything.
fn collector() -> (String, Receiver<Sent>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (sender, sent) = sync_channel(16);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
            let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            if sender.send(Sent { head, body }).is_err() {
                return;
            }
        }
    });
    (endpoint, sent)
}

#[test]
fn traces_reach_a_collector() {
    let (endpoint, sent) = collector();
    let wrong = Config { otel_endpoint: Some("collector:4318".into()), ..Config::default() };
    let error = logs::start(&wrong, 0).unwrap_err().to_string();
    assert!(error.starts_with("otel_endpoint: \"collector:4318\""), "{error}");

    let config = Config { otel_endpoint: Some(endpoint), ..Config::default() };
    let ended = logs::start(&config, 0).unwrap();
    tracing::info_span!(target: "encaustic_server", "job", job = 17, device = "easel:0").in_scope(|| tracing::info!("begun"));
    tracing::info_span!(target: "somebody_else", "unwanted").in_scope(|| ());
    drop(ended);

    let sent = sent.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(sent.head.starts_with("POST /v1/traces HTTP/1.1"), "{}", sent.head);
    assert!(sent.head.to_lowercase().contains("content-type: application/x-protobuf"), "{}", sent.head);
    let has = |word: &str| sent.body.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(has("service.name") && has("encaustic") && has("job") && has("easel:0"));
    assert!(!has("unwanted"));
}
