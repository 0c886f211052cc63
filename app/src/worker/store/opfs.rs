//! The origin private file system: `models/ID/FILE`, read and written in place without waiting.

use std::borrow::Cow;
use std::ops::Range;

use encaustic_engine::weights::{SourceError, WeightSource};
use js_sys::{ArrayBuffer, AsyncIterator, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    File, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions,
    FileSystemReadWriteOptions, FileSystemRemoveOptions, FileSystemSyncAccessHandle,
};

use super::super::post::{pause, why};
use super::{Answer, Append, Store, StoreError, manager, there, wait};
use crate::message::Place;

/// The folder of all models.
const FOLDER: &str = "models";

/// How often a file is asked for that is in use. The browser closes the files of a worker that was ended (broken down, or
/// another tab took the engine) in its own time.
const TRIES: u32 = 10;

/// Seconds between two tries.
const PAUSE: f64 = 0.15;

/// The private file system.
pub(super) struct Opfs {
    folder: FileSystemDirectoryHandle,
}

impl Opfs {
    /// `None` where there is none, or none whose files can be used without waiting.
    pub(super) async fn open() -> Option<Self> {
        let handle = Reflect::get(&js_sys::global(), &"FileSystemFileHandle".into()).ok()?;
        let prototype = Reflect::get(&handle, &"prototype".into()).ok()?;
        if !Reflect::has(&prototype, &"createSyncAccessHandle".into()).is_ok_and(|has| has) {
            return None;
        }
        let root: FileSystemDirectoryHandle = wait(FOLDER, manager("getDirectory")?).await.ok()?;
        let folder = folder(&root, FOLDER, true).await.ok()??;
        Some(Self { folder })
    }

    async fn handle(&self, id: &str, name: &str, create: bool) -> Result<Option<FileSystemFileHandle>, StoreError> {
        let Some(folder) = folder(&self.folder, id, create).await? else { return Ok(None) };
        let options = FileSystemGetFileOptions::new();
        options.set_create(create);
        there(wait(name, folder.get_file_handle_with_options(name, &options)).await)
    }

    async fn begin(&self, id: &str, name: &str, from: u64) -> Result<Writing, StoreError> {
        let handle = self.handle(id, name, true).await?.ok_or_else(|| StoreError::Absent(name.to_owned()))?;
        let handle = access(&handle, "readwrite", name).await?;
        handle.0.truncate_with_f64(from as f64).map_err(|error| StoreError::of(name, &error))?;
        Ok(Writing { handle, name: name.to_owned(), end: from })
    }
}

/// A folder in another one.
async fn folder(
    within: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> Result<Option<FileSystemDirectoryHandle>, StoreError> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(create);
    there(wait(name, within.get_directory_handle_with_options(name, &options)).await)
}

/// The names of what is in a folder.
async fn names(folder: &FileSystemDirectoryHandle) -> Result<Vec<String>, StoreError> {
    let failed = |error: JsValue| StoreError::of(FOLDER, &error);
    let entries: AsyncIterator = folder.keys();
    let mut names = Vec::new();
    loop {
        let next: Object = wait(FOLDER, entries.next().map_err(failed)?).await?;
        if Reflect::get(&next, &"done".into()).map_err(failed)?.is_truthy() {
            return Ok(names);
        }
        names.extend(Reflect::get(&next, &"value".into()).map_err(failed)?.as_string());
    }
}

/// A file's contents, as soon as a worker that has just been ended has let go of it. Several may read one at a time, where the
/// browser knows modes; whoever writes is alone.
async fn access(handle: &FileSystemFileHandle, mode: &str, name: &str) -> Result<Handle, StoreError> {
    let failed = |error: JsValue| StoreError::of(name, &error);
    let options = Object::new();
    Reflect::set(&options, &"mode".into(), &mode.into()).map_err(failed)?;
    // web-sys knows the method without its options.
    let method: Function = Reflect::get(handle, &"createSyncAccessHandle".into()).map_err(failed)?.unchecked_into();
    let mut tries = 1;
    loop {
        let promise: Promise = method.call1(handle, &options).map_err(failed)?.unchecked_into();
        match wait(name, promise).await {
            Err(StoreError::InUse(_)) if tries < TRIES => tries += 1,
            opened => return opened.map(Handle),
        }
        pause(PAUSE).await;
    }
}

/// An open file.
struct Handle(FileSystemSyncAccessHandle);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn at(offset: u64) -> FileSystemReadWriteOptions {
    let options = FileSystemReadWriteOptions::new();
    options.set_at_f64(offset as f64);
    options
}

/// A file that is read.
struct Reading {
    handle: Handle,
    length: u64,
}

impl WeightSource for Reading {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        let Range { start, end } = range;
        let out = || SourceError::OutOfRange { start, end, len: self.length };
        let bytes = end.checked_sub(start).filter(|_| end <= self.length).ok_or_else(out)?;
        let mut buffer = vec![0; usize::try_from(bytes).map_err(|_| out())?];
        let read = self.handle.0.read_with_u8_array_and_options(&mut buffer, &at(start));
        match read {
            Ok(read) if read as u64 == bytes => Ok(buffer.into()),
            Ok(_) => Err(out()),
            Err(error) => Err(SourceError::Failed(why(&error))),
        }
    }
}

/// A file that is written.
struct Writing {
    handle: Handle,
    name: String,
    end: u64,
}

impl Append for Writing {
    fn push(&mut self, bytes: &Uint8Array) -> Result<(), StoreError> {
        let written = self.handle.0.write_with_js_u8_array_and_options(bytes, &at(self.end));
        let written = written.map_err(|error| StoreError::of(&self.name, &error))? as u64;
        self.end += written;
        // What has no room is left out, in some browsers without a word.
        if written == u64::from(bytes.length()) { Ok(()) } else { Err(StoreError::Full) }
    }

    fn finish(self: Box<Self>) -> Answer<'static, ()> {
        Box::pin(async move { self.handle.0.flush().map_err(|error| StoreError::of(&self.name, &error)) })
    }
}

impl Store for Opfs {
    fn place(&self) -> Place {
        Place::Opfs
    }

    fn models(&self) -> Answer<'_, Vec<String>> {
        Box::pin(names(&self.folder))
    }

    fn files<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<(String, u64)>> {
        Box::pin(async move {
            let Some(folder) = folder(&self.folder, id, false).await? else { return Ok(Vec::new()) };
            let mut files = Vec::new();
            for name in names(&folder).await? {
                let Some(handle) = there(wait::<FileSystemFileHandle>(&name, folder.get_file_handle(&name)).await)? else {
                    continue;
                };
                let file: Option<File> = there(wait(&name, handle.get_file()).await)?;
                files.extend(file.map(|file| (name, file.size() as u64)));
            }
            Ok(files)
        })
    }

    fn read<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, Option<Uint8Array>> {
        Box::pin(async move {
            // As a blob: to open the file would be in the way of whoever writes to it.
            let Some(handle) = self.handle(id, name, false).await? else { return Ok(None) };
            let Some(file) = there(wait::<File>(name, handle.get_file()).await)? else { return Ok(None) };
            let buffer: ArrayBuffer = wait(name, file.array_buffer()).await?;
            Ok(Some(Uint8Array::new(&buffer)))
        })
    }

    fn open<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, Option<Box<dyn WeightSource>>> {
        Box::pin(async move {
            let Some(handle) = self.handle(id, name, false).await? else { return Ok(None) };
            let handle = access(&handle, "read-only", name).await?;
            let length = handle.0.get_size().map_err(|error| StoreError::of(name, &error))? as u64;
            Ok(Some(Box::new(Reading { handle, length }) as Box<dyn WeightSource>))
        })
    }

    fn write<'a>(&'a self, id: &'a str, name: &'a str, bytes: &'a Uint8Array) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut writing = Box::new(self.begin(id, name, 0).await?);
            writing.push(bytes)?;
            writing.finish().await
        })
    }

    fn append<'a>(&'a self, id: &'a str, name: &'a str, from: u64) -> Answer<'a, Box<dyn Append>> {
        Box::pin(async move { Ok(Box::new(self.begin(id, name, from).await?) as Box<dyn Append>) })
    }

    fn remove<'a>(&'a self, id: &'a str, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let Some(folder) = folder(&self.folder, id, false).await? else { return Ok(()) };
            let removed: Result<JsValue, StoreError> = wait(name, folder.remove_entry(name)).await;
            there(removed).map(drop)
        })
    }

    fn remove_model<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let options = FileSystemRemoveOptions::new();
            options.set_recursive(true);
            let removed: Result<JsValue, StoreError> = wait(id, self.folder.remove_entry_with_options(id, &options)).await;
            there(removed).map(drop)
        })
    }
}
