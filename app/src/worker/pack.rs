//! Packing a file of the user's into the browser's storage.
//!
//! The importer works in steps of about a shard; between two steps the shard is written, and messages that wait come in, so that
//! a stop is heard.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::rc::Rc;

use encaustic_engine::family::{Files, Keep, load};
use encaustic_engine::weights::{MANIFEST, MAX_TEXT, Manifest};
use encaustic_importer::pack::{Options, PackError, Packing, Sink, Target, default_vae};
use encaustic_protocol::{Failure, FailureKind};
use web_sys::File;

use super::brake::Brake;
use super::files::Meter;
use super::load::Loader;
use super::look::survey_of;
use super::post::{breathe, seconds, tell};
use super::shelf::{About, Shelf};
use super::single::Single;
use crate::message::{News, Pack, Stored};
use crate::ranges::slug;

/// Seconds between two words on how far it is.
const PAUSE: f64 = 0.1;

/// Shards that wait to be written.
#[derive(Default)]
struct Ready(Vec<(String, Vec<Vec<u8>>)>);

impl Sink for Ready {
    type Error = Infallible;

    fn shard(&mut self, name: &str, content: Vec<Vec<u8>>) -> Result<(), Infallible> {
        self.0.push((name.to_owned(), content));
        Ok(())
    }
}

/// The id that a packed file gets: no two have the same.
pub(super) fn new_id(order: &Pack) -> String {
    format!("own-{}-{:x}", slug(&order.title), js_sys::Date::now() as u64)
}

/// Packs a file as the model `id`; nothing of it is left if that fails.
pub(super) async fn pack(
    loader: &mut Loader,
    shelf: &Shelf,
    order: &Pack,
    file: Option<File>,
    id: &str,
    brake: &Brake,
) -> Result<Stored, Failure> {
    let dtype: Target = order.dtype.parse().map_err(|error: encaustic_importer::pack::UnknownTarget| Failure {
        kind: FailureKind::Invalid,
        message: error.to_string(),
    })?;
    let single = Single::open(file)?;
    let meter = Rc::new(Meter::silent());
    let numbers: u64 = survey_of(single.files(&meter))?.parts.iter().map(|part| part.numbers).sum();
    shelf.has_room((numbers as f64 * bytes(dtype)) as u64).await?;
    let compute = loader.open(None).await?;
    let model = |message: String| Failure { kind: FailureKind::Model, message };
    let files: Rc<dyn Files> = Rc::new(single.files(&meter));
    // As if it were to make pictures, but nothing is brought to the device.
    let loaded = load(&files, None, &compute, Keep::InTurn).map_err(|error| model(error.to_string()))?;
    let contents = loaded.contents().map_err(|error| model(error.to_string()))?;
    let options = Options {
        dtype,
        vae: default_vae(dtype),
        title: Some(line(&order.title)),
        license: single.training.license.as_deref().map(line),
        packed_by: format!("encaustic {}", env!("CARGO_PKG_VERSION")),
    };
    let written = async {
        let mut packing = Packing::new(&contents, &options, Ready::default()).map_err(failure)?;
        let mut told = 0.0;
        loop {
            let packed = packing.step(&mut |at| {
                if seconds() - told >= PAUSE || at.done == at.of {
                    told = seconds();
                    tell(&News::Packing { bytes: at.done, of: at.of });
                }
                ControlFlow::Continue(())
            });
            let packed = packed.map_err(failure)?;
            for (name, content) in std::mem::take(&mut packing.sink().0) {
                shelf.put(id, &name, content).await?;
            }
            breathe().await;
            if brake.is_pulled() {
                return Err(model("stopped; nothing of it is kept".to_owned()));
            }
            if let Some(packed) = packed {
                return put_down(shelf, id, &packed.manifest).await;
            }
        }
    };
    let written = written.await;
    if written.is_err() {
        // What cannot be removed now goes when the models are listed next.
        let _ = shelf.forget(id).await;
    }
    written
}

/// Writes the manifest: with it and what a list shows, the folder is a model.
async fn put_down(shelf: &Shelf, id: &str, manifest: &Manifest) -> Result<Stored, Failure> {
    let model = |message: String| Failure { kind: FailureKind::Model, message };
    let text = serde_json::to_vec(manifest).map_err(|error| model(error.to_string()))?;
    // A packed model is one that can be read: better to learn of a limit now.
    Manifest::parse(&text).map_err(|error| model(format!("it cannot be packed: {error}")))?;
    shelf.write(id, MANIFEST, &text).await?;
    let (bytes, title) = (manifest.bytes(), manifest.title.clone().unwrap_or_default());
    let about = About { title: title.clone(), family: manifest.family.clone(), address: None, of: bytes };
    shelf.tell_about(id, &about).await?;
    Ok(Stored { id: id.to_owned(), title, family: about.family, address: None, bytes, of: bytes })
}

fn failure(error: PackError<Infallible>) -> Failure {
    Failure { kind: FailureKind::Model, message: error.to_string() }
}

/// Bytes per number, about.
fn bytes(dtype: Target) -> f64 {
    match dtype {
        Target::F32 => 4.0,
        Target::F16 | Target::BF16 => 2.0,
        // Codes and scales, and the autoencoder and what is small in f16.
        Target::Q8 => 1.2,
        Target::Q4 => 0.75,
    }
}

/// As much of a text as a manifest takes, on one line.
fn line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while line.len() > MAX_TEXT {
        line.pop();
    }
    line
}
