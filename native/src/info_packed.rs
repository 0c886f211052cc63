//! What a packed model holds: its manifest says all of it.

use std::collections::{BTreeMap, BTreeSet};

use encaustic_engine::family::FAMILIES;
use encaustic_engine::weights::{Manifest, Source};
use serde::Serialize;
use serde_json::Value;

use crate::hash::Sha;
use crate::info::{HASHED, Part, Report, listed};
use crate::library::ModelFiles;

/// What a packed model's manifest says.
#[derive(Debug, Serialize)]
pub struct Packed {
    /// Bytes of all shards.
    pub bytes: u64,
    /// How many there are.
    pub shards: usize,
    /// What its maker calls it.
    pub title: Option<String>,
    /// Under which terms it is given.
    pub license: Option<String>,
    /// The program that packed it.
    pub packed_by: String,
    /// What it was made from.
    pub sources: Vec<Source>,
}

/// The hash of a packed component: that of the file that it was made from, so that pictures tell the same model by the same
/// hash whichever way it came in.
pub(crate) fn hash(manifest: &Manifest, component: &str) -> Option<(String, Sha)> {
    let source = manifest.source_of(component)?;
    Some((source.file.clone(), Sha::known(&source.sha256)?))
}

/// What it holds, with its hash.
pub(crate) fn outline(files: &ModelFiles, manifest: Manifest) -> Report {
    let mut components = Vec::new();
    for (name, class) in listed(manifest.files.get("model_index.json").unwrap_or(&Value::Null)) {
        let prefix = format!("{name}.");
        let mut dtypes: BTreeMap<String, u64> = BTreeMap::new();
        let mut shards = BTreeSet::new();
        for (_, tensor) in manifest.tensors.iter().filter(|(path, _)| path.starts_with(&prefix)) {
            *dtypes.entry(tensor.dtype.to_string()).or_default() += tensor.elements().unwrap_or(0);
            shards.extend(tensor.ranges().map(|piece| piece.shard));
        }
        let files = shards.into_iter().filter_map(|shard| Some(manifest.shards.get(shard)?.file.clone())).collect();
        components.push(Part { name, class, files, parameters: dtypes.values().sum(), dtypes });
    }
    let family = FAMILIES.iter().find(|family| family.id == manifest.family).copied();
    let scheduler = manifest.files.get("scheduler/scheduler_config.json");
    let report = Report::of(files, family, components, scheduler).with_hash(hash(&manifest, HASHED));
    Report {
        packed: Some(Packed {
            bytes: manifest.bytes(),
            shards: manifest.shards.len(),
            title: manifest.title,
            license: manifest.license,
            packed_by: manifest.packed_by,
            sources: manifest.sources,
        }),
        ..report
    }
}

/// `1 shard`, `2 shards`
pub(crate) fn shards(count: usize) -> String {
    format!("{count} shard{}", if count == 1 { "" } else { "s" })
}
