//! What a page and the worker say to each other.
//!
//! Each message is one text of JSON: an [`Order`] to the worker, a piece of [`News`] from it. There are two exceptions: an
//! order that means a file of the user's travels as an object `{ order, file }`, and a picture as `{ news, pixels }`, the text
//! beside a `File` or an `ArrayBuffer`, which change hands without being copied. Seeds have 64 bits, more than a number in
//! JavaScript holds: read the text with a parser that knows.

use encaustic_protocol::{Card, Command, Event, Failure, JobId, Request};
use serde::{Deserialize, Serialize};

/// What the worker can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Say which models this browser keeps, and how much room there is.
    Models,
    /// Say what it would mean to load a model: nothing is loaded.
    Look(Load),
    /// Get a model; it takes the place of the one before, after the jobs that were submitted earlier.
    Load(Load),
    /// Write a file of the user's into the browser's storage, packed; the order's file is its source.
    Pack(Pack),
    /// Stop the load or the packing that is under way; what has come of a download is kept for the next try.
    Stop,
    /// Delete a model from the browser's storage.
    Forget {
        /// Its id in [`Storage::models`].
        id: String,
    },
    /// Count the tokens of texts.
    Count {
        /// Returned with the answer.
        id: u64,
        /// The texts.
        texts: Vec<String>,
    },
    /// A command to the engine.
    Command(Command),
}

/// Which model to get, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Where it is.
    pub from: Source,
    /// `f32` or `f16`; if nobody says, the best that the device has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// Whether its networks share the device's memory; if nobody says, as its size and the device suggest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residency: Option<Residency>,
}

/// Where a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The address of the folder of a packed model, in which `manifest.json` lies; if relative, to the worker's script. What
    /// is fetched is kept in the browser's storage, and what is kept is not fetched.
    Address(String),
    /// In the browser's storage, by its id in [`Storage::models`].
    Stored(String),
    /// The file beside the order: a checkpoint in one `.safetensors` file, read in place.
    File,
}

/// Which of a model's networks are on the device at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Residency {
    /// All: the next picture begins at once.
    All,
    /// One at a time: text encoders, UNet, VAE; each is read again for every picture.
    InTurn,
}

/// How to pack a file of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// What the model shall be called.
    pub title: String,
    /// `f16`, `q8`, or another type that `encaustic import --dtype` knows.
    pub dtype: String,
}

/// What the worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// It listens.
    Ready {
        /// The version of this program.
        version: String,
    },
    /// What the browser keeps, in answer to [`Order::Models`] and whenever it has changed.
    Models(Storage),
    /// What a load would mean, in answer to [`Order::Look`].
    Outlook(Box<Outlook>),
    /// A model is coming.
    Loading(Loading),
    /// The model is there.
    Loaded(Box<Loaded>),
    /// A load that waited for a picture to be finished is taken back, and the model from before is there as ever.
    StillLoaded(Box<Loaded>),
    /// Nothing came of a look.
    NotSeen(Failure),
    /// There is no model now.
    NotLoaded(Failure),
    /// A file is being packed.
    Packing {
        /// Bytes of the file that have been read.
        bytes: u64,
        /// Bytes that there are to read.
        of: u64,
    },
    /// The file is packed.
    Packed(Stored),
    /// The file could not be packed; nothing of it is kept.
    NotPacked(Failure),
    /// How many tokens texts have, in answer to [`Order::Count`].
    Counted {
        /// The order's.
        id: u64,
        /// One number per text; without the marks at beginning and end.
        tokens: Vec<u32>,
    },
    /// A job that this page asked for on an earlier visit, and that has not ended; its events follow.
    Recalled {
        /// By what name its events call it.
        job: JobId,
        /// What was asked for.
        request: Box<Request>,
    },
    /// An event of the engine.
    Event(Event),
    /// A picture (a finished one or a preview), ahead of the event that names it; its pixels come in the same message, four
    /// bytes each: red, green, blue and 255.
    Picture(Picture),
    /// A message was no order, or one that could not be followed (a model that is in use is not deleted); nothing was done.
    Misunderstood {
        /// Why.
        message: String,
    },
    /// The worker has broken down and will do nothing more: end it and start another.
    Dead {
        /// What happened.
        message: String,
        /// Whether the device is lost, which happens: a driver was updated or reset, the machine slept.
        #[serde(default)]
        device_lost: bool,
    },
}

/// What a browser keeps for this page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Models that are there, in whole or in part.
    pub models: Vec<Stored>,
    /// Bytes that the page uses, all kinds of data together, as far as the browser tells.
    pub used: Option<u64>,
    /// Bytes that it may use.
    pub quota: Option<u64>,
    /// Whether the browser has promised not to throw them away by itself.
    pub persistent: bool,
    /// What it is kept in.
    pub place: Place,
}

/// What kind of storage a browser has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The origin private file system.
    Opfs,
    /// The Cache API.
    Cache,
    /// Nothing that lasts: models live as long as the tab.
    #[default]
    Memory,
}

/// A model in the browser's storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Names it in orders.
    pub id: String,
    /// What people read.
    pub title: String,
    /// The id of its family.
    pub family: String,
    /// Where it came from, if it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Bytes that are there.
    pub bytes: u64,
    /// Bytes when it is whole.
    pub of: u64,
}

/// What it would mean to load a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// What its maker calls it, if that is known.
    pub title: Option<String>,
    /// The id of its family.
    pub family: String,
    /// Under which terms it may be used, if that is known.
    pub license: Option<String>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that have yet to be fetched.
    pub to_fetch: u64,
    /// Bytes that the browser's storage has left, if it tells.
    pub free: Option<u64>,
    /// What it computes on.
    pub device: String,
    /// In which precision.
    pub precision: String,
    /// Bytes of device memory for all networks at once, with room for one picture of the model's own size.
    pub needs_all: u64,
    /// The same for the largest of them alone.
    pub needs_in_turn: u64,
    /// Bytes that one buffer of the device may have.
    pub largest_buffer: Option<u64>,
    /// How it would be loaded.
    pub residency: Residency,
    /// Why it will not do, as a sentence with what to do; `None` if it will.
    pub obstacle: Option<String>,
    /// What makes it doubtful, as a sentence with what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loading {
    /// What is being done.
    pub stage: LoadStage,
    /// Bytes that are done, of the whole model.
    pub bytes: u64,
    /// Bytes that there will be.
    pub of: u64,
}

/// The parts of a load, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadStage {
    /// Fetching what is not kept yet, and checking what is.
    Files,
    /// Opening the device.
    Device,
    /// Bringing the weights to the device.
    Weights,
}

/// A model that is ready for work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// What it is and wants.
    pub card: Card,
    /// Bytes of its files.
    pub bytes: u64,
    /// What it computes on.
    pub device: String,
    /// In which precision.
    pub precision: String,
    /// Whether its networks share the device's memory.
    pub residency: Residency,
    /// How long it took.
    pub seconds: LoadSeconds,
}

/// How long the parts of a load took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSeconds {
    /// Getting and checking the files.
    pub files: f64,
    /// Opening the device.
    pub device: f64,
    /// Checking the model against its networks and bringing it to the device.
    pub model: f64,
}

/// Which picture it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The job that asked for it.
    pub job: JobId,
    /// Its name in the job's events.
    pub name: String,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// How it was made, in the words of A1111's `parameters`; nothing for a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use encaustic_protocol::{FailureKind, Submit};

    #[test]
    fn orders_travel_as_json() {
        let request = Box::new(Request { prompt: "a fox".into(), seed: Some(u64::MAX), ..Request::default() });
        let load = |from| Load { from, precision: None, residency: None };
        let cases = [
            (Order::Load(load(Source::Address("models/demo".into()))), r#"{"load":{"from":{"address":"models/demo"}}}"#),
            (Order::Look(load(Source::File)), r#"{"look":{"from":"file"}}"#),
            (Order::Forget { id: "a".into() }, r#"{"forget":{"id":"a"}}"#),
            (Order::Models, r#""models""#),
            (Order::Command(Command::Cancel(JobId(7))), r#"{"command":{"cancel":7}}"#),
            (Order::Command(Command::Describe), r#"{"command":"describe"}"#),
        ];
        for (order, text) in cases {
            assert_eq!(serde_json::to_string(&order).unwrap(), text);
            assert_eq!(serde_json::from_str::<Order>(text).unwrap(), order);
        }
        let submit = Order::Command(Command::Submit(Submit { job: JobId(1), request }));
        let text = serde_json::to_string(&submit).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), submit, "{text}");
    }

    #[test]
    fn news_travel_as_json() {
        let card = Card { family: "sd1".into(), sizes: vec![[512, 512]], ..Card::default() };
        let loaded = Loaded {
            card,
            bytes: u64::MAX,
            device: "webgpu".into(),
            precision: "f32".into(),
            residency: Residency::All,
            seconds: LoadSeconds { device: 0.5, files: 1.25, model: 2.0 },
        };
        let failure = Failure { kind: FailureKind::Model, message: "a shard is damaged".into() };
        for news in [
            News::Ready { version: "0.1.0".into() },
            News::Models(Storage::default()),
            News::Loading(Loading { stage: LoadStage::Files, bytes: 1, of: 2 }),
            News::Loaded(Box::new(loaded.clone())),
            News::StillLoaded(Box::new(loaded)),
            News::NotSeen(failure.clone()),
            News::NotLoaded(failure),
            News::Counted { id: 1, tokens: vec![3] },
            News::Picture(Picture { job: JobId(1), name: "1-0".into(), width: 64, height: 72, parameters: None }),
            News::Misunderstood { message: "?".into() },
            News::Dead { message: "out of memory".into(), device_lost: false },
        ] {
            let text = serde_json::to_string(&news).unwrap();
            assert_eq!(serde_json::from_str::<News>(&text).unwrap(), news, "{text}");
        }
    }
}
