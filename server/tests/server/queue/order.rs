//! Who is next. The tests are scripts, one word per step:
//!
//! | word | step |
//! |---|---|
//! | `a`, `a+5`, `a:m`, `a@50` | client a wants a job: of priority 5, for model m, not before moment 50; its first is called a1 |
//! | `=a1`, `m=a1`, `=-` | a worker is given a1; one that has m loaded; it is given nothing |
//! | `a1<b2`, `a1>`, `a1!5` | a1 is moved before b2; behind all; it gets priority 5 |
//! | `a1<b2?` | ... which is refused |
//! | `x:a1`, `back:a1`, `lost` | a1 is taken back; its worker puts it back; all workers die |
//! | `t50`, `pause`, `resume`, `again` | it is moment 50 now; the queue is paused; goes on; the server starts anew |

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use encaustic_protocol::JobId;
use encaustic_server::job::{Client, NewJob, State};
use encaustic_server::queue::{Queue, Token, Wanted, Worker};

use super::{BEGIN, Bench, wish};

fn play(look_ahead: u32, script: &str) {
    let mut bench = Bench::new(|rules| rules.look_ahead = look_ahead);
    let mut jobs: HashMap<String, JobId> = HashMap::new();
    let mut tokens: HashMap<JobId, Token> = HashMap::new();
    let mut counts: HashMap<char, u32> = HashMap::new();
    for word in script.split_whitespace() {
        let said = format!("`{word}` in `{script}`");
        if let Some((loaded, expected)) = word.split_once('=') {
            let first = bench.queue.jobs(&Wanted { states: vec![State::Waiting], most: 1, ..Wanted::default() }).unwrap();
            let loaded = (!loaded.is_empty()).then_some(loaded);
            let claim = bench.queue.claim(&Worker { name: "w", loaded, away: &[] }).unwrap();
            let name = claim.as_ref().and_then(|claim| jobs.iter().find(|(_, job)| **job == claim.job.id));
            assert_eq!(name.map_or("-", |(name, _)| name.as_str()), expected, "{said}");
            let Some(claim) = claim else { continue };
            if loaded.is_none() && claim.job.wish.not_before.is_none() {
                assert_eq!((first[0].id, first[0].ahead), (claim.job.id, Some(0)), "{said}: what the list says");
            }
            tokens.insert(claim.job.id, claim.token);
        } else if let Some(moment) = word.strip_prefix('t').and_then(|moment| moment.parse::<i64>().ok()) {
            bench.now.store(BEGIN + moment, Ordering::SeqCst);
        } else if word == "pause" || word == "resume" {
            bench.queue.pause(word == "pause").unwrap();
        } else if word == "lost" {
            bench.wait(bench.rules.lease_ms + 1);
            bench.queue.reclaim(false).unwrap();
        } else if word == "again" {
            bench = bench.again();
        } else if let Some(name) = word.strip_prefix("x:") {
            bench.queue.cancel(jobs[name]).unwrap();
        } else if let Some(name) = word.strip_prefix("back:") {
            bench.queue.put_back(&tokens[&jobs[name]]).unwrap();
        } else if let Some((name, other)) = word.split_once('<') {
            let moved = bench.queue.place(jobs[name], Some(jobs[other.trim_end_matches('?')]));
            assert_eq!(moved.is_err(), other.ends_with('?'), "{said}: {moved:?}");
        } else if let Some(name) = word.strip_suffix('>') {
            bench.queue.place(jobs[name], None).unwrap();
        } else if let Some((name, priority)) = word.split_once('!') {
            bench.queue.prioritise(jobs[name], priority.parse().unwrap()).unwrap();
        } else {
            let client = word.chars().next().unwrap();
            let after = |mark: char| word.split_once(mark).map(|(_, text)| text.to_owned());
            let wish = NewJob {
                priority: after('+').map_or(0, |priority| priority.parse().unwrap()),
                model: after(':'),
                not_before: after('@').map(|moment| BEGIN + moment.parse::<i64>().unwrap()),
                ..wish(word)
            };
            let count = counts.entry(client).or_default();
            *count += 1;
            let job = bench.queue.submit(&wish, &Client(client.to_string()), None).unwrap().job;
            jobs.insert(format!("{client}{count}"), job);
        }
    }
}

#[test]
fn the_next_job_is_the_right_one() {
    for script in [
        // A client's own jobs come in their order; clients take turns, also those who come later, and who come once each.
        "=- a a a =a1 =a2 =a3 =-",
        "a a a b =a1 =b1 =a2 =a3",
        "a a a b b c =a1 =b1 =c1 =a2 =b2 =a3 =-",
        "a a a a =a1 =a2 b b =b1 =a3 =b2 =a4",
        "a a a =a1 b =b1 b =a2 =b2 b =a3 =b3",
        "a a a b b x:a2 x:a3 a =a1 =b1 =b2 =a4",
        // What was served in vain is no debt; whoever was away has saved nothing.
        "a a a =a1 =a2 =a3 =- b b b a =b1 =b2 =a4 =b3",
        // Priorities go before; each has turns of its own.
        "a+-1 b+5 c =b1 =c1 =a1",
        "a a+5 b+5 a+5 b =a2 =b1 =a3 =a1 =b2",
        "a a b a2!5 =a2 =a1 =b1",
        "a+5 a+5 b a1!0 a2!0 =a1 =b1 =a2",
        // Scheduled jobs do not wait in line before their moment.
        "a@50 a =a2 =- t49 =- t50 =a1",
        "a a a@50 b =a1 t50 =b1 =a2 =a3",
        "a@60 a@50 t70 =a2 =a1",
        "a@50 a1!5 a t50 =a1 =a2",
        // A pause lasts; whoever works goes on.
        "a a =a1 pause =- again =- resume =a1 =a2",
        // What comes back has its old place, and changes nobody's turn.
        "a a a b =a1 =b1 back:a1 =a1 =a2",
        "a a b b =a1 =b1 lost =a1 =b1 =a2 =b2",
        "a a a a =a1 =a2 =a3 back:a1 b b b =a1 =b1 =a4 =b2",
        // Moves.
        "a a a a3<a1 =a3 =a1 =a2",
        "a a a a1> =a2 =a3 =a1",
        "a a a a1<a1 =a1",
        "a a a b b b b3<a1 =b3 =a1 =b1",
        "a a b b a2<b1 =a1 =a2 =b1 =b2",
        // Who moves his own jobs about takes no other's turn.
        "a a a b b b b3<b1 b2<b3 =a1 =b2 =a2 =b3 =a3 =b1",
        "a b b b b2<b1 b3<b2 =a1 =b3 =b2 =b1",
        "a b c d d1<b1 d1<c1 a1<d1 =b1 =a1 =d1 =c1",
        "a a+5 a1<a2? a2<a1? =a2",
        "a a@50 a1<a2? a2<a1? =a1",
        "a a =a1 a2<a1? a1<a2? =a2",
    ] {
        play(0, script);
    }
}

#[test]
fn a_loaded_model_is_preferred_within_bounds() {
    for (look_ahead, script) in [
        (0, "a:m a:n a:m m=a1 m=a2"),
        (2, "a:m a:n a:m a:n m=a1 m=a3 n=a2 n=a4"),
        // Nobody is passed more than twice.
        (2, "a:n a:m a:m a:m a:m m=a2 m=a3 m=a1 m=a4 =a5"),
        (2, "a:n a:o a:m a:m a:m m=a3 m=a4 m=a1 m=a2 m=a5"),
        (1, "a:n a:m a:o a:m a:m m=a2 m=a1 m=a4 m=a3 m=a5"),
        // Nor is it looked farther ahead than that.
        (2, "a:n a:n a:n a:m m=a1 m=a4 n=a2"),
        // Only within a priority.
        (2, "a:m b+5 m=b1 m=a1"),
        // Whoever names no model gets the usual one.
        (2, "a:n a demo=a2 demo=a1"),
        (2, "a:n a:m m=a2 back:a2 m=a2 =a1"),
    ] {
        play(look_ahead, script);
    }
}

#[test]
fn somebody_alone_is_served_within_two_slots() {
    let bench = Bench::new(|_| ());
    for _ in 0..1000 {
        bench.submit("many");
    }
    for round in 0..20 {
        let lone = bench.submit("lone");
        let slots = (1..).find(|_| bench.claim().unwrap().job.id == lone).unwrap();
        assert!(slots <= 2, "round {round}: {slots}");
    }
}

/// However often it is moved between the same two, there is room.
#[test]
fn there_is_always_room_between_two() {
    let bench = Bench::new(|_| ());
    let mut jobs: Vec<JobId> = ["a", "b", "c"].map(|client| bench.submit(client)).to_vec();
    for _ in 0..201 {
        // The first moves to between the second and the third.
        bench.queue.place(jobs[0], Some(jobs[2])).unwrap();
        jobs.swap(0, 1);
    }
    let order: Vec<JobId> = std::iter::from_fn(|| bench.claim().map(|claim| claim.job.id)).collect();
    assert_eq!(order, jobs);
}
