//! Weights files: what is refused, what is loaded, and how the errors read.

// The one thing that cannot be measured without it: how much a parse allocates.
#![allow(unsafe_code)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use burn::tensor::{FloatDType, Tensor};
use common::goldens::{relative_error, to_f64};
use common::{device, models};
use encaustic_engine::model::unet::{UNet, UNetConfig, UNetInput};
use encaustic_engine::weights::{
    Checkpoint, CheckpointError, FileSet, FilesError, Header, HeaderError, KeyMap, LoadError, MAX_HEADER_BYTES, MAX_TENSORS,
    MisShaped, Precision, choose_files, load_into, parameters,
};

/// Counts what the current thread allocates.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: the system allocator's contract is the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

/// The refusal of a file, which must come within 50 ms.
#[track_caller]
fn refusal(bytes: &[u8]) -> HeaderError {
    // The best of five: other tests run beside this one.
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let refused = Header::read(bytes);
        best = best.min(start.elapsed());
        assert!(refused.is_err(), "a malformed file was accepted: {refused:?}");
    }
    assert!(best < Duration::from_millis(50), "refused after {best:?}");
    Header::read(bytes).unwrap_err()
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
        ("nesting without end", file(&format!("{{\"a\":{}", "[".repeat(100_000)), 0), |e| matches!(e, HeaderError::Json(_))),
    ];
    for (what, bytes, expected) in cases {
        let error = refusal(&bytes);
        assert!(expected(&error), "{what}: {error:?}");
        assert!(error.to_string().len() < 400, "{what}: an endless message: {error}");
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
        let before = ALLOCATED.get();
        let error = Header::read(&bytes[..]).unwrap_err();
        let allocated = ALLOCATED.get() - before;
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

const MODEL: &str = "models/lcm_unet";

fn empty() -> UNet {
    UNet::new(&UNetConfig::parse(&models::config_text(MODEL)).unwrap(), &device()).unwrap()
}

fn model_bytes() -> Vec<u8> {
    std::fs::read(models::folder(MODEL).join("diffusion_pytorch_model.safetensors")).unwrap()
}

type Entry = (String, safetensors::Dtype, Vec<usize>, Vec<u8>);

/// The model's tensors, to be changed and written again.
fn entries() -> Vec<Entry> {
    let bytes = model_bytes();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let entry = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        (name, view.dtype(), view.shape().to_vec(), view.data().to_vec())
    };
    file.tensors().into_iter().map(entry).collect()
}

fn write(entries: &[Entry]) -> Vec<u8> {
    fn view((name, dtype, shape, data): &Entry) -> (String, safetensors::tensor::TensorView<'_>) {
        (name.clone(), safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    }
    safetensors::serialize(entries.iter().map(view).collect::<Vec<_>>(), None).unwrap()
}

fn load(checkpoint: &Checkpoint<'_>, dtype: FloatDType) -> Result<UNet, LoadError> {
    load_into(empty(), "unet", checkpoint, &KeyMap::identity(), dtype, &device())
}

fn load_entries(entries: &[Entry]) -> Result<UNet, LoadError> {
    load(&Checkpoint::single("changed", write(entries)).unwrap(), FloatDType::F32)
}

/// What a network says about some input: equal weights give equal answers.
fn answer(unet: &UNet) -> Vec<f64> {
    let device = device();
    let wave = |shape: [usize; 4]| {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::<1>::from_data(burn::tensor::TensorData::new(values, [count]), &device).reshape(shape)
    };
    to_f64(unet.forward(UNetInput {
        sample: wave([1, 4, 8, 8]),
        timesteps: &[321.0],
        context: wave([1, 1, 7, 32]).reshape([1, 7, 32]),
        added: None,
        guidance: None,
        control: None,
    }))
}

fn reference() -> Vec<f64> {
    answer(&load(&models::checkpoint(MODEL), FloatDType::F32).unwrap())
}

#[test]
fn every_disagreement_is_named_at_once() {
    let mut entries = entries();
    let position = |entries: &[Entry], name: &str| entries.iter().position(|e| e.0 == name).unwrap();
    let gone = ["conv_in.weight", "mid_block.resnets.1.norm2.bias"];
    for name in gone {
        entries.remove(position(&entries, name));
    }
    for name in ["mid_block.extra.weight", "zz.position_ids", "stray"] {
        entries.push((name.into(), safetensors::Dtype::F32, vec![2], vec![0; 8]));
    }
    // Transposed: as many numbers, another shape.
    let at = position(&entries, "time_embedding.linear_1.weight");
    entries[at].2.reverse();
    // The right shape, and not numbers of the right kind.
    let at = position(&entries, "conv_out.bias");
    entries[at].1 = safetensors::Dtype::I16;

    let error = load_entries(&entries).unwrap_err();
    let text = error.to_string();
    let LoadError::Mismatch { component, mut missing, unexpected, misshaped } = error else {
        panic!("{error:?}");
    };
    missing.sort();
    assert_eq!(component, "unet");
    assert_eq!(missing, gone);
    assert_eq!(unexpected, ["mid_block.extra.weight", "stray"], "buffers such as position_ids are no surprise");
    let names: Vec<&str> = misshaped.iter().map(|MisShaped { name, .. }| name.as_str()).collect();
    assert_eq!(names, ["time_embedding.linear_1.weight", "conv_out.bias"]);
    for part in ["conv_in.weight", "stray", "[8, 32]", "[32, 8]", "I16", "config.json"] {
        assert!(text.contains(part), "{part} should be in {text}");
    }
}

#[test]
fn shards_are_one_checkpoint() {
    let entries = entries();
    let (left, right) = entries.split_at(entries.len() / 2);
    let shards = [("model-00001-of-00002.safetensors", left), ("model-00002-of-00002.safetensors", right)];
    let weight_map: serde_json::Map<String, serde_json::Value> =
        shards.iter().flat_map(|(file, entries)| entries.iter().map(|e| (e.0.clone(), serde_json::Value::from(*file)))).collect();
    let index = |map: &serde_json::Map<String, serde_json::Value>| {
        serde_json::to_vec(&serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map})).unwrap()
    };
    let open = |name: &str| {
        let shard = shards.iter().find(|(file, _)| *file == name);
        shard.map(|(_, entries)| write(entries)).ok_or_else(|| "no such file".to_owned())
    };
    let checkpoint = Checkpoint::sharded("index.json", &index(&weight_map), open).unwrap();
    assert_eq!(checkpoint.tensors().count(), entries.len());
    assert_eq!(answer(&load(&checkpoint, FloatDType::F32).unwrap()), reference());

    let refusal = |map: &serde_json::Map<String, serde_json::Value>| {
        Checkpoint::sharded("index.json", &index(map), open).err().expect("refused")
    };
    let with = |name: &str, file: &str| {
        let mut map = weight_map.clone();
        map.insert(name.into(), file.into());
        map
    };
    assert!(matches!(refusal(&with("conv_in.weight", "model-00003-of-00002.safetensors")), CheckpointError::Shard { .. }));
    let absent = refusal(&with("no.such.tensor", "model-00001-of-00002.safetensors"));
    assert!(matches!(&absent, CheckpointError::Absent { tensors, .. } if tensors == &["no.such.tensor"]), "{absent}");
    for name in ["../secret.safetensors", "/etc/passwd", "a\\b.safetensors", "model.bin", "", ".safetensors"] {
        assert!(matches!(refusal(&with("x", name)), CheckpointError::ShardName { .. }), "{name}");
    }
    for text in [&b""[..], b"[]", b"{\"weight_map\": []}", b"{\"weight_map\": {}}"] {
        let error = Checkpoint::sharded("index.json", text, open).err().expect("refused");
        assert!(matches!(error, CheckpointError::Index { .. }), "{error}");
    }
    let same = |_: &str| Ok::<_, String>(write(left));
    let twice = Checkpoint::sharded("index.json", &index(&weight_map), same).err().expect("refused");
    assert!(matches!(twice, CheckpointError::Twice { .. }), "{twice}");
}

/// The file's type does not matter, up to its own precision.
#[test]
fn every_float_type_loads() {
    use safetensors::Dtype;
    let reference = reference();
    let halves =
        |data: &[u8]| -> Vec<f32> { data.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect() };
    let wide = |f: &dyn Fn(f32) -> Vec<u8>, dtype| -> Vec<Entry> {
        let change = |(name, _, shape, data): Entry| (name, dtype, shape, halves(&data).into_iter().flat_map(f).collect());
        entries().into_iter().map(change).collect()
    };
    for (dtype, tolerance, file) in [
        (Dtype::F32, 0.0, wide(&|v| v.to_le_bytes().to_vec(), Dtype::F32)),
        (Dtype::F64, 0.0, wide(&|v| f64::from(v).to_le_bytes().to_vec(), Dtype::F64)),
        (Dtype::BF16, 0.05, wide(&|v| half::bf16::from_f32(v).to_le_bytes().to_vec(), Dtype::BF16)),
    ] {
        let error = relative_error(&answer(&load_entries(&file).unwrap()), &reference);
        println!("{dtype:?}: {error:.1e}");
        assert!(error <= tolerance, "{dtype:?}: {error:.1e}");
    }
}

/// A network computes in the type that it was loaded in, beside others on the same device, and answers in f32.
#[test]
fn types_live_side_by_side() {
    let device = device();
    if !device.supports_dtype(burn::tensor::DType::F16) {
        println!("no f16 on this device");
        return;
    }
    let narrow = load(&models::checkpoint(MODEL), FloatDType::F16).unwrap();
    let error = relative_error(&answer(&narrow), &reference());
    println!("f16: {error:.1e}");
    assert!((1e-7..3e-2).contains(&error), "{error:.1e}");
}

#[test]
fn sources_that_fail_are_reported() {
    struct Cut(Vec<u8>);
    impl encaustic_engine::weights::WeightSource for Cut {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(
            &self,
            range: std::ops::Range<u64>,
        ) -> Result<std::borrow::Cow<'_, [u8]>, encaustic_engine::weights::SourceError> {
            if range.end > 100_000 {
                return Err(encaustic_engine::weights::SourceError::Failed("the disk is gone".into()));
            }
            self.0.read(range)
        }
    }
    let bytes = model_bytes();
    assert!(bytes.len() > 100_000);
    let checkpoint = Checkpoint::single("cut", Cut(bytes)).unwrap();
    let error = load(&checkpoint, FloatDType::F32).unwrap_err();
    assert!(matches!(error, LoadError::Source { .. }), "{error:?}");
    assert!(error.to_string().contains("the disk is gone"));
}

#[test]
fn files_are_chosen() {
    use Precision::{Full, Half};
    let single = |name: &str| Ok(FileSet::Single(name.into()));
    let sharded = |name: &str| Ok(FileSet::Sharded(name.into()));
    let full = "diffusion_pytorch_model.safetensors";
    let half = "diffusion_pytorch_model.fp16.safetensors";
    let index = "diffusion_pytorch_model.safetensors.index.json";
    let old_index = "diffusion_pytorch_model.safetensors.index.fp16.json";
    for (names, precision, expected) in [
        (vec!["config.json", full], Full, single(full)),
        (vec![full, half], Full, single(full)),
        (vec![full, half], Half, single(half)),
        (vec![half], Full, single(half)),
        (vec!["model.safetensors", "pytorch_model.bin"], Half, single("model.safetensors")),
        (vec![index, "diffusion_pytorch_model-00001-of-00002.safetensors"], Full, sharded(index)),
        (vec![index, old_index], Half, sharded(old_index)),
        (vec![index, half], Full, sharded(index)),
        (vec!["config.json"], Full, Err(FilesError::None)),
        (vec![], Full, Err(FilesError::None)),
        (vec!["config.json", "pytorch_model.bin"], Full, Err(FilesError::Pickle("pytorch_model.bin".into()))),
        (vec!["anything.CKPT"], Half, Err(FilesError::Pickle("anything.CKPT".into()))),
    ] {
        assert_eq!(choose_files(&names, precision), expected, "{names:?}");
    }
}

/// A module's parameters are called what the file calls them, exactly.
#[test]
fn parameters_are_the_files_tensors() {
    let checkpoint = models::checkpoint(MODEL);
    let mut names: Vec<String> = parameters(&empty()).into_iter().map(|parameter| parameter.name).collect();
    names.sort();
    let expected: Vec<&str> = checkpoint.tensors().map(|(name, _)| name).collect();
    assert_eq!(names, expected);
    let counted = checkpoint.dtypes();
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0].0.name(), "F16");
    assert_eq!(counted[0].1, encaustic_engine::weights::parameter_count(&empty()));
}
