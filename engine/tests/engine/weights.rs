//! Weights: what is loaded, what disagrees with the network, and how the errors read.

use crate::common::goldens::{relative_error, to_f64};
use crate::common::{device, models};
use burn::tensor::{FloatDType, Tensor};
use encaustic_engine::model::unet::{UNet, UNetConfig, UNetInput};
use encaustic_engine::weights::{
    Checkpoint, CheckpointError, FileSet, FilesError, KeyMap, LoadError, MisShaped, Precision, choose_files, load_into,
    parameters,
};

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
