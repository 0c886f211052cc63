//! It starts, answers and stops.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use encaustic_server::db::DbError;

use crate::support::Trial;

#[test]
fn a_server_answers() {
    let trial = Trial::start(|_| ());
    assert_eq!(trial.get("/nothing").status, 404);
    let folder = trial.stop();
    assert!(folder.path().join("encaustic.db").exists());
}

#[test]
fn settings_are_read_while_others_are_written() {
    let trial = Trial::start(|_| ());
    let app = trial.server.as_ref().unwrap().app.clone();
    let (done, wait) = sync_channel(1);
    let (begun, begins) = sync_channel(1);
    let (told, hears) = sync_channel(1);
    thread::scope(|scope| {
        let app = &app;
        scope.spawn(move || {
            let hold = |_: &rusqlite::Transaction<'_>| {
                begun.send(()).unwrap();
                let _: Result<(), _> = wait.recv();
                Ok(())
            };
            app.db.write::<_, DbError>(hold).unwrap();
        });
        begins.recv().unwrap();
        scope.spawn(move || app.settings.change(&[("timeout_secs".to_owned(), Some("77".to_owned()))]).unwrap());
        thread::sleep(Duration::from_millis(200));
        scope.spawn(move || told.send(app.settings.now().timeout_secs));
        let timeout = hears.recv_timeout(Duration::from_secs(10));
        drop(done);
        assert_ne!(timeout.expect("settings while one is written"), 77);
    });
    assert_eq!(app.settings.now().timeout_secs, 77);
}
