//! The server under load: how many it takes, how soon it answers, how much memory it wants.
//!
//! Starts a server (`encaustic serve`) on a free port with a folder of its own, the model in the box and one processor as its
//! device, and does to it what crowds and enemies do. `README.md` beside this file says how to run it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many jobs may wait.
const CAPACITY: usize = 100;
/// How many submit at once, and how many follow.
const CROWD: usize = 1000;
/// How many of those who follow read nothing.
const STALLED: usize = CROWD / 10;
/// How many requests are sent by half.
const HALVES: usize = 500;
/// How long is waited for anything.
const PATIENCE: Duration = Duration::from_secs(60);

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A server that ends with its value.
struct Trial {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Trial {
    fn start(program: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let flags = ["serve", "--json", "--listen", "127.0.0.1:0", "--open", "false", "--devices", "cpu", "--log-level", "warn"];
        let mut command = Command::new(program);
        command.args(flags).args(["--capacity", &CAPACITY.to_string()]).arg("--data").arg(folder.path());
        let mut child = command.env("ENCAUSTIC_HOME", folder.path()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line)?;
        let address = told["address"].as_str().ok_or("no address")?.trim_start_matches("http://").to_owned();
        Ok(Self { child, address, _folder: folder })
    }

    /// Megabytes of main memory, now.
    fn megabytes(&self) -> f64 {
        let path = Path::new("/proc").join(self.child.id().to_string()).join("status");
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: f64 = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN);
        kilobytes / 1024.0
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer: its status, its head and its body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// Sends a request on a connection of its own.
async fn ask(address: &str, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Answer { status, head, body: all.split_off(end + 4) })
}

fn job(steps: u32) -> Value {
    json!({"request": {"prompt": "a red circle above a blue square", "steps": steps, "width": 128, "height": 128}})
}

/// Milliseconds since 1970.
fn tomorrow() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now + Duration::from_secs(24 * 60 * 60)).as_millis()
}

/// Submits a job; returns its number.
async fn submit(address: &str, steps: u32) -> Outcome<u64> {
    let answer = ask(address, "POST", "/api/v1/jobs", Some(&job(steps))).await?;
    let told: Value = serde_json::from_slice(&answer.body)?;
    Ok(told["id"].as_u64().ok_or_else(|| format!("{}: {told}", answer.status))?)
}

async fn pause(address: &str, is_paused: bool) -> Outcome<()> {
    ask(address, "POST", "/api/v1/queue", Some(&json!({"is_paused": is_paused}))).await?;
    Ok(())
}

/// Times in milliseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, since: Instant) {
        self.0.push(since.elapsed().as_secs_f64() * 1000.0);
    }

    /// The value that `share` of them do not exceed.
    fn at(&mut self, share: f64) -> f64 {
        self.0.sort_by(f64::total_cmp);
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
    }

    fn row(&mut self, name: &str) {
        let (count, median, most, last) = (self.0.len(), self.at(0.5), self.at(0.99), self.at(1.0));
        println!("| {name} | {count} | {median:.1} | {most:.1} | {last:.1} |");
    }
}

/// S6: everybody submits at once.
async fn submitters(trial: &Trial) -> Outcome<()> {
    pause(&trial.address, true).await?;
    let mut all = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..CROWD {
        let address = trial.address.clone();
        all.spawn(async move { ask(&address, "POST", "/api/v1/jobs", Some(&job(1))).await });
    }
    let (mut told, mut without_time) = (BTreeMap::<String, usize>::new(), 0);
    while let Some(answer) = all.join_next().await {
        let name = match answer? {
            Ok(answer) => {
                without_time += usize::from(answer.status == 429 && !answer.head.contains("\r\nretry-after: "));
                answer.status.to_string()
            }
            Err(error) => error.kind().to_string(),
        };
        *told.entry(name).or_default() += 1;
    }
    println!(
        "\n{CROWD} submit at once, {CAPACITY} may wait: {told:?} in {:.1} s; 429 without Retry-After: {without_time}",
        begun.elapsed().as_secs_f64()
    );
    let queue: Value = serde_json::from_slice(&ask(&trial.address, "GET", "/api/v1/queue", None).await?.body)?;
    println!("the queue says: {queue}; {:.0} MB", trial.megabytes());
    let jobs: Value =
        serde_json::from_slice(&ask(&trial.address, "GET", "/api/v1/jobs?state=waiting&limit=200", None).await?.body)?;
    for job in jobs["items"].as_array().into_iter().flatten() {
        ask(&trial.address, "DELETE", &format!("/api/v1/jobs/{}", job["id"]), None).await?;
    }
    pause(&trial.address, false).await
}

/// S7: many follow, and some of them do not listen.
async fn followers(trial: &Trial) -> Outcome<()> {
    let before = trial.megabytes();
    let heard = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let mut all = JoinSet::new();
    for number in 0..CROWD {
        let (address, heard, refused) = (trial.address.clone(), Arc::clone(&heard), Arc::clone(&refused));
        all.spawn(async move {
            let socket = TcpSocket::new_v4()?;
            if number < STALLED {
                socket.set_recv_buffer_size(4096)?;
            }
            let mut stream = socket.connect(address.parse().map_err(io::Error::other)?).await?;
            let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut part = vec![0; 4096];
            let count = stream.read(&mut part).await?;
            if !part[..count].starts_with(b"HTTP/1.1 200") {
                refused.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            if number < STALLED {
                return std::future::pending().await;
            }
            loop {
                match stream.read(&mut part).await? {
                    0 => return io::Result::Ok(()),
                    count => heard
                        .fetch_add(part[..count].windows(6).filter(|six| six == b"\ndata:").count() as u64, Ordering::Relaxed),
                };
            }
        });
    }
    sleep(Duration::from_secs(3)).await;
    let open = trial.megabytes();
    let (begun, mut changes) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(20) {
        pause(&trial.address, changes % 2 == 0).await?;
        changes += 1;
    }
    pause(&trial.address, false).await?;
    sleep(Duration::from_secs(2)).await;
    println!(
        "\n{CROWD} follow, {STALLED} of them read nothing, {} refused: {before:.0} MB before, {open:.0} MB open, {:.0} MB after {changes} events; {} told, {:.1} of 100 of what those who listen should hear",
        refused.load(Ordering::Relaxed),
        trial.megabytes(),
        heard.load(Ordering::Relaxed),
        heard.load(Ordering::Relaxed) as f64 * 100.0 / (changes + 1) as f64 / (CROWD - STALLED) as f64,
    );
    all.shutdown().await;
    Ok(())
}

/// Asks for a path again and again, until told to end.
async fn again(
    address: String,
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    ended: Arc<AtomicBool>,
) -> (Times, u64) {
    let (mut times, mut wrong) = (Times::default(), 0);
    while !ended.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match ask(&address, method, path, body.as_ref()).await {
            Ok(answer) if answer.status < 300 => {
                times.add(begun);
                // What was submitted makes room for the next.
                if let Some(job) = answer.head.split("\r\nlocation: ").nth(1).and_then(|rest| rest.lines().next()) {
                    let _ = ask(&address, "DELETE", job, None).await;
                }
            }
            _ => wrong += 1,
        }
        sleep(Duration::from_millis(20)).await;
    }
    (times, wrong)
}

/// How soon is answered, while something else goes on.
async fn latencies(trial: &Trial, title: &str, meanwhile: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    let ended = Arc::new(AtomicBool::new(false));
    let asked = [
        ("GET", "/health", None),
        ("GET", "/ready", None),
        ("GET", "/metrics", None),
        ("GET", "/api/v1/jobs", None),
        ("GET", "/api/v1/queue", None),
        ("GET", "/api/v1/devices", None),
        ("GET", "/api/v1/images?limit=100", None),
        ("GET", "/api/v1/images?q=red", None),
        ("GET", "/sdapi/v1/progress", None),
        ("POST", "/api/v1/jobs", Some(json!({"request": {"prompt": "later", "steps": 1}, "not_before": tomorrow()}))),
    ];
    let running = asked.clone().map(|(method, path, body)| {
        let (address, ended) = (trial.address.clone(), Arc::clone(&ended));
        tokio::spawn(again(address, method, path, body, ended))
    });
    meanwhile.await?;
    ended.store(true, Ordering::Relaxed);
    println!("\n{title}\n\n| | requests | median, ms | 99 of 100, ms | longest, ms |\n|---|---|---|---|---|");
    for ((method, path, _), running) in asked.into_iter().zip(running) {
        let (mut times, wrong) = running.await?;
        times.row(&format!("{method} {path}{}", if wrong > 0 { format!(", {wrong} FAILED") } else { String::new() }));
    }
    Ok(())
}

/// Draws until some seconds are over.
async fn draw(trial: &Trial, seconds: u64) -> Outcome<()> {
    let number = submit(&trial.address, 500).await?;
    sleep(Duration::from_secs(seconds)).await;
    let answer = ask(&trial.address, "DELETE", &format!("/api/v1/jobs/{number}"), None).await?;
    if answer.status == 409 {
        println!("(the drawing ended before the measurement did)");
    }
    Ok(())
}

/// S5: requests that are never finished.
async fn halves(trial: &Trial) -> Outcome<()> {
    let mut all = JoinSet::new();
    for _ in 0..HALVES {
        let address = trial.address.clone();
        all.spawn(async move {
            let mut stream = TcpStream::connect(&address).await?;
            stream.write_all(format!("POST /api/v1/jobs HTTP/1.1\r\nhost: {address}\r\nx-sl").as_bytes()).await?;
            let begun = Instant::now();
            let mut rest = Vec::new();
            // An answer (408) and then the end, or the end at once.
            let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            io::Result::Ok(begun)
        });
    }
    let (mut times, mut refused) = (Times::default(), 0);
    while let Some(half) = all.join_next().await {
        match half? {
            Ok(begun) => times.add(begun),
            Err(_) => refused += 1,
        }
    }
    println!(
        "\n{HALVES} half-sent requests: {refused} not let in, the others closed after {:.1} s at the latest",
        times.at(1.0) / 1000.0
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let program = std::env::args().nth(1).ok_or("say where the program is: load target/release/encaustic")?;
    let begun = Instant::now();
    let trial = Trial::start(&program)?;
    println!("serving after {:.2} s, {:.0} MB", begun.elapsed().as_secs_f64(), trial.megabytes());
    let number = submit(&trial.address, 20).await?;
    loop {
        let told: Value =
            serde_json::from_slice(&ask(&trial.address, "GET", &format!("/api/v1/jobs/{number}"), None).await?.body)?;
        if told["state"] != "waiting" && told["state"] != "running" {
            println!(
                "first picture: {} after {:.1} s, {:.0} MB",
                told["state"],
                begun.elapsed().as_secs_f64(),
                trial.megabytes()
            );
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    latencies(&trial, "Nothing else goes on", async {
        sleep(Duration::from_secs(10)).await;
        Ok(())
    })
    .await?;
    latencies(&trial, "While a picture is drawn", draw(&trial, 20)).await?;
    latencies(&trial, "While requests are sent by half", halves(&trial)).await?;
    submitters(&trial).await?;
    followers(&trial).await
}
