//! Where lines go: to a thread of their own, which writes them. Whoever reads them may stop reading; the server goes on.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written; later ones are dropped, and counted.
const WAITING: usize = 4096;
/// How long the last lines may take when the process ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// Takes lines and never waits.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// Waits, when it is dropped, until the lines that were taken are written, but not for long.
#[derive(Debug)]
pub(super) struct Rest {
    lines: SyncSender<Vec<u8>>,
    written: Receiver<()>,
}

impl Outlet {
    /// Writes to something, on a thread of its own.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn new(mut to: impl Write + Send + 'static) -> io::Result<(Self, Rest)> {
        let (lines, taken) = sync_channel::<Vec<u8>>(WAITING);
        let (tell, written) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let outlet = Self { lines: lines.clone(), dropped: Arc::clone(&dropped) };
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            while let Ok(line) = taken.recv() {
                if line.is_empty() {
                    // The end of the process; nobody may be waiting for it any more.
                    let _ = to.flush();
                    let _ = tell.try_send(());
                    continue;
                }
                // Where the log itself cannot be written there is nowhere to say so.
                let _ = to.write_all(&line);
                let lost = dropped.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ = writeln!(to, "{lost} lines of the log are missing here: nobody read them in time");
                }
            }
        })?;
        Ok((outlet, Rest { lines, written }))
    }
}

impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !line.is_empty() && matches!(self.lines.try_send(line.to_vec()), Err(TrySendError::Full(_))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Outlet {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if self.lines.try_send(Vec::new()).is_ok() {
            // Whoever does not read does not hold up the end either.
            let _: Result<(), RecvTimeoutError> = self.written.recv_timeout(GOODBYE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes when it is allowed to.
    struct Stalled(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the other side is gone, nothing holds it up.
            let _ = self.0.recv();
            self.1.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_whoever_reads_the_log() {
        let (allow, allowed) = sync_channel(1);
        let written = Arc::new(Mutex::new(Vec::new()));
        let (outlet, rest) = Outlet::new(Stalled(allowed, Arc::clone(&written))).unwrap();
        for number in 0..2 * WAITING {
            outlet.make_writer().write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert!(written.lock().unwrap().is_empty());
        drop(allow);
        // What ends the process is a line too, and waits for room.
        while rest.lines.try_send(b"the last\n".to_vec()).is_err() {
            thread::yield_now();
        }
        while !String::from_utf8_lossy(&written.lock().unwrap()).contains("the last\n") {
            thread::yield_now();
        }
        drop(rest);
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with("line 0\n"));
        assert!(written.contains("lines of the log are missing here"), "{written}");
    }
}
