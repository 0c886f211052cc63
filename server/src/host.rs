//! What the server needs of whoever draws: the launcher implements it around the engine, tests around something quick.

use std::ops::ControlFlow;

use encaustic_protocol::{Card, Catalog, Failure, Progress, Request};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The name of the model in the box, which is there if nothing else is.
pub const BOXED: &str = "demo";

/// A machine with devices and models.
pub trait Host: Send + Sync + 'static {
    /// Samplers, schedules and families.
    fn catalog(&self) -> Catalog;

    /// The devices that can compute here, the best first.
    fn devices(&self) -> Vec<Device>;

    /// Opens a device. It is called on the thread that the device will have for itself; what comes back never leaves it.
    ///
    /// # Errors
    /// If there is no such device, or it does not answer.
    fn open(&self, device: &str) -> Result<Box<dyn Engine>, Failure>;

    /// The models that there are, in the order of their names; the model in the box is called [`BOXED`].
    ///
    /// # Errors
    /// If the library cannot be read.
    fn models(&self) -> Result<Vec<Model>, Failure>;

    /// What a model is and wants; its weights are not read. `None` is the usual one.
    ///
    /// # Errors
    /// If there is no such model, or it is damaged.
    fn card(&self, model: Option<&str>) -> Result<Card, Failure>;

    /// How many tokens texts have in a model's words, without the marks at beginning and end.
    ///
    /// # Errors
    /// As [`Host::card`].
    fn count(&self, model: Option<&str>, texts: &[String]) -> Result<Vec<u32>, Failure>;

    /// Fetches a model (`OWNER/NAME` of the hub, or a URL) into the library. `told` hears how it goes on and may end it.
    ///
    /// # Errors
    /// If it cannot be had, or was ended.
    fn pull(&self, source: &str, told: &mut dyn FnMut(Transfer) -> ControlFlow<()>) -> Result<(), Failure>;

    /// Removes a model from the library's own folder.
    ///
    /// # Errors
    /// If it is not there, or not ours to remove.
    fn remove(&self, model: &str) -> Result<(), Failure>;
}

/// An open device, on its own thread.
pub trait Engine {
    /// Which device it is.
    fn device(&self) -> Device;

    /// Loads a model (`None`: the usual one); nothing happens if it is loaded already. Returns its name in the library.
    ///
    /// # Errors
    /// If there is none of that name, or it cannot be loaded; then none is loaded. Never [`Broken::Stopped`].
    fn load(&mut self, model: Option<&str>) -> Result<Loaded, Broken>;

    /// Lets go of the model and its memory.
    fn unload(&mut self);

    /// Draws. Every setting that the request leaves open is the model's; its seed is given. The picture of seed `s` is the
    /// same, whatever batch it is drawn in.
    ///
    /// # Errors
    /// See [`Broken`].
    fn draw(&mut self, request: &Request, care: Care, watch: &mut dyn Watch) -> Result<Drawn, Broken>;

    /// What the device's memory holds, if it tells.
    fn memory(&self) -> Memory;
}

/// How to spare memory; the server asks for it after [`Broken::OutOfMemory`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Care {
    /// Decode in tiles, however small the picture.
    pub tile_vae: bool,
}

/// A model on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Its name in the library.
    pub name: String,
    /// The first ten digits of its SHA-256, as A1111 writes them, if they are known.
    pub hash: Option<String>,
    /// What it is and wants.
    pub card: Card,
}

/// Follows a drawing.
pub trait Watch {
    /// It has come so far; `Break` ends it.
    fn at(&mut self, progress: Progress) -> ControlFlow<()>;

    /// Whether a rough look at the first picture is wanted now; asked once per step.
    fn wants_look(&mut self) -> bool;

    /// Such a look.
    fn look(&mut self, picture: Pixels);

    /// What the device's memory holds now, told when it may have changed.
    fn memory(&mut self, _memory: Memory) {}
}

/// A picture in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Three bytes per pixel, row by row: `width * height * 3` of them.
    pub rgb: Vec<u8>,
}

/// What a drawing came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The pictures with their seeds, in their order.
    pub pictures: Vec<(u64, Pixels)>,
    /// The request with every setting filled in.
    pub settings: Request,
    /// How it was made, in the words of A1111's `parameters`, one text per picture.
    pub parameters: Vec<String>,
    /// How long the parts took, by their names: `load`, `text`, `denoise`, `decode`.
    pub seconds: Vec<(&'static str, f64)>,
}

/// Why a drawing came to nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    /// The watch ended it.
    Stopped,
    /// The device has too little memory; it is well and may be asked for less.
    OutOfMemory {
        /// Bytes that were wanted, if that is known.
        needed: Option<u64>,
        /// Bytes that there are, if that is known.
        available: Option<u64>,
    },
    /// This job cannot be done; the device is well.
    Failed(Failure),
    /// The device or its driver broke down: it has to be opened anew.
    Lost(Failure),
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Its name, as `encaustic devices` lists it: `cuda:0`, `vulkan:1`, `cpu`.
    pub name: String,
    /// What its maker calls it.
    pub label: String,
    /// `discrete`, `integrated`, `cpu`, ...
    pub kind: String,
    /// Bytes of memory, if its driver tells.
    pub memory: Option<u64>,
}

/// What a device's memory holds, in bytes, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// Held by us.
    pub used: Option<u64>,
    /// All there is.
    pub total: Option<u64>,
}

/// A model of the library.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// What a job calls it.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// `checkpoint`, `vae`, `lora`, ... as `encaustic models` tells.
    pub kind: String,
    /// The id of its family, if it is a whole model.
    pub family: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its SHA-256, if it is known.
    pub sha256: Option<String>,
    /// Where its file or folder is; told to nobody without the scope `admin`.
    pub path: Option<String>,
    /// Under which terms it may be used, if that is known.
    pub license: Option<String>,
    /// Whether [`Host::remove`] may remove it.
    pub is_own: bool,
    /// Whether a job can draw with it.
    pub is_usable: bool,
}

/// How far a transfer is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Transfer {
    /// The file that is on its way.
    pub file: String,
    /// Bytes that are here, of all files.
    pub bytes: u64,
    /// Bytes that there will be, as far as is known.
    pub of: u64,
}
