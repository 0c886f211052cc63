//! Packed models on the disk: shards are written while the next one is put together.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use encaustic_importer::pack::Sink;

use crate::failure::Failure;
use crate::files::{self, WriteError};

/// Shards that wait to be written: with the one that is written and the one that is made, three are in memory.
const WAITING: usize = 1;

/// A file to be written.
type Job = (PathBuf, Vec<Vec<u8>>);

/// Writes shards into a folder, on a thread of its own.
pub struct Folder {
    path: PathBuf,
    /// `None` once there are no more.
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<Result<(), WriteError>>>,
}

impl Folder {
    /// A writer for a folder that exists.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(path: &Path) -> Result<Self, Failure> {
        let (jobs, queue) = sync_channel(WAITING);
        let writer = thread::Builder::new().name("shards".to_owned()).spawn(move || write(&queue));
        let writer = writer.map_err(|error| Failure::System(format!("no thread could be started: {error}")))?;
        Ok(Self { path: path.to_owned(), jobs: Some(jobs), writer: Some(writer) })
    }

    /// Waits until all shards are on the disk.
    ///
    /// # Errors
    /// If one could not be written.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.jobs = None;
        match self.writer.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(_)) => Err(Failure::System("the thread that writes broke down".to_owned())),
        }
    }
}

fn write(queue: &Receiver<Job>) -> Result<(), WriteError> {
    while let Ok((path, content)) = queue.recv() {
        files::write(&path, |file| content.iter().try_for_each(|part| file.write_all(part)))?;
    }
    Ok(())
}

impl Sink for Folder {
    type Error = Failure;

    fn shard(&mut self, name: &str, content: Vec<Vec<u8>>) -> Result<(), Failure> {
        let job = (self.path.join(name), content);
        match self.jobs.as_ref().map(|jobs| jobs.send(job)) {
            Some(Ok(())) => Ok(()),
            // It has stopped, so it has something to tell.
            Some(Err(_)) | None => {
                self.finish()?;
                Err(Failure::System("a shard came after the last one".to_owned()))
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The folder may be removed next: nothing may be written into it any more.
        let _ = self.finish();
    }
}
