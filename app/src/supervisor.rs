//! What becomes of the work when a worker breaks down: decided here, done by the page.
//!
//! Orders that matter are written down when they are sent, and struck out when they have come to their end. What is left when
//! a worker dies is sent to the next one: the model, which lies in the browser's storage, and the jobs behind it. Whatever
//! was being done when a worker died is held to have killed it; what has killed two is given up.

use encaustic_protocol::JobId;

use crate::message::{Load, Source};

/// What has killed as many workers is not tried again.
const MOST_KILLED: u32 = 2;

/// How long to wait before the next worker, in seconds, after so many deaths in a row; after more, no worker is started.
const WAITS: [f64; 3] = [0.0, 1.0, 5.0];

/// For how many seconds a death counts.
const WINDOW: f64 = 300.0;

/// What has been sent and has not come to its end. `F` is a file of the user's.
#[derive(Clone, Debug, PartialEq)]
pub enum Work<F> {
    /// A model to load, with its file if it is the user's own.
    Load(Load, Option<F>),
    /// A job.
    Job(JobId),
}

/// What has been sent, and how it stands.
#[derive(Clone, Debug)]
struct Entry<F> {
    work: Work<F>,
    /// Of a load: the model is there.
    is_done: bool,
    /// The user does not want it any more.
    is_unwanted: bool,
    /// Of a load: the id that its files had in the browser's storage, before they were deleted there.
    deleted: Option<String>,
    /// How many workers died of it.
    killed: u32,
}

/// Whether there will be another worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Restart {
    /// At once.
    Now,
    /// In so many seconds.
    After(f64),
    /// Not before the user asks for it.
    Never,
}

/// What is to be done when a worker has died.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict<F> {
    /// Whether to start another.
    pub restart: Restart,
    /// What to send to it, in this order.
    pub again: Vec<Work<F>>,
    /// The model is given up: to load it has killed too many workers.
    pub load_is_lost: bool,
    /// Jobs that are given up because workers died of them.
    pub guilty: Vec<JobId>,
    /// Jobs that are given up because there is no worker or no model for them.
    pub stranded: Vec<JobId>,
    /// Jobs that had been cancelled.
    pub cancelled: Vec<JobId>,
}

/// Keeps the books on what a worker has been told.
#[derive(Clone, Debug)]
pub struct Supervisor<F> {
    entries: Vec<Entry<F>>,
    /// When workers died, in seconds of any clock.
    deaths: Vec<f64>,
}

impl<F> Default for Supervisor<F> {
    fn default() -> Self {
        Self { entries: Vec::new(), deaths: Vec::new() }
    }
}

impl<F: Clone> Supervisor<F> {
    /// Something is sent.
    pub fn sent(&mut self, work: Work<F>) {
        self.entries.push(Entry { work, is_done: false, is_unwanted: false, deleted: None, killed: 0 });
    }

    /// The first model that was on its way is there; those before it have gone.
    pub fn loaded(&mut self) {
        if let Some(place) = self.coming() {
            self.drop_loads_before(place);
            // The others have gone, so that it is the first load now.
            if let Some(entry) = self.entries.iter_mut().find(|entry| entry.is_coming()) {
                entry.is_done = true;
                entry.killed = 0;
                // A stop that came too late: the model is there now, and those who wait for it have it.
                entry.is_unwanted = false;
            }
        }
    }

    /// The first model that was on its way does not come, and the one before it has gone. Returns whether the user has stopped it.
    pub fn not_loaded(&mut self) -> bool {
        let Some(place) = self.coming() else { return false };
        let entry = self.entries.remove(place);
        self.drop_loads_before(place);
        entry.is_unwanted
    }

    /// A job has come to its end. One that `worked` shows that workers do not die of everything.
    pub fn ended(&mut self, job: JobId, worked: bool) {
        self.entries.retain(|entry| !entry.is_job(job));
        if worked {
            self.deaths.clear();
        }
    }

    /// The user has cancelled a job.
    pub fn cancelled(&mut self, job: JobId) {
        self.entries.iter_mut().filter(|entry| entry.is_job(job)).for_each(|entry| entry.is_unwanted = true);
    }

    /// The user has stopped the model that is on its way.
    pub fn stopped(&mut self) {
        self.entries.iter_mut().filter(|entry| entry.is_coming()).for_each(|entry| entry.is_unwanted = true);
    }

    /// The files of the model that is loaded are deleted, as `id` in the browser's storage, if `is_it` says so: another worker
    /// must not fetch them again unasked.
    pub fn deleted(&mut self, id: &str, is_it: impl Fn(&Load) -> bool) {
        for entry in &mut self.entries {
            if let Work::Load(load, _) = &entry.work
                && entry.is_done
                && is_it(load)
            {
                entry.deleted = Some(id.to_owned());
            }
        }
    }

    /// The worker died at `now`; `running` is the job that it was at.
    pub fn died(&mut self, now: f64, running: Option<JobId>) -> Verdict<F> {
        self.deaths.retain(|at| now - at < WINDOW);
        self.deaths.push(now);
        let restart = match WAITS.get(self.deaths.len() - 1) {
            Some(0.0) => Restart::Now,
            Some(seconds) => Restart::After(*seconds),
            None => Restart::Never,
        };
        let at = match running {
            Some(job) => self.entries.iter().position(|entry| entry.is_job(job)),
            None => self.coming(),
        };
        if let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) {
            entry.killed += 1;
        }
        self.judge(restart)
    }

    /// There is no worker now, and not because it died: another tab has taken the engine. Only the model is kept.
    pub fn abandoned(&mut self) -> Verdict<F> {
        self.judge(Restart::Never)
    }

    /// The user asks for another worker: what happened before is forgotten. Returns what to send to it.
    pub fn revived(&mut self) -> Vec<Work<F>> {
        self.deaths.clear();
        self.pending()
    }

    /// What is to be sent to a new worker; what the user has stopped meanwhile is struck out.
    pub fn pending(&mut self) -> Vec<Work<F>> {
        self.entries.retain(|entry| !entry.is_unwanted);
        self.entries.iter().map(|entry| entry.work.clone()).collect()
    }

    /// The model that is there, or the first that will be.
    pub fn first_load(&self) -> Option<&Load> {
        self.entries.iter().find_map(|entry| match &entry.work {
            Work::Load(load, _) => Some(load),
            Work::Job(_) => None,
        })
    }

    /// Sorts out what is left, and sets it back to its beginning.
    fn judge(&mut self, restart: Restart) -> Verdict<F> {
        let mut verdict = Verdict {
            restart,
            again: Vec::new(),
            load_is_lost: false,
            guilty: Vec::new(),
            stranded: Vec::new(),
            cancelled: Vec::new(),
        };
        // Whether the jobs that come next have a model to run on: one that was given up takes them along.
        let mut has_model = true;
        let entries = std::mem::take(&mut self.entries);
        for mut entry in entries {
            let is_guilty = entry.killed >= MOST_KILLED;
            if let (Work::Load(load, _), Some(id)) = (&mut entry.work, entry.deleted.take()) {
                load.from = Source::Stored(id);
            }
            let kept = match &entry.work {
                Work::Load(..) => {
                    has_model = !is_guilty && !entry.is_unwanted;
                    verdict.load_is_lost |= is_guilty;
                    has_model
                }
                Work::Job(id) => {
                    let lost = match (entry.is_unwanted, is_guilty, has_model && restart != Restart::Never) {
                        (true, _, _) => Some(&mut verdict.cancelled),
                        (_, true, _) => Some(&mut verdict.guilty),
                        (_, _, false) => Some(&mut verdict.stranded),
                        (_, _, true) => None,
                    };
                    let is_kept = lost.is_none();
                    if let Some(lost) = lost {
                        lost.push(*id);
                    }
                    is_kept
                }
            };
            if kept {
                entry.is_done = false;
                self.entries.push(entry);
            }
        }
        self.drop_idle_loads();
        verdict.again = self.entries.iter().map(|entry| entry.work.clone()).collect();
        verdict
    }

    /// The place of the first load that has not been answered.
    fn coming(&self) -> Option<usize> {
        self.entries.iter().position(Entry::is_coming)
    }

    fn drop_loads_before(&mut self, place: usize) {
        let mut at = 0;
        self.entries.retain(|entry| {
            at += 1;
            at > place || matches!(entry.work, Work::Job(_))
        });
    }

    /// Of models with no job between them only the last one is wanted.
    fn drop_idle_loads(&mut self) {
        let is_idle = |pair: &[Entry<F>]| pair.iter().all(|entry| matches!(entry.work, Work::Load(..)));
        while let Some(place) = self.entries.windows(2).position(is_idle) {
            self.entries.remove(place);
        }
    }
}

impl<F> Entry<F> {
    fn is_coming(&self) -> bool {
        matches!(self.work, Work::Load(..)) && !self.is_done
    }

    fn is_job(&self, job: JobId) -> bool {
        matches!(self.work, Work::Job(id) if id == job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Books = Supervisor<&'static str>;

    fn load(name: &str) -> Work<&'static str> {
        Work::Load(Load { from: Source::Address(name.into()), precision: None, residency: None }, None)
    }

    fn job(id: u64) -> Work<&'static str> {
        Work::Job(JobId(id))
    }

    fn books(works: impl IntoIterator<Item = Work<&'static str>>) -> Books {
        let mut books = Books::default();
        works.into_iter().for_each(|work| books.sent(work));
        books
    }

    #[test]
    fn a_job_is_tried_twice_and_those_behind_it_go_on() {
        let mut books = books([load("a"), job(1), job(2)]);
        books.loaded();
        let first = books.died(0.0, Some(JobId(1)));
        assert_eq!((first.restart, first.again), (Restart::Now, vec![load("a"), job(1), job(2)]));
        books.loaded();
        let second = books.died(60.0, Some(JobId(1)));
        assert_eq!((second.restart, second.guilty), (Restart::After(1.0), vec![JobId(1)]));
        assert_eq!(second.again, [load("a"), job(2)]);
    }

    #[test]
    fn a_model_that_kills_two_workers_takes_its_jobs_along() {
        let mut books = books([load("a"), job(1)]);
        assert_eq!(books.died(0.0, None).again, [load("a"), job(1)]);
        let verdict = books.died(1.0, None);
        assert!(verdict.load_is_lost);
        assert_eq!((verdict.again, verdict.stranded), (vec![], vec![JobId(1)]));
    }

    #[test]
    fn workers_are_not_started_for_ever() {
        let mut books = books([load("a")]);
        books.loaded();
        for (at, restart) in [
            (0.0, Restart::Now),
            (1.0, Restart::After(1.0)),
            (299.0, Restart::After(5.0)),
            (299.5, Restart::Never),
            // The first two are long ago.
            (500.0, Restart::After(5.0)),
        ] {
            books.loaded();
            assert_eq!(books.died(at, None).restart, restart, "{at}");
        }
        assert_eq!(books.revived(), [load("a")]);
        assert_eq!(books.died(501.0, None).restart, Restart::Now);
    }

    #[test]
    fn success_makes_up_for_deaths() {
        let mut books = books([load("a"), job(1)]);
        books.died(0.0, None);
        books.loaded();
        books.ended(JobId(1), true);
        assert_eq!(books.died(2.0, None).restart, Restart::Now);
    }

    #[test]
    fn jobs_keep_the_model_that_they_were_sent_for() {
        let mut books = books([load("a"), job(1), load("b"), job(2), load("c"), load("d")]);
        books.loaded();
        let again = books.died(0.0, Some(JobId(1))).again;
        assert_eq!(again, [load("a"), job(1), load("b"), job(2), load("d")]);
        books.loaded();
        books.ended(JobId(1), true);
        books.loaded();
        assert_eq!(books.died(9.0, Some(JobId(2))).again, [load("b"), job(2), load("d")]);
    }

    #[test]
    fn a_model_that_does_not_come_is_not_tried_again() {
        let mut books = books([load("a"), load("b")]);
        books.loaded();
        books.not_loaded();
        assert_eq!(books.died(0.0, None).again, []);
    }

    #[test]
    fn what_the_user_has_stopped_stays_stopped() {
        let mut books = books([load("a"), job(1), job(2)]);
        books.loaded();
        books.cancelled(JobId(1));
        let verdict = books.died(0.0, Some(JobId(1)));
        assert_eq!((verdict.cancelled, verdict.again), (vec![JobId(1)], vec![load("a"), job(2)]));
        books.stopped();
        let verdict = books.died(1.0, None);
        assert_eq!((verdict.again, verdict.stranded, verdict.load_is_lost), (vec![], vec![JobId(2)], false));
        books.sent(load("b"));
        books.stopped();
        assert_eq!(books.pending(), []);
    }

    #[test]
    fn a_stop_that_comes_too_late_changes_nothing() {
        let mut books = books([load("a"), job(1)]);
        books.stopped();
        books.loaded();
        let verdict = books.died(0.0, Some(JobId(1)));
        assert_eq!((verdict.again, verdict.stranded), (vec![load("a"), job(1)], vec![]));
        // Nor is the next model's failure held to be wanted.
        books.stopped();
        books.loaded();
        books.sent(load("b"));
        assert!(!books.not_loaded());
    }

    #[test]
    fn a_model_that_was_deleted_is_not_fetched_again() {
        let mut books = books([load("a"), job(1), load("b")]);
        let is = |name: &'static str| move |load: &Load| load.from == Source::Address(name.into());
        books.loaded();
        books.deleted("a-1", is("a"));
        // This one is yet to come, and is wanted.
        books.deleted("b-1", is("b"));
        let kept = Work::Load(Load { from: Source::Stored("a-1".into()), precision: None, residency: None }, None);
        assert_eq!(books.died(0.0, None).again, [kept, job(1), load("b")]);
    }

    #[test]
    fn a_tab_that_loses_the_engine_keeps_its_model() {
        let mut books = books([load("a"), job(1)]);
        books.loaded();
        let verdict = books.abandoned();
        assert_eq!((verdict.restart, verdict.stranded), (Restart::Never, vec![JobId(1)]));
        assert_eq!(books.revived(), [load("a")]);
    }
}
