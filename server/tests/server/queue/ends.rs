//! What becomes of a job, and of those who have it. Each line of the tables is the life of one job, one word per step:
//!
//! `claim`; `beat`, `log`, `finish`, `fail`, `stop`, `back`, `give` (by whoever has it now); `old:...` (the same by whoever had
//! it before: refused); `cancel`, `retry`; `late` (its lease runs out, and the sweeper comes); `again` (the server starts anew).

use encaustic_protocol::Change;
use encaustic_server::events::News;
use encaustic_server::job::{Client, NewJob, State};
use encaustic_server::queue::{End, Queue, QueueError, Standing, Token, Worker};

use super::{Bench, failed, finished, image, wish};

/// Lives a life; returns its story, and what the beats said.
fn live(life: &str) -> (String, Vec<Standing>, State) {
    let mut bench = Bench::new(|rules| rules.crashes = 3);
    let job = bench.submit("a");
    let (mut token, mut old): (Option<Token>, Option<Token>) = (None, None);
    let mut beats = Vec::new();
    for word in life.split_whitespace() {
        let (is_old, step) = word.strip_prefix("old:").map_or((false, word), |step| (true, step));
        let by = if is_old { old } else { token };
        let by = by.unwrap_or(Token { job, claim: 0 });
        let queue = &bench.queue;
        let result = match step {
            "claim" => {
                old = token;
                token = Some(bench.claim().unwrap_or_else(|| panic!("nothing to claim: {life}")).token);
                Ok(())
            }
            "beat" => queue.beat(&by).map(|standing| {
                assert_eq!(queue.standing(&by).unwrap(), standing, "{life}");
                beats.push(standing);
            }),
            "log" => queue.log(&by, "a remark"),
            "finish" => queue.end(&by, &finished()),
            "fail" => queue.end(&by, &failed()),
            "stop" => queue.end(&by, &End::Cancelled),
            "back" => queue.put_back(&by),
            "give" => queue.give_back(&by),
            "cancel" => queue.cancel(job).map(drop),
            "late" => {
                bench.wait(bench.rules.lease_ms + 1);
                bench.queue.reclaim(false).map(drop)
            }
            "again" => {
                bench = bench.again();
                Ok(())
            }
            step => panic!("{step}"),
        };
        match result {
            Err(QueueError::Lost(lost)) => assert!(is_old && lost == job, "`{word}` in `{life}`"),
            result => assert!(!is_old && result.is_ok(), "`{word}` in `{life}`: {result:?}"),
        }
    }
    bench.check_stories(&[job], false);
    (bench.story(job), beats, bench.queue.job(job).unwrap().state)
}

#[test]
fn every_life_has_one_end() {
    for (life, story) in [
        ("", "queued"),
        ("claim finish", "queued started finished"),
        ("claim beat log fail", "queued started failed"),
        ("cancel", "queued cancelled"),
        // Whoever has it hears of it, or comes first.
        ("claim cancel stop", "queued started cancelled"),
        ("claim cancel cancel stop", "queued started cancelled"),
        ("claim cancel finish", "queued started finished"),
        ("claim cancel fail", "queued started failed"),
        ("claim cancel back", "queued started cancelled"),
        ("claim cancel give", "queued started cancelled"),
        ("claim cancel late", "queued started cancelled"),
        ("claim cancel again", "queued started cancelled"),
        // It waits again.
        ("claim back claim finish", "queued started queued started finished"),
        ("claim back cancel", "queued started queued cancelled"),
        ("claim late claim finish", "queued started queued started finished"),
        ("claim again claim finish", "queued started queued started finished"),
        // Whoever had it can do nothing any more.
        ("claim late claim old:finish old:fail old:log old:back old:give finish", "queued started queued started finished"),
        ("claim late claim finish old:finish", "queued started queued started finished"),
        // After three deaths it is given up; tries that its worker broke off do not count.
        ("claim late claim late claim late", "queued started queued started queued started failed"),
        ("claim again claim give claim again", "queued started queued started queued started queued"),
        ("claim give claim again claim late claim again", "queued started queued started queued started queued started failed"),
        ("claim back claim back claim back claim", "queued started queued started queued started queued started"),
    ] {
        let (told, _, state) = live(life);
        assert_eq!(told, story, "{life}");
        let last = story.rsplit(' ').next().unwrap();
        assert_eq!(state.name(), last.replace("queued", "waiting").replace("started", "running"), "{life}");
    }
}

#[test]
fn whoever_has_a_job_hears_how_it_stands() {
    use Standing::{Cancelled, Held, Lost};
    for (life, standings) in [
        ("claim beat beat", &[Held, Held][..]),
        ("claim beat cancel beat", &[Held, Cancelled]),
        ("claim late beat", &[Lost]),
        ("claim late claim beat", &[Held]),
        ("claim finish beat", &[Lost]),
        ("beat", &[Lost]),
    ] {
        assert_eq!(live(life).1, standings, "{life}");
    }
}

#[test]
fn signs_of_life_keep_a_job() {
    let bench = Bench::new(|_| ());
    bench.submit("a");
    let claim = bench.claim().unwrap();
    for _ in 0..10 {
        bench.wait(bench.rules.lease_ms - 1);
        assert_eq!(bench.queue.beat(&claim.token).unwrap(), Standing::Held);
        assert_eq!(bench.queue.reclaim(false).unwrap(), 0);
    }
    bench.wait(bench.rules.lease_ms + 1);
    assert_eq!(bench.queue.reclaim(false).unwrap(), 1);
}

#[test]
fn a_poison_job_stops_nobody() {
    let mut bench = Bench::new(|_| ());
    let (poison, other) = (bench.submit("a"), bench.submit("a"));
    for _ in 0..bench.rules.crashes {
        assert_eq!(bench.claim().unwrap().job.id, poison);
        bench = bench.again();
    }
    let job = bench.queue.job(poison).unwrap();
    assert_eq!((job.state, job.attempts, job.crashes), (State::Failed, 10, 9));
    assert!(job.failure.unwrap().message.contains("broke down 10 times"));
    assert_eq!(bench.claim().unwrap().job.id, other);
}

/// Two devices work, one job ends the whole server each time it is begun: it alone is given up.
#[test]
fn a_poison_job_takes_nobody_along() {
    let mut bench = Bench::new(|rules| rules.crashes = 4);
    let (poison, innocent) = (bench.submit("a"), bench.submit("b"));
    for _ in 0..2 {
        let begun: Vec<_> = std::iter::from_fn(|| bench.claim()).map(|claim| claim.job.id).collect();
        assert_eq!(begun, [poison, innocent]);
        bench = bench.again();
    }
    let later = bench.submit("c");
    while bench.queue.job(poison).unwrap().state != State::Failed {
        let claim = bench.claim().unwrap();
        assert_eq!(claim.job.id, poison);
        assert!(bench.claim().is_none(), "nobody runs beside it");
        bench = bench.again();
    }
    // The other one was there, too, so that it runs alone as well: first the one that runs ends, then nobody is begun beside it.
    let claim = bench.claim().unwrap();
    assert_eq!((claim.job.id, claim.job.crashes), (innocent, 2));
    assert!(bench.claim().is_none());
    bench.queue.end(&claim.token, &finished()).unwrap();
    let claim = bench.claim().unwrap();
    assert_eq!(claim.job.id, later);
    bench.queue.end(&claim.token, &finished()).unwrap();
    assert_eq!(bench.story(innocent), "queued started queued started queued started finished");
    assert_eq!(bench.queue.job(poison).unwrap().attempts, 4);
}

/// One that has to be alone is passed as often as any other, and by those who may run; then nobody is begun until it is alone.
#[test]
fn who_has_to_be_alone_is_not_starved() {
    let mut bench = Bench::new(|rules| rules.look_ahead = 2);
    let suspect = bench.submit("a");
    for _ in 0..2 {
        bench.claim().unwrap();
        bench = bench.again();
    }
    let first = bench.submit("b");
    bench.queue.prioritise(first, 1).unwrap();
    let others = [bench.submit("c"), bench.submit("c"), bench.submit("c")];
    let mut running: Vec<_> = std::iter::from_fn(|| bench.claim()).collect();
    let begun: Vec<_> = running.iter().map(|claim| claim.job.id).collect();
    assert_eq!(begun, [first, others[0], others[1]]);
    while let Some(claim) = running.pop() {
        assert!(bench.claim().is_none());
        bench.queue.end(&claim.token, &finished()).unwrap();
    }
    assert_eq!(bench.claim().unwrap().job.id, suspect);
    assert!(bench.claim().is_none());
}

/// Jobs for a model that nobody has yet are passed by all others, and keep their places.
#[test]
fn who_waits_for_a_model_holds_nobody_up() {
    let bench = Bench::new(|_| ());
    let of = |model: &str| NewJob { model: Some(model.to_owned()), ..wish("a") };
    let client = Client("a".to_owned());
    let jobs = ["x", "y", "x", "z"].map(|model| bench.queue.submit(&of(model), &client, None).unwrap().job);
    let away = ["x".to_owned()];
    let claim = |away: &[String]| bench.queue.claim(&Worker { name: "w", loaded: None, away }).unwrap();
    let begun: Vec<_> = std::iter::from_fn(|| claim(&away)).map(|claim| claim.job.id).collect();
    assert_eq!(begun, [jobs[1], jobs[3]]);
    let begun: Vec<_> = std::iter::from_fn(|| claim(&[])).map(|claim| claim.job.id).collect();
    assert_eq!(begun, [jobs[0], jobs[2]]);
}

/// A wish that another version wrote fails by itself, and hides no other.
#[test]
fn what_cannot_be_read_stops_nobody() {
    let bench = Bench::new(|_| ());
    let (strange, other) = (bench.submit("a"), bench.submit("a"));
    let change = "UPDATE jobs SET wish = '{\"shape\": \"round\"}' WHERE id = ?1";
    bench.db.write::<_, QueueError>(|sql| Ok(sql.execute(change, [strange.0])?)).unwrap();
    assert_eq!(bench.queue.jobs(&Default::default()).unwrap().len(), 2);
    assert_eq!(bench.claim().unwrap().job.id, other);
    assert_eq!(bench.story(strange), "queued failed");
    let again = bench.queue.retry(strange, &Client::local());
    assert!(matches!(again, Err(QueueError::NotNow { .. })), "{again:?}");
}

#[test]
fn pictures_belong_to_the_one_end() {
    let bench = Bench::new(|_| ());
    let job = bench.submit("a");
    let first = bench.claim().unwrap().token;
    bench.wait(bench.rules.lease_ms + 1);
    bench.queue.reclaim(false).unwrap();
    let second = bench.claim().unwrap().token;
    assert!(second.claim > first.claim);
    assert!(bench.queue.end(&first, &End::Finished(vec![image("1"), image("2")])).is_err());
    bench.queue.end(&second, &End::Finished(vec![image("3"), image("4")])).unwrap();
    assert!(bench.queue.end(&first, &End::Finished(vec![image("5")])).is_err());
    let names = |images: &[encaustic_protocol::ImageRef]| {
        images.iter().map(|image| image.name.trim_start_matches('0').to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&bench.queue.job(job).unwrap().images), ["3", "4"]);
    let events = bench.queue.events(0, Some(job), 100).unwrap();
    let News::Job { change: Change::Finished(told), .. } = &events.last().unwrap().news else { panic!("{events:?}") };
    assert_eq!(names(told), ["3", "4"]);
    let rows: u64 = bench
        .db
        .read::<_, QueueError>(|sql| Ok(sql.query_row("SELECT count(*) FROM images WHERE job = ?1", [job.0], |row| row.get(0))?))
        .unwrap();
    assert_eq!(rows, 2);
}

#[test]
fn a_second_try_is_a_job_of_its_own_with_the_same_seed() {
    let bench = Bench::new(|_| ());
    let cancelled = bench.submit("a");
    bench.queue.cancel(cancelled).unwrap();
    let again = bench.queue.retry(cancelled, &Client("b".into())).unwrap();
    assert!(again.is_new && again.job != cancelled);
    let (first, second) = (bench.queue.job(cancelled).unwrap(), bench.queue.job(again.job).unwrap());
    assert_eq!((first.wish, second.client.0.as_str()), (second.wish, "b"));
    let told = encaustic_server::job::NewJob { webhook: Some("http://127.0.0.1:9/ended".into()), ..super::wish("w") };
    for (client, is_told) in [("a", true), ("b", false)] {
        let first = bench.queue.submit(&told, &Client("a".into()), None).unwrap().job;
        bench.queue.cancel(first).unwrap();
        let again = bench.queue.retry(first, &Client(client.into())).unwrap().job;
        assert_eq!(bench.queue.job(again).unwrap().wish.webhook.is_some(), is_told, "{client}");
        bench.queue.cancel(again).unwrap();
    }
    let token = bench.claim().unwrap().token;
    for state in ["running", "finished"] {
        let refused = bench.queue.retry(again.job, &Client::local()).unwrap_err().to_string();
        assert!(refused.contains(state), "{refused}");
        let _ = bench.queue.end(&token, &finished());
    }
}

#[test]
fn remarks_are_kept_within_bounds() {
    let bench = Bench::new(|_| ());
    bench.submit("a");
    let claim = bench.claim().unwrap();
    for i in 0..150 {
        bench.queue.log(&claim.token, &format!("{i} \"{}", "é".repeat(1000))).unwrap();
    }
    let log = bench.queue.job(claim.job.id).unwrap().log;
    assert_eq!((log.len(), log[99].text.chars().count()), (100, 500));
    assert!(log[0].text.starts_with("50 \"") && log[99].text.starts_with("149 \""), "{}", log[0].text);
}

#[test]
fn what_is_not_there_is_said_to_be_unknown() {
    let bench = Bench::new(|_| ());
    let job = bench.submit("a");
    bench.queue.cancel(job).unwrap();
    for number in [job.0 + 1, i64::MAX as u64, u64::MAX] {
        let unknown = encaustic_protocol::JobId(number);
        let queue = &bench.queue;
        for result in [
            queue.job(unknown).map(drop),
            queue.cancel(unknown).map(drop),
            queue.retry(unknown, &Client::local()).map(drop),
            queue.prioritise(unknown, 1),
            queue.place(unknown, None),
        ] {
            assert!(matches!(result, Err(QueueError::Unknown(_))), "{number}: {result:?}");
        }
        assert!(queue.events(number, Some(unknown), u32::MAX).unwrap().is_empty());
    }
    assert!(matches!(bench.queue.cancel(job), Err(QueueError::Over { .. })));
    assert!(matches!(bench.queue.prioritise(job, 1), Err(QueueError::NotNow { .. })));
}
