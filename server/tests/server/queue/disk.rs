//! Disks that are full, and databases of other versions.

use std::path::PathBuf;

use encaustic_server::db::{Db, DbError};
use encaustic_server::job::Client;
use encaustic_server::queue::sqlite::Rules;
use encaustic_server::queue::{Queue, QueueError};
use rusqlite::Connection;

use super::{Bench, file, finished, wish};

fn full(error: &QueueError) -> bool {
    let told = error.to_string();
    matches!(error, QueueError::Database(DbError::Sqlite { .. }))
        && told.contains("make room on the disk")
        && told.contains("encaustic.db")
}

/// Fills what there is until the queue refuses; returns how many jobs it has taken.
fn fill(bench: &Bench) -> u64 {
    let long = wish(&"a long prompt ".repeat(200));
    let mut taken = bench.queue.counts().unwrap().waiting;
    loop {
        match bench.queue.submit(&long, &Client::local(), None) {
            Ok(_) => taken += 1,
            Err(error) => {
                assert!(full(&error), "{error}");
                return taken;
            }
        }
    }
}

fn limit(bench: &Bench, pages: u32) {
    let limit = |sql: &rusqlite::Transaction<'_>| {
        sql.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        Ok(())
    };
    bench.db.write::<_, QueueError>(limit).unwrap();
}

#[test]
fn a_full_disk_is_told_and_costs_nothing() {
    let bench = Bench::new(|_| ());
    let running = bench.submit("a");
    let token = bench.claim().unwrap().token;
    limit(&bench, 150);
    let taken = fill(&bench);
    // Nothing is there by half, and what does not need room works.
    assert_eq!((bench.queue.counts().unwrap().waiting, bench.queue.counts().unwrap().running), (taken, 1));
    assert_eq!(bench.queue.events(0, None, 1000).unwrap().len() as u64, taken + 2);
    assert_eq!(bench.hub.last(), bench.queue.last_event().unwrap());
    // With room, all goes on, also after a restart.
    limit(&bench, 1_000_000);
    bench.queue.end(&token, &finished()).unwrap();
    let bench = bench.again();
    assert_eq!(bench.story(running), "queued started finished");
    for _ in 0..taken {
        let token = bench.claim().unwrap().token;
        bench.queue.end(&token, &finished()).unwrap();
    }
    assert!(bench.claim().is_none());
}

/// On a real disk: `ENCAUSTIC_TEST_SMALL_DISK` names a folder on one of a few megabytes that may be filled.
#[test]
#[ignore = "needs a small disk"]
fn a_small_disk_is_told_and_costs_nothing() {
    let Some(folder) = std::env::var_os("ENCAUSTIC_TEST_SMALL_DISK").map(PathBuf::from) else { return };
    let folder = tempfile::tempdir_in(folder).unwrap();
    let stuffing = folder.path().join("stuffing");
    let bench = Bench::over(folder, Default::default(), Rules { capacity: 1 << 40, ..Rules::default() });
    let running = bench.submit("a");
    let token = bench.claim().unwrap().token;
    std::fs::write(&stuffing, vec![1; 1 << 20]).unwrap();
    let taken = fill(&bench);
    assert_eq!((bench.queue.counts().unwrap().waiting, bench.queue.counts().unwrap().running), (taken, 1));
    std::fs::remove_file(stuffing).unwrap();
    bench.queue.end(&token, &finished()).unwrap();
    let bench = bench.again();
    assert_eq!(bench.story(running), "queued started finished");
    assert_eq!(bench.queue.counts().unwrap().waiting, taken);
    let check = |sql: &Connection| Ok(sql.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))?);
    assert_eq!(bench.db.read::<_, QueueError>(check).unwrap(), "ok");
}

#[test]
fn databases_of_other_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    // The first form had the queue alone.
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../../src/queue/schema.sql")).unwrap();
    old.execute_batch(
        "INSERT INTO jobs (client, wish, model, state, priority, is_ready, place, not_before, created)
         VALUES ('a', '{}', 'demo', 'waiting', 0, 1, 0, 0, 0); PRAGMA user_version = 1",
    )
    .unwrap();
    drop(old);
    let bench = Bench::over(folder, Default::default(), Default::default());
    assert_eq!(bench.claim().unwrap().job.client.0, "a");
    let known: usize =
        bench.db.read::<_, QueueError>(|sql| Ok(sql.query_row("PRAGMA user_version", [], |row| row.get(0))?)).unwrap();
    assert!(known > 1);
    let Bench { folder, db, queue, .. } = bench;
    drop((db, queue));

    Connection::open(&path).unwrap().pragma_update(None, "user_version", known + 1).unwrap();
    let error = Db::open(&path).unwrap_err();
    assert!(matches!(error, DbError::TooNew { .. }), "{error}");
    assert!(error.to_string().contains("later version"), "{error}");
    // Nothing was changed: the later program finds it as it was.
    let version: usize = Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, known + 1);

    let damaged = folder.path().join("damaged.db");
    std::fs::write(&damaged, "this is no database, however long it may be".repeat(100)).unwrap();
    let error = Db::open(&damaged).unwrap_err().to_string();
    assert!(error.contains("move it away"), "{error}");
    let error = Db::open(&folder.path().join("nowhere/encaustic.db")).unwrap_err().to_string();
    assert!(error.contains("permissions"), "{error}");
}
