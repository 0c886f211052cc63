//! The transfer of one file: goes on where the last try ended, hashes while it writes, and trusts no server.
//!
//! The bytes go into a partial file that outlives a lost connection, Ctrl-C and a crash. Its hash is that of all its bytes,
//! those of earlier tries included, so a part that is not of this file shows at the end at the latest; then everything is
//! fetched once more from the beginning, and if that is wrong too, nothing is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::Uri;

use super::fault::Fault;
use super::net::{Answer, Ask, Client, Part};
use super::news::Teller;
use crate::files::WriteError;
use crate::hash::{self, Sha};

/// How many tries in a row may end without a single new byte.
const TRIES: u32 = 5;

/// The pause after the first such try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(250);

const BUFFER: usize = 1 << 18;

/// A file to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Wish<'a> {
    /// What messages call it.
    pub(crate) name: &'a str,
    /// Where it is.
    pub(crate) url: &'a Uri,
    /// For that server.
    pub(crate) token: Option<&'a str>,
    /// Whether that is the hub, for messages.
    pub(crate) is_hub: bool,
    /// Where the bytes go until they are whole.
    pub(crate) part: &'a Path,
    /// How many there are: more are never written, whatever comes.
    pub(crate) size: u64,
    /// Its SHA-256.
    pub(crate) sha: Option<&'a str>,
    /// What tells that the file is still the one that the part is of.
    pub(crate) version: Option<&'a str>,
}

/// A file that has come.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    /// How many bytes it has.
    pub(crate) size: u64,
    /// Its SHA-256.
    pub(crate) sha: Sha,
}

/// Fetches a file into its partial file, whole and checked.
///
/// # Errors
/// What the server, the network or the disk does wrong. The part is kept where the next try can go on from it.
pub(crate) fn fetch(client: &Client, wish: &Wish<'_>, teller: &Teller) -> Result<Fetched, Fault> {
    let mut part = Written::open(wish, teller)?;
    let outcome = part.complete(client, wish, teller);
    if outcome.is_err() && part.length == 0 {
        part.remove();
    }
    outcome
}

/// Does something again while it fails for reasons that may pass.
///
/// # Errors
/// Its last one, or the first that will not pass.
pub(crate) fn again<T>(teller: &Teller, mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let mut failures = 0;
    loop {
        match attempt() {
            // Where there is no network at all, to say so at once is better.
            Err(fault) if fault.may_pass() && !matches!(fault, Fault::Unreachable { .. }) && failures + 1 < TRIES => {
                failures += 1;
                pause(&fault, failures, teller);
            }
            outcome => return outcome,
        }
    }
}

fn pause(fault: &Fault, failures: u32, teller: &Teller) {
    let wait = match fault {
        Fault::Status { wait: Some(wait), .. } => *wait,
        _ => PAUSE * 2u32.saturating_pow(failures.saturating_sub(1)),
    };
    tracing::info!(%fault, failures, "trying again");
    if wait > Duration::from_secs(1) {
        teller.line(format!("{fault}; trying again in {} s", wait.as_secs()));
    }
    thread::sleep(wait);
}

/// Whether an answer's body can be the file from this byte on.
fn check(answer: &Answer, start: u64, wish: &Wish<'_>) -> Result<(), Fault> {
    answer.is_plain(wish.name)?;
    match answer.length().map(|length| start.saturating_add(length)) {
        Some(found) if found != wish.size => Err(Fault::Length { what: wish.name.to_owned(), expected: wish.size, found }),
        _ => Ok(()),
    }
}

/// The partial file, and the hash of what is in it.
struct Written<'a> {
    path: &'a Path,
    file: File,
    length: u64,
    hasher: Sha256,
}

impl<'a> Written<'a> {
    /// Opens the part and hashes what an earlier try left in it.
    fn open(wish: &Wish<'a>, teller: &Teller) -> Result<Self, Fault> {
        let path = wish.part;
        let failed = |source| WriteError { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let mut hasher = Sha256::new();
        let mut length = 0;
        let found = file.metadata().map_err(failed)?.len();
        if found > 0 {
            teller.wait(format!("{}: reading what is there", wish.name));
            let mut buffer = vec![0; BUFFER];
            loop {
                match file.read(&mut buffer).map_err(failed)? {
                    0 => break,
                    count => {
                        hasher.update(buffer.get(..count).unwrap_or_default());
                        length += count as u64;
                    }
                }
            }
        }
        let mut part = Self { path, file, length, hasher };
        if part.length > wish.size {
            part.clear()?;
        }
        Ok(part)
    }

    fn failed(&self, source: io::Error) -> Fault {
        Fault::Disk(WriteError { path: self.path.to_owned(), source })
    }

    /// Begins anew.
    fn clear(&mut self) -> Result<(), Fault> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| self.failed(error))?;
        self.length = 0;
        self.hasher = Sha256::new();
        Ok(())
    }

    /// Gives the part up.
    fn remove(&self) {
        let _ = self.file.set_len(0);
        let _ = fs::remove_file(self.path);
    }

    /// Fetches what is missing and checks the whole.
    fn complete(&mut self, client: &Client, wish: &Wish<'_>, teller: &Teller) -> Result<Fetched, Fault> {
        let mut is_second = false;
        loop {
            self.fill(client, wish, teller)?;
            self.file.sync_all().map_err(|error| self.failed(error))?;
            let sha = hash::of_hasher(self.hasher.clone());
            let Some(expected) = wish.sha.filter(|expected| *expected != sha.full()) else {
                return Ok(Fetched { size: self.length, sha });
            };
            self.clear()?;
            if is_second {
                let (what, expected, found) = (wish.name.to_owned(), expected.to_owned(), sha.full().to_owned());
                return Err(Fault::Hash { what, expected, found });
            }
            is_second = true;
            teller.line(format!("{}: the SHA-256 is wrong; it is fetched once more from the beginning", wish.name));
        }
    }

    /// Asks until everything is there.
    fn fill(&mut self, client: &Client, wish: &Wish<'_>, teller: &Teller) -> Result<(), Fault> {
        let mut failures = 0;
        teller.file(wish.name, self.length);
        loop {
            if self.length == wish.size {
                return Ok(());
            }
            let before = self.length;
            match self.request(client, wish, teller) {
                Ok(()) => return Ok(()),
                Err(fault) if fault.may_pass() => {
                    failures = if self.length > before { 0 } else { failures + 1 };
                    if failures >= TRIES {
                        let cause = Box::new(fault);
                        return Err(Fault::GivenUp { what: wish.name.to_owned(), cause, tries: TRIES });
                    }
                    pause(&fault, failures.max(1), teller);
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Asks for what is missing, once.
    fn request(&mut self, client: &Client, wish: &Wish<'_>, teller: &Teller) -> Result<(), Fault> {
        let part = Part::From(self.length);
        let mut answer = client.ask(&Ask { url: wish.url, token: wish.token, part, version: wish.version })?;
        if self.length > 0 && !self.goes_on(&answer, wish) {
            // 200 has everything, unless it is the page of a hotel's network: what is there is not given up for that. What else
            // says that the range is not to be had is asked again for all.
            if answer.code() == 200 {
                check(&answer, 0, wish)?;
                self.clear()?;
            } else {
                self.clear()?;
                let part = Part::From(0);
                answer = client.ask(&Ask { url: wish.url, token: wish.token, part, version: wish.version })?;
            }
            teller.file(wish.name, 0);
        }
        match answer.code() {
            200 if self.length == 0 => {}
            206 if self.goes_on(&answer, wish) => {}
            _ if answer.response.status().is_success() => {
                return Err(answer.malformed(wish.name, "it has another part of the file"));
            }
            _ => return Err(answer.fault(wish.name, wish.is_hub)),
        }
        check(&answer, self.length, wish)?;
        self.take(answer, wish, client, teller)
    }

    /// Whether an answer is neither a refusal nor the file from its beginning, but what comes after the part.
    fn goes_on(&self, answer: &Answer, wish: &Wish<'_>) -> bool {
        match answer.code() {
            206 => {
                answer.range().is_some_and(|(start, total)| start == self.length && total.is_none_or(|total| total == wish.size))
            }
            200 | 416 => false,
            // A fault, which is told as such and is no reason to throw the part away.
            _ => true,
        }
    }

    /// Writes what comes.
    fn take(&mut self, answer: Answer, wish: &Wish<'_>, client: &Client, teller: &Teller) -> Result<(), Fault> {
        let Answer { response, url } = answer;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = body
                .read(&mut buffer)
                .map_err(|error| Fault::of_request(ureq::Error::from(error), &url, client.silence()))
                .map_err(Fault::into_dropped)?;
            if teller.is_stopped() {
                return Err(Fault::Stopped);
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            if self.length + count as u64 > wish.size {
                let found = self.length + count as u64;
                self.clear()?;
                return Err(Fault::Length { what: wish.name.to_owned(), expected: wish.size, found });
            }
            self.file.write_all(bytes).map_err(|error| self.failed(error))?;
            self.hasher.update(bytes);
            self.length += count as u64;
            teller.at(self.length);
        }
        if self.length < wish.size {
            return Err(Fault::Dropped { host: super::fault::host(&url), why: "it ended too early".to_owned() });
        }
        Ok(())
    }
}
