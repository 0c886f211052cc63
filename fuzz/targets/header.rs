//! Headers of safetensors files: every byte of what is accepted is explained, and what it is can be told.
#![no_main]

use encaustic_engine::weights::Header;
use encaustic_fuzz::told;
use encaustic_importer::inspect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let header = match Header::read(bytes) {
        Ok(header) => header,
        Err(error) => return told(&error),
    };
    let mut data = 0;
    for (name, info) in header.tensors() {
        assert!(info.range.start < info.range.end && info.range.end <= bytes.len() as u64, "{name}: {info:?}");
        assert_eq!(info.range.end - info.range.start, info.elements() * info.dtype.size(), "{name}");
        data += info.range.end - info.range.start;
    }
    let table = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    assert_eq!(8 + table + data, bytes.len() as u64, "bytes that belong to nothing");

    let report = inspect(&header);
    report.what();
    report.unfit();
    report.has_autoencoder();
    serde_json::to_vec(&report).expect("a report is JSON");
});
