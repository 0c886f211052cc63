//! How long the gallery takes over HTTP: `gallery_speed [PICTURES [ROUNDS]]`, 10000 and 400 if nothing is said. It enters so
//! many rows (their files are few, and shared), asks for pages in every way, and prints percentiles in milliseconds. At the
//! end it uploads a small file of 20000 x 20000 pixels and tells how long the refusal took and how much memory. Linux.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

#[path = "../tests/server/support/easel.rs"]
mod easel;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use encaustic_protocol::{JobId, Request};
use encaustic_server::Server;
use encaustic_server::config::Config;
use encaustic_server::db::DbError;
use encaustic_server::host::Pixels;
use encaustic_server::images::{Made, collections, rows};
use encaustic_server::job::Client;
use sha2::{Digest, Sha256};

/// Files that the rows share.
const FILES: u64 = 50;
/// Words that prompts are made of; the first come most often.
const WORDS: u64 = 3000;

/// A number that looks like chance.
fn chance(n: u64) -> u64 {
    let digest = Sha256::digest(n.to_le_bytes());
    u64::from_le_bytes(*digest.first_chunk().unwrap())
}

fn prompt(n: u64) -> String {
    let word = |i: u64| {
        let at = chance(n * 100 + i) as f64 / u64::MAX as f64;
        format!("w{}x", (at * at * at * WORDS as f64) as u64)
    };
    let words: Vec<String> = (0..25).map(word).collect();
    format!("a picture of {}{}", words.join(" "), if n.is_multiple_of(997) { ", lighthouse" } else { "" })
}

fn fill(server: &Server, count: u64) {
    let app = &server.app;
    let files: Vec<_> = (0..FILES)
        .map(|seed| {
            let rgb = (0..512 * 512).flat_map(|n| chance((seed << 32) | (n / 64)).to_le_bytes()[..3].to_vec()).collect();
            let picture = Pixels { width: 512, height: 512, rgb };
            let settings = Request::default();
            app.images.put(&picture, &Made { seed, model: "", settings: &settings, parameters: "" }).unwrap().image
        })
        .collect();
    let collection = collections::create(&app.db, "some", 0).unwrap().id;
    for begin in (0..count).step_by(1000) {
        let entered: Result<(), DbError> = app.db.write(|change| {
            for n in begin..count.min(begin + 1000) {
                let mut image = files[(n % FILES) as usize].clone();
                image.seed = n;
                image.model = format!("model-{}", n % 7);
                image.settings =
                    Request { prompt: prompt(n), negative: prompt(n + count), steps: Some(20), ..Request::default() };
                image.parameters =
                    format!("{}\nNegative prompt: {}\nSteps: 20, Sampler: Euler, CFG scale: 7", prompt(n), prompt(n));
                let id = rows::insert(change, Some(JobId(n)), &Client::local(), &image, n as i64)?;
                if n.is_multiple_of(20) {
                    rows::change(change, id, &rows::Change { is_favourite: Some(true), ..rows::Change::default() })?;
                }
            }
            Ok(())
        });
        entered.unwrap();
        let some: Vec<u64> = (begin..begin + 1000).filter(|n| n.is_multiple_of(10)).map(|n| n + 1).collect();
        collections::change(&app.db, collection, &some, &[]).unwrap();
    }
}

/// Most bytes that this process has had in memory so far.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A PNG of 20000 x 20000 pixels, filled up to 2 MB.
fn bomb() -> Vec<u8> {
    let side = 20_000_u32;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let row = vec![0; side as usize + 1];
    (0..side).for_each(|_| packed.write_all(&row).unwrap());
    let packed = packed.finish().unwrap();
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, body) in [(b"IHDR", header.as_slice()), (b"IDAT", &packed), (b"IEND", &[])] {
        file.extend((body.len() as u32).to_be_bytes());
        file.extend(name);
        file.extend(body);
        let mut sum = flate2::Crc::new();
        sum.update(name);
        sum.update(body);
        file.extend(sum.sum().to_be_bytes());
    }
    file.resize(file.len().max(2 << 20), 0);
    file
}

/// The refusal of a file, how long it took after the last byte was sent, and what it cost.
fn refused(address: SocketAddr, file: &[u8]) -> (String, Duration, u64) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/v1/images HTTP/1.1\r\nHost: {address}\r\nContent-Type: image/png\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        file.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let before = peak();
    let begun = Instant::now();
    stream.write_all(file).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.lines().next().unwrap_or_default().to_owned(), begun.elapsed(), peak().saturating_sub(before))
}

fn main() {
    let mut words = std::env::args().skip(1).map(|word| word.parse::<u64>().expect("a number"));
    let (count, rounds) = (words.next().unwrap_or(10_000), words.next().unwrap_or(400));
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), open: false, ..Config::default() };
    let server = runtime.block_on(Server::start(config, folder.path(), Arc::new(easel::Easel::default()))).unwrap();
    let begun = Instant::now();
    fill(&server, count);
    println!("{count} pictures entered in {:.1} s", begun.elapsed().as_secs_f64());
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    println!("| {rounds} requests each, ms | p50 | p99 | most |\n|---|---|---|---|");
    type Path = Box<dyn Fn(u64) -> String>;
    let middle = move |n: u64| chance(n) % count + 1;
    let paths: [(&str, Path); 13] = [
        ("first page of 50", Box::new(|_| "images".into())),
        ("first page, counted", Box::new(|_| "images?count=1".into())),
        ("a page somewhere", Box::new(move |n| format!("images?before={}", middle(n)))),
        ("last page", Box::new(|_| "images?before=51".into())),
        ("search: a word of every picture", Box::new(|_| "images?q=picture+".into())),
        ("search: two words of many", Box::new(|n| format!("images?q=w{}x+w{}x+", n % 9, n % 7 + 9))),
        ("search: a rare word", Box::new(|_| "images?q=lighthouse+".into())),
        ("search: a beginning of one letter", Box::new(|_| "images?q=w".into())),
        ("favourites, somewhere", Box::new(move |n| format!("images?favourite=true&before={}", middle(n)))),
        (
            "favourites of a model with a word",
            Box::new(|n| format!("images?favourite=true&model=model-{}&q=w{}x+", n % 7, n % 9)),
        ),
        ("a collection, somewhere", Box::new(move |n| format!("images?collection=1&before={}", middle(n)))),
        ("all of a picture", Box::new(move |n| format!("images/{}", middle(n)))),
        ("a thumbnail", Box::new(move |n| format!("images/{}/thumbnail", middle(n)))),
    ];
    for (what, path) in paths {
        let mut took: Vec<f64> = (0..rounds)
            .map(|n| {
                let url = format!("http://{}/api/v1/{}", server.address(), path(n));
                let begun = Instant::now();
                let body = agent.get(&url).call().unwrap().body_mut().read_to_vec().unwrap();
                assert!(!body.is_empty());
                begun.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!("| {what} | {:.1} | {:.1} | {:.1} |", at(0.5), at(0.99), at(1.0));
    }
    let file = bomb();
    let (status, took, memory) = refused(server.address(), &file);
    println!(
        "a PNG of 20000 x 20000 in {} bytes: {status}, {:.1} ms, + {:.1} MB",
        file.len(),
        took.as_secs_f64() * 1e3,
        memory as f64 / 1e6
    );
    runtime.block_on(server.stop());
}
