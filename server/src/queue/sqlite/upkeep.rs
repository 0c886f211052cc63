//! What is old goes.

use rusqlite::params;

use super::{SqliteQueue, Writing};
use crate::queue::QueueError;
use crate::time::Millis;

/// Jobs that are forgotten at once: while they are, nobody else can write.
const AT_ONCE: usize = 200;

/// Jobs that ended before a moment.
pub(super) const OLD: &str = "SELECT id FROM jobs WHERE ended < ?1 LIMIT ?2";

impl SqliteQueue {
    pub(super) fn forget_all(&self, ended_before: Millis) -> Result<u32, QueueError> {
        self.change(|writing| writing.forget_traces(ended_before))?;
        let mut gone = 0_usize;
        loop {
            let now = self.change(|writing| writing.forget_some(ended_before))?;
            gone += now;
            if now < AT_ONCE {
                return Ok(u32::try_from(gone).unwrap_or(u32::MAX));
            }
        }
    }
}

impl Writing<'_> {
    fn forget_some(&self, ended_before: Millis) -> super::Outcome<usize> {
        let mut old = self.sql.prepare_cached(OLD)?;
        let old = old.query_map(params![ended_before, AT_ONCE], |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
        for id in &old {
            self.sql.prepare_cached("DELETE FROM events WHERE job = ?1")?.execute([id])?;
            self.sql.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([id])?;
        }
        Ok(old.len())
    }

    /// What is no job's: events about the queue, keys that stand for nothing any more, rounds that everybody has left behind.
    fn forget_traces(&self, before: Millis) -> super::Outcome<()> {
        self.sql.execute("DELETE FROM events WHERE job IS NULL AND at < ?1", [before])?;
        self.sql.execute("DELETE FROM idempotency WHERE at <= ?1", [self.now.saturating_sub(self.rules.keep_keys_ms)])?;
        self.sql.execute(
            "DELETE FROM turns WHERE client <> '' AND place + 1 <=
             (SELECT latest.place FROM turns AS latest WHERE latest.client = '' AND latest.priority = turns.priority)",
            [],
        )?;
        Ok(())
    }
}
