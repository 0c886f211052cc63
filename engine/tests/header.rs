//! Headers of weights files: what is refused, by which error, and at what cost.

#[path = "engine/common/allocations.rs"]
mod allocations;

use std::time::Instant;

use allocations::measured;
use encaustic_engine::weights::{Header, HeaderError, MAX_HEADER_BYTES, MAX_TENSORS};

/// A file with this header and as many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// A header entry.
fn tensor(name: &str, dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{start},{end}]}}"#)
}

fn table(entries: &[String]) -> String {
    format!("{{{}}}", entries.join(","))
}

/// The refusal of a file, which must cost no more than reading the file once: its own size in memory, a few times.
#[track_caller]
fn refusal(bytes: &[u8]) -> HeaderError {
    let start = Instant::now();
    let (refused, cost) = measured(|| Header::read(bytes));
    let (allocated, time) = (cost.allocated, start.elapsed());
    println!("{:9} bytes refused in {time:.1?}, {allocated} bytes allocated", bytes.len());
    assert!(allocated <= 16 * bytes.len() + (64 << 10), "{} bytes of file, {allocated} bytes allocated", bytes.len());
    refused.expect_err("a malformed file was accepted")
}

type Expect = fn(&HeaderError) -> bool;

#[test]
fn malformed_files_are_refused() {
    let f32s = |name: &str, start: u64| tensor(name, "F32", "2", start, start + 8);
    let huge: Vec<String> = (0..300_000u64).map(|i| tensor(&format!("t{i}"), "U8", "1", i, i + 1)).collect();
    let good = table(&[f32s("a", 0)]);
    let with_length = |length: u64| {
        let mut bytes = file(&good, 8);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    let truncated = |cut: usize| {
        let bytes = file(&good, 8);
        bytes[..bytes.len() - cut].to_vec()
    };
    let cases: Vec<(&str, Vec<u8>, Expect)> = vec![
        ("empty", vec![], |e| matches!(e, HeaderError::TooShort { len: 0 })),
        ("seven bytes", vec![0; 7], |e| matches!(e, HeaderError::TooShort { len: 7 })),
        ("header length 0", vec![0; 16], |e| matches!(e, HeaderError::Json(_))),
        ("header length 2^63", with_length(1 << 63), |e| matches!(e, HeaderError::HeaderTooLong { .. })),
        ("header length 2^64 - 1", with_length(u64::MAX), |e| matches!(e, HeaderError::HeaderTooLong { .. })),
        ("header length over the limit", with_length(MAX_HEADER_BYTES + 1), |e| matches!(e, HeaderError::HeaderTooLong { .. })),
        ("header past the end", with_length(1000), |e| matches!(e, HeaderError::HeaderTruncated { .. })),
        ("truncated data", truncated(1), |e| matches!(e, HeaderError::Truncated { needed: 8, found: 7 })),
        ("no data", truncated(8), |e| matches!(e, HeaderError::Truncated { .. })),
        ("truncated header", truncated(9), |e| matches!(e, HeaderError::HeaderTruncated { .. })),
        ("trailing bytes", file(&good, 9), |e| matches!(e, HeaderError::Hole { start: 8, end: 9 })),
        (
            "duplicate names",
            file(&table(&[f32s("a", 0), f32s("a", 8)]), 16),
            |e| matches!(e, HeaderError::Duplicate(name) if name == "a"),
        ),
        (
            "duplicate names by escapes",
            file(&table(&[f32s("a", 0), f32s("\\u0061", 8)]), 16),
            |e| matches!(e, HeaderError::Duplicate(name) if name == "a"),
        ),
        ("duplicate metadata", file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), |e| matches!(e, HeaderError::Duplicate(_))),
        (
            "empty tensors that share an offset",
            file(&table(&[tensor("a", "F32", "0", 0, 0), tensor("b", "F32", "0", 0, 0), f32s("c", 0)]), 8),
            |e| matches!(e, HeaderError::Shape { .. }),
        ),
        ("shape [0, 2^64 - 1]", file(&table(&[tensor("a", "F32", "0,18446744073709551615", 0, 0)]), 0), |e| {
            matches!(e, HeaderError::Shape { .. })
        }),
        ("leading white space", file(&format!(" {good}"), 8), |e| matches!(e, HeaderError::Json(_))),
        ("a line feed as padding", file(&format!("{good}\n"), 8), |e| matches!(e, HeaderError::Json(_))),
        ("text behind the table", file(&format!("{good}{{}}"), 8), |e| matches!(e, HeaderError::Json(_))),
        ("a list", file("[]", 0), |e| matches!(e, HeaderError::Json(_))),
        (
            "invalid UTF-8",
            {
                let mut f = file(&good, 8);
                f[10] = 0xff;
                f
            },
            |e| matches!(e, HeaderError::Json(_)),
        ),
        ("300,000 tensors", file(&table(&huge), 300_000), |e| matches!(e, HeaderError::HeaderTooLong { .. })),
        ("one tensor too many", file(&table(&huge[..MAX_TENSORS + 1]), MAX_TENSORS + 1), |e| {
            matches!(e, HeaderError::TooManyTensors)
        }),
        ("overlap", file(&table(&[f32s("a", 0), f32s("b", 4)]), 12), |e| {
            matches!(e, HeaderError::Overlap { previous_end: 8, .. })
        }),
        ("the same bytes twice", file(&table(&[f32s("a", 0), f32s("b", 0)]), 8), |e| matches!(e, HeaderError::Overlap { .. })),
        ("a hole", file(&table(&[f32s("a", 0), f32s("b", 12)]), 20), |e| matches!(e, HeaderError::Hole { start: 8, end: 12 })),
        ("a hole at the start", file(&table(&[f32s("a", 4)]), 12), |e| matches!(e, HeaderError::Hole { .. })),
        ("data without tensors", file("{}", 4), |e| matches!(e, HeaderError::Hole { .. })),
        ("past the end", file(&table(&[f32s("a", 0), f32s("b", 8)]), 12), |e| {
            matches!(e, HeaderError::Truncated { needed: 16, found: 12 })
        }),
        ("offsets reversed", file(&table(&[tensor("a", "F32", "2", 8, 0)]), 8), |e| matches!(e, HeaderError::Size { .. })),
        ("offsets at the end of the address space", file(&table(&[tensor("a", "U8", "1", u64::MAX - 1, u64::MAX)]), 1), |e| {
            matches!(e, HeaderError::Truncated { .. })
        }),
        ("too few bytes for the shape", file(&table(&[tensor("a", "F32", "3", 0, 8)]), 8), |e| {
            matches!(e, HeaderError::Size { needed: 12, .. })
        }),
        (
            "an unknown type",
            file(&table(&[tensor("a", "F7", "2", 0, 8)]), 8),
            |e| matches!(e, HeaderError::Dtype { dtype, .. } if dtype == "F7"),
        ),
        ("a negative dimension", file(&table(&[tensor("a", "F32", "-2", 0, 8)]), 8), |e| matches!(e, HeaderError::Json(_))),
        ("a fractional dimension", file(&table(&[tensor("a", "F32", "2.0", 0, 8)]), 8), |e| matches!(e, HeaderError::Json(_))),
        ("nine dimensions", file(&table(&[tensor("a", "F32", "1,1,1,1,1,1,1,1,2", 0, 8)]), 8), |e| {
            matches!(e, HeaderError::Shape { .. })
        }),
        ("an unknown field", file(r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}"#, 1), |e| {
            matches!(e, HeaderError::Json(_))
        }),
        ("a field twice", file(r#"{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1), |e| {
            matches!(e, HeaderError::Json(_))
        }),
        ("a missing field", file(r#"{"a":{"dtype":"U8","shape":[1]}}"#, 1), |e| matches!(e, HeaderError::Json(_))),
        ("an endless unknown field", file(&format!(r#"{{"a":{{"{}":1}}}}"#, "x".repeat(100_000)), 0), |e| {
            matches!(e, HeaderError::Json(_))
        }),
        ("text of control characters for a list", file(r#"{"a":{"\u001b[31m":1}}"#, 0), |e| matches!(e, HeaderError::Json(_))),
        ("nesting without end", file(&format!("{{\"a\":{}", "[".repeat(100_000)), 0), |e| matches!(e, HeaderError::Json(_))),
    ];
    for (what, bytes, expected) in cases {
        let error = refusal(&bytes);
        assert!(expected(&error), "{what}: {error:?}");
        assert!(error.to_string().len() < 1000, "{what}: an endless message: {error}");
        assert!(!error.to_string().contains(char::is_control), "{what}: {error:?}");
    }
}

#[test]
fn path_like_names_are_refused() {
    for name in [
        "../../etc/passwd",
        "..",
        ".",
        "/etc/passwd",
        "a/../b",
        "a//b",
        "a/",
        "C:\\\\weights",
        "a\\\\b",
        "",
        "a\\u0000b",
        "a\\nb",
        "a\\u001b[31mb",
    ] {
        let error = refusal(&file(&table(&[tensor(name, "U8", "1", 0, 1)]), 1));
        assert!(matches!(error, HeaderError::Name(_)), "{name}: {error:?}");
    }
    let long = "a".repeat(513);
    assert!(matches!(refusal(&file(&table(&[tensor(&long, "U8", "1", 0, 1)]), 1)), HeaderError::Name(_)));
    for name in ["down_blocks.0.weight", "a/b", "<my-token>", "emb_params", "...", "a..b", "模型"] {
        let bytes = file(&table(&[tensor(name, "U8", "1", 0, 1)]), 1);
        assert!(Header::read(&bytes[..]).unwrap().tensors().contains_key(name), "{name}");
    }
}

/// Shapes whose size wraps, or that would be gigantic, cost nothing to refuse.
#[test]
fn impossible_shapes_allocate_nothing() {
    for (shape, end) in [
        ("4294967296,4294967296", 0),
        ("4294967296,4294967296,4", 0),
        ("4398046511105,4194304", 0),
        ("4398046511105", 17592186044420),
        ("9223372036854775808,2", 0),
        ("18446744073709551615", 18446744073709551612),
        ("0", 0),
        ("4,0,4", 0),
        ("0,4294967296,4294967296", 0),
        ("1000000000,4", 16000000000),
    ] {
        let bytes = file(&table(&[tensor("a", "F32", shape, 0, end)]), 16);
        let (refused, cost) = measured(|| Header::read(&bytes[..]));
        let (error, allocated) = (refused.unwrap_err(), cost.allocated);
        assert!(allocated < 1 << 20, "[{shape}]: {allocated} bytes allocated");
        let typed = matches!(error, HeaderError::Shape { .. } | HeaderError::Size { .. } | HeaderError::Truncated { .. });
        assert!(typed, "[{shape}]: {error:?}");
    }
}

/// Other formats are told by what is in them, not by what they are called.
#[test]
fn foreign_formats_are_named() {
    let padded = |start: &[u8]| {
        let mut bytes = start.to_vec();
        bytes.resize(4096, 7);
        bytes
    };
    let mut tar = vec![b'x'; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    let page = b"<!DOCTYPE html><html><head><title>404</title></head><body>not found</body></html>";
    for (bytes, expected) in [
        (padded(b"PK\x03\x04\x00\x00\x08\x08"), "ZIP"),
        (padded(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), "pickle"),
        (padded(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}"), "pickle"),
        (padded(b"\x80\x02}q\x00"), "pickle"),
        (b"\x80\x04N.".to_vec(), "pickle"),
        (tar, "tar"),
        (padded(b"GGUF\x03\x00\x00\x00"), "GGUF"),
        (padded(b"\x89HDF\r\n\x1a\n"), "HDF5"),
        (padded(b"\x1f\x8b\x08\x00"), "gzip"),
        (padded(page), "web page"),
        (b"\n<html>".to_vec(), "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4265146304\n".to_vec(), "Git LFS"),
    ] {
        let error = refusal(&bytes);
        assert!(matches!(error, HeaderError::Foreign { .. }), "{expected}: {error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    // A good file whose length happens to begin like a pickle (0x280 = 640 bytes of header) is a good file.
    let mut header = table(&[tensor("a", "U8", "1", 0, 1)]);
    header.push_str(&" ".repeat(640 - header.len()));
    let bytes = file(&header, 1);
    assert_eq!(bytes[..2], [0x80, 0x02]);
    assert_eq!(Header::read(&bytes[..]).unwrap().tensors().len(), 1);
}

#[test]
fn good_files_are_read() {
    let header = table(&[
        r#""__metadata__":{"format":"pt"}"#.into(),
        tensor("late", "BF16", "3,1", 8, 14),
        tensor("early", "F32", "2", 0, 8),
        tensor("scalar", "F64", "", 14, 22),
    ]);
    let bytes = file(&format!("{header}   "), 22);
    let read = Header::read(&bytes[..]).unwrap();
    assert_eq!(read.metadata()["format"], "pt");
    let start = 8 + header.len() as u64 + 3;
    assert_eq!(read.tensors()["late"].range, start + 8..start + 14);
    assert_eq!(read.tensors()["late"].shape, [3, 1]);
    assert!(read.tensors()["scalar"].shape.is_empty());
    assert_eq!(Header::read(&file("{}", 0)[..]).unwrap().tensors().len(), 0);

    let many: Vec<String> = (0..MAX_TENSORS as u64).map(|i| tensor(&format!("t{i}"), "U8", "1", i, i + 1)).collect();
    assert_eq!(Header::read(&file(&table(&many), MAX_TENSORS)[..]).unwrap().tensors().len(), MAX_TENSORS);
}

/// Two names may stand for nothing but themselves; under any other name, or in any other shape, nothing is refused.
#[test]
fn marks_are_empty_and_no_tensors() {
    let number = || tensor("a", "U8", "1", 0, 1);
    let bytes = file(&table(&[number(), tensor("v_pred", "F32", "0", 1, 1), tensor("ztsnr", "F16", "0", 0, 0)]), 1);
    let read = Header::read(&bytes[..]).unwrap();
    assert!(read.is_marked("v_pred") && read.is_marked("ztsnr") && !read.is_marked("a"));
    assert_eq!(read.tensors().keys().collect::<Vec<_>>(), ["a"]);
    let full = Header::read(&file(&table(&[tensor("v_pred", "U8", "1", 0, 1)]), 1)[..]).unwrap();
    assert!(!full.is_marked("v_pred") && full.tensors().contains_key("v_pred"));
    for bad in [
        tensor("w_pred", "F32", "0", 1, 1),
        tensor("v_pred", "F32", "0,0", 1, 1),
        tensor("v_pred", "F32", "0,18446744073709551615", 1, 1),
        tensor("v_pred", "F32", "0", 0, 1),
        tensor("v_pred", "F32", "0", 2, 2),
        tensor("v_pred", "X32", "0", 1, 1),
    ] {
        let error = refusal(&file(&table(&[number(), bad.clone()]), 1));
        assert!(matches!(error, HeaderError::Shape { .. } | HeaderError::Dtype { .. }), "{bad}: {error:?}");
    }
    let twice = table(&[tensor("ztsnr", "F32", "0", 0, 0), tensor("ztsnr", "F32", "0", 0, 0)]);
    assert!(matches!(refusal(&file(&twice, 0)), HeaderError::Duplicate(name) if name == "ztsnr"));
}
