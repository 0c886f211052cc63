//! How SQLite finds what the queue asks for: by an index, and in its order, however many jobs there are.

use rusqlite::Connection;

use super::{claims, line, lists, upkeep};

fn plan(sql: &Connection, query: &str) -> Vec<String> {
    let mut explained = sql.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
    let unset = vec![rusqlite::types::Null; explained.parameter_count()];
    let lines = explained.query_map(rusqlite::params_from_iter(unset), |row| row.get(3)).unwrap();
    lines.collect::<Result<_, _>>().unwrap()
}

#[test]
fn nothing_reads_all_jobs_or_sorts_them() {
    let sql = Connection::open_in_memory().unwrap();
    sql.execute_batch(include_str!("../schema.sql")).unwrap();
    for (query, index) in [
        (super::intake::WAITING, "COVERING INDEX jobs_by_state"),
        (super::intake::WAITING_OF, "COVERING INDEX jobs_by_client (client=? AND state=?)"),
        (line::FIRST, "COVERING INDEX jobs_in_line"),
        (line::DUE, "jobs_to_come (not_before<?)"),
        (line::ARRIVAL, "jobs_in_line_of_client (client=? AND priority=?)"),
        (line::AHEAD, "COVERING INDEX jobs_in_line (priority=? AND place<?)"),
        (line::BEFORE, "COVERING INDEX jobs_in_line (priority=? AND place<?)"),
        (line::LAST, "COVERING INDEX jobs_in_line (priority=?)"),
        (line::ROUND, "COVERING INDEX jobs_in_line (priority=? AND place>? AND place<?)"),
        (claims::ANYBODY, "jobs_to_come (not_before<?)"),
        (claims::STALE, "jobs_running (lease_until<?)"),
        (lists::LINE, "COVERING INDEX jobs_in_line"),
        (lists::PIECE, "jobs_in_line"),
        (lists::TO_COME, "jobs_to_come"),
        (lists::IN_STATE, "jobs_by_state (state=? AND id<?)"),
        (lists::OF_CLIENT, "jobs_by_client (client=? AND state=? AND id<?)"),
        (lists::EVENTS, "INTEGER PRIMARY KEY (rowid>?)"),
        (lists::EVENTS_OF, "events_by_job (job=? AND seq>?)"),
        (upkeep::OLD, "jobs_by_end (ended<?)"),
    ] {
        let plan = plan(&sql, query);
        assert!(plan.iter().any(|line| line.contains(index)), "{query}\n{plan:#?}");
        let is_slow = |line: &String| line.contains("TEMP B-TREE") || (line.starts_with("SCAN jobs") && !line.contains("INDEX"));
        assert!(!plan.iter().any(is_slow), "{query}\n{plan:#?}");
    }
}
