//! What is taken in: once per idempotency key, with a seed, and no more than there is room for.

use std::collections::HashSet;

use encaustic_server::job::{Client, NewJob};
use encaustic_server::queue::sqlite::Rules;
use encaustic_server::queue::{Queue, QueueError, Submitted};

use super::{Bench, finished, wish};

const HOUR: i64 = 3_600_000;

fn submit(bench: &Bench, client: &str, key: &str, wish: &NewJob) -> Result<Submitted, QueueError> {
    bench.queue.submit(wish, &Client(client.to_owned()), Some(key))
}

#[test]
fn a_key_stands_for_one_job() {
    let bench = Bench::new(|rules| rules.capacity = 5);
    let first = submit(&bench, "a", "k", &wish("x")).unwrap();
    assert!(first.is_new);
    let other_field = NewJob { priority: 1, ..wish("x") };
    let mut with_seed = wish("x");
    with_seed.request.seed = bench.queue.job(first.job).unwrap().wish.request.seed;
    for (client, key, wished, hours, expected) in [
        ("a", "k", wish("x"), 0, "same"),
        ("a", "k", wish("y"), 0, "refused"),
        ("a", "k", other_field, 0, "refused"),
        // The seed that was drawn for it was not wished for.
        ("a", "k", with_seed, 0, "refused"),
        ("a", "l", wish("x"), 0, "new"),
        ("b", "k", wish("y"), 0, "new"),
        ("a", "k", wish("x"), 23, "same"),
        ("a", "k", wish("y"), 1, "new"),
        ("a", "k", wish("y"), 0, "same"),
    ] {
        bench.wait(hours * HOUR);
        let found = match submit(&bench, client, key, &wished) {
            Ok(Submitted { is_new: true, .. }) => "new",
            Ok(Submitted { job, .. }) => {
                assert_eq!(job == first.job, wished == wish("x"));
                "same"
            }
            Err(QueueError::KeyReused(_)) => "refused",
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{client} {key} {wished:?}");
    }
    // Also where there is no room for more, and where it has ended.
    submit(&bench, "a", "last", &wish("z")).unwrap();
    assert!(matches!(submit(&bench, "a", "more", &wish("z")), Err(QueueError::Full { .. })));
    let claim = bench.claim().unwrap();
    bench.queue.end(&claim.token, &finished()).unwrap();
    assert!(!submit(&bench, "a", "last", &wish("z")).unwrap().is_new);
}

#[test]
fn a_key_used_by_a_hundred_at_once_makes_one_job() {
    let bench = Bench::new(|_| ());
    let told: Vec<Submitted> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(|| submit(&bench, "a", "k", &wish("x")).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(told.iter().filter(|told| told.is_new).count(), 1);
    assert_eq!(told.iter().map(|told| told.job).collect::<HashSet<_>>().len(), 1);
    assert_eq!(bench.queue.counts().unwrap().waiting, 1);
}

#[test]
fn exactly_the_capacity_is_taken_in() {
    let bench = Bench::new(|rules| rules.capacity = 100);
    let refused: Vec<QueueError> = std::thread::scope(|scope| {
        let submit = || bench.queue.submit(&wish("x"), &Client::local(), None).err();
        let threads: Vec<_> =
            (0..50).map(|_| scope.spawn(move || (0..20).filter_map(|_| submit()).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((refused.len(), bench.queue.counts().unwrap().waiting), (900, 100));
    for error in refused {
        let QueueError::Full { waiting: 100, capacity: 100, retry_secs } = error else { panic!("{error}") };
        assert!((1..=120).contains(&retry_secs), "{retry_secs}");
    }
    // Whoever is asked to try again is told about how long a job takes.
    let claim = bench.claim().unwrap();
    bench.wait(25_000);
    bench.queue.end(&claim.token, &finished()).unwrap();
    bench.submit("a");
    let full = bench.queue.submit(&wish("x"), &Client::local(), None).unwrap_err();
    assert!(matches!(full, QueueError::Full { retry_secs: 25, .. }), "{full}");
}

#[test]
fn whoever_fills_the_queue_shuts_nobody_out() {
    let usual = Rules::default().capacity;
    // capacity, what the first of two hundred others gets in, and what all of them do
    for (capacity, each, all) in [(usual, 8, usual / 10), (100, 8, 10), (3, 2, 8), (1, 1, 8)] {
        let bench = Bench::new(|rules| rules.capacity = capacity);
        let taken = |client: &str| {
            let client = Client(client.to_owned());
            let mut taken = 0;
            while bench.queue.submit(&wish("x"), &client, None).is_ok() {
                taken += 1;
            }
            taken
        };
        assert_eq!(taken("greedy"), capacity, "{capacity}");
        assert_eq!(taken("other"), each, "{capacity}");
        let others: u64 = (0..200).map(|other| taken(&format!("other {other}"))).sum();
        assert_eq!(each + others, all, "{capacity}");
        assert_eq!(taken("greedy"), 0, "{capacity}");
    }
}

#[test]
fn seeds_are_settled() {
    let bench = Bench::new(|_| ());
    let mut seeds = HashSet::new();
    for batch in [1, 1, 16] {
        let mut open = wish("x");
        open.request.batch = batch;
        let job = bench.queue.submit(&open, &Client::local(), None).unwrap().job;
        let seed = bench.queue.job(job).unwrap().wish.request.seed.unwrap();
        assert!(seed + u64::from(batch) <= 1 << 32);
        seeds.insert(seed);
        // A worker that dies leaves it as it was.
        let first = bench.claim().unwrap();
        bench.queue.put_back(&first.token).unwrap();
        let second = bench.claim().unwrap();
        assert_eq!((first.job.wish.request.seed, second.job.wish.request.seed), (Some(seed), Some(seed)));
        bench.queue.end(&second.token, &finished()).unwrap();
    }
    assert_eq!(seeds.len(), 3);
    for seed in [0, u64::MAX] {
        let mut given = wish("x");
        given.request.seed = Some(seed);
        let job = bench.queue.submit(&given, &Client::local(), None).unwrap().job;
        assert_eq!(bench.queue.job(job).unwrap().wish.request.seed, Some(seed));
    }
}
