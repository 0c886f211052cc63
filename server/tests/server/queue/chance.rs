//! Whatever happens in whatever order: no job is lost, none ends twice, and nobody but its worker ends it.

use std::collections::HashSet;

use encaustic_protocol::JobId;
use encaustic_server::job::{Client, NewJob, State};
use encaustic_server::queue::{End, Queue, QueueError, Standing, Token, Wanted, Worker};

use super::{BEGIN, Bench, failed, finished, wish};

/// Numbers that look like chance and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.roll(of.len())]) }
    }

    fn wish(&mut self) -> NewJob {
        NewJob {
            model: self.pick(&[None, Some("m"), Some("n")]).flatten().map(str::to_owned),
            priority: self.pick(&[0, 0, 0, 5, -5]).unwrap(),
            not_before: self.pick(&[None, None, None, Some(BEGIN + 20_000), Some(BEGIN + 200_000)]).flatten(),
            ..wish("x")
        }
    }
}

/// What the test knows.
#[derive(Default)]
struct Known {
    jobs: Vec<JobId>,
    held: Vec<Token>,
    stale: Vec<Token>,
}

impl Known {
    /// Those whose claims are not valid any more are stale from now on.
    fn sort(&mut self, bench: &Bench) {
        let is_held = |token: &Token| bench.queue.standing(token).unwrap() != Standing::Lost;
        let (held, stale): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held).into_iter().partition(is_held);
        self.held = held;
        self.stale.extend(stale);
    }
}

fn step(bench: &Bench, dice: &mut Dice, known: &mut Known) {
    let clients = ["a", "b", "c"].map(|name| Client(name.to_owned()));
    let queue = &bench.queue;
    match dice.roll(16) {
        0..4 => {
            let key = ["k1", "k2", "k3", "k4"][dice.roll(4)];
            let key = (dice.roll(4) == 0).then_some(key);
            match queue.submit(&dice.wish(), &clients[dice.roll(3)], key) {
                Ok(told) => {
                    assert_eq!(told.is_new, !known.jobs.contains(&told.job));
                    if told.is_new {
                        known.jobs.push(told.job);
                    }
                }
                Err(error) => assert!(matches!(error, QueueError::KeyReused(_) | QueueError::Full { .. }), "{error}"),
            }
        }
        4..8 => claim(bench, dice, known),
        8..10 => {
            if let Some(token) = dice.pick(&known.held) {
                let end = [finished(), failed(), End::Cancelled][dice.roll(3)].clone();
                queue.end(&token, &end).unwrap();
            }
        }
        10 => {
            if let Some(token) = dice.pick(&known.held) {
                if dice.roll(2) == 0 { queue.put_back(&token) } else { queue.give_back(&token) }.unwrap();
            }
        }
        11 => {
            if let Some(token) = dice.pick(&known.held) {
                assert_ne!(queue.beat(&token).unwrap(), Standing::Lost);
            }
            if let Some(token) = dice.pick(&known.stale) {
                assert!(matches!(queue.end(&token, &finished()), Err(QueueError::Lost(_))));
                assert!(matches!(queue.put_back(&token), Err(QueueError::Lost(_))));
            }
        }
        12 => {
            bench.wait(dice.roll(20_000) as i64);
            queue.reclaim(dice.roll(8) == 0).unwrap();
        }
        13 => {
            if let Some(job) = dice.pick(&known.jobs) {
                let was = queue.job(job).unwrap().state;
                let told = queue.cancel(job);
                assert_eq!(told.is_err(), was.is_last());
            }
        }
        14 => {
            if let (Some(job), Some(other)) = (dice.pick(&known.jobs), dice.pick(&known.jobs)) {
                // Most of them are not in a state for that.
                let _ = queue.place(job, (dice.roll(2) == 0).then_some(other));
                let _ = queue.prioritise(other, dice.pick(&[0, 5, -5]).unwrap());
                if let Ok(again) = queue.retry(job, &clients[0]) {
                    known.jobs.push(again.job);
                }
            }
        }
        _ => queue.pause(dice.roll(2) == 0).unwrap(),
    }
    known.sort(bench);
}

fn claim(bench: &Bench, dice: &mut Dice, known: &mut Known) {
    let queue = &bench.queue;
    // Lets those into the line whose moment has come.
    queue.reclaim(false).unwrap();
    known.sort(bench);
    let first = queue.jobs(&Wanted { states: vec![State::Waiting], most: 1, ..Wanted::default() }).unwrap();
    let loaded = dice.pick(&[None, Some("m"), Some("n")]).flatten();
    let Some(claim) = queue.claim(&Worker { name: "w", loaded, away: &[] }).unwrap() else { return };
    // One that has to be alone may be passed by anybody.
    if first[0].crashes < 2 {
        assert_eq!(claim.job.wish.priority, first[0].wish.priority);
        assert!(loaded.is_some_and(|loaded| claim.job.wish.model.as_deref() == Some(loaded)) || claim.job.id == first[0].id);
    }
    assert!(known.held.iter().all(|token| token.job != claim.job.id), "given out twice");
    known.held.push(claim.token);
}

/// Works off all that is left, and looks at every job.
fn settle(bench: &Bench, jobs: &[JobId]) {
    bench.queue.pause(false).unwrap();
    bench.queue.reclaim(true).unwrap();
    bench.wait(300_000);
    while let Some(claim) = bench.claim() {
        bench.queue.end(&claim.token, &finished()).unwrap();
    }
    bench.check_stories(jobs, true);
    let count = |what: &str| {
        bench.db.read::<u64, QueueError>(|sql| Ok(sql.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0))?))
    };
    assert_eq!(jobs.iter().collect::<HashSet<_>>().len(), jobs.len());
    assert_eq!(count("jobs").unwrap(), jobs.len() as u64);
    assert_eq!(count("events WHERE is_last = 1").unwrap(), jobs.len() as u64);
    assert_eq!(count("images").unwrap(), count("jobs WHERE state = 'finished'").unwrap());
    assert_eq!(count(&format!("jobs WHERE passed > {}", bench.rules.look_ahead)).unwrap(), 0);
}

#[test]
fn whatever_happens_every_job_ends_once() {
    for seed in 0..12 {
        let mut bench = Bench::new(|rules| (rules.capacity, rules.look_ahead) = (20, 3));
        let mut dice = Dice(seed);
        let mut known = Known::default();
        for i in 0..300 {
            if i % 100 == 99 {
                bench = bench.again();
                known.sort(&bench);
            }
            step(&bench, &mut dice, &mut known);
        }
        settle(&bench, &known.jobs);
    }
}

#[test]
fn whatever_happens_at_once_every_job_ends_once() {
    let bench = Bench::new(|_| ());
    let jobs: Vec<JobId> = std::thread::scope(|scope| {
        let work = |seed: u64| {
            let (bench, mut dice) = (&bench, Dice(seed));
            move || {
                let (mut jobs, mut held) = (Vec::new(), Vec::new());
                for _ in 0..150 {
                    let queue = &bench.queue;
                    // Others do the same, so most of this may be refused; that is seen at the end.
                    match dice.roll(8) {
                        0..3 => jobs.push(queue.submit(&dice.wish(), &Client::local(), None).unwrap().job),
                        3..5 => held.extend(
                            queue.claim(&Worker { name: "w", loaded: Some("m"), away: &[] }).unwrap().map(|claim| claim.token),
                        ),
                        5 => drop(held.pop().map(|token| queue.end(&token, &finished()))),
                        6 => {
                            bench.wait(2_000);
                            queue.reclaim(false).unwrap();
                        }
                        _ => {
                            drop(dice.pick(&jobs).map(|job| queue.cancel(job)));
                            drop(dice.pick(&jobs).map(|job| queue.place(job, dice.pick(&jobs))));
                            drop(held.pop().map(|token| queue.put_back(&token)));
                        }
                    }
                }
                jobs
            }
        };
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(work(seed))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    settle(&bench, &jobs);
}
