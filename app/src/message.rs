//! What a page and the worker say to each other.
//!
//! Each message is one text of JSON: an [`Order`] to the worker, a piece of [`News`] from it. The only exception is a
//! picture, whose message is an object `{ news, pixels }`: the text, and an `ArrayBuffer` that changes hands without being
//! copied. Seeds have 64 bits, more than a number in JavaScript holds: read the text with a parser that knows.

use encaustic_protocol::{Command, Event, Failure, JobId};
use serde::{Deserialize, Serialize};

/// What the worker can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Get a model; it takes the place of the one before, after the jobs that were submitted earlier.
    Load(Load),
    /// A command to the engine.
    Command(Command),
}

/// Which model to get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The address of the folder of a packed model, in which `manifest.json` lies; if relative, to the worker's script.
    pub base: String,
    /// `f32` or `f16`; if nobody says, the best that the device has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
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
    /// A model is coming.
    Loading {
        /// Bytes of its shards that are there.
        bytes: u64,
        /// Bytes that there will be.
        of: u64,
    },
    /// The model is there.
    Loaded(Box<Loaded>),
    /// There is no model now.
    NotLoaded(Failure),
    /// An event of the engine.
    Event(Event),
    /// A finished picture; its pixels come in the same message, four bytes each: red, green, blue and 255.
    Picture(Picture),
    /// A message was no order; nothing was done.
    Misunderstood {
        /// Why.
        message: String,
    },
    /// The worker has broken down and will do nothing more: end it and start another.
    Dead {
        /// What happened.
        message: String,
    },
}

/// A model that is ready for work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// The id of its family.
    pub family: String,
    /// What its maker calls it, if the manifest says.
    pub title: Option<String>,
    /// Bytes of its shards.
    pub bytes: u64,
    /// What it computes on.
    pub device: String,
    /// In which precision.
    pub precision: String,
    /// How long it took.
    pub seconds: LoadSeconds,
}

/// How long the parts of a load took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSeconds {
    /// Getting and checking the files.
    pub files: f64,
    /// Opening the device and putting its kernels to the test.
    pub device: f64,
    /// Checking the model against its networks and bringing it to the device.
    pub model: f64,
}

/// Which picture it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The job that asked for it.
    pub job: JobId,
    /// Its name in the job's last event.
    pub name: String,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use encaustic_protocol::{FailureKind, Request, Submit};

    #[test]
    fn orders_travel_as_json() {
        let request = Box::new(Request { prompt: "a fox".into(), seed: Some(u64::MAX), ..Request::default() });
        let cases = [
            (Order::Load(Load { base: "models/demo".into(), precision: None }), r#"{"load":{"base":"models/demo"}}"#),
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
        let loaded = Loaded {
            family: "sd1".into(),
            title: None,
            bytes: u64::MAX,
            device: "webgpu".into(),
            precision: "f32".into(),
            seconds: LoadSeconds { device: 0.5, files: 1.25, model: 2.0 },
        };
        let failure = Failure { kind: FailureKind::Model, message: "a shard is damaged".into() };
        for news in [
            News::Ready { version: "0.1.0".into() },
            News::Loading { bytes: 1, of: 2 },
            News::Loaded(Box::new(loaded)),
            News::NotLoaded(failure),
            News::Picture(Picture { job: JobId(1), name: "1-0".into(), width: 64, height: 72 }),
            News::Misunderstood { message: "?".into() },
            News::Dead { message: "out of memory".into() },
        ] {
            let text = serde_json::to_string(&news).unwrap();
            assert_eq!(serde_json::from_str::<News>(&text).unwrap(), news, "{text}");
        }
    }
}
