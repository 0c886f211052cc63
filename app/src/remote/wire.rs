//! The JSON of the server's `/api/v1`, as far as the page reads and writes it. What a newer server says beyond that is passed
//! over; what it leaves out has a value that does no harm.

use encaustic_protocol::{Change, Failure, FailureKind, ImageRef, JobId, Request};
use serde::{Deserialize, Serialize};

/// Something that happened on the server.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// The number of the last stored event, this one if it is stored.
    pub seq: u64,
    /// Whether it is not stored: who misses it hears of the same in the next.
    #[serde(default)]
    pub is_live: bool,
    /// What.
    #[serde(flatten)]
    pub told: Told,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told {
    /// To a job.
    Job {
        /// Which.
        job: JobId,
        /// What.
        change: Change,
    },
    /// The queue is paused, goes on, or has another order.
    Queue {
        /// Whether it is paused.
        is_paused: bool,
    },
    /// A model came or went.
    Models,
    /// A picture was entered, changed or deleted.
    Images,
    /// A model is on its way into the library.
    Pull(Pull),
    /// Something was missed: whatever is shown has to be asked for again.
    Resync,
    /// What this page does not know.
    #[serde(other)]
    Other,
}

/// A model on its way into the library.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Pull {
    /// What was asked for.
    pub source: String,
    /// How far it is.
    #[serde(default)]
    pub transfer: Transfer,
    /// `None` while it is on its way; then whether it is there.
    #[serde(default)]
    pub done: Option<bool>,
    /// Why it is not.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Puts those that are on their way in the place of those that were known to be; what is told of one that did not come stays.
/// Returns whether one is not on its way any more.
pub fn renew(known: &mut Vec<Pull>, running: Vec<Pull>) -> bool {
    let runs = |source: &str| running.iter().any(|pull| pull.source == source);
    let has_ended = known.iter().any(|pull| pull.done.is_none() && !runs(&pull.source));
    known.retain(|pull| pull.done.is_some() && !runs(&pull.source));
    known.extend(running);
    has_ended
}

/// How far a transfer is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Transfer {
    /// The file that is on its way.
    pub file: String,
    /// Bytes that are here, of all files.
    pub bytes: u64,
    /// Bytes that there will be, as far as is known.
    pub of: u64,
}

/// A wish for pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewJob {
    /// What pictures.
    pub request: Request,
    /// With which model; the server's usual one if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Before or after others.
    pub priority: i32,
    /// Not to be begun before this moment, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
}

/// Where a job is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for a device, or for its moment.
    #[default]
    Waiting,
    /// A device works on it.
    Running,
    /// Its pictures are there.
    Finished,
    /// It came to nothing.
    Failed,
    /// Somebody took it back.
    Cancelled,
}

/// A job, as the server knows it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Who wants it.
    #[serde(default)]
    pub client: String,
    /// What is wanted.
    #[serde(default)]
    pub wish: NewJob,
    /// Where it is.
    pub state: State,
    /// How many jobs come first, if it waits.
    #[serde(default)]
    pub ahead: Option<u32>,
    /// The device that works on it.
    #[serde(default)]
    pub device: Option<String>,
    /// When it was begun, in milliseconds since 1970.
    #[serde(default)]
    pub started: Option<u64>,
    /// When it ended.
    #[serde(default)]
    pub ended: Option<u64>,
    /// Why it came to nothing.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Its pictures.
    #[serde(default)]
    pub images: Vec<ImageRef>,
    /// What happened to it that is worth telling.
    #[serde(default)]
    pub log: Vec<LogLine>,
}

/// A remark about a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// What, as a sentence.
    pub text: String,
}

impl Job {
    /// How it stands, as the news that would have told it.
    pub fn change(&self) -> Change {
        let failure = || Failure { kind: FailureKind::Device, message: "the server does not say why it failed".to_owned() };
        match self.state {
            State::Waiting => Change::Queued { ahead: self.ahead.unwrap_or(0) },
            State::Running => Change::Started,
            State::Finished => Change::Finished(self.images.clone()),
            State::Failed => Change::Failed(self.failure.clone().unwrap_or_else(failure)),
            State::Cancelled => Change::Cancelled,
        }
    }
}

/// How it stands with the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Jobs that wait.
    pub waiting: u64,
    /// Those of them whose moment has not come.
    pub scheduled: u64,
    /// Jobs that are worked on.
    pub running: u64,
    /// How many may wait.
    pub capacity: u64,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// A part of a list, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Part<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// What to ask for what comes next; nothing at the end.
    #[serde(default)]
    pub next: Option<Cursor>,
    /// How many there are in all parts, if that was asked.
    #[serde(default)]
    pub total: Option<u64>,
}

/// Where a list goes on: the server's own word.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Cursor {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// A model of the library.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Model {
    /// What a job calls it.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// `checkpoint`, `vae`, `lora`, ...
    pub kind: String,
    /// The id of its family, if it is a whole model.
    pub family: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Under which terms it may be used, if that is known.
    pub license: Option<String>,
    /// Whether it may be deleted.
    pub is_own: bool,
    /// Whether a job can draw with it.
    pub is_usable: bool,
}

/// What the server is, and what whoever asks may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct About {
    /// Its version.
    pub version: String,
    /// By what name it knows whoever asks; nothing if it does not.
    pub client: Option<String>,
    /// What may be done: `read`, `generate`, `admin`.
    pub scopes: Vec<String>,
}

impl About {
    /// Whether this may be done.
    pub fn may(&self, scope: &str) -> bool {
        self.scopes.iter().any(|known| known == scope)
    }
}

/// A picture, as lists show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Its number; newer ones have larger ones.
    pub id: u64,
    /// When it was made, in milliseconds since 1970.
    pub created: u64,
    /// Whether somebody likes it.
    pub is_favourite: bool,
    /// Its model; empty if nobody knows.
    pub model: String,
    /// The SHA-256 of its file, which is its name in the events of its job.
    pub sha256: String,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Its seed.
    pub seed: u64,
    /// What it was to show.
    pub prompt: String,
    /// What it was not to show.
    pub negative: String,
}

/// What lists do not tell of a picture.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The request that makes it again.
    pub settings: serde_json::Value,
    /// The same in the words of A1111's `parameters`.
    pub parameters: String,
}

/// A collection of pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Collection {
    /// Its number.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// How many pictures are in it.
    pub images: u64,
}

/// A setting of the server's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// Its name.
    pub id: String,
    /// What it is.
    pub value: String,
    /// What it is for.
    pub help: String,
    /// Whether it can be changed while the server runs.
    pub can_change: bool,
}

/// The settings of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// They, in the order in which they are documented.
    pub items: Vec<Setting>,
}

/// A device, and what it does.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Its worker's name: `cuda:0`, `cpu#2`.
    pub name: String,
    /// What it is, once it is open.
    pub device: Option<Make>,
    /// What it does.
    pub doing: Doing,
    /// The job that it does it for.
    pub job: Option<JobId>,
    /// Why it does nothing.
    pub problem: Option<String>,
    /// The model that it holds.
    pub model: Option<String>,
    /// What its memory holds.
    pub memory: Memory,
}

/// What a device is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Make {
    /// What its maker calls it.
    pub label: String,
    /// Bytes of memory, if its driver tells.
    pub memory: Option<u64>,
}

/// What a device does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// It is being opened.
    Opening,
    /// It waits for a job.
    Idle,
    /// It loads the model for a job.
    Loading,
    /// It draws.
    Drawing,
    /// It does not answer, and is tried again.
    Broken,
    /// What this page does not know, or the end of the server.
    #[default]
    #[serde(other)]
    Gone,
}

/// What a device's memory holds, in bytes, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Held by the server.
    pub used: Option<u64>,
    /// All there is.
    pub total: Option<u64>,
}

/// What the server answers when it refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Refused {
    /// Why.
    pub error: Why,
}

/// Why a server refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Why {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// The field that it is about.
    pub field: Option<String>,
}

/// An answer that is no success, as a failure that the page can show: `body` is what came with it.
pub fn failure(status: u16, body: &str) -> Failure {
    let kind = match status {
        400 | 413 | 415 | 422 => FailureKind::Invalid,
        404 => FailureKind::Model,
        429 | 503 => FailureKind::Busy,
        507 => FailureKind::Storage,
        _ => FailureKind::Device,
    };
    let own = serde_json::from_str::<Refused>(body).map(|refused| refused.error.message).unwrap_or_default();
    let message = match (own.is_empty(), status) {
        (false, _) => own,
        (true, 0) => "the server does not answer".to_owned(),
        (true, _) => format!("the server answers {status} without saying why; its log may tell"),
    };
    Failure { kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encaustic_protocol::{Progress, Stage};

    #[test]
    fn events_are_understood_and_strange_ones_are_passed_over() {
        let progress = Change::Progress(Progress { stage: Stage::Denoise, done: 3, of: 20 });
        let image = ImageRef { name: "ab".into(), seed: u64::MAX, width: 64, height: 72 };
        let transfer = Transfer { file: "a.safetensors".into(), bytes: 5, of: 10 };
        let pull = Pull { source: "o/n".into(), transfer, done: None, problem: None };
        let job = |change| Told::Job { job: JobId(3), change };
        for (text, seq, told) in [
            (
                r#"{"seq":7,"is_live":true,"at":1,"type":"job","job":3,"change":{"progress":{"stage":"denoise","done":3,"of":20}}}"#,
                7,
                job(progress),
            ),
            (
                r#"{"seq":8,"at":1,"type":"job","job":3,"change":{"finished":[{"name":"ab","seed":18446744073709551615,"width":64,"height":72}]}}"#,
                8,
                job(Change::Finished(vec![image])),
            ),
            (r#"{"seq":9,"at":1,"type":"job","job":3,"change":"cancelled"}"#, 9, job(Change::Cancelled)),
            (r#"{"seq":1,"at":1,"type":"queue","is_paused":true}"#, 1, Told::Queue { is_paused: true }),
            (
                r#"{"seq":1,"at":1,"type":"pull","source":"o/n","transfer":{"file":"a.safetensors","bytes":5,"of":10},"done":null}"#,
                1,
                Told::Pull(pull),
            ),
            (r#"{"seq":1,"at":1,"type":"resync"}"#, 1, Told::Resync),
            (r#"{"seq":2,"at":1,"type":"weather"}"#, 2, Told::Other),
        ] {
            let event: Event = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((event.seq, event.told), (seq, told), "{text}");
        }
    }

    #[test]
    fn pulls_that_have_ended_unheard_are_gone() {
        let pull = |source: &str, done| Pull { source: source.into(), transfer: Transfer::default(), done, problem: None };
        let known = [pull("came", None), pull("failed", Some(false)), pull("again", Some(false)), pull("runs", None)];
        for (running, left, has_ended) in [
            (vec!["runs", "again"], vec!["failed", "runs", "again"], true),
            (vec!["came", "runs"], vec!["failed", "again", "came", "runs"], false),
            (vec![], vec!["failed", "again"], true),
        ] {
            let mut pulls = known.to_vec();
            let told = running.iter().map(|source| pull(source, None)).collect();
            assert_eq!(renew(&mut pulls, told), has_ended, "{running:?}");
            assert_eq!(pulls.iter().map(|pull| pull.source.as_str()).collect::<Vec<_>>(), left);
            assert!(pulls.iter().all(|pull| pull.done.is_none() == running.contains(&pull.source.as_str())));
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let body = r#"{"error":{"code":"invalid","message":"steps: use 1 to 1000","field":"request.steps"}}"#;
        for (status, body, kind, message) in [
            (422, body, FailureKind::Invalid, "steps: use 1 to 1000"),
            (429, r#"{"error":{"code":"full","message":"try again in 4 s"}}"#, FailureKind::Busy, "try again in 4 s"),
            (502, "<html>", FailureKind::Device, "the server answers 502 without saying why; its log may tell"),
            (0, "", FailureKind::Device, "the server does not answer"),
        ] {
            assert_eq!(failure(status, body), Failure { kind, message: message.to_owned() }, "{status}");
        }
    }
}
