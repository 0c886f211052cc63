//! A hub of our own on a real socket: the paths and headers of the real one, a second server as its CDN, a log of what was
//! asked for, and a set of tricks that servers and networks play.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{Run, command};

/// The commit that every branch of these repositories is.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The repository.
pub(crate) const REPO: &str = "tester/tiny";

/// Its folder in a cache.
pub(crate) const FOLDER: &str = "models--tester--tiny";

/// What goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Trick {
    /// The connection ends before this byte of the file.
    Cut(usize),
    /// A range is not honoured: everything comes.
    NoRange,
    /// Another status, with headers.
    Status(u16, &'static str),
    /// Other bytes of the same number.
    Lie,
    /// A `Content-Length` that is off by so much, and as many bytes.
    Length(i64),
    /// Other headers for those that the hub has.
    Header(&'static str, String),
    /// After this byte nothing comes any more.
    Stall(usize),
    /// Small pieces with pauses of so many milliseconds.
    Slow(u64),
    /// A hundred megabytes, compressed to a hundred kilobytes, in chunks that do not tell the length.
    Bomb,
    /// Another body and another type.
    Body(Vec<u8>, &'static str),
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `GET /path?query`; those to the CDN have paths that begin with `/cdn/`.
    pub(crate) line: String,
    /// By names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    tricks: Vec<(String, usize, Trick)>,
    seen: Vec<Seen>,
    cdn: u16,
}

/// The hub and its CDN. They listen as long as the test's process lives.
#[derive(Clone)]
pub(crate) struct Hub {
    port: u16,
    cdn: u16,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// A hub with one repository.
    pub(crate) fn serve(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let (hub, cdn) = (listen(), listen());
        let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
        let (hub_port, cdn_port) = (port(&hub), port(&cdn));
        let state = Arc::new(Mutex::new(State { files, tricks: Vec::new(), seen: Vec::new(), cdn: cdn_port }));
        for listener in [hub, cdn] {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    // A client that went away is what these tests are about.
                    thread::spawn(move || drop(answer(&stream, &state)));
                }
            });
        }
        Self { port: hub_port, cdn: cdn_port, state }
    }

    /// A hub with the tiny reference model.
    pub(crate) fn with_model() -> Self {
        Self::serve(model())
    }

    /// Plays a trick on the next requests whose line contains this.
    pub(crate) fn trick(&self, on: &str, times: usize, trick: Trick) {
        self.state.lock().expect("no request panicked").tricks.push((on.to_owned(), times, trick));
    }

    /// Ends all tricks.
    pub(crate) fn behave(&self) {
        self.state.lock().expect("no request panicked").tricks.clear();
    }

    /// Changes a file.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.state.lock().expect("no request panicked").files.insert(name.to_owned(), bytes);
    }

    /// The requests since this was asked last.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().expect("no request panicked").seen)
    }

    /// The URL of a file on the second server, which knows nothing of repositories.
    pub(crate) fn url(&self, file: &str) -> String {
        format!("http://127.0.0.1:{}/cdn/{file}", self.cdn)
    }

    /// The binary, with this hub and a home of its own.
    pub(crate) fn command(&self, home: &Path) -> Command {
        let mut command = at_home(home);
        command.env("HF_ENDPOINT", format!("http://127.0.0.1:{}", self.port));
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, home: &Path, args: &[&str]) -> Run {
        Run::new(args, self.command(home).args(args).output().expect("the binary starts"))
    }
}

/// The binary with nothing of the user's and no hub: the port that it is told to ask is closed.
pub(crate) fn at_home(home: &Path) -> Command {
    let mut command = command();
    for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HUGGINGFACE_HUB_CACHE"] {
        command.env_remove(name);
    }
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.env("HOME", home).env("HF_HOME", home.join("hf")).env("HF_ENDPOINT", "http://127.0.0.1:9");
    command.env("HF_HUB_DOWNLOAD_TIMEOUT", "20");
    command
}

/// The repository's folder in a home's cache.
pub(crate) fn cache(home: &Path) -> PathBuf {
    home.join("hf/hub").join(FOLDER)
}

/// The files of the reference model.
pub(crate) fn model() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let root = super::golden_model("sd15");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the model is there").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(&root).expect("it is below").to_string_lossy().replace('\\', "/");
                files.insert(name, fs::read(entry.path()).expect("the file can be read"));
            }
        }
    }
    files
}

/// The SHA-256 of bytes in hexadecimal digits.
pub(crate) fn sha(bytes: &[u8]) -> String {
    encaustic_launcher::hash::of_bytes(bytes).full().to_owned()
}

/// What will be sent.
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Where in the file the body begins.
    start: usize,
}

impl Reply {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), start: 0 }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

fn answer(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    let (mut reply, trick) = {
        let mut state = state.lock().expect("no request panicked");
        state.seen.push(Seen { line: line.clone(), headers: headers.clone() });
        let found = state.tricks.iter_mut().find(|(on, times, _)| *times > 0 && line.contains(on.as_str()));
        let trick = found.map(|(_, times, trick)| {
            *times -= 1;
            trick.clone()
        });
        (reply(&state, &line, &headers, matches!(trick, Some(Trick::NoRange))), trick)
    };
    let (mut cut, mut stall, mut slow) = (None, None, None);
    match trick {
        Some(Trick::Cut(at)) => cut = Some(at.saturating_sub(reply.start)),
        Some(Trick::Stall(at)) => stall = Some(at.saturating_sub(reply.start)),
        Some(Trick::Slow(pause)) => slow = Some(pause),
        Some(Trick::Status(status, header)) => {
            reply = Reply::new(status, "no");
            if let Some((name, value)) = header.split_once(": ") {
                reply = reply.with(name, value);
            }
        }
        Some(Trick::Lie) => reply.body.iter_mut().for_each(|byte| *byte ^= 1),
        Some(Trick::Length(off)) => {
            let length = usize::try_from(i64::try_from(reply.body.len()).unwrap() + off).unwrap();
            reply.body.resize(length, 0);
        }
        Some(Trick::Header(name, value)) => reply = reply.with(name, value),
        Some(Trick::Body(body, kind)) => reply = Reply::new(200, body).with("Content-Type", kind),
        Some(Trick::Bomb) => return bomb(stream),
        Some(Trick::NoRange) | None => {}
    }
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if line.starts_with("HEAD ") {
        return Ok(());
    }
    let end = cut.or(stall).unwrap_or(reply.body.len()).min(reply.body.len());
    for piece in reply.body[..end].chunks(if slow.is_some() { 4096 } else { 1 << 16 }) {
        stream.write_all(piece)?;
        thread::sleep(Duration::from_millis(slow.unwrap_or(0)));
    }
    if stall.is_some() {
        thread::sleep(Duration::from_secs(60));
    }
    Ok(())
}

fn bomb(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&vec![b' '; 100_000_000])?;
    let packed = packed.finish()?;
    stream.write_all(b"HTTP/1.1 200 X\r\nConnection: close\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    stream.write_all(format!("{:x}\r\n", packed.len()).as_bytes())?;
    stream.write_all(&packed)?;
    stream.write_all(b"\r\n0\r\n\r\n")
}

fn reply(state: &State, line: &str, headers: &BTreeMap<String, String>, whole: bool) -> Reply {
    let target = line.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    if let Some(name) = path.strip_prefix("/cdn/") {
        return match state.files.get(name) {
            Some(bytes) => part(bytes, headers, whole).with("ETag", format!("\"{}\"", &sha(bytes)[..20])),
            None => Reply::new(404, "no such file"),
        };
    }
    if path.starts_with(&format!("/api/models/{REPO}/revision/")) {
        let size = |bytes: &Vec<u8>| bytes.len();
        let files = state.files.iter().map(|(name, bytes)| serde_json::json!({"rfilename": name, "size": size(bytes)}));
        let listing = serde_json::json!({"sha": COMMIT, "siblings": files.collect::<Vec<_>>(), "private": false});
        return Reply::new(200, listing.to_string()).with("Content-Type", "application/json");
    }
    // Small files lie behind a redirect within the hub; some here, some not, as it has been both ways.
    let cached = format!("/api/resolve-cache/models/{REPO}/");
    let rest = path.strip_prefix(&format!("/{REPO}/resolve/")).or_else(|| path.strip_prefix(&cached));
    let Some((_, name)) = rest.and_then(|rest| rest.split_once('/')) else {
        return Reply::new(404, "Repository not found").with("X-Error-Code", "RepoNotFound");
    };
    let Some(bytes) = state.files.get(name) else {
        return Reply::new(404, "Entry not found").with("X-Error-Code", "EntryNotFound");
    };
    if name.ends_with(".safetensors") {
        return Reply::new(302, "Found. Redirecting")
            .with("Location", format!("http://127.0.0.1:{}/cdn/{name}?signature=secret", state.cdn))
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-Etag", format!("\"{}\"", sha(bytes)))
            .with("X-Linked-Size", bytes.len().to_string());
    }
    if name.starts_with("tokenizer/") && !path.starts_with(&cached) {
        return Reply::new(307, "").with("Location", format!("{cached}{COMMIT}/{name}")).with("X-Repo-Commit", COMMIT);
    }
    part(bytes, headers, whole).with("X-Repo-Commit", COMMIT).with("ETag", format!("\"{}\"", &sha(bytes)[..40]))
}

/// A file, or what is asked for of it.
fn part(bytes: &[u8], headers: &BTreeMap<String, String>, whole: bool) -> Reply {
    let version = format!("\"{}\"", &sha(bytes)[..20]);
    let is_same = headers.get("if-range").is_none_or(|asked| *asked == version);
    let range = headers.get("range").filter(|_| is_same && !whole).and_then(|range| range.strip_prefix("bytes="));
    let Some((start, end)) = range.and_then(|range| range.split_once('-')) else { return Reply::new(200, bytes) };
    let start: usize = start.parse().expect("the client asks for plain ranges");
    let end = end.parse().map_or(bytes.len(), |end: usize| (end + 1).min(bytes.len()));
    if start >= bytes.len() {
        return Reply::new(416, "").with("Content-Range", format!("bytes */{}", bytes.len()));
    }
    let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
    let reply = Reply::new(206, &bytes[start..end]).with("Content-Range", range);
    Reply { start, ..reply }
}

/// Whether the cache has the repository's files, each with its own bytes, and nothing half done.
#[track_caller]
pub(crate) fn is_whole(home: &Path) {
    for (name, bytes) in model() {
        let path = cache(home).join("snapshots").join(COMMIT).join(&name);
        assert!(fs::read(&path).is_ok_and(|found| found == bytes), "{name}");
    }
    assert_eq!(fs::read_to_string(cache(home).join("refs/main")).unwrap(), COMMIT);
    assert_eq!(unfinished(home), Vec::<String>::new());
}

/// The names of partial files.
pub(crate) fn unfinished(home: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache(home).join("blobs")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| name.ends_with(".incomplete")).collect()
}

/// What lies anywhere below a folder, or right beside it, under a name that only a server of these tests gives.
pub(crate) fn escaped(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![home.to_owned()];
    let beside = fs::read_dir(home.parent().unwrap()).unwrap().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = beside.collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            paths.push(entry.path());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.extend(paths.into_iter().filter(|path| path.file_name().unwrap().to_string_lossy().contains("evil")));
    found
}
