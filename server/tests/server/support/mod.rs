//! What the tests of the server share: a server of their own on a free port, and a client.

pub mod easel;
pub mod raw;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encaustic_server::Server;
use encaustic_server::config::Config;
use serde_json::Value;
use tempfile::TempDir;

pub use easel::Easel;

/// A running server, its folder and a client for it. It ends when it is dropped.
pub struct Trial {
    pub server: Option<Server>,
    pub folder: TempDir,
    runtime: tokio::runtime::Runtime,
    agent: ureq::Agent,
}

/// An answer: status, headers, body.
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Trial {
    /// A server with the usual settings, changed by `adjust`, and the quick engine.
    pub fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::with(Easel::default(), adjust)
    }

    pub fn with(easel: Easel, adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::over(folder, easel, adjust)
    }

    /// A server over a folder that another may have left.
    pub fn over(folder: TempDir, easel: Easel, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { listen: ([127, 0, 0, 1], 0).into(), open: false, ..Config::default() };
        adjust(&mut config);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(config, folder.path(), Arc::new(easel))).unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { server: Some(server), folder, runtime, agent }
    }

    /// Ends the server gracefully and returns its folder.
    pub fn stop(mut self) -> TempDir {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.as_ref().unwrap().address())
    }

    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    pub fn get(&self, path: &str) -> Answer {
        read(self.agent.get(self.url(path)).call())
    }

    pub fn delete(&self, path: &str) -> Answer {
        read(self.agent.delete(self.url(path)).call())
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.patch(self.url(path)).header("content-type", "application/json");
        read(request.send(body.to_string()))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.post(self.url(path)).header("content-type", "application/json");
        read(request.send(body.to_string()))
    }

    /// A request with a body of any kind and headers; for `HEAD`, `PATCH`, uploads and the like.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(self.agent.run(request.body(body).unwrap()))
    }

    /// Does something on one of the server's threads that may wait.
    pub fn aside(&self, work: impl FnOnce() + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn_blocking(work)
    }

    /// Waits until something is so; panics after 20 s.
    pub fn until<T>(&self, what: &str, mut is_so: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = is_so() {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut answer = answer.unwrap();
    let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body }
}
