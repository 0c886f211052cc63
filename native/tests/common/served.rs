//! A server in a process of its own, and a client.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::command;

/// A running server; it is killed when this is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
    /// From the start of the process until it said where it listens.
    pub(crate) ready: Duration,
    pub(crate) begun: Instant,
    data: PathBuf,
    agent: ureq::Agent,
}

/// An answer: its status and its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{} {error}: {text}", self.status))
    }
}

impl Served {
    /// A server on the processor over a folder, with more arguments.
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        Self::begin(command(), data, more)
    }

    /// The same with a command that has an environment of its own.
    pub(crate) fn begin(mut command: Command, data: &Path, more: &[&str]) -> Self {
        let begun = Instant::now();
        fs::create_dir_all(data).unwrap();
        let log = OpenOptions::new().create(true).append(true).open(data.join("stderr.log")).unwrap();
        let command = command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--open", "false", "--devices", "cpu"]);
        let command = command.arg("--data").arg(data).args(more).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let log = fs::read_to_string(data.join("stderr.log")).unwrap_or_default();
            panic!("{error}: {line}\n{log}")
        });
        let address = ready["address"].as_str().unwrap().to_owned();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        Self { child, address, ready: begun.elapsed(), begun, data: data.to_owned(), agent }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, ureq::Error> {
        read(self.agent.get(format!("{}{path}", self.address)).call()?)
    }

    /// Asks for anything, with a key or without, and with JSON or nothing.
    #[track_caller]
    pub(crate) fn ask(&self, line: &str, key: Option<&str>, body: Option<&Value>) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let answer = match body {
            Some(body) => self.agent.run(request.header("content-type", "application/json").body(body.to_string()).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        read(answer.unwrap()).unwrap()
    }

    /// Submits a job; an error may mean that the server has gone meanwhile.
    pub(crate) fn submit(&self, wish: &Value, key: Option<&str>) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.post(format!("{}/api/v1/jobs", self.address)).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        read(request.send(wish.to_string())?)
    }

    /// Submits a job that is taken; its number.
    #[track_caller]
    pub(crate) fn job(&self, wish: &Value) -> u64 {
        let answer = self.submit(wish, None).unwrap();
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["id"].as_u64().unwrap()
    }

    /// A job as it is now.
    #[track_caller]
    pub(crate) fn look(&self, job: u64) -> Value {
        self.get(&format!("/api/v1/jobs/{job}")).unwrap().json()
    }

    /// Waits until a job is in one of these states.
    #[track_caller]
    pub(crate) fn until(&self, job: u64, states: &[&str]) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.look(job);
            if states.iter().any(|state| found["state"] == *state) {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "waited in vain for {states:?}: {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a job's end.
    #[track_caller]
    pub(crate) fn ended(&self, job: u64) -> Value {
        self.until(job, &["finished", "failed", "cancelled"])
    }

    /// The changes of a job that were stored, up to its end; nothing may come after that.
    #[track_caller]
    pub(crate) fn told(&self, job: u64) -> Vec<String> {
        let stream = self.get(&format!("/api/v1/jobs/{job}/events")).unwrap();
        let text = String::from_utf8(stream.body).unwrap();
        let events: Vec<Value> =
            text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()).collect();
        let seq = events.last().and_then(|event| event["seq"].as_u64()).unwrap_or_else(|| panic!("{text}"));
        let rest = self.get(&format!("/api/v1/jobs/{job}/events?after={seq}")).unwrap();
        assert_eq!(rest.status, 204, "job {job} has more than one last event");
        let change = |event: &Value| match &event["change"] {
            Value::String(word) => word.clone(),
            change => change.as_object().and_then(|change| change.keys().next().cloned()).unwrap_or_default(),
        };
        events.iter().map(change).collect()
    }

    /// The files of pictures, by their names in the store.
    pub(crate) fn pictures(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.data.join("images")).unwrap().flatten().filter(|entry| entry.path().is_dir());
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path()));
        files.filter(|path| path.extension().is_some_and(|ending| ending == "png")).collect()
    }

    /// The file of a picture.
    #[track_caller]
    pub(crate) fn picture(&self, name: &str) -> PathBuf {
        let path = self.data.join("images").join(&name[..2]).join(format!("{}.png", &name[2..]));
        assert!(path.is_file(), "{} is not there", path.display());
        path
    }

    /// Sends a signal by its name.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    Ok(Answer { status: answer.status().as_u16(), body: answer.body_mut().with_config().limit(1 << 28).read_to_vec()? })
}
