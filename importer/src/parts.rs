//! The parts of a checkpoint: which are there, how large each is, and which have to be added.

use std::collections::BTreeMap;

use encaustic_engine::family::{Family, Outline};
use encaustic_engine::weights::TensorInfo;
use serde::Serialize;

/// A part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `unet`, `vae`, `text_encoder`, `text_encoder_2`, `ema` (averages of training, which are not used) or `other`.
    pub name: &'static str,
    /// How many numbers it has.
    pub parameters: u64,
    /// How many of them are of which type.
    pub dtypes: BTreeMap<&'static str, u64>,
}

/// A part that a checkpoint lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which part.
    pub part: &'static str,
    /// What to add.
    pub add: &'static str,
}

/// What averages of training begin with.
const EMA: &str = "model_ema.";

/// How many numbers of which type there are.
pub(crate) fn dtypes<'a>(tensors: impl Iterator<Item = &'a TensorInfo>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for info in tensors {
        *counts.entry(info.dtype.name()).or_insert(0u64) += info.elements();
    }
    counts
}

/// The parts of a checkpoint in the original layout.
pub(crate) fn parts(file: &Outline<'_>, family: Option<&Family>) -> Vec<Part> {
    let of = |tensor: &str| match Outline::part(tensor, family) {
        Some(part) => part,
        None if tensor.starts_with(EMA) => "ema",
        None => "other",
    };
    let mut grouped: BTreeMap<&'static str, Vec<&TensorInfo>> = BTreeMap::new();
    for (name, info) in file.header().tensors() {
        grouped.entry(of(name)).or_default().push(info);
    }
    let part = |(name, tensors): (&'static str, Vec<&TensorInfo>)| {
        let dtypes = dtypes(tensors.into_iter());
        Part { name, parameters: dtypes.values().sum(), dtypes }
    };
    grouped.into_iter().map(part).collect()
}

/// What a checkpoint, or a UNet that could be one, needs to make pictures.
pub(crate) fn missing(file: &Outline<'_>, family: Option<&Family>) -> Vec<Missing> {
    let mut missing = Vec::new();
    if !file.has_unet() {
        missing.push(Missing { part: "unet", add: "nothing here can add one: get the whole checkpoint" });
    }
    for encoder in family.into_iter().flat_map(|family| family.encoders) {
        if !file.has_below(encoder.original.prefix) {
            missing.push(Missing { part: encoder.folder, add: "nothing here can add one: get the whole checkpoint" });
        }
    }
    if !file.has_autoencoder() {
        let add = "give one with --vae, or put it beside the file, called the same with `.vae.safetensors` at the end";
        missing.push(Missing { part: "vae", add });
    }
    missing
}
