//! Packed models are whole: every shard is as large as it may be and no larger, every flipped bit is found, and what goes
//! wrong is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

#[path = "../../tests/support/checkpoint.rs"]
mod checkpoint;
#[path = "../../tests/support/folder.rs"]
mod folder;
#[path = "support/packing.rs"]
mod packing;

use std::ops::ControlFlow;

use checkpoint::Array;
use encaustic_engine::weights::{Encoding, Header, MAX_SHARD_BYTES, Manifest, Piece, Quant};
use encaustic_importer::pack::{PackError, ShardFault, Target, check_shard};
use folder::Folder;
use packing::{Full, Memory, options, packed, try_packed};
use safetensors::Dtype;

/// Where the tiny model's largest parameters lie, and how they are called in a packed model.
const TEXT: &str = "text_encoder/model.safetensors";
const TOKENS: &str = "text_model.embeddings.token_embedding.weight";

#[test]
fn every_flipped_bit_is_found() {
    // The generator of Lehmer with the constant of L'Ecuyer: the same flips every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u128;
    let mut random = |below: u64| {
        state = state.wrapping_mul(0x12e1_5e35_b500_f16e_2e71_4eb2_b379_16a5);
        (state >> 64) as u64 % below
    };
    let (manifest, mut shards) = packed(&Folder::open("models/sd15"), Target::Q8);
    let check = |shard: usize, shards: &Memory| {
        check_shard(&manifest.shards[shard], &shards.0[shard].1, &mut |_| ControlFlow::Continue(()))
    };
    let all: u64 = manifest.bytes();
    for _ in 0..1000 {
        let (mut byte, bit) = (random(all), random(8));
        let mut shard = 0;
        while byte >= manifest.shards[shard].bytes {
            byte -= manifest.shards[shard].bytes;
            shard += 1;
        }
        assert!(check(shard, &shards).is_ok());
        shards.0[shard].1[byte as usize] ^= 1 << bit;
        let found = check(shard, &shards);
        assert!(matches!(found, Err(ShardFault::Hash { .. })), "bit {bit} of byte {byte} in shard {shard}: {found:?}");
        shards.0[shard].1[byte as usize] ^= 1 << bit;
    }
    for bytes in [&b""[..], &shards.0[0].1[1..], &[&shards.0[0].1[..], b"\0"].concat()] {
        let found = check_shard(&manifest.shards[0], &bytes, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(found, Err(ShardFault::Size { .. })), "{found:?}");
    }
    let found = check_shard(&manifest.shards[0], &shards.0[0].1, &mut |_| ControlFlow::Break(()));
    assert!(matches!(found, Err(ShardFault::Stopped)), "{found:?}");
}

/// The ranges of a packed model, with the size of an element in each.
fn ranges(manifest: &Manifest) -> impl Iterator<Item = (&str, Piece, u64)> {
    manifest.tensors.iter().flat_map(|(name, tensor)| {
        let codes = tensor.pieces.iter().map(|piece| (name.as_str(), *piece, tensor.dtype.stored().size()));
        codes.chain(tensor.scales.iter().map(|piece| (name.as_str(), *piece, 2)))
    })
}

#[test]
fn shards_are_as_the_manifest_says() {
    for (model, dtype) in
        [("sd15", Target::F32), ("sd2", Target::F16), ("sdxl", Target::BF16), ("sdxl", Target::Q8), ("sd15", Target::Q4)]
    {
        let (manifest, shards) = packed(&Folder::open(&format!("models/{model}")), dtype);
        assert_eq!(Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).as_ref(), Ok(&manifest), "{model} {dtype}");
        assert_eq!(manifest.shards.len(), shards.0.len());
        for (shard, (name, bytes)) in manifest.shards.iter().zip(&shards.0) {
            assert_eq!((&shard.file, shard.bytes), (name, bytes.len() as u64));
            let header = Header::read(bytes).unwrap();
            let first = header.tensors().values().map(|info| info.range.start).min();
            assert!(first.is_some_and(|first| first % 256 == 0), "the data begins at {first:?}");
        }
        let all: Vec<_> = ranges(&manifest).collect();
        for (name, piece, element) in &all {
            assert_eq!(piece.offset % element, 0, "{model} {dtype}: {name}");
        }
        let round = all.iter().filter(|(_, piece, _)| piece.offset % 256 == 0 || piece.bytes < 256).count();
        println!("{model} {dtype}: {round} of {} ranges begin at multiples of 256, or are smaller", all.len());
        assert!(round * 10 >= all.len() * 9, "{model} {dtype}: only {round} of {}", all.len());
        // What is packed is a model like any other: packed again, it is the same to the byte.
        let again = packed(&Folder::of(&manifest, &shards), dtype);
        assert_eq!(again.0.tensors, manifest.tensors, "{model} {dtype}");
        assert!(again.1 == shards && again.0.shards == manifest.shards, "{model} {dtype}: other shards");
    }
}

/// A vocabulary of so many tokens makes a parameter of 128 times as many bytes.
fn with_vocabulary(tokens: usize) -> Folder {
    let array = Array {
        dtype: Dtype::F32,
        shape: vec![tokens, 32],
        bytes: (0..tokens as u32 * 32).flat_map(|i| (i as f32).to_le_bytes()).collect(),
    };
    Folder::open("models/sd15")
        .with_tensor(TEXT, TOKENS, array)
        .edit("text_encoder/config.json", |config| config["vocab_size"] = tokens.into())
}

#[test]
fn a_tensor_that_is_larger_than_a_shard_lies_in_pieces() {
    let tokens = (70 << 20) / 128;
    let folder = with_vocabulary(tokens);
    let (manifest, shards) = packed(&folder, Target::F32);
    let name = format!("text_encoder.{TOKENS}");
    let tensor = &manifest.tensors[&name];
    assert_eq!((tensor.shape.as_slice(), tensor.pieces.len()), (&[tokens, 32][..], 2));
    assert_eq!(tensor.pieces.iter().map(|piece| piece.bytes).sum::<u64>(), 70 << 20);
    assert!(tensor.pieces.iter().all(|piece| piece.bytes % 4 == 0 && piece.offset % 4 == 0), "{:?}", tensor.pieces);
    assert!(manifest.shards.iter().all(|shard| shard.bytes <= MAX_SHARD_BYTES) && shards.0.len() >= 2);
    let number = |i: usize| (i as f32).to_le_bytes();
    let whole = |manifest: &Manifest, shards: &Memory| {
        let range = |piece: &Piece| shards.0[piece.shard].1[piece.offset as usize..][..piece.bytes as usize].to_vec();
        let read = manifest.tensors[&name].pieces.iter().flat_map(range);
        assert!(read.eq((0..tokens * 32).flat_map(number)), "the pieces are the tensor");
    };
    whole(&manifest, &shards);
    assert!(Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).is_ok());
    // It is read in one again. (What is in which shard depends on the order in which tensors are read.)
    let again = packed(&Folder::of(&manifest, &shards), Target::F32);
    whole(&again.0, &again.1);
}

#[test]
fn a_sink_that_fails_and_a_stop_end_it() {
    let folder = Folder::open("models/sd15");
    let failed = try_packed(&folder, &options(Target::F16), &mut Full, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(&failed, Err(PackError::Sink("the disk is full"))), "{failed:?}");
    for stop in [1, 2, 100] {
        let (mut seen, mut last, mut memory) = (0, 0, Memory::default());
        let stopped = try_packed(&folder, &options(Target::F16), &mut memory, &mut |progress| {
            assert!((last..=progress.of).contains(&progress.done), "{progress:?} after {last}");
            (seen, last) = (seen + 1, progress.done);
            if seen == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(PackError::Stopped)), "{stopped:?}");
        assert_eq!((seen, memory.0.len()), (stop, 0));
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused_with_their_tensor() {
    let (large, small) = (TOKENS, "text_model.final_layer_norm.bias");
    for (dtype, tensor, value, words) in [
        (Target::F16, large, 70_000.0, "beyond what f16 holds"),
        (Target::Q8, small, 70_000.0, "beyond what f16 holds"),
        (Target::Q8, large, f32::NAN, "not finite"),
        (Target::Q4, large, f32::NAN, "not finite"),
        (Target::Q8, large, f32::NEG_INFINITY, "not finite"),
        (Target::Q4, large, 1e30, "too large for a scale"),
    ] {
        let folder = Folder::open("models/sd15").change(TEXT, tensor, |values| values[5] = value);
        let failed = try_packed(&folder, &options(dtype), &mut Memory::default(), &mut |_| ControlFlow::Continue(()));
        let Err(error @ PackError::Numbers { .. }) = failed else { panic!("{dtype} of {value}: {failed:?}") };
        let told = error.to_string();
        assert!(told.contains(&format!("text_encoder.{tensor}: ")) && told.contains(words), "{dtype} of {value}: {told}");
    }
    for (dtype, value) in [(Target::BF16, 70_000.0), (Target::F32, f32::NAN), (Target::F16, f32::INFINITY)] {
        packed(&Folder::open("models/sd15").change(TEXT, TOKENS, |values| values[5] = value), dtype);
    }
}

#[test]
fn what_quantising_costs_is_told() {
    let folder = with_vocabulary(1 << 12).change(TEXT, TOKENS, |values| {
        values.iter_mut().enumerate().for_each(|(i, value)| *value = (i as f32 * 0.7).sin());
    });
    for (dtype, quant, range) in [(Target::Q8, Quant::Q8, 1e-3..1e-2), (Target::Q4, Quant::Q4, 2e-2..2e-1)] {
        let result = try_packed(&folder, &options(dtype), &mut Memory::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        let text = &result.components[0];
        println!("{dtype}: {text:?}");
        assert_eq!(text.name, "text_encoder");
        assert!(text.quantised >= 1 << 17 && text.written < text.read / 2, "{text:?}");
        assert!(text.layer_error.is_some_and(|error| range.contains(&error)), "{dtype}: {:?}", text.layer_error);
        let tensor = &result.manifest.tensors[&format!("text_encoder.{TOKENS}")];
        assert_eq!((tensor.dtype, tensor.block), (Encoding::Quantised(quant), Some(32)));
        let vae = result.components.iter().find(|component| component.name == "vae").unwrap();
        assert_eq!((vae.quantised, vae.layer_error), (0, None), "the autoencoder is left in f16");
    }
    let plain = try_packed(&folder, &options(Target::F16), &mut Memory::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(plain.components.iter().all(|component| component.quantised == 0 && component.layer_error.is_none()));
}
