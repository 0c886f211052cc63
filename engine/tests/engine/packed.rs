//! Packed models: numbers come back out of their shards, and shards that are not what the manifest says are refused.

use std::collections::BTreeMap;

use encaustic_engine::weights::{
    BLOCK, Checkpoint, CheckpointError, Cut, Dtype, Encoding, FORMAT, Header, Manifest, Numbers, PackedTensor, Piece, Place,
    Quant, SCHEMA, Shard,
};
use half::{bf16, f16};

/// A packed model in memory.
#[derive(Clone)]
struct Model {
    manifest: Manifest,
    shards: BTreeMap<String, Vec<u8>>,
}

/// A tensor of a shard: name, type, elements, bytes.
type Entry = (&'static str, safetensors::Dtype, usize, Vec<u8>);

const SHARDS: [&str; 2] = ["model-00001.safetensors", "model-00002.safetensors"];

/// Numbers that f16 and bf16 hold exactly.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 - 9.0) * 0.25).collect()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// One tensor of each type; `unet.parted` lies in three pieces in two shards.
fn model() -> Model {
    use safetensors::Dtype::{BF16, F16, F32, I8, U8};
    let (eight, four) = (Quant::Q8.encode(&numbers(60)).unwrap(), Quant::Q4.encode(&numbers(33)).unwrap());
    let parted = f32s(&numbers(7));
    let halves: Vec<u8> = numbers(5).into_iter().flat_map(|value| f16::from_f32(value).to_le_bytes()).collect();
    let brain_halves: Vec<u8> = numbers(4).into_iter().flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect();
    let contents: [Vec<Entry>; 2] = [
        vec![
            ("unet.f32", F32, 6, f32s(&numbers(6))),
            ("unet.q8", I8, 60, eight.codes),
            ("unet.q8#scale", F16, 2, eight.scales),
            ("unet.parted#2", F32, 1, parted[24..].to_vec()),
            ("unet.parted#0", F32, 2, parted[..8].to_vec()),
        ],
        vec![
            ("unet.f16", F16, 5, halves),
            ("unet.bf16", BF16, 4, brain_halves),
            ("unet.scalar", F32, 1, f32s(&[-2.25])),
            ("vae.q4", U8, 17, four.codes),
            ("vae.q4#scale", F16, 2, four.scales),
            ("unet.parted#1", F32, 4, parted[8..24].to_vec()),
        ],
    ];
    let mut manifest = Manifest { format: FORMAT.to_owned(), schema: SCHEMA, family: "sd1".to_owned(), ..Manifest::default() };
    let (mut shards, mut places) = (BTreeMap::new(), BTreeMap::new());
    for (shard, (name, entries)) in SHARDS.into_iter().zip(contents).enumerate() {
        let views = entries.iter().map(|(name, dtype, count, bytes)| {
            (*name, safetensors::tensor::TensorView::new(*dtype, vec![*count], bytes).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        for (name, info) in Header::read(&bytes).unwrap().tensors() {
            let place = Piece { shard, offset: info.range.start, bytes: info.range.end - info.range.start };
            places.insert(name.clone(), place);
        }
        manifest.shards.push(Shard { file: name.to_owned(), bytes: bytes.len() as u64, sha256: "0".repeat(64) });
        shards.insert(name.to_owned(), bytes);
    }
    let plain = Encoding::Plain;
    for (name, dtype, shape, pieces) in [
        ("unet.f32", plain(Dtype::F32), vec![2, 3], vec!["unet.f32"]),
        ("unet.f16", plain(Dtype::F16), vec![5], vec!["unet.f16"]),
        ("unet.bf16", plain(Dtype::BF16), vec![2, 2], vec!["unet.bf16"]),
        ("unet.scalar", plain(Dtype::F32), vec![], vec!["unet.scalar"]),
        ("unet.parted", plain(Dtype::F32), vec![7, 1], vec!["unet.parted#0", "unet.parted#1", "unet.parted#2"]),
        ("unet.q8", Encoding::Quantised(Quant::Q8), vec![3, 20], vec!["unet.q8"]),
        ("vae.q4", Encoding::Quantised(Quant::Q4), vec![33], vec!["vae.q4"]),
    ] {
        let scales: Vec<Piece> = places.get(&format!("{name}#scale")).copied().into_iter().collect();
        let block = (!scales.is_empty()).then_some(BLOCK);
        let pieces = pieces.into_iter().map(|piece| places[piece]).collect();
        manifest.tensors.insert(name.to_owned(), PackedTensor { dtype, shape, block, pieces, scales });
    }
    Model { manifest, shards }
}

impl Model {
    fn open(&self, component: &str) -> Result<Checkpoint<'_>, CheckpointError> {
        Checkpoint::packed(&self.manifest, component, |name| {
            self.shards.get(name).map(Vec::as_slice).ok_or_else(|| "no such file".to_owned())
        })
    }

    fn tensor(&mut self, name: &str) -> &mut PackedTensor {
        self.manifest.tensors.get_mut(name).unwrap()
    }
}

#[test]
fn numbers_come_back() {
    let model = model();
    assert_eq!(Manifest::parse(&serde_json::to_vec(&model.manifest).unwrap()).as_ref(), Ok(&model.manifest));
    let check = |checkpoint: &Checkpoint<'_>, name: &str, expected: &[f32], tolerance: f32| {
        let place = Place { tensor: name.to_owned(), cut: Cut::Whole };
        let values = Numbers::read(checkpoint, &place).unwrap().unwrap().values().unwrap();
        assert_eq!(values.len(), expected.len(), "{name}");
        let worst = values.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance, "{name}: off by {worst}: {values:?}");
    };
    let unet = model.open("unet").unwrap();
    for (name, count) in [("f32", 6), ("f16", 5), ("bf16", 4), ("parted", 7)] {
        check(&unet, name, &numbers(count), 0.0);
    }
    check(&unet, "scalar", &[-2.25], 0.0);
    // Half a step of the block with the largest numbers: 12.5 / 127 and 5.75 / 8.
    check(&unet, "q8", &numbers(60), 0.05);
    let vae = model.open("vae").unwrap();
    check(&vae, "q4", &numbers(33), 0.7);

    assert_eq!(unet.tensors().map(|(name, _)| name).collect::<Vec<_>>(), ["bf16", "f16", "f32", "parted", "q8", "scalar"]);
    assert_eq!(unet.get("parted").map(|stored| (stored.elements(), stored.bytes())), Some((7, 28)));
    assert_eq!(vae.headers().map(|(name, _)| name).collect::<Vec<_>>(), [SHARDS[1]], "only what is needed is opened");
    for absent in ["", "text_encoder", "un", "unet.", "u"] {
        assert_eq!(model.open(absent).unwrap().tensors().count(), 0, "{absent}");
    }
}

#[test]
fn parts_of_tensors_are_what_the_whole_has_there() {
    let model = model();
    for (component, name, ranges) in [
        ("unet", "f32", vec![0..6, 0..1, 2..5, 5..6, 3..3]),
        ("unet", "f16", vec![1..4, 0..4]),
        // In three pieces, which end behind 2 and 6.
        ("unet", "parted", vec![0..7, 0..2, 1..3, 2..6, 1..7, 6..7]),
        // In blocks of 32.
        ("unet", "q8", vec![0..60, 0..32, 32..60]),
        ("vae", "q4", vec![0..33, 0..32, 32..33]),
    ] {
        let checkpoint = model.open(component).unwrap();
        let place = |cut| Place { tensor: name.to_owned(), cut };
        let whole = Numbers::read(&checkpoint, &place(Cut::Whole)).unwrap().unwrap().values().unwrap();
        for range in ranges {
            let part = Numbers::read_part(&checkpoint, &place(Cut::Whole), range.clone()).unwrap().unwrap();
            assert_eq!(part.values().unwrap(), whole[range.clone()], "{name} {range:?}");
        }
        assert!(Numbers::read_part(&checkpoint, &place(Cut::Third(0)), 0..1).is_none());
    }
}

/// What is done to a good model.
type Change = fn(&mut Model);

#[test]
fn shards_that_are_not_what_the_manifest_says() {
    let cases: [(&str, Change, &str); 16] = [
        ("missing", |m| drop(m.shards.remove(SHARDS[0])), "the shard cannot be read: no such file"),
        ("the second missing", |m| drop(m.shards.remove(SHARDS[1])), "the shard cannot be read"),
        ("longer", |m| m.shards.get_mut(SHARDS[0]).unwrap().push(0), "and the manifest says"),
        ("shorter", |m| m.shards.get_mut(SHARDS[0]).unwrap().truncate(99), "and the manifest says"),
        ("empty", |m| m.shards.get_mut(SHARDS[0]).unwrap().clear(), "it has 0 bytes"),
        ("with a malformed header", |m| m.shards.get_mut(SHARDS[0]).unwrap()[8] = b' ', "it must begin with `{`"),
        ("with a long header", |m| m.shards.get_mut(SHARDS[0]).unwrap()[7] = 0x80, "at most"),
        (
            "of another format",
            |m| m.shards.get_mut(SHARDS[0]).unwrap()[..8].copy_from_slice(b"PK\x03\x04\0\0\x08\x08"),
            "a ZIP archive",
        ),
        ("with the tensor elsewhere", |m| m.tensor("unet.f32").pieces[0].offset += 4, "no tensor of unet.f32"),
        ("with a longer tensor", |m| m.tensor("unet.f32").pieces[0].bytes -= 4, "no tensor of unet.f32"),
        ("with a piece elsewhere", |m| m.tensor("unet.parted").pieces[1].offset += 4, "no tensor of unet.parted"),
        (
            "with the tensor in another type",
            |m| m.tensor("unet.f16").dtype = Encoding::Plain(Dtype::BF16),
            "no tensor of unet.f16",
        ),
        (
            "with other codes",
            |m| m.tensor("unet.q8").dtype = Encoding::Quantised(Quant::Q4),
            "no tensor of unet.q8 where the manifest says",
        ),
        ("with other scales", |m| m.tensor("unet.q8").scales = m.tensor("unet.bf16").pieces.clone(), "no tensor of unet.q8"),
        ("not among them", |m| m.tensor("unet.f32").pieces[0].shard = 9, "the manifest does not name it"),
        ("in another order", |m| m.manifest.shards.swap(0, 1), "where the manifest says"),
    ];
    for (what, change, words) in cases {
        let mut damaged = model();
        change(&mut damaged);
        let Err(error) = damaged.open("unet") else { panic!("{what}: a damaged shard was opened") };
        assert!(error.to_string().contains(words), "{what}: {words:?} is not in {error}");
    }
}
