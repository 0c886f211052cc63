//! Manifests of packed models: what is refused, in which words, and at what cost.

#[path = "engine/common/allocations.rs"]
mod allocations;

use std::time::Instant;

use allocations::measured;
use encaustic_engine::weights::{MAX_MANIFEST_BYTES, MAX_SHARD_BYTES, MAX_TENSORS, Manifest, ManifestError};
use serde_json::{Value, json};

/// The name of the first shard.
const FIRST: &str = "model-00001.safetensors";

/// A manifest of three tensors: one that is written number by number, one in two pieces, and a quantised one.
fn good() -> Value {
    let sha256 = "0123456789abcdef".repeat(4);
    let piece = |shard: u64, offset: u64, bytes: u64| json!({"shard": shard, "offset": offset, "bytes": bytes});
    json!({
        "format": "encaustic", "schema": 1, "family": "sd1",
        "shards": [
            {"file": FIRST, "bytes": 2048, "sha256": sha256},
            {"file": "model-00002.safetensors", "bytes": MAX_SHARD_BYTES, "sha256": sha256},
        ],
        "files": {"model_index.json": {"a": [1, 2.5, null]}, "tokenizer/merges.txt": "a b"},
        "tensors": {
            "unet.h": {"dtype": "F16", "shape": [3, 1], "pieces": [piece(0, 256, 2), piece(1, 4096, 4)]},
            "unet.q": {"dtype": "Q8", "shape": [40], "block": 32, "pieces": [piece(0, 512, 40)], "scales": [piece(0, 600, 4)]},
            "unet.w": {"dtype": "F32", "shape": [2, 2], "pieces": [piece(0, 1024, 16)]},
        },
    })
}

/// The refusal of a text, which must cost no more than reading it once, and be told briefly.
#[track_caller]
fn refusal(what: &str, text: &[u8]) -> ManifestError {
    let start = Instant::now();
    let (refused, cost) = measured(|| Manifest::parse(text));
    println!("{:9} bytes refused in {:.1?}, {} bytes allocated: {what}", text.len(), start.elapsed(), cost.allocated);
    assert!(cost.allocated <= 16 * text.len() + (64 << 10), "{what}: {} bytes of text, {cost:?}", text.len());
    let Err(error) = refused else { panic!("{what}: a malformed manifest was accepted") };
    let told = error.to_string();
    assert!(told.len() < 1500 && !told.contains(char::is_control), "{what}: {told}");
    error
}

/// What is done to a good manifest.
type Change = fn(&mut Value);

#[track_caller]
fn check(cases: &[(&str, Change, &str)]) {
    for (what, change, words) in cases {
        let mut value = good();
        change(&mut value);
        let told = refusal(what, &serde_json::to_vec(&value).unwrap()).to_string();
        assert!(told.contains(words), "{what}: {words:?} is not in {told:?}");
    }
}

#[test]
fn good_manifests_are_read() {
    let text = serde_json::to_vec(&good()).unwrap();
    let manifest = Manifest::parse(&text).unwrap();
    assert_eq!(manifest.components().into_iter().collect::<Vec<_>>(), ["unet"]);
    assert_eq!(manifest.bytes(), 2048 + MAX_SHARD_BYTES);
    assert_eq!(manifest.file("tokenizer/merges.txt").unwrap(), b"a b");
    assert_eq!(manifest.file("model_index.json").unwrap(), br#"{"a":[1,2.5,null]}"#);
    assert_eq!(manifest.file("x"), None);
    assert_eq!(manifest.tensors["unet.q"].elements(), Some(40));
    // Written and read again it is the same, whatever white space is around it and whatever else a later writer adds.
    assert_eq!(Manifest::parse(&serde_json::to_vec(&manifest).unwrap()), Ok(manifest.clone()));
    assert_eq!(Manifest::parse(&[b" \r\n\t", &text[..], b"\n"].concat()), Ok(manifest.clone()));
    let mut more = good();
    more["remark"] = json!({"by": "somebody"});
    assert_eq!(Manifest::parse(&serde_json::to_vec_pretty(&more).unwrap()).as_ref(), Ok(&manifest));
    let nested = format!("{{\"x\":{}{},", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Manifest::parse(&[nested.as_bytes(), &text[1..]].concat()), Ok(manifest), "what is passed over takes no stack");
}

#[test]
fn what_it_is_comes_first() {
    check(&[
        ("another format", |m| m["format"] = json!("gguf"), "this is no packed model"),
        ("an endless format", |m| m["format"] = json!("\u{1b}[31m".repeat(10_000)), "this is no packed model"),
        ("no format", |m| drop(m.as_object_mut().unwrap().remove("format")), "this is no packed model"),
        ("a later schema", |m| m["schema"] = json!(2), "get a newer one"),
        ("a schema of the far future", |m| *m = json!({"format": "encaustic", "schema": u32::MAX, "x": 1}), "get a newer one"),
        ("a schema that is no number", |m| m["schema"] = json!("1"), "not valid"),
        ("a negative schema", |m| m["schema"] = json!(-1), "not valid"),
        ("no tensors", |m| drop(m.as_object_mut().unwrap().remove("tensors")), "missing field `tensors`"),
        ("a list", |m| *m = json!([1]), "not valid"),
        ("only what it is", |m| *m = json!(["encaustic", 1]), "not valid"),
        ("nothing", |m| *m = Value::Null, "not valid"),
    ]);
}

#[test]
fn broken_texts_are_refused() {
    let text = serde_json::to_string(&good()).unwrap();
    let twice = |before: &str, entry: &str| text.replacen(before, &format!("{before}{entry}"), 1);
    let tensor = r#""unet.w":{"dtype":"F32","shape":[1],"pieces":[{"shard":0,"offset":1100,"bytes":4}]},"#;
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    let many: String = (0..=MAX_TENSORS).map(|i| tensor.replacen("unet.w", &format!("unet.t{i}"), 1)).collect();
    for (what, text, words) in [
        ("empty", String::new(), "not valid"),
        ("white space", " \n".repeat(100), "not valid"),
        ("cut short", text[..text.len() - 1].to_owned(), "EOF"),
        ("text behind it", format!("{text}{{}}"), "trailing"),
        ("a NUL behind it", format!("{text}\0"), "trailing"),
        ("a tensor twice", twice(r#""tensors":{"#, tensor), "\"unet.w\" comes twice"),
        ("a tensor twice, by escapes", twice(r#""tensors":{"#, &tensor.replace("unet.w", "unet\\u002ew")), "comes twice"),
        ("a file twice", twice(r#""files":{"#, r#""model_index.json":"","#), "\"model_index.json\" comes twice"),
        ("shards twice", twice("{", r#""shards":[],"#), "duplicate field `shards`"),
        ("a format twice", twice("{", r#""format":"x","#), "duplicate field `format`"),
        ("too many tensors", twice(r#""tensors":{"#, &many), "more than 16384"),
        ("nesting without end", twice(r#""files":{"#, &format!(r#""a":{},"#, nested)), "recursion limit"),
        ("nesting that does not end", twice("{", r#""x":["#), "not valid"),
        ("a number without end", twice(r#""files":{"#, &format!(r#""a":{{"x":{}}},"#, "9".repeat(100_000))), "out of range"),
        ("text for a list", twice("{", &format!(r#""sources":"{}","#, "\\u001b".repeat(100_000))), "invalid type"),
        ("half of a pair of UTF-16", twice("{", r#""title":"\ud800","#), "not valid"),
    ] {
        let told = refusal(what, text.as_bytes()).to_string();
        assert!(told.contains(words), "{what}: {words:?} is not in {told:?}");
    }
    let mut bytes = text.into_bytes();
    bytes[20] = 0xff;
    assert!(matches!(refusal("invalid UTF-8", &bytes), ManifestError::Json(_)));
}

#[test]
fn shards_that_cannot_be() {
    check(&[
        ("none", |m| m["shards"] = json!([]), "0 shards"),
        ("too many", |m| m["shards"] = json!(vec![m["shards"][0].clone(); 4097]), "4097 shards"),
        ("one name twice", |m| m["shards"][1]["file"] = json!(FIRST), "named twice"),
        ("0 bytes", |m| m["shards"][0]["bytes"] = json!(0), "8 bytes to 64 MiB"),
        ("7 bytes", |m| m["shards"][0]["bytes"] = json!(7), "8 bytes to 64 MiB"),
        ("a byte too many", |m| m["shards"][0]["bytes"] = json!(MAX_SHARD_BYTES + 1), "8 bytes to 64 MiB"),
        ("2^64 - 1 bytes", |m| m["shards"][0]["bytes"] = json!(u64::MAX), "8 bytes to 64 MiB"),
        ("-1 bytes", |m| m["shards"][0]["bytes"] = json!(-1), "not valid"),
        ("1.5 bytes", |m| m["shards"][0]["bytes"] = json!(1.5), "not valid"),
        ("no digits", |m| m["shards"][0]["sha256"] = json!(""), "64 hexadecimal digits"),
        ("63 digits", |m| m["shards"][0]["sha256"] = json!("a".repeat(63)), "64 hexadecimal digits"),
        ("65 digits", |m| m["shards"][0]["sha256"] = json!("a".repeat(65)), "64 hexadecimal digits"),
        ("digits in upper case", |m| m["shards"][0]["sha256"] = json!("A".repeat(64)), "64 hexadecimal digits"),
        ("no hexadecimal digits", |m| m["shards"][0]["sha256"] = json!("g".repeat(64)), "64 hexadecimal digits"),
        ("64 bytes that are no digits", |m| m["shards"][0]["sha256"] = json!("é".repeat(32)), "64 hexadecimal digits"),
    ]);
}

#[test]
fn paths_that_lead_elsewhere() {
    for name in [
        "",
        ".",
        "..",
        ".safetensors",
        ".hidden.safetensors",
        "../x.safetensors",
        "a/b.safetensors",
        "/etc/x.safetensors",
        "C:\\x.safetensors",
        "C:x.safetensors",
        "\\\\host\\x.safetensors",
        "x.safetensors\0",
        "x\0.safetensors",
        "x\n.safetensors",
        "%2e%2e%2fx.safetensors",
        "x y.safetensors",
        "ｘ.safetensors",
        "x.safetensors/",
        "x.bin",
        "x.safetensors.bin",
        "manifest.json",
        &format!("{}.safetensors", "x".repeat(117)),
    ] {
        let mut value = good();
        value["shards"][0]["file"] = json!(name);
        let error = refusal(name.escape_debug().to_string().as_str(), &serde_json::to_vec(&value).unwrap());
        assert!(error.to_string().contains("the name of a shard has letters"), "{error}");
    }
    for path in
        ["", ".", "..", "../x", "a/..", "a/../b", "a//b", "/x", "x/", "a/b/c", ".x", "C:\\x", "C:/x", "a\\b", "a\0", "a\nb"]
    {
        let mut value = good();
        value["files"][path] = json!("text");
        let error = refusal(path.escape_debug().to_string().as_str(), &serde_json::to_vec(&value).unwrap());
        assert!(error.to_string().contains("the path of a small file is"), "{error}");
    }
    check(&[
        ("a file of numbers", |m| m["files"]["a"] = json!([1, 2]), "text or a JSON object"),
        ("a file of nothing", |m| m["files"]["a"] = Value::Null, "text or a JSON object"),
    ]);
}

#[test]
fn tensors_that_cannot_be() {
    check(&[
        ("no component", |m| m["tensors"]["weight"] = m["tensors"]["unet.w"].clone(), "a name is that of a component"),
        ("a path", |m| m["tensors"]["../unet.w"] = m["tensors"]["unet.w"].clone(), "a name is that of a component"),
        ("an endless name", |m| m["tensors"][format!("a.{}", "b".repeat(9000))] = m["tensors"]["unet.w"].clone(), "\"a.bbb"),
        ("an unknown type", |m| m["tensors"]["unet.w"]["dtype"] = json!("F7"), "\"F7\" is no type of number"),
        ("an endless type", |m| m["tensors"]["unet.w"]["dtype"] = json!("F".repeat(9000)), "is no type of number"),
        ("a type for no parameter", |m| m["tensors"]["unet.w"]["dtype"] = json!("I32"), "and not I32"),
        ("a dimension of 0", |m| m["tensors"]["unet.w"]["shape"] = json!([0, 2]), "cannot be"),
        ("nine dimensions", |m| m["tensors"]["unet.w"]["shape"] = json!([4, 1, 1, 1, 1, 1, 1, 1, 1]), "cannot be"),
        ("dimensions without end", |m| m["tensors"]["unet.w"]["shape"] = json!(vec![1; 9000]), "cannot be"),
        ("a negative dimension", |m| m["tensors"]["unet.w"]["shape"] = json!([-4]), "not valid"),
        ("a product of 2^64", |m| m["tensors"]["unet.w"]["shape"] = json!([1u64 << 32, 1u64 << 32]), "beyond what a file"),
        ("2^64 and 4", |m| m["tensors"]["unet.w"]["shape"] = json!([1u64 << 32, 1u64 << 32, 4]), "beyond what a file"),
        ("bytes of 2^64", |m| m["tensors"]["unet.w"]["shape"] = json!([1u64 << 62]), "beyond what a file"),
        ("a wrap to 4 MiB", |m| m["tensors"]["unet.w"]["shape"] = json!([(1u64 << 42) + 1, 1u64 << 22]), "beyond what a file"),
        ("2^42 + 1", |m| m["tensors"]["unet.w"]["shape"] = json!([(1u64 << 42) + 1]), "and it needs 17592186044420"),
        ("2^64 - 1 codes", |m| m["tensors"]["unet.q"]["shape"] = json!([u64::MAX]), "and it needs 18446744073709551615"),
        ("a plain tensor with blocks", |m| m["tensors"]["unet.w"]["block"] = json!(32), "others none"),
        ("other blocks", |m| m["tensors"]["unet.q"]["block"] = json!(64), "blocks of 32"),
        ("no blocks", |m| m["tensors"]["unet.q"]["block"] = Value::Null, "blocks of 32"),
        (
            "a plain tensor with scales",
            |m| m["tensors"]["unet.w"]["scales"] = m["tensors"]["unet.q"]["scales"].clone(),
            "needs 0",
        ),
        ("no scales", |m| m["tensors"]["unet.q"]["scales"] = json!([]), "scales: its pieces have 0 bytes, and it needs 4"),
        ("too few scales", |m| m["tensors"]["unet.q"]["scales"][0]["bytes"] = json!(2), "scales: its pieces have 2 bytes"),
        ("too many scales", |m| m["tensors"]["unet.q"]["scales"][0]["bytes"] = json!(6), "scales: its pieces have 6 bytes"),
        ("half a scale", |m| m["tensors"]["unet.q"]["scales"][0]["bytes"] = json!(3), "scales: 3 bytes from 600"),
    ]);
}

#[test]
fn pieces_that_cannot_be() {
    check(&[
        ("none", |m| m["tensors"]["unet.w"]["pieces"] = json!([]), "its pieces have 0 bytes, and it needs 16"),
        ("too short", |m| m["tensors"]["unet.w"]["pieces"][0]["bytes"] = json!(12), "have 12 bytes, and it needs 16"),
        ("too long", |m| m["tensors"]["unet.w"]["pieces"][0]["bytes"] = json!(20), "have 20 bytes, and it needs 16"),
        ("one missing", |m| drop(m["tensors"]["unet.h"]["pieces"].as_array_mut().unwrap().pop()), "have 2 bytes"),
        ("part of an element", |m| m["tensors"]["unet.w"]["pieces"][0]["bytes"] = json!(15), "no range of elements"),
        ("odd bytes of f16", |m| m["tensors"]["unet.h"]["pieces"][0]["bytes"] = json!(3), "no range of elements"),
        ("an empty piece", |m| m["tensors"]["unet.w"]["pieces"][0]["bytes"] = json!(0), "no range of elements"),
        ("past the end", |m| m["tensors"]["unet.w"]["pieces"][0]["offset"] = json!(2036), "16 bytes from 2036"),
        ("beyond the end", |m| m["tensors"]["unet.w"]["pieces"][0]["offset"] = json!(u64::MAX), "no range of elements"),
        ("an end that wraps", |m| m["tensors"]["unet.w"]["pieces"][0]["offset"] = json!(u64::MAX - 15), "no range of elements"),
        ("bytes that wrap", |m| m["tensors"]["unet.w"]["pieces"][0]["bytes"] = json!(u64::MAX - 3), "no range of elements"),
        ("a shard that is not there", |m| m["tensors"]["unet.w"]["pieces"][0]["shard"] = json!(2), "there is no shard 2"),
        ("no shard at all", |m| m["tensors"]["unet.w"]["pieces"][0]["shard"] = json!(u64::MAX), "there is no shard"),
        ("shared bytes", |m| m["tensors"]["unet.w"]["pieces"][0]["offset"] = json!(540), "has the same bytes"),
        ("a last byte shared", |m| m["tensors"]["unet.w"]["pieces"][0]["offset"] = json!(588), "has the same bytes"),
        ("the same bytes twice", |m| m["tensors"]["vae.w"] = m["tensors"]["unet.w"].clone(), "has the same bytes"),
        ("scales in the codes", |m| m["tensors"]["unet.q"]["scales"][0]["offset"] = json!(512), "has the same bytes"),
        (
            "a million pieces of one tensor",
            |m| m["tensors"]["unet.w"]["pieces"] = json!(vec![json!({"shard": 0, "offset": 0, "bytes": 0}); 1000]),
            "no range of elements",
        ),
    ]);
}

/// Two bytes of JSON may become hundreds in memory: the worst texts stay far below what a browser's tab has.
#[test]
fn large_texts_cost_little() {
    assert!(matches!(refusal("33 MiB", &vec![b' '; 33 << 20]), ManifestError::TooLarge(_)));
    let text = serde_json::to_string(&good()).unwrap();
    let full = |entry: &str, count: usize| {
        let file = format!(r#""files":{{"a.json":{{"x":[{}0]}},"#, entry.repeat(count));
        text.replacen(r#""files":{"#, &file, 1)
    };
    for entry in ["0,", "[],", "[0],", r#"{"":0},"#, r#"{"a":0},"#, r#""","#] {
        let told = refusal(entry, full(entry, (MAX_MANIFEST_BYTES - 4096) / entry.len()).as_bytes());
        assert!(matches!(told, ManifestError::TooManyValues), "{told}");

        let separators = entry.bytes().filter(|byte| b",[{".contains(byte)).count();
        let most = full(entry, ((1 << 20) - 100) / separators);
        let start = Instant::now();
        let (manifest, cost) = measured(|| Manifest::parse(most.as_bytes()));
        println!("{} bytes of {entry} read in {:.1?} with {} MiB", most.len(), start.elapsed(), cost.peak >> 20);
        assert!(manifest.is_ok() && cost.peak < 448 << 20, "{entry}: {cost:?}");
    }
}
