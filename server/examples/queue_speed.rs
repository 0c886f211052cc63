//! How quick the queue is: `cargo run --release -p encaustic-server --example queue_speed [FOLDER]`. Without a folder it works in
//! one of its own that it removes. Every change is on the disk when it returns, so the disk has a say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use encaustic_server::db::Db;
use encaustic_server::events::Hub;
use encaustic_server::job::{Client, NewJob};
use encaustic_server::queue::sqlite::{Rules, SqliteQueue, last_event};
use encaustic_server::queue::{End, Queue, QueueError, Wanted, Worker};
use encaustic_server::time;

/// How many jobs wait at most.
const MANY: usize = 10_000;
/// How often each thing is done.
const TIMES: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let own = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or_else(|| own.path().to_owned(), PathBuf::from);
    let db = Arc::new(Db::open(&folder.join("queue_speed.db"))?);
    let hub = Hub::new(last_event(&db)?);
    let rules = Rules { capacity: u64::MAX, ..Rules::default() };
    let queue = Arc::new(SqliteQueue::new(db, hub, time::system(), rules));
    println!("| what | waiting | per second | median | 99 of 100 within |");
    println!("|---|---:|---:|---:|---:|");
    let mut waiting = 0;
    while waiting < MANY {
        let submits = timed(TIMES, |i| submit(&queue, i))?;
        if [0, MANY - TIMES].contains(&waiting) {
            tell("submit", waiting, submits);
        }
        waiting += TIMES;
    }
    let mut tokens = Vec::new();
    let claims = timed(TIMES, |i| {
        let loaded = ["m", "n", "o"].get(i % 3).copied();
        let claim = queue.claim(&Worker { name: "bench", loaded, away: &[] })?;
        tokens.extend(claim.map(|claim| claim.token));
        Ok(())
    })?;
    tell("claim", waiting, claims);
    let mut held = tokens.iter().cycle();
    tell("sign of life", waiting, timed(TIMES, |_| held.next().map_or(Ok(()), |token| queue.beat(token).map(drop)))?);
    let mut held = tokens.iter();
    tell("end", waiting, timed(TIMES, |_| held.next().map_or(Ok(()), |token| queue.end(token, &End::Cancelled)))?);
    tell("list of 100", waiting, timed(TIMES, |_| queue.jobs(&Wanted::default()).map(drop))?);
    tell("counts", waiting, timed(TIMES, |_| queue.counts().map(drop))?);
    let begun = Instant::now();
    let done: Result<Vec<usize>, QueueError> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(|| drain(&queue))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(Ok(0))).collect()
    });
    let done: usize = done?.iter().sum();
    println!("\n8 workers claim and end {done} jobs in {:.1} s.", begun.elapsed().as_secs_f64());
    Ok(())
}

fn submit(queue: &SqliteQueue, i: usize) -> Result<(), QueueError> {
    let model = ["m", "n", "o"].get(i % 3).map(|&model| model.to_owned());
    queue.submit(&NewJob { model, ..NewJob::default() }, &Client(format!("client {}", i % 10)), None).map(drop)
}

fn drain(queue: &SqliteQueue) -> Result<usize, QueueError> {
    let mut done = 0;
    while let Some(claim) = queue.claim(&Worker { name: "bench", loaded: None, away: &[] })? {
        queue.end(&claim.token, &End::Cancelled)?;
        done += 1;
    }
    Ok(done)
}

fn timed(times: usize, mut work: impl FnMut(usize) -> Result<(), QueueError>) -> Result<Vec<Duration>, QueueError> {
    let once = |i| {
        let begun = Instant::now();
        work(i)?;
        Ok(begun.elapsed())
    };
    (0..times).map(once).collect()
}

fn tell(what: &str, waiting: usize, mut times: Vec<Duration>) {
    let all: Duration = times.iter().sum();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64() * 1e3;
    let rate = times.len() as f64 / all.as_secs_f64();
    println!("| {what} | {waiting} | {rate:.0} | {:.2} ms | {:.2} ms |", at(0.5), at(0.99));
}
