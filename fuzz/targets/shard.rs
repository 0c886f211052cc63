//! Packed models that are nearly right: a whole one is made, damaged here and there, opened and read to the last number.
#![no_main]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use encaustic_engine::weights::{
    BLOCK, Checkpoint, Cut, Dtype, Encoding, FORMAT, Manifest, Numbers, PackedTensor, Piece, Place, Quant, SCHEMA, Shard,
};
use encaustic_fuzz::told;
use encaustic_importer::pack::check_shard;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// How a tensor's numbers may be written.
const ENCODINGS: [Encoding; 8] = [
    Encoding::Plain(Dtype::F32),
    Encoding::Plain(Dtype::F16),
    Encoding::Plain(Dtype::BF16),
    Encoding::Plain(Dtype::F64),
    Encoding::Plain(Dtype::F8E4M3),
    Encoding::Plain(Dtype::F8E5M2),
    Encoding::Quantised(Quant::Q8),
    Encoding::Quantised(Quant::Q4),
];
const COMPONENTS: [&str; 3] = ["unet", "vae", "text_encoder"];
/// How far numbers are moved: to a neighbour, or to where sums wrap.
const STEPS: [i64; 8] = [0, 1, -1, 4, -256, 1 << 32, i64::MAX, i64::MIN];
/// The most tensors, and the most pieces of one.
const MOST: (usize, usize) = (12, 3);

#[derive(Arbitrary, Debug)]
struct Plan {
    shards: u8,
    tensors: Vec<Tensor>,
    damages: Vec<Damage>,
}

#[derive(Arbitrary, Debug)]
struct Tensor {
    component: u8,
    encoding: u8,
    dims: [u8; 3],
    rank: u8,
    pieces: u8,
    shard: u8,
}

/// What is done to a good model.
#[derive(Arbitrary, Debug)]
enum Damage {
    Text { at: u16, byte: u8 },
    Byte { shard: u8, at: u16, byte: u8 },
    Cut { shard: u8, by: u8 },
    Shard { shard: u8, bytes: u64 },
    Piece { tensor: u8, piece: u8, steps: [u8; 3] },
    Shape { tensor: u8, dim: u8, to: u64 },
    Type { tensor: u8, encoding: u8, block: bool },
    Twice { tensor: u8, piece: u8, scales: bool },
}

/// A shard that is filled: entries of its table, and data.
#[derive(Default)]
struct Open {
    table: Vec<String>,
    data: Vec<u8>,
}

struct Model {
    manifest: Manifest,
    shards: Vec<Vec<u8>>,
}

fuzz_target!(|plan: Plan| {
    let mut model = Model::new(&plan);
    let mut texts = Vec::new();
    for damage in &plan.damages {
        model.damage(damage, &mut texts);
    }
    let mut text = serde_json::to_vec(&model.manifest).expect("a manifest is JSON");
    for (at, byte) in texts {
        let at = at % text.len();
        text[at] = byte;
    }
    let parsed = Manifest::parse(&text);
    match &parsed {
        Ok(manifest) => open(manifest, &model.shards, plan.damages.is_empty()),
        Err(error) => {
            assert!(!plan.damages.is_empty(), "a good manifest is refused: {error}");
            told(error);
        }
    }
});

/// Opens every component and reads all of it.
fn open(manifest: &Manifest, shards: &[Vec<u8>], is_good: bool) {
    for component in manifest.components() {
        let find = |name: &str| {
            let place = name.strip_suffix(".safetensors").and_then(|number| number.parse::<usize>().ok());
            place.and_then(|place| shards.get(place)).ok_or_else(|| "no such file".to_owned())
        };
        match Checkpoint::packed(manifest, component, find) {
            Ok(checkpoint) => read(&checkpoint),
            Err(error) => {
                assert!(!is_good, "a good model is refused: {error}");
                told(&error);
            }
        }
    }
    for (shard, bytes) in manifest.shards.iter().zip(shards) {
        // Nobody has hashed them.
        assert!(check_shard(shard, bytes, &mut |_| ControlFlow::Continue(())).is_err());
    }
}

fn read(checkpoint: &Checkpoint<'_>) {
    for (name, stored) in checkpoint.tensors() {
        for cut in [Cut::Whole, Cut::Transposed, Cut::Third(0), Cut::Third(2)] {
            let place = Place { tensor: name.to_owned(), cut };
            let numbers = Numbers::read(checkpoint, &place).expect("it is there").expect("it is in memory");
            if cut == Cut::Whole {
                assert_eq!(numbers.values().map(|values| values.len() as u64), Some(stored.elements()), "{name}");
                for encoding in ENCODINGS {
                    // (Numbers that do not fit are refused; f64 and fp8 are not written.)
                    let _ = numbers.clone().encode(encoding);
                }
            }
        }
    }
    checkpoint.dtypes();
}

impl Model {
    fn new(plan: &Plan) -> Self {
        let mut open: Vec<Open> = (0..=plan.shards % 3).map(|_| Open::default()).collect();
        let mut manifest = Manifest { format: FORMAT.to_owned(), schema: SCHEMA, ..Manifest::default() };
        for (index, tensor) in plan.tensors.iter().take(MOST.0).enumerate() {
            let dtype = ENCODINGS[usize::from(tensor.encoding) % ENCODINGS.len()];
            let shape: Vec<usize> =
                tensor.dims.iter().take(usize::from(tensor.rank) % 4).map(|dim| 1 + usize::from(*dim) % 16).collect();
            let elements = shape.iter().product::<usize>() as u64;
            let bytes = dtype.bytes(elements).expect("it is small");
            let name = format!("{}.t{index}", COMPONENTS[usize::from(tensor.component) % COMPONENTS.len()]);
            let first = usize::from(tensor.shard);
            let pieces = add(&mut open, first, &name, dtype.stored(), bytes, 1 + usize::from(tensor.pieces) % MOST.1);
            let (block, scales) = match dtype {
                Encoding::Plain(_) => (None, Vec::new()),
                Encoding::Quantised(quant) => {
                    let scales = quant.scale_bytes(elements);
                    (Some(BLOCK), add(&mut open, first, &format!("{name}#scale"), Dtype::F16, scales, 1))
                }
            };
            manifest.tensors.insert(name, PackedTensor { dtype, shape, block, pieces, scales });
        }
        // The data begins behind the tables, whose lengths are known now.
        let tables: Vec<String> = open.iter().map(|shard| format!("{{{}}}", shard.table.join(","))).collect();
        for tensor in manifest.tensors.values_mut() {
            for piece in tensor.pieces.iter_mut().chain(&mut tensor.scales) {
                piece.offset += 8 + tables[piece.shard].len() as u64;
            }
        }
        let file = |(table, Open { data, .. }): (&String, &Open)| {
            [&(table.len() as u64).to_le_bytes()[..], table.as_bytes(), data].concat()
        };
        let shards: Vec<Vec<u8>> = tables.iter().zip(&open).map(file).collect();
        let named = |(place, bytes): (usize, &Vec<u8>)| {
            let (file, sha256) = (format!("{place}.safetensors"), "0".repeat(64));
            Shard { file, bytes: bytes.len() as u64, sha256 }
        };
        manifest.shards = shards.iter().enumerate().map(named).collect();
        Self { manifest, shards }
    }

    fn damage(&mut self, damage: &Damage, texts: &mut Vec<(usize, u8)>) {
        let count = self.shards.len();
        match *damage {
            Damage::Text { at, byte } => texts.push((usize::from(at), byte)),
            Damage::Byte { shard, at, byte } => {
                let bytes = &mut self.shards[usize::from(shard) % count];
                let at = usize::from(at) % bytes.len().max(1);
                bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte);
            }
            Damage::Cut { shard, by } => {
                let bytes = &mut self.shards[usize::from(shard) % count];
                bytes.truncate(bytes.len().saturating_sub(usize::from(by)));
            }
            Damage::Shard { shard, bytes } => self.manifest.shards[usize::from(shard) % count].bytes = bytes,
            Damage::Piece { tensor, piece, steps } => {
                let [shard, offset, bytes] = steps.map(|step| STEPS[usize::from(step) % STEPS.len()]);
                let Some(tensor) = nth(&mut self.manifest.tensors, tensor) else { return };
                let ranges = tensor.pieces.iter_mut().chain(&mut tensor.scales);
                if let Some(range) = ranges.cycle_to(piece) {
                    range.shard = range.shard.wrapping_add_signed(shard as isize);
                    range.offset = range.offset.wrapping_add_signed(offset);
                    range.bytes = range.bytes.wrapping_add_signed(bytes);
                }
            }
            Damage::Shape { tensor, dim, to } => {
                let Some(tensor) = nth(&mut self.manifest.tensors, tensor) else { return };
                match tensor.shape.get_mut(usize::from(dim)) {
                    Some(dim) => *dim = to as usize,
                    None => tensor.shape.push(to as usize),
                }
            }
            Damage::Type { tensor, encoding, block } => {
                let Some(tensor) = nth(&mut self.manifest.tensors, tensor) else { return };
                tensor.dtype = ENCODINGS[usize::from(encoding) % ENCODINGS.len()];
                tensor.block = block.then_some(BLOCK);
            }
            Damage::Twice { tensor, piece, scales } => {
                let Some(tensor) = nth(&mut self.manifest.tensors, tensor) else { return };
                let range = tensor.ranges().nth(usize::from(piece) % 4).copied();
                if scales { tensor.scales.extend(range) } else { tensor.pieces.extend(range) }
            }
        }
    }
}

/// Adds data to shards, in so many pieces at most, and tells where it is, counted from the beginning of the data.
fn add(open: &mut [Open], first: usize, name: &str, dtype: Dtype, bytes: u64, pieces: usize) -> Vec<Piece> {
    let size = dtype.size();
    let step = (bytes / size).div_ceil(pieces as u64).max(1) * size;
    let starts = (0..bytes).step_by(step as usize).enumerate();
    let piece = |(index, start): (usize, u64)| {
        let shard = (first + index) % open.len();
        let Open { table, data } = &mut open[shard];
        let (offset, bytes) = (data.len() as u64, step.min(bytes - start));
        let end = offset + bytes;
        table.push(format!(
            r#""{name}#{index}":{{"dtype":"{dtype}","shape":[{}],"data_offsets":[{offset},{end}]}}"#,
            bytes / size
        ));
        data.extend((0..bytes).map(|i| (i * 37 + start) as u8));
        Piece { shard, offset, bytes }
    };
    starts.map(piece).collect()
}

fn nth(tensors: &mut BTreeMap<String, PackedTensor>, index: u8) -> Option<&mut PackedTensor> {
    let count = tensors.len().max(1);
    tensors.values_mut().nth(usize::from(index) % count)
}

/// Picks an item by any number.
trait CycleTo: Iterator + Sized {
    fn cycle_to(self, index: u8) -> Option<Self::Item> {
        let mut items: Vec<_> = self.collect();
        let place = usize::from(index) % items.len().max(1);
        (place < items.len()).then(|| items.swap_remove(place))
    }
}

impl<I: Iterator> CycleTo for I {}
