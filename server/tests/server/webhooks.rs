//! Messages about jobs that have ended: signed, sent until they are taken, and only to where they may go.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use encaustic_protocol::{Failure, FailureKind, JobId};
use encaustic_server::App;
use encaustic_server::config::List;
use encaustic_server::job::{Client, NewJob};
use encaustic_server::queue::{End, Worker};
use encaustic_server::webhooks::{self, Delivery, DeliveryState};
use serde_json::Value;

use crate::support::Trial;

/// What came to a receiver: headers by their names in lower case, and the body.
#[derive(Clone, Debug)]
struct Message {
    headers: Vec<(String, String)>,
    body: String,
}

impl Message {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Takes messages on a socket and answers with the heads that it was given, in turn; the last is for all further ones.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    fn start(heads: &[&str]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), heads)
    }

    fn on(listener: TcpListener, heads: &[&str]) -> Self {
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let (taken, heads) = (Arc::clone(&got), heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>());
        std::thread::spawn(move || {
            for (turn, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut headers = Vec::new();
                for line in reader.by_ref().lines().skip(1) {
                    let line = line.unwrap();
                    let Some((name, value)) = line.split_once(": ") else { break };
                    headers.push((name.to_lowercase(), value.to_owned()));
                }
                let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                taken.lock().unwrap().push(Message { headers, body: String::from_utf8(body).unwrap() });
                let head = heads.get(turn).or(heads.last()).unwrap();
                let _ = write!(stream, "HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { address, got }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn got(&self) -> Vec<Message> {
        self.got.lock().unwrap().clone()
    }
}

/// A server that may tell `hosts`, with these pauses between tries.
fn trial(hosts: &[SocketAddr], retries: &[u32]) -> Trial {
    let hosts = hosts.iter().map(SocketAddr::to_string).collect();
    let retries = retries.to_vec();
    Trial::start(|config| {
        config.webhook_hosts = List(hosts);
        config.webhook_retries = List(retries);
        // No device takes a job from these tests.
        config.devices = List(vec!["none".to_owned()]);
    })
}

fn app(trial: &Trial) -> &App {
    &trial.server.as_ref().unwrap().app
}

/// A job that is to tell `url`, and has been taken back.
fn cancelled(trial: &Trial, url: &str) -> JobId {
    let queue = &app(trial).queue;
    let wish = NewJob { webhook: Some(url.to_owned()), ..NewJob::default() };
    let job = queue.submit(&wish, &Client::local(), None).unwrap().job;
    queue.cancel(job).unwrap();
    job
}

/// The message of a job, when it is no longer on its way.
fn settled(trial: &Trial, job: JobId) -> Delivery {
    trial.until("a message comes to its end", || {
        let [delivery] = webhooks::deliveries(&app(trial).db, job).unwrap().try_into().unwrap();
        (delivery.state != DeliveryState::Waiting).then_some(delivery)
    })
}

#[test]
fn every_end_is_told_once_and_signed() {
    let receiver = Receiver::start(&["204 No Content"]);
    let trial = trial(&[receiver.address], &[]);
    let queue = &app(&trial).queue;
    queue.pause(true).unwrap();
    let failure = Failure { kind: FailureKind::Device, message: "lost".into() };
    let ends =
        [("job.finished", End::Finished(Vec::new())), ("job.failed", End::Failed(failure)), ("job.cancelled", End::Cancelled)];
    for (kind, end) in ends {
        let wish = NewJob { webhook: Some(receiver.url()), ..NewJob::default() };
        let job = queue.submit(&wish, &Client::local(), None).unwrap().job;
        queue.pause(false).unwrap();
        let claim = queue.claim(&Worker { name: "test", loaded: None, away: &[] }).unwrap().unwrap();
        queue.pause(true).unwrap();
        queue.end(&claim.token, &end).unwrap();
        let delivery = settled(&trial, job);
        assert_eq!((delivery.state, delivery.tries, delivery.status), (DeliveryState::Delivered, 1, Some(204)));
        let message = receiver.got().pop().unwrap();
        let json = message.json();
        assert_eq!(json["type"], kind);
        assert_eq!((&json["job"]["id"], &json["event"]["job"]), (&job.0.into(), &job.0.into()));
        assert_eq!(message.header("webhook-id"), delivery.id);
        let seconds = message.header("webhook-timestamp").parse().unwrap();
        let signature = app(&trial).webhooks.signer.sign(&delivery.id, seconds, &message.body);
        assert_eq!(message.header("webhook-signature"), signature);
    }
    assert_eq!(receiver.got().len(), 3);
}

#[test]
fn what_is_not_taken_is_sent_again() {
    for (heads, retries, state, tries) in [
        (&["500 Broken", "503 Busy\r\nretry-after: 0", "302 Found\r\nlocation: /", "200 OK"][..], &[0, 0, 0][..], true, 4),
        (&["500 Broken"], &[0, 0], false, 3),
        (&["410 Gone"], &[0, 0], false, 1),
        (&["404 Not Found"], &[], false, 1),
    ] {
        let receiver = Receiver::start(heads);
        let trial = trial(&[receiver.address], retries);
        let delivery = settled(&trial, cancelled(&trial, &receiver.url()));
        assert_eq!((delivery.state == DeliveryState::Delivered, delivery.tries), (state, tries), "{heads:?}: {delivery:?}");
        assert_eq!(delivery.problem.is_none(), state);
        let got = receiver.got();
        assert_eq!(got.len(), tries as usize, "{heads:?}");
        assert!(got.iter().all(|message| message.header("webhook-id") == delivery.id));
    }
}

#[test]
fn deliveries_are_listed_and_repeated() {
    let receiver = Receiver::start(&["500 Broken", "200 OK"]);
    let trial = trial(&[receiver.address], &[]);
    let job = cancelled(&trial, &receiver.url());
    settled(&trial, job);
    let path = format!("/api/v1/jobs/{}/webhooks", job.0);
    let listed = trial.get(&path).json();
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&listed["items"][0]["state"], &listed["items"][0]["status"]), (&"failed".into(), &500.into()));
    let again = trial.post(&format!("{path}/{id}/send"), &Value::Null);
    assert_eq!((again.status, &again.json()["state"]), (202, &"waiting".into()));
    trial.until("it was taken", || (trial.get(&path).json()["items"][0]["state"] == "delivered").then_some(()));
    assert!(receiver.got().iter().all(|message| message.header("webhook-id") == id));
    assert!(trial.get("/api/v1/webhooks/secret").json()["secret"].as_str().unwrap().starts_with("whsec_"));
    for (path, status) in [
        (format!("{path}/msg_none/send"), 404),
        ("/api/v1/jobs/999/webhooks/x/send".to_owned(), 404),
        (format!("/api/v1/jobs/{}/webhooks/{id}/send", job.0 + 1), 404),
    ] {
        assert_eq!(trial.post(&path, &Value::Null).status, status, "{path}");
    }
    assert_eq!(trial.get("/api/v1/jobs/999/webhooks").status, 404);
}

#[test]
fn a_receiver_can_ask_for_time() {
    let receiver = Receiver::start(&["429 Slowly\r\nretry-after: 3600"]);
    let trial = trial(&[receiver.address], &[1]);
    let job = cancelled(&trial, &receiver.url());
    let delivery = trial.until("it was tried", || {
        webhooks::deliveries(&app(&trial).db, job).unwrap().pop().filter(|delivery| delivery.tries == 1)
    });
    let wait = delivery.due - delivery.tried.unwrap();
    assert_eq!(delivery.state, DeliveryState::Waiting);
    assert!(wait >= 3_600_000, "{wait}");
}

#[test]
fn messages_outlive_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let first = trial(&[address], &[1; 20]);
    let job = cancelled(&first, &format!("http://{address}/hook"));
    let tried = |trial: &Trial| webhooks::deliveries(&app(trial).db, job).unwrap().pop().filter(|delivery| delivery.tries > 0);
    let delivery = first.until("it was tried", || tried(&first));
    assert!(delivery.problem.is_some());
    let secret = app(&first).webhooks.signer.secret();
    let folder = first.stop();
    let receiver = Receiver::on(TcpListener::bind(address).unwrap(), &["200 OK"]);
    let second = Trial::over(folder, crate::support::Easel::default(), |config| {
        config.webhook_hosts = List(vec![address.to_string()]);
        config.webhook_retries = List(vec![1; 20]);
    });
    let delivery = settled(&second, job);
    assert_eq!((delivery.state, receiver.got().len()), (DeliveryState::Delivered, 1));
    assert_eq!(app(&second).webhooks.signer.secret(), secret, "receivers keep the secret");
}

/// Whatever stands in the database: no connection is made to where none may be.
#[test]
fn nothing_is_sent_to_where_it_may_not_go() {
    let (open, secret) = (Receiver::start(&["200 OK"]), Receiver::start(&["200 OK"]));
    let port = secret.address.port();
    let redirect = format!("302 Found\r\nlocation: http://127.0.0.1:{port}/");
    let redirecting = Receiver::start(&[&redirect]);
    let trial = trial(&[open.address, redirecting.address], &[]);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("https://0x7f.1:{port}/"),
        format!("https://127.1:{port}/"),
        format!("https://0:{port}/"),
        format!("http://user@{}/", open.address),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "nonsense".to_owned(),
        redirecting.url(),
    ] {
        let delivery = settled(&trial, cancelled(&trial, &url));
        assert_eq!(delivery.state, DeliveryState::Failed, "{url}");
        assert!(delivery.problem.is_some_and(|problem| problem.len() < 300), "{url}");
    }
    assert_eq!((open.got().len(), redirecting.got().len(), secret.got().len()), (0, 1, 0));
}

#[test]
fn a_silent_receiver_delays_no_other() {
    // It accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let receiver = Receiver::start(&["200 OK"]);
    let trial = trial(&[silent.local_addr().unwrap(), receiver.address], &[]);
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let stuck: Vec<JobId> = (0..10).map(|_| cancelled(&trial, &url)).collect();
    let delivery = settled(&trial, cancelled(&trial, &receiver.url()));
    assert_eq!(delivery.state, DeliveryState::Delivered);
    for job in stuck {
        assert_eq!(webhooks::deliveries(&app(&trial).db, job).unwrap()[0].tries, 0);
    }
}
