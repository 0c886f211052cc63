//! Packing: any model that the engine loads, written as a manifest and shards ([`Manifest`]).
//!
//! The engine says what a model consists of ([`Contents`]), wherever it came from; parameters are taken one by one, brought
//! to the wanted type in runs of a million numbers, collected to shards and handed to a [`Sink`], which has a disk or a browser's
//! storage behind it. One shard and a run are in memory, and what the sink keeps; and of what lies in its file in another way than in
//! the network, the whole parameter.

mod choice;
mod error;
mod noise;
mod shards;
mod verify;

use std::ops::{ControlFlow, Range};

use encaustic_engine::family::Contents;
use encaustic_engine::weights::{
    BLOCK, Dtype, EncodeError, Encoded, Encoding, FORMAT, InFile, Manifest, PackedTensor, Parameter, SCALE, SCHEMA, SourceError,
};
use serde::Serialize;
use serde_json::Value;

pub use choice::{Target, UnknownTarget, default_vae};
pub use error::PackError;
pub use shards::Sink;
pub use verify::{ShardFault, check_shard};

use noise::Noise;
use shards::Shards;

/// How a model is packed.
#[derive(Clone, Debug)]
pub struct Options {
    /// In which type the text encoders and the UNet are written.
    pub dtype: Target,
    /// In which type the autoencoder is written.
    pub vae: Target,
    /// What the model is called, if its maker says.
    pub title: Option<String>,
    /// Under which terms it is given, if its maker says.
    pub license: Option<String>,
    /// The program that packs.
    pub packed_by: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Packed {
    /// All that there is to know; its `sources` are left to whoever knows the files.
    pub manifest: Manifest,
    /// The components, in the order of a run.
    pub components: Vec<Written>,
}

/// A component that was packed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Written {
    /// Its name.
    pub name: &'static str,
    /// How many parameters it has.
    pub parameters: u64,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes that were written.
    pub written: u64,
    /// How many of its parameters were quantised.
    pub quantised: u64,
    /// How far what the quantised layers make of a fixed random input is from what the source's make of it:
    /// `||(W - Q) x|| / ||W x||` over all of them; `None` if nothing was quantised.
    pub layer_error: Option<f64>,
}

/// How far the work is, in bytes of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were read.
    pub done: u64,
    /// Bytes that there are.
    pub of: u64,
}

/// Packs a model. `watch` is told how far it is, and may end it.
///
/// # Errors
/// If a source or the sink fails, if numbers do not fit the wanted type, and if `watch` ends it. What the sink has been
/// given until then is to be thrown away.
pub fn pack<S: Sink>(
    contents: &Contents,
    options: &Options,
    sink: &mut S,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Packed, PackError<S::Error>> {
    let mut packing = Packing::new(contents, options, sink)?;
    loop {
        if let Some(packed) = packing.step(watch)? {
            return Ok(packed);
        }
    }
}

/// A model that is being packed, in steps of a shard or so: for whoever must do something else in between.
pub struct Packing<'a, S> {
    contents: &'a Contents,
    options: &'a Options,
    /// What each component has, and how many bytes that takes of the source.
    lists: Vec<Vec<(Parameter, u64)>>,
    /// The component that is at work, and its next parameter.
    place: (usize, usize),
    shards: Shards<S>,
    tensors: Vec<Unplaced>,
    components: Vec<Written>,
    noise: Noise,
    progress: Progress,
}

impl<'a, S: Sink> Packing<'a, S> {
    /// Begins to pack a model.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn new(contents: &'a Contents, options: &'a Options, sink: S) -> Result<Self, PackError<S::Error>> {
        let files = options.dtype.files();
        let lists: Vec<_> = contents.components.iter().map(|component| component.list(files)).collect::<Result<_, _>>()?;
        let of = lists.iter().flatten().map(|(_, bytes)| bytes).sum();
        Ok(Self {
            contents,
            options,
            lists,
            place: (0, 0),
            shards: Shards::new(sink),
            tensors: Vec::new(),
            components: Vec::new(),
            noise: Noise::default(),
            progress: Progress { done: 0, of },
        })
    }

    /// What takes the shards.
    pub fn sink(&mut self) -> &mut S {
        self.shards.sink()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Goes on until a shard or a component is full; what came of it when all are. After an error there is no next step.
    ///
    /// # Errors
    /// As [`pack`].
    pub fn step(&mut self, watch: &mut dyn FnMut(Progress) -> ControlFlow<()>) -> Result<Option<Packed>, PackError<S::Error>> {
        let (index, first) = self.place;
        let contents = self.contents;
        let Some(component) = contents.components.get(index) else {
            self.shards.flush()?;
            return self.packed().map(Some);
        };
        let sizes: Vec<u64> = self.lists.get(index).into_iter().flatten().skip(first).map(|(_, bytes)| *bytes).collect();
        let mut sizes = sizes.into_iter();
        if first == 0 {
            let (name, noise) = (component.name, None);
            self.components.push(Written { name, parameters: 0, read: 0, written: 0, quantised: 0, layer_error: noise });
            self.noise = Noise::default();
        }
        let mut written = self.components.pop().ok_or(PackError::Stopped)?;
        let shards = self.shards.count();
        let mut ended = Ok(());
        let flow = component.each(self.options.dtype.files(), first, &mut |parameter, numbers| {
            let bytes = sizes.next().unwrap_or(0);
            written.read += bytes;
            match self.parameter(parameter, numbers, &mut written) {
                Ok(()) => {}
                Err(Ended::Source(error)) => return Err(error),
                Err(Ended::Pack(error)) => {
                    ended = Err(error);
                    return Ok(ControlFlow::Break(()));
                }
            }
            self.place.1 += 1;
            self.progress.done += bytes;
            if watch(self.progress).is_break() {
                ended = Err(PackError::Stopped);
                return Ok(ControlFlow::Break(()));
            }
            Ok(if self.shards.count() > shards { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        ended?;
        if flow.is_continue() {
            written.layer_error = self.noise.relative();
            self.place = (index + 1, 0);
        }
        self.components.push(written);
        Ok(None)
    }

    /// All that has come, as a manifest.
    fn packed(&mut self) -> Result<Packed, PackError<S::Error>> {
        let Self { contents, options, .. } = self;
        let (shards, places) = self.shards.take();
        let mut manifest = Manifest {
            format: FORMAT.to_owned(),
            schema: SCHEMA,
            family: contents.family.id.to_owned(),
            title: options.title.clone(),
            license: options.license.clone(),
            packed_by: options.packed_by.clone(),
            shards,
            ..Manifest::default()
        };
        for (path, text) in &contents.files {
            manifest.files.insert(path.clone(), small_file(path, text)?);
        }
        for (name, mut tensor, [pieces, scales]) in std::mem::take(&mut self.tensors) {
            tensor.pieces = places.of(&pieces);
            tensor.scales = places.of(&scales);
            manifest.tensors.insert(name, tensor);
        }
        Ok(Packed { manifest, components: std::mem::take(&mut self.components) })
    }

    fn parameter(&mut self, parameter: &Parameter, numbers: &InFile<'_>, written: &mut Written) -> Result<(), Ended<S::Error>> {
        let encoding = choice::encoding(self.options, written.name, parameter, numbers)?;
        let name = format!("{}.{}", written.name, parameter.name);
        let wrong = |error| PackError::Numbers { tensor: name.clone(), error };
        let elements: u64 = parameter.shape.iter().map(|dim| *dim as u64).product();
        let bytes = encoding.bytes(elements).ok_or_else(|| wrong(EncodeError::Type))?;
        let shape = match encoding {
            // Two codes are in a byte.
            Encoding::Quantised(_) => vec![usize::try_from(bytes).map_err(|_| wrong(EncodeError::Type))?],
            Encoding::Plain(_) => parameter.shape.clone(),
        };
        let mut open = Shards::<S>::begin(&name, encoding.stored(), &shape, bytes);
        let mut all_scales = Vec::new();
        for run in runs(&parameter.shape) {
            let part = numbers.part(run)?;
            let exact = match encoding {
                Encoding::Quantised(_) => part.values(),
                Encoding::Plain(_) => None,
            };
            let Encoded { bytes, scales } = part.encode(encoding).map_err(wrong)?;
            if let (Encoding::Quantised(quant), Some(exact)) = (encoding, exact) {
                self.noise.add(&exact, &quant.decode(&bytes, &scales, exact.len()), row(&parameter.shape));
            }
            self.shards.push(&mut open, &bytes)?;
            all_scales.extend_from_slice(&scales);
        }
        written.parameters += elements;
        written.written += bytes + all_scales.len() as u64;
        let pieces = open.names();
        let (mut block, mut scales) = (None, Vec::new());
        if matches!(encoding, Encoding::Quantised(_)) {
            written.quantised += elements;
            block = Some(BLOCK);
            let mut open =
                Shards::<S>::begin(&format!("{name}{SCALE}"), Dtype::F16, &[all_scales.len() / 2], all_scales.len() as u64);
            self.shards.push(&mut open, &all_scales)?;
            scales = open.names();
        }
        let tensor =
            PackedTensor { dtype: encoding, shape: parameter.shape.clone(), block, pieces: Vec::new(), scales: Vec::new() };
        self.tensors.push((name, tensor, [pieces, scales]));
        Ok(())
    }
}

/// Why a parameter is not packed.
enum Ended<E> {
    /// It cannot be read.
    Source(SourceError),
    /// It cannot be written.
    Pack(PackError<E>),
}

impl<E> From<SourceError> for Ended<E> {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl<E> From<PackError<E>> for Ended<E> {
    fn from(error: PackError<E>) -> Self {
        Self::Pack(error)
    }
}

/// A configuration as JSON, anything else as text.
fn small_file<E>(path: &str, text: &[u8]) -> Result<Value, PackError<E>> {
    let wrong = |why: String| PackError::SmallFile { path: path.to_owned(), why };
    if path.ends_with(".json") {
        return serde_json::from_slice(text).map_err(|error| wrong(error.to_string()));
    }
    String::from_utf8(text.to_vec()).map(Value::String).map_err(|_| wrong("it is not UTF-8".to_owned()))
}

/// A tensor, with the names of its pieces and of its scales' pieces instead of their places.
type Unplaced = (String, PackedTensor, [Vec<String>; 2]);

/// How many numbers are brought to another type at a time: the two types together, and what they are measured with, are a few
/// times as large as this.
const RUN: usize = 1 << 20;

/// Numbers of a tensor that belong to one output, as in a row of a matrix.
fn row(shape: &[usize]) -> usize {
    shape.iter().skip(1).product::<usize>().max(1)
}

/// The numbers of a tensor in runs of whole rows and whole blocks.
fn runs(shape: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let (all, row) = (shape.iter().product::<usize>(), row(shape));
    // As many rows as there are numbers in a block are always whole blocks.
    let rows = (RUN / row / BLOCK).max(1) * BLOCK;
    let step = rows.saturating_mul(row).max(1);
    (0..all).step_by(step).map(move |start| start..all.min(start.saturating_add(step)))
}
