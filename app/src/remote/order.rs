//! The order of a queue: where a waiting job can go. Clients take turns, so a job's place is one among those of the same client and
//! the same priority.

use encaustic_protocol::JobId;

use super::wire::{Job, State};

/// Where a job would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Before this one.
    Before(JobId),
    /// Behind all of them.
    Last,
}

impl Move {
    /// The job before which it goes; none at the end.
    pub fn before(self) -> Option<JobId> {
        match self {
            Self::Before(job) => Some(job),
            Self::Last => None,
        }
    }
}

/// Whether two waiting jobs stand in one line.
pub fn are_in_line(one: &Job, other: &Job) -> bool {
    let both_wait = one.state == State::Waiting && other.state == State::Waiting;
    both_wait && one.client == other.client && one.wish.priority == other.wish.priority
}

/// The jobs that stand in one line with a job, itself among them, in their order.
fn line(jobs: &[Job], id: JobId) -> Vec<JobId> {
    let Some(job) = jobs.iter().find(|job| job.id == id) else { return Vec::new() };
    jobs.iter().filter(|other| are_in_line(job, other)).map(|job| job.id).collect()
}

/// Where a job goes that is moved one up; nothing if it is the first.
pub fn up(jobs: &[Job], id: JobId) -> Option<Move> {
    let line = line(jobs, id);
    let at = line.iter().position(|known| *known == id)?.checked_sub(1)?;
    line.get(at).copied().map(Move::Before)
}

/// Where a job goes that is moved one down; nothing if it is the last.
pub fn down(jobs: &[Job], id: JobId) -> Option<Move> {
    let line = line(jobs, id);
    let at = line.iter().position(|known| *known == id)?;
    line.get(at + 1)?;
    Some(line.get(at + 2).copied().map_or(Move::Last, Move::Before))
}

/// Where a job goes that is let go over another; nothing if it cannot go there.
pub fn over(jobs: &[Job], id: JobId, other: JobId) -> Option<Move> {
    let line = line(jobs, id);
    let place = |wanted: JobId| line.iter().position(|known| *known == wanted);
    let (from, to) = (place(id)?, place(other)?);
    match from.cmp(&to) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(Move::Before(other)),
        std::cmp::Ordering::Less => Some(line.get(to + 1).copied().map_or(Move::Last, Move::Before)),
    }
}

/// The same, where the list may show a part only of the `waiting` jobs: behind its last one come others that nobody sees, and a
/// job that was sent behind all of them would go too far.
pub fn in_sight(to: Option<Move>, jobs: &[Job], waiting: u64) -> Option<Move> {
    let shown = jobs.iter().filter(|job| job.state == State::Waiting).count();
    let is_whole = u64::try_from(shown).is_ok_and(|shown| shown >= waiting);
    to.filter(|to| is_whole || *to != Move::Last)
}

/// Moves a job in a list as the server will.
pub fn place(jobs: &mut Vec<Job>, id: JobId, before: Option<JobId>) {
    let Some(from) = jobs.iter().position(|known| known.id == id) else { return };
    let moved = jobs.remove(from);
    let at = match before {
        Some(before) => jobs.iter().position(|known| known.id == before),
        None => jobs.iter().rposition(|known| are_in_line(known, &moved)).map(|at| at + 1),
    };
    jobs.insert(at.unwrap_or(from).min(jobs.len()), moved);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs() -> Vec<Job> {
        let job = |id: u64, client: &str, priority: i32, state: &str| {
            let value = serde_json::json!({ "id": id, "client": client, "state": state, "wish": { "priority": priority } });
            serde_json::from_value(value).unwrap()
        };
        vec![
            job(1, "a", 0, "running"),
            job(2, "a", 5, "waiting"),
            job(3, "a", 0, "waiting"),
            job(4, "b", 0, "waiting"),
            job(5, "a", 0, "waiting"),
            job(6, "a", 0, "waiting"),
            job(7, "a", 0, "failed"),
        ]
    }

    #[test]
    fn a_job_moves_among_its_own() {
        let before = |id| Some(Move::Before(JobId(id)));
        for (id, is_up, is_down) in [
            (1, None, None),
            (2, None, None),
            (3, None, before(6)),
            (4, None, None),
            (5, before(3), Some(Move::Last)),
            (6, before(5), None),
            (7, None, None),
            (8, None, None),
        ] {
            let jobs = jobs();
            assert_eq!((up(&jobs, JobId(id)), down(&jobs, JobId(id))), (is_up, is_down), "{id}");
        }
        for (id, other, to) in
            [(3, 5, before(6)), (3, 6, Some(Move::Last)), (6, 3, before(3)), (3, 4, None), (3, 3, None), (3, 2, None)]
        {
            assert_eq!(over(&jobs(), JobId(id), JobId(other)), to, "{id} over {other}");
        }
    }

    #[test]
    fn nothing_goes_behind_jobs_that_are_not_shown() {
        let before = Some(Move::Before(JobId(6)));
        for (to, waiting, wanted) in [
            (Some(Move::Last), 5, Some(Move::Last)),
            (Some(Move::Last), 4, Some(Move::Last)),
            (Some(Move::Last), 6, None),
            (before, 6, before),
            (None, 5, None),
        ] {
            assert_eq!(in_sight(to, &jobs(), waiting), wanted, "{to:?} of {waiting}");
        }
    }

    #[test]
    fn the_list_shows_at_once_what_the_server_will_do() {
        for (id, before, order) in [
            (6, Some(3), [1, 2, 6, 3, 4, 5, 7]),
            (3, None, [1, 2, 4, 5, 6, 3, 7]),
            (3, Some(99), [1, 2, 3, 4, 5, 6, 7]),
            (99, None, [1, 2, 3, 4, 5, 6, 7]),
        ] {
            let mut jobs = jobs();
            place(&mut jobs, JobId(id), before.map(JobId));
            assert_eq!(jobs.iter().map(|job| job.id.0).collect::<Vec<_>>(), order, "{id} {before:?}");
        }
    }
}
