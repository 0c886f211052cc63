//! What is told of jobs and events, page by page, and what is forgotten.

use encaustic_protocol::JobId;
use encaustic_server::events::News;
use encaustic_server::job::{Client, NewJob, State};
use encaustic_server::queue::{Queue, QueueError, Wanted};

use super::{BEGIN, Bench, finished, wish};

/// Jobs 1 to 9: 1 finished, 2 cancelled, 3 runs, 4 to 7 wait (7 first), 8 and 9 are scheduled (9 comes first). Those with even
/// numbers are b's.
fn bench() -> Bench {
    let bench = Bench::new(|_| ());
    let client = |number: u64| Client(if number.is_multiple_of(2) { "b" } else { "a" }.to_owned());
    let submit = |number, wish: NewJob| {
        assert_eq!(bench.queue.submit(&wish, &client(number), None).unwrap().job, JobId(number));
    };
    for number in [1, 2, 3] {
        submit(number, wish("x"));
        if number == 2 {
            bench.queue.cancel(JobId(2)).unwrap();
            continue;
        }
        let token = bench.claim().unwrap().token;
        if number == 1 {
            bench.queue.end(&token, &finished()).unwrap();
        }
    }
    (4..7).for_each(|number| submit(number, wish("x")));
    submit(7, NewJob { priority: 1, ..wish("x") });
    submit(8, NewJob { not_before: Some(BEGIN + 200), ..wish("x") });
    submit(9, NewJob { not_before: Some(BEGIN + 100), ..wish("x") });
    bench
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn lists_are_what_was_wanted_page_by_page() {
    use State::{Cancelled, Failed, Finished, Running, Waiting};
    let bench = bench();
    for (states, client, expected) in [
        (&[][..], None, "7 4 5 6 9 8 3 2 1"),
        (&[Waiting], None, "7 4 5 6 9 8"),
        (&[Waiting], Some("b"), "4 6 8"),
        (&[Running, Finished], None, "3 1"),
        (&[Finished, Cancelled, Failed], Some("b"), "2"),
        (&[], Some("a"), "7 5 9 3 1"),
        (&[Failed], None, ""),
        (&[], Some("c"), ""),
    ] {
        for most in 1..10 {
            let mut all = Vec::new();
            let mut before = None;
            loop {
                let client = client.map(|client| Client(client.to_owned()));
                let wanted = Wanted { states: states.to_vec(), client, before, most };
                let page = bench.queue.jobs(&wanted).unwrap();
                assert!(page.len() <= most as usize);
                let Some(last) = page.last() else { break };
                before = Some(last.id);
                all.extend(page.into_iter().map(|job| job.id.0));
            }
            assert_eq!(all, numbers(expected), "{states:?} {client:?}, {most} at once");
        }
    }
}

#[test]
fn whoever_waits_knows_how_many_come_first() {
    let bench = bench();
    let line: Vec<_> = bench.queue.jobs(&Wanted::default()).unwrap().into_iter().map(|job| (job.id.0, job.ahead)).collect();
    let ahead = [Some(0), Some(1), Some(2), Some(3), Some(4), Some(4), None, None, None];
    assert_eq!(line, numbers("7 4 5 6 9 8 3 2 1").into_iter().zip(ahead).collect::<Vec<_>>());
    for (id, ahead) in line {
        assert_eq!(bench.queue.job(JobId(id)).unwrap().ahead, ahead, "{id}");
    }
    let counts = bench.queue.counts().unwrap();
    assert_eq!((counts.waiting, counts.scheduled, counts.running, counts.is_paused), (6, 2, 1, false));
}

#[test]
fn events_are_told_from_any_number_on() {
    let bench = bench();
    bench.queue.pause(true).unwrap();
    let all = bench.queue.events(0, None, 1000).unwrap();
    assert!(all.is_sorted_by(|a, b| a.seq < b.seq) && all.iter().all(|event| !event.is_live));
    assert_eq!(all.last().unwrap().news, News::Queue { is_paused: true });
    assert_eq!(bench.queue.last_event().unwrap(), all.last().unwrap().seq);
    assert_eq!(bench.hub.last(), all.last().unwrap().seq);
    for most in [1, 3, 1000] {
        let mut after = 0;
        let mut told = Vec::new();
        while let page @ [.., last] = bench.queue.events(after, None, most).unwrap().as_slice() {
            after = last.seq;
            told.extend_from_slice(page);
        }
        assert_eq!(told, all, "{most} at once");
    }
}

#[test]
fn what_is_old_is_forgotten_and_nothing_else() {
    let bench = bench();
    bench.queue.pause(true).unwrap();
    let key = bench.queue.submit(&wish("x"), &Client("k".into()), Some("key")).unwrap().job;
    bench.queue.cancel(key).unwrap();
    bench.wait(10);
    let last = bench.queue.last_event().unwrap();
    assert_eq!(bench.queue.forget(BEGIN).unwrap(), 0);
    assert_eq!(bench.queue.forget(BEGIN + 1).unwrap(), 3);
    assert_eq!(bench.queue.forget(BEGIN + 1).unwrap(), 0);
    for (job, is_there) in [(1, false), (2, false), (3, true), (4, true), (9, true), (key.0, false)] {
        assert_eq!(bench.queue.job(JobId(job)).is_ok(), is_there, "{job}");
        assert_eq!(bench.story(JobId(job)).is_empty(), !is_there, "{job}");
    }
    let events = bench.queue.events(0, None, 1000).unwrap();
    assert!(events.iter().all(|event| matches!(event.news, News::Job { .. })), "{events:?}");
    // Pictures stay, and numbers are not given again.
    let images = |sql: &rusqlite::Connection| Ok(sql.query_row("SELECT count(*) FROM images", [], |row| row.get::<_, u64>(0))?);
    assert_eq!(bench.db.read::<_, QueueError>(images).unwrap(), 1);
    let again = bench.queue.submit(&wish("x"), &Client("k".into()), Some("key")).unwrap();
    assert!(again.is_new && again.job.0 > key.0);
    assert!(bench.again().queue.last_event().unwrap() > last);
}

/// More than are forgotten in one go.
#[test]
fn many_are_forgotten_in_pieces() {
    let bench = Bench::new(|_| ());
    for _ in 0..450 {
        let job = bench.submit("a");
        bench.queue.cancel(job).unwrap();
    }
    let last = bench.queue.last_event().unwrap();
    bench.wait(1);
    assert_eq!(bench.queue.forget(BEGIN + 1).unwrap(), 450);
    assert!(bench.queue.events(0, None, 10).unwrap().is_empty());
    assert_eq!(bench.again().queue.last_event().unwrap(), last);
}
