//! Many at once: no job is given out twice, none is left, and everybody hears of everything in its order.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use encaustic_protocol::JobId;
use encaustic_server::events::News;
use encaustic_server::job::{Client, NewJob, State};
use encaustic_server::queue::{Queue, QueueError, Worker};

use super::{Bench, finished, wish};

const WORKERS: usize = 8;

#[test]
fn eight_workers_share_ten_thousand_jobs() {
    let jobs = 10_000;
    let bench = Bench::new(|_| ());
    let models = ["m", "n", "o"];
    for i in 0..jobs {
        let wish = NewJob { model: Some(models[i % 3].to_owned()), ..wish("x") };
        bench.queue.submit(&wish, &Client(format!("client {}", i % 7)), None).unwrap();
    }
    let claimed: Vec<JobId> = std::thread::scope(|scope| {
        let bench = &bench;
        let work = move |number: usize| {
            let mut mine = Vec::new();
            let name = format!("worker {number}");
            while let Some(claim) =
                bench.queue.claim(&Worker { name: &name, loaded: Some(models[number % 3]), away: &[] }).unwrap()
            {
                mine.push(claim.job.id);
                bench.queue.end(&claim.token, &finished()).unwrap();
            }
            mine
        };
        let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(move || work(number))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(claimed.len(), jobs);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), jobs);
    let counts = bench.queue.counts().unwrap();
    assert_eq!((counts.waiting, counts.running), (0, 0));
}

/// Those who follow live hear the same as those who read later, in the same order, whoever writes.
#[test]
fn events_are_told_in_the_order_of_their_numbers() {
    let bench = Bench::new(|_| ());
    let mut follower = bench.hub.follow();
    let heard = AtomicU64::new(0);
    let told = std::thread::scope(|scope| {
        let (bench, heard) = (&bench, &heard);
        for _ in 0..WORKERS {
            scope.spawn(move || {
                for i in 0..100 {
                    let job = bench.submit("a");
                    // The follower is not to fall behind: that is another test's.
                    while bench.queue.last_event().unwrap() > heard.load(Ordering::SeqCst) + 200 {
                        std::thread::yield_now();
                    }
                    if i % 2 == 0 {
                        // Another worker may have it already.
                        let _ = bench.queue.cancel(job);
                    }
                    if let Some(claim) = bench.claim() {
                        bench.queue.end(&claim.token, &finished()).unwrap();
                    }
                }
            });
        }
        let (mut told, mut ended) = (Vec::new(), 0);
        while ended < WORKERS * 100 {
            let event = follower.blocking_recv().unwrap();
            heard.store(event.seq, Ordering::SeqCst);
            ended += usize::from(matches!(&event.news, News::Job { change, .. } if change.is_last()));
            told.push((*event).clone());
        }
        told
    });
    let mut stored = Vec::new();
    while let page @ [_, ..] = bench.queue.events(stored.len() as u64, None, 1000).unwrap().as_slice() {
        stored.extend_from_slice(page);
    }
    assert_eq!(told.len(), stored.len());
    assert!(told == stored, "told otherwise than stored");
}

/// Whoever takes a job back and whoever finishes it at the same time agree about how it ended.
#[test]
fn taking_back_and_finishing_at_once_make_one_end() {
    let bench = Bench::new(|_| ());
    let mut ends = [0, 0];
    for _ in 0..200 {
        let job = bench.submit("a");
        let token = bench.claim().unwrap().token;
        std::thread::scope(|scope| {
            let finishes = scope.spawn(|| bench.queue.end(&token, &finished()));
            let cancelled = bench.queue.cancel(job);
            finishes.join().unwrap().unwrap();
            match cancelled {
                Ok(State::Running) => ends[0] += 1,
                Err(QueueError::Over { state: State::Finished, .. }) => ends[1] += 1,
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(bench.story(job), "queued started finished");
    }
    assert_eq!(ends.iter().sum::<u32>(), 200);
}
