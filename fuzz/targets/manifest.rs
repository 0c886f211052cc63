//! Manifests of packed models: what is accepted survives being written, and what it says holds.
#![no_main]

use encaustic_engine::weights::{MAX_SHARD_BYTES, Manifest};
use encaustic_fuzz::told;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &[u8]| {
    let manifest = match Manifest::parse(text) {
        Ok(manifest) => manifest,
        Err(error) => return told(&error),
    };
    for (name, tensor) in &manifest.tensors {
        assert!(tensor.elements().is_some_and(|elements| elements > 0), "{name}");
        for range in tensor.ranges() {
            let shard = &manifest.shards[range.shard];
            assert!(range.bytes > 0 && range.offset + range.bytes <= shard.bytes, "{name}: {range:?} in {shard:?}");
        }
    }
    assert!(manifest.bytes() <= MAX_SHARD_BYTES * manifest.shards.len() as u64);
    assert!(!manifest.components().iter().any(|component| component.contains('.')));
    for (path, value) in &manifest.files {
        let file = manifest.file(path).expect("it is there");
        assert!(value.is_string() || serde_json::from_slice::<Value>(&file).is_ok(), "{path}");
    }

    let written = serde_json::to_vec(&manifest).expect("a manifest is JSON");
    let mut again = Manifest::parse(&written).expect("what was accepted is accepted again");
    assert_eq!(again.files.len(), manifest.files.len());
    for (path, value) in &manifest.files {
        assert!(same(&again.files[path], value), "{path}: {value} became {}", again.files[path]);
    }
    again.files.clone_from(&manifest.files);
    assert_eq!(again, manifest);
});

/// Equal, but for the last bits of fractions: the JSON parser trades them for speed.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
            (a - b).abs() <= 1e-14 * a.abs() || (a - b).abs() < f64::MIN_POSITIVE
        }
        _ => a == b,
    }
}
