//! Workers that are processes of their own, which are killed and stopped for real: this program starts itself.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use encaustic_protocol::JobId;
use encaustic_server::db::Db;
use encaustic_server::events::Hub;
use encaustic_server::queue::sqlite::{Rules, SqliteQueue, last_event};
use encaustic_server::queue::{End, Queue, QueueError, Token, Worker};
use encaustic_server::time;

use super::{file, folder, image, wish};

const FILE: &str = "ENCAUSTIC_TEST_QUEUE";
const LEASE: &str = "ENCAUSTIC_TEST_LEASE";

fn open(path: &std::path::Path, lease_ms: i64) -> SqliteQueue {
    let db = Arc::new(Db::open(path).unwrap());
    let hub = Hub::new(last_event(&db).unwrap());
    let rules = Rules { capacity: 100_000, lease_ms, crashes: 10_000, ..Rules::default() };
    SqliteQueue::new(db, hub, time::system(), rules)
}

/// The other process. It does what lines on its input say, and answers each with a line that begins with `!`.
#[test]
fn the_other_process() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let lease: i64 = std::env::var(LEASE).unwrap().parse().unwrap();
    let queue = Arc::new(open(path.as_ref(), lease));
    let held: Arc<Mutex<Option<Token>>> = Arc::default();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("!{line}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let (beats, beating) = (Arc::clone(&queue), Arc::clone(&held));
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(lease.unsigned_abs() / 3));
            let token = *beating.lock().unwrap();
            if let Some(token) = token {
                say(format!("{:?}", beats.beat(&token).unwrap()));
            }
        }
    });
    let worker = Worker { name: "process", loaded: None, away: &[] };
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().split_once(' ').unwrap() {
            ("claim", _) => {
                let claim = queue.claim(&worker).unwrap().unwrap();
                *held.lock().unwrap() = Some(claim.token);
                say(format!("claimed {}", claim.job.id.0));
            }
            ("end", name) => {
                let token = held.lock().unwrap().take().unwrap();
                let told = queue.end(&token, &End::Finished(vec![image(name)]));
                say(if matches!(told, Err(QueueError::Lost(_))) { "lost".into() } else { format!("{told:?}") });
            }
            // All that there is, so many milliseconds each.
            ("drain", pause) => {
                let pause = Duration::from_millis(pause.parse().unwrap());
                while let Some(claim) = queue.claim(&worker).unwrap() {
                    std::thread::sleep(pause);
                    queue.end(&claim.token, &End::Finished(vec![image("a"), image("b")])).unwrap();
                    say(format!("did {}", claim.job.id.0));
                }
                say("done".into());
            }
            order => panic!("{order:?}"),
        }
    }
}

struct Other {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(path: &std::path::Path, lease_ms: i64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "queue::processes::the_other_process", "--nocapture"])
            .env(FILE, path)
            .env(LEASE, lease_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, orders, answers }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// The next answer; `None` when it is dead.
    fn answer(&mut self) -> Option<String> {
        // What the test program itself says may stand before it, on the same line.
        self.answers.find_map(|line| line.ok()?.split_once('!').map(|(_, answer)| answer.to_owned()))
    }

    fn hears(&mut self, expected: &str) {
        while let Some(answer) = self.answer() {
            if answer == expected {
                return;
            }
            assert_eq!(answer, "Held", "waiting for {expected}");
        }
        panic!("it died before {expected}");
    }

    /// Not while it writes: a process that stands still with the database in its hands stops all others.
    fn signal_after_a_beat(&mut self, signal: &str) {
        self.hears("Held");
        self.signal(signal);
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Sweeps every third of a lease until there was something; returns how long that took.
fn sweep(queue: &SqliteQueue, lease_ms: i64) -> Duration {
    let begun = Instant::now();
    while queue.reclaim(false).unwrap() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(90), "never taken back");
        std::thread::sleep(Duration::from_millis(lease_ms.unsigned_abs() / 3));
    }
    begun.elapsed()
}

fn job_of(queue: &SqliteQueue, name: &str) -> JobId {
    queue.submit(&wish(name), &super::Client::local(), None).unwrap().job
}

fn killed(lease_ms: i64) -> Duration {
    let folder = folder();
    let queue = open(&file(folder.path()), lease_ms);
    let job = job_of(&queue, "x");
    let mut other = Other::start(&file(folder.path()), lease_ms);
    other.order("claim x");
    other.hears(&format!("claimed {}", job.0));
    // As long as it lives it keeps its job.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(lease_ms.unsigned_abs() * 5 / 4) {
        assert_eq!(queue.reclaim(false).unwrap(), 0);
        other.hears("Held");
    }
    other.kill();
    let took = sweep(&queue, lease_ms);
    let claim = queue.claim(&Worker { name: "we", loaded: None, away: &[] }).unwrap().unwrap();
    assert_eq!((claim.job.id, claim.job.attempts), (job, 2));
    queue.end(&claim.token, &super::finished()).unwrap();
    took
}

fn stopped(lease_ms: i64) {
    let folder = folder();
    let queue = open(&file(folder.path()), lease_ms);
    let job = job_of(&queue, "x");
    let mut other = Other::start(&file(folder.path()), lease_ms);
    other.order("claim x");
    other.hears(&format!("claimed {}", job.0));
    other.signal_after_a_beat("-STOP");
    let begun = Instant::now();
    sweep(&queue, lease_ms);
    let claim = queue.claim(&Worker { name: "we", loaded: None, away: &[] }).unwrap().unwrap();
    assert_eq!(claim.job.id, job);
    queue.end(&claim.token, &End::Finished(vec![image("ours")])).unwrap();
    std::thread::sleep(Duration::from_millis(lease_ms.unsigned_abs() * 2).saturating_sub(begun.elapsed()));
    other.order("end theirs");
    other.signal("-CONT");
    while let Some(answer) = other.answer() {
        if answer == "lost" {
            break;
        }
        assert_eq!(answer, "Lost", "its sign of life comes too late");
    }
    other.kill();
    let job = queue.job(job).unwrap();
    assert_eq!(job.images.iter().map(|image| image.name.trim_start_matches('0')).collect::<Vec<_>>(), ["ours"]);
    let events = queue.events(0, Some(job.id), 100).unwrap();
    let is_last = |event: &&encaustic_server::events::Event| matches!(&event.news, encaustic_server::events::News::Job { change, .. } if change.is_last());
    assert_eq!(events.iter().filter(is_last).count(), 1, "{events:?}");
}

#[test]
fn a_killed_workers_job_is_taken_back() {
    killed(900);
}

#[test]
fn a_stopped_workers_late_end_is_refused() {
    stopped(900);
}

#[test]
#[ignore = "takes a minute and a half"]
fn a_killed_workers_job_is_taken_back_within_forty_seconds() {
    let took = killed(encaustic_server::queue::LEASE_MS);
    assert!(took <= Duration::from_secs(40), "{took:?}");
}

#[test]
#[ignore = "takes a minute"]
fn a_worker_that_stood_still_for_a_minute_is_refused() {
    stopped(encaustic_server::queue::LEASE_MS);
}

#[test]
fn processes_share_a_queue() {
    let folder = folder();
    let path = file(folder.path());
    // They make the database at the same time, too.
    let mut others: Vec<Other> = (0..3).map(|_| Other::start(&path, 60_000)).collect();
    let queue = open(&path, 60_000);
    let mut jobs: Vec<u64> = (0..200).map(|_| job_of(&queue, "x").0).collect();
    others.iter_mut().for_each(|other| other.order("drain 0"));
    let mut done = Vec::new();
    for other in &mut others {
        while let Some(answer) = other.answer().filter(|answer| answer != "done") {
            done.push(answer.strip_prefix("did ").unwrap_or_else(|| panic!("{answer}")).parse::<u64>().unwrap());
        }
    }
    others.into_iter().for_each(Other::kill);
    done.sort_unstable();
    jobs.sort_unstable();
    assert_eq!(done, jobs);
}

/// A process that works the queue off is killed again and again, at any moment.
#[test]
fn a_process_that_is_killed_again_and_again_loses_nothing() {
    let folder = folder();
    let path = file(folder.path());
    let queue = open(&path, 60_000);
    let jobs: Vec<JobId> = (0..50).map(|_| job_of(&queue, "x")).collect();
    let mut kills = 0_u64;
    while queue.counts().unwrap().waiting > 0 {
        let mut other = Other::start(&path, 60_000);
        // Most of this time passes until it has begun.
        other.order("drain 3");
        std::thread::sleep(Duration::from_millis(5 + kills * 7 % 23));
        other.kill();
        kills += 1;
        assert!(queue.reclaim(true).unwrap() <= 1);
        assert!(kills < 2000, "it comes to nothing");
    }
    for job in &jobs {
        let told = queue.events(0, Some(*job), 1000).unwrap();
        let ends = |event: &&encaustic_server::events::Event| matches!(&event.news, encaustic_server::events::News::Job { change, .. } if change.is_last());
        assert_eq!(told.iter().filter(ends).count(), 1, "{told:?}");
        assert_eq!(queue.job(*job).unwrap().images.len(), 2);
    }
    let db = Db::open(&path).unwrap();
    let images = |sql: &rusqlite::Connection| Ok(sql.query_row("SELECT count(*) FROM images", [], |row| row.get::<_, u64>(0))?);
    assert_eq!(db.read::<_, QueueError>(images).unwrap(), 100);
}
