//! It starts, answers and stops.

use crate::support::Trial;

#[test]
fn a_server_answers() {
    let trial = Trial::start(|_| ());
    assert_eq!(trial.get("/nothing").status, 404);
    let folder = trial.stop();
    assert!(folder.path().join("encaustic.db").exists());
}
