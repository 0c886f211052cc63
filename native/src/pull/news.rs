//! What a download tells while it is under way, and the thread that it runs on.
//!
//! Sockets and disks block, and Ctrl-C has to end a download at once: so it runs on a thread of its own, and the thread that
//! asked for it draws the progress and looks for Ctrl-C. What has been written stays, and the next try goes on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::bar::Bar;
use super::fault::Fault;
use crate::failure::Failure;
use crate::interrupt;

/// How many pieces of news may wait to be drawn.
const NEWS: usize = 64;

/// How often to look for Ctrl-C.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a download may take to put its things away after Ctrl-C. One that waits for a silent server does not hear of it.
const TIDYING: Duration = Duration::from_millis(300);

const STOPPING: &str = "\nstopping; what was fetched is kept";

/// How the download goes on.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// Something begins that takes a while.
    Wait(String),
    /// A line that stays.
    Line(String),
    /// So many bytes are to come in all.
    Total(Option<u64>),
    /// This file is next; so many bytes are there already.
    File(String, u64),
    /// So many bytes are done in all.
    At(u64),
}

/// Tells news, and adds up bytes.
#[derive(Debug)]
pub(crate) struct Teller {
    to: SyncSender<News>,
    /// What was done before the file that is under way.
    before: u64,
    is_stopped: Arc<AtomicBool>,
}

impl Teller {
    /// Tells that something begins that takes a while.
    pub(crate) fn wait(&self, what: impl Into<String>) {
        self.tell(News::Wait(what.into()));
    }

    /// Prints a line.
    pub(crate) fn line(&self, line: impl Into<String>) {
        self.tell(News::Line(line.into()));
    }

    /// Tells how much is to come.
    pub(crate) fn total(&self, bytes: Option<u64>) {
        self.tell(News::Total(bytes));
    }

    /// Tells that a file is next.
    pub(crate) fn file(&self, name: &str, have: u64) {
        self.tell(News::File(name.to_owned(), self.before + have));
    }

    /// Tells how much of the file is there. Nobody misses one of these.
    pub(crate) fn at(&self, bytes: u64) {
        let _ = self.to.try_send(News::At(self.before + bytes));
    }

    /// Counts a file as done.
    pub(crate) fn done(&mut self, bytes: u64) {
        self.before += bytes;
        self.at(0);
    }

    /// Whether the download is to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    fn tell(&self, news: News) {
        // Nobody listens any more when the process is about to end.
        let _ = self.to.send(news);
    }
}

/// Does the work aside and shows what it tells.
///
/// # Errors
/// What the work fails with, and Ctrl-C.
pub(crate) fn aside<T: Send + 'static>(
    work: impl FnOnce(&mut Teller) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Failure> {
    interrupt::listen(STOPPING)?;
    let mut bar = Bar::new();
    let outcome = followed(work, &mut |news| bar.show(news), &mut interrupt::asked);
    bar.clear();
    outcome
}

/// The same for whoever shows the news in another way, and has another reason to stop. Whether to is asked all the time.
///
/// # Errors
/// What the work fails with, and [`Failure::Interrupted`].
pub(crate) fn followed<T: Send + 'static>(
    work: impl FnOnce(&mut Teller) -> Result<T, Fault> + Send + 'static,
    show: &mut dyn FnMut(News),
    is_asked: &mut dyn FnMut() -> bool,
) -> Result<T, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let is_stopped = Arc::clone(&stop);
    let (to, news) = sync_channel(NEWS);
    let worker = thread::Builder::new()
        .name("download".to_owned())
        .spawn(move || work(&mut Teller { to, before: 0, is_stopped }))
        .map_err(|error| Failure::System(format!("no thread could be started: {error}")))?;
    loop {
        if is_asked() {
            stop.store(true, Ordering::SeqCst);
            let end = Instant::now() + TIDYING;
            while !matches!(news.recv_timeout(GLANCE), Err(RecvTimeoutError::Disconnected)) && Instant::now() < end {}
            return Err(stopped());
        }
        match news.recv_timeout(GLANCE) {
            Ok(news) => show(news),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let outcome = worker.join().unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Fault::Broken(text.unwrap_or_else(|| "it did not say why".to_owned())))
    });
    outcome.map_err(|fault| if matches!(fault, Fault::Stopped) { stopped() } else { fault.into() })
}

fn stopped() -> Failure {
    Failure::Interrupted("during the download; the same command goes on from there".to_owned())
}
