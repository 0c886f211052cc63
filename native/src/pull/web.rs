//! A file of weights from any server, into the folder of models.
//!
//! Nothing vouches for such a file but what the user knows of it (`--sha256`), so it is taken for what it is: its name is made
//! harmless, its header is read before it gets that name, and nothing that is there already is ever replaced.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use directories::ProjectDirs;
use encaustic_engine::weights::Header;
use serde::{Deserialize, Serialize};
use serde_json::json;
use ureq::http::Uri;

use super::env;
use super::fault::{Fault, host};
use super::fetch::{Fetched, Wish, again, fetch};
use super::lock::Lock;
use super::names::{decoded, is_hex, is_plain_part};
use super::net::{Answer, Ask, Client, Part};
use super::news::{self, News, Teller};
use crate::failure::{Failure, Refusal};
use crate::files::{self, WriteError};
use crate::mapped::MappedFile;
use crate::{hash, library, terminal};

const ENDING: &str = ".safetensors";

/// The longest receipt that is read, in bytes.
const RECEIPT: u64 = 4096;

/// A file that is there.
struct Got {
    path: PathBuf,
    size: u64,
    sha: String,
    is_new: bool,
}

/// What a server says about a file.
struct Told {
    name: Option<String>,
    size: u64,
    version: Option<String>,
    sha: Option<String>,
}

/// What is kept beside a partial file: by this the next try knows that the server still has the same one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    size: u64,
    version: Option<String>,
    sha: Option<String>,
}

/// Fetches a file and says where it is.
///
/// # Errors
/// If it cannot be had, is no file of weights, or another file is in its place.
pub(super) fn run(url: Uri, sha: Option<&str>, out: Option<&Path>, json: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let sha = sha.map(|sha| sha.trim().to_ascii_lowercase());
    if sha.as_deref().is_some_and(|sha| !is_hex(sha, 64)) {
        return Err(Refusal::new("sha256", "a SHA-256 has 64 hexadecimal digits").into());
    }
    let target = Target::of(out)?;
    let silence = env::silence()?;
    let shown = format!("https://{}{}", host(&url), url.path()).replacen("https", url.scheme_str().unwrap_or("https"), 1);
    let got = news::aside(move |teller| {
        let client = Client::new(silence);
        bring(&client, &url, sha.as_deref(), &target, teller)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let path = got.path.display().to_string();
    if json {
        let bytes = if got.is_new { got.size } else { 0 };
        let name = got.path.file_name().unwrap_or_default().to_string_lossy();
        let files = [json!({"name": name, "size": got.size, "sha256": got.sha, "cached": !got.is_new})];
        return terminal::tell(json!({"path": path, "url": shown, "files": files, "bytes": bytes, "seconds": seconds}));
    }
    let size = crate::models::size(got.size);
    terminal::say(match got.is_new {
        true => format!("{size} in {seconds:.1} s, SHA-256 {}", got.sha),
        false => format!("there already: {size}, SHA-256 {}", got.sha),
    });
    terminal::tell(terminal::for_stdout(&path))
}

/// Fetches a file from a public address into the folder of models, for whoever shows the progress in a way of their own.
///
/// # Errors
/// As [`run`].
pub(super) fn followed(url: Uri, show: &mut dyn FnMut(News), is_asked: &mut dyn FnMut() -> bool) -> Result<(), Failure> {
    let target = Target::of(None)?;
    let silence = env::silence()?;
    let work = move |teller: &mut Teller| bring(&Client::public(silence), &url, None, &target, teller);
    news::followed(work, show, is_asked).map(drop)
}

/// Where the file goes.
enum Target {
    Folder(PathBuf),
    File(PathBuf),
}

impl Target {
    fn of(out: Option<&Path>) -> Result<Self, Refusal> {
        match out {
            Some(out) if out.is_dir() => Ok(Self::Folder(out.to_owned())),
            Some(out) if out.to_string_lossy().ends_with(ENDING) => Ok(Self::File(out.to_owned())),
            Some(out) if out.exists() => {
                Err(Refusal::new("out", format!("{}: neither a folder nor a name that ends in {ENDING}", out.display())))
            }
            Some(out) => Ok(Self::Folder(out.to_owned())),
            None => library::library()
                .map(Self::Folder)
                .ok_or_else(|| Refusal::new("out", "there is no home folder to keep models in").hint("say where with --out")),
        }
    }
}

fn bring(client: &Client, url: &Uri, sha: Option<&str>, target: &Target, teller: &mut Teller) -> Result<Got, Fault> {
    teller.wait(format!("asking {}", host(url)));
    let told = again(teller, || probe(client, url))?;
    let path = match target {
        Target::File(path) => path.clone(),
        Target::Folder(folder) => folder.join(told.name.as_deref().ok_or_else(|| {
            Refusal::new("source", format!("what {} has there is not called like a file of weights", host(url)))
                .hint(format!("the name must end in {ENDING}; if the file is one, name it with --out FILE{ENDING}"))
        })?),
    };
    let receipt = Receipt::place(url);
    let before = receipt.as_deref().and_then(|place| Receipt::read(place, &told));
    let expected = sha.or(told.sha.as_deref()).or(before.as_deref());
    if let Some(got) = existing(&path, expected, told.size)? {
        return Ok(got);
    }
    let folder = files::folder_of(&path);
    fs::create_dir_all(folder).map_err(|source| WriteError { path: folder.to_owned(), source })?;
    let beside = |ending: &str| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!(".{name}.{ending}"))
    };
    let (part, note, lock) = (beside("part"), beside("part.json"), beside("lock"));
    let Some(held) = Lock::take(&lock)? else {
        return Err(Refusal::new("source", format!("{}: another program is fetching this file", path.display())).into());
    };
    let _held = held.removed(&lock);
    prepare(&part, &note, &told, sha)?;
    if told.version.is_none() && sha.is_none() {
        let host = host(url);
        teller.line(format!("{host} gives the file no version: broken off, it would begin anew; --sha256 HEX makes it go on"));
    }
    teller.total(Some(told.size));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let version = told.version.as_deref();
    let wish = Wish { name: &name, url, token: None, is_hub: false, part: &part, size: told.size, sha, version };
    let fetched = fetch(client, &wish, teller).inspect_err(|_| {
        if !part.exists() {
            let _ = fs::remove_file(&note);
        }
    })?;
    let kept = keep(&part, &path, &fetched);
    let _ = fs::remove_file(&note);
    match &kept {
        Ok(got) => Receipt::write(receipt.as_deref(), &told, got),
        Err(_) => drop(fs::remove_file(&part)),
    }
    kept
}

/// What was fetched from a URL, kept in our cache folder: while the server says that the file is the same, it is not fetched to
/// be compared with the one that is here. Nothing is lost without it but time.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    size: u64,
    version: String,
    sha: String,
}

impl Receipt {
    /// Where it is, by the URL's hash: there can be secrets in a URL.
    fn place(url: &Uri) -> Option<PathBuf> {
        let name = format!("{}.json", hash::of_bytes(url.to_string().as_bytes()).full());
        Some(ProjectDirs::from("", "", "encaustic")?.cache_dir().join("fetched").join(name))
    }

    /// The hash of the file that the server still has.
    fn read(place: &Path, told: &Told) -> Option<String> {
        let mut text = Vec::new();
        fs::File::open(place).ok()?.take(RECEIPT).read_to_end(&mut text).ok()?;
        let kept: Self = serde_json::from_slice(&text).ok()?;
        let is_same = kept.size == told.size && told.version.as_ref() == Some(&kept.version) && is_hex(&kept.sha, 64);
        is_same.then_some(kept.sha)
    }

    fn write(place: Option<&Path>, told: &Told, got: &Got) {
        let (Some(place), Some(version)) = (place, told.version.clone()) else { return };
        let receipt = Self { size: got.size, version, sha: got.sha.clone() };
        let Ok(text) = serde_json::to_string(&receipt) else { return };
        if fs::create_dir_all(files::folder_of(place)).is_ok() {
            let _ = files::write(place, |file| file.write_all(text.as_bytes()));
        }
    }
}

/// Asks for one byte: some servers tell nothing about a file that is only asked about.
fn probe(client: &Client, url: &Uri) -> Result<Told, Fault> {
    let what = "the file";
    let answer = client.ask(&Ask { url, token: None, part: Part::First, version: None })?;
    let size = match answer.code() {
        200 => answer.length(),
        206 => answer.range().and_then(|(_, total)| total),
        _ => return Err(answer.fault(what, false)),
    };
    answer.is_plain(what)?;
    // Without it there would be no end to what a server can send.
    let size = size.ok_or_else(|| answer.malformed(what, "it does not say how long the file is"))?;
    let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("text/html") {
        return Err(answer.malformed(what, "it is a web page; perhaps it is to be read in a browser, or asks to sign in"));
    }
    // Weak tags and dates of the same second do not promise the same bytes; a weak tag cannot be asked by at all.
    let etag = answer.header("etag").map(str::trim).filter(|etag| etag.starts_with('"') && etag.len() < 512);
    let version = etag.or_else(|| answer.header("last-modified")).map(str::to_owned);
    let linked = answer.header("x-linked-etag").or(etag).map(|etag| etag.trim_matches('"').to_owned());
    let name = name(&answer, url);
    Ok(Told { name, size, version, sha: linked.filter(|sha| is_hex(sha, 64)) })
}

/// What the file is called: by the server, or by the end of one of its URLs.
fn name(answer: &Answer, url: &Uri) -> Option<String> {
    let disposition = answer.header("content-disposition").and_then(disposition);
    let last = |url: &Uri| url.path().rsplit('/').next().and_then(decoded);
    [disposition, last(url), last(&answer.url)].into_iter().flatten().find_map(|name| harmless(&name))
}

/// The name in `attachment; filename="x"`, or in `filename*=UTF-8''x`.
fn disposition(header: &str) -> Option<String> {
    let mut plain = None;
    for parameter in header.split(';').skip(1) {
        let Some((key, value)) = parameter.split_once('=') else { continue };
        match key.trim().to_ascii_lowercase().as_str() {
            "filename*" => {
                let encoded = value.trim().trim_matches('"').splitn(3, '\'').nth(2);
                if let Some(name) = encoded.and_then(decoded) {
                    return Some(name);
                }
            }
            "filename" => plain = Some(value.trim().trim_matches('"').to_owned()),
            _ => {}
        }
    }
    plain
}

/// A name of plain characters; `None` if it is none of a file of weights.
fn harmless(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next()?.trim();
    let is_plain = |c: char| c.is_alphanumeric() || "-_.+()[] ".contains(c);
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let name = name.trim_start_matches(['.', '-', ' ']);
    let stem = name.strip_suffix(ENDING)?;
    (!stem.is_empty() && is_plain_part(name)).then(|| name.to_owned())
}

/// What is in the file's place: `None` for nothing, or something that may be the same.
fn existing(path: &Path, sha: Option<&str>, size: u64) -> Result<Option<Got>, Fault> {
    let Ok(about) = fs::symlink_metadata(path) else { return Ok(None) };
    let found = fs::metadata(path).map_or(about.len(), |about| about.len());
    if path.is_file() && size == found {
        let Some(sha) = sha else { return Ok(None) };
        let is = hash_of(path)?;
        if is == sha {
            return Ok(Some(Got { path: path.to_owned(), size: found, sha: is, is_new: false }));
        }
    }
    Err(taken(path).into())
}

fn taken(path: &Path) -> Refusal {
    Refusal::new("source", format!("{}: another file is there, and it is not replaced", path.display()))
        .hint("rename or remove it, or write elsewhere with --out")
}

fn hash_of(path: &Path) -> Result<String, Fault> {
    let sha = hash::of_file(path).map_err(|source| WriteError { path: path.to_owned(), source })?;
    Ok(sha.full().to_owned())
}

/// Sees whether a partial file is of this very file, removes it if not, and notes what it is of.
fn prepare(part: &Path, path: &Path, told: &Told, sha: Option<&str>) -> Result<(), Fault> {
    let note = Note { size: told.size, version: told.version.clone(), sha: sha.map(str::to_owned) };
    let old: Option<Note> = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    // By its version the server can be asked for the rest; a known hash finds out at the end.
    let is_known = note.version.is_some() || note.sha.is_some();
    if !is_known || old.as_ref() != Some(&note) {
        match fs::remove_file(part) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(WriteError { path: part.to_owned(), source }.into());
            }
            _ => {}
        }
    }
    let text = serde_json::to_string(&note).map_err(|error| Fault::Broken(error.to_string()))?;
    files::write(path, |file| file.write_all(text.as_bytes())).map_err(Fault::from)
}

/// Gives a finished file its name, if it is a file of weights.
fn keep(part: &Path, path: &Path, fetched: &Fetched) -> Result<Got, Fault> {
    let refuse = |problem: String| Refusal::new("source", format!("what came was not kept: {problem}"));
    {
        let mapped = MappedFile::open(part).map_err(|source| WriteError { path: part.to_owned(), source })?;
        Header::read(&mapped).map_err(|error| refuse(error.to_string()))?;
    }
    let sha = fetched.sha.full().to_owned();
    let got = |is_new| Got { path: path.to_owned(), size: fetched.size, sha: sha.clone(), is_new };
    match files::claim(part, path) {
        Ok(()) => {
            // Linked under its name; where there are no links it was renamed.
            let _ = fs::remove_file(part);
            Ok(got(true))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let _ = fs::remove_file(part);
            if path.is_file() && hash_of(path)? == sha { Ok(got(false)) } else { Err(taken(path).into()) }
        }
        Err(source) => Err(WriteError { path: path.to_owned(), source }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_harmless() {
        for (name, kept) in [
            ("a.safetensors", Some("a.safetensors")),
            ("../../a.safetensors", Some("a.safetensors")),
            ("C:\\x\\a b.safetensors", Some("a b.safetensors")),
            (".-a\u{202e}\u{1b}:*.safetensors", Some("a____.safetensors")),
            ("灯台.safetensors", Some("灯台.safetensors")),
            (".safetensors", None),
            ("a.ckpt", None),
            ("a.safetensors.exe", None),
            ("", None),
        ] {
            assert_eq!(harmless(name).as_deref(), kept, "{name:?}");
        }
    }

    #[test]
    fn servers_name_files_in_two_ways() {
        for (header, name) in [
            ("attachment; filename=\"a.safetensors\"", Some("a.safetensors")),
            ("attachment; filename=x; filename*=UTF-8''a%20b.safetensors", Some("a b.safetensors")),
            ("inline", None),
        ] {
            assert_eq!(disposition(header).as_deref(), name, "{header}");
        }
    }
}
