//! The original layout: where each parameter is, and which configurations and facts follow from names and shapes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use crate::common::checkpoint::{Array, Checkpoint, recipes};
use crate::common::folder::Folder;
use crate::common::run::compute;
use crate::common::single::{MODELS, NAME, Single, family};
use encaustic_engine::family::{self, Files, FilesError, Keep, Outline, SingleFile};
use encaustic_engine::model::clip::{ClipConfig, ClipText};
use encaustic_engine::model::unet::{UNet, UNetConfig};
use encaustic_engine::model::vae::{Vae, VaeConfig};
use encaustic_engine::prediction::Prediction;
use encaustic_engine::schedule::{SchedulerClass, SchedulerConfig};
use encaustic_engine::weights::{Cut, Header, Parameter, Place, SourceError, WeightSource, parameters};
use serde_json::{Value, json};

/// The parameters of a network with this configuration.
fn shell(part: &str, config: &[u8]) -> Vec<Parameter> {
    let device = crate::common::device::cpu();
    match part {
        "unet" => parameters(&UNet::new(&UNetConfig::parse(config).unwrap(), &device).unwrap()),
        "vae" => parameters(&Vae::new(&VaeConfig::parse(config).unwrap(), &device).unwrap()),
        _ => parameters(&ClipText::new(&ClipConfig::parse(config).unwrap(), &device).unwrap()),
    }
}

/// What a place says in the words of the golden list; a stack's parts have their number. Whether a matrix has trailing
/// dimensions of 1 makes no difference to a network.
fn operation(cut: Cut) -> String {
    match cut {
        Cut::Whole => "copy".to_owned(),
        Cut::Third(index) => format!("concat0 {index}"),
        Cut::Transposed => "transpose".to_owned(),
    }
}

#[test]
fn every_parameter_is_where_diffusers_finds_it() {
    for (model, id) in MODELS {
        let file = Checkpoint::single_file(model);
        let mut expected = BTreeMap::new();
        for (tensor, recipe) in recipes(model) {
            for (index, source) in recipe.sources.into_iter().enumerate() {
                let operation = match recipe.operation.as_str() {
                    "concat0" => format!("concat0 {index}"),
                    "conv1x1" => "copy".to_owned(),
                    other => other.to_owned(),
                };
                assert_eq!(expected.insert(source, (tensor.clone(), operation)), None);
            }
        }
        let mut found = BTreeMap::new();
        let folder = Folder::open(&format!("models/{model}"));
        let encoders = family(id).encoders.iter().map(|encoder| encoder.folder);
        for part in ["unet", "vae"].into_iter().chain(encoders) {
            let parameters = shell(part, &folder.0[&format!("{part}/config.json")]);
            let keys = family(id).keys(part, &parameters).unwrap();
            for parameter in &parameters {
                let here = keys.candidates(&parameter.name).find(|place| file.tensors.contains_key(&place.tensor));
                let place = here.unwrap_or_else(|| panic!("{model}: {part}: {} is nowhere", parameter.name));
                assert!(keys.explains(&place.tensor), "{}", place.tensor);
                found.insert(format!("{part}:{}", parameter.name), (place.tensor, operation(place.cut)));
            }
            assert!(!keys.explains("model_ema.decay") && !keys.explains("betas"));
        }
        assert!(found.len() > 400, "{model}: {}", found.len());
        for (source, place) in &expected {
            assert_eq!(found.get(source), Some(place), "{model}: {source}");
        }
        assert_eq!(found.len(), expected.len(), "{model}");
    }
}

#[test]
fn configurations_follow_from_names_and_shapes() {
    for (model, id) in MODELS {
        let folder = Folder::open(&format!("models/{model}"));
        let single = Single::model(model, &Checkpoint::single_file(model)).files();
        let encoders = family(id).encoders.iter().map(|encoder| encoder.folder);
        for part in ["unet", "vae"].into_iter().chain(encoders) {
            let path = format!("{part}/config.json");
            let made: Value = serde_json::from_slice(&family::configuration(&single, &path).unwrap().unwrap()).unwrap();
            let kept: Value = serde_json::from_slice(&folder.0[&path]).unwrap();
            for (field, value) in made.as_object().unwrap() {
                let expected = &kept[field.as_str()];
                // How diffusers writes what has several spellings; what the network does not depend on; ours is safer.
                let is_free = match field.as_str() {
                    "reverse_transformer_layers_per_block" | "projection_dim" | "upcast_attention" | "eos_token_id" => true,
                    "sample_size" => part == "vae",
                    "layers_per_block" | "transformer_layers_per_block" if part == "unet" => true,
                    _ => false,
                };
                let is_none = value.is_null() && expected.is_null();
                assert!(is_free || is_none || value == expected, "{model}: {part}: {field} is {value}, not {expected}");
            }
            // The network itself is the measure for the rest.
            assert_eq!(shell(part, &serde_json::to_vec(&made).unwrap()), shell(part, &folder.0[&path]), "{model}: {part}");
        }
        let scheduler = |bytes: &[u8]| SchedulerConfig::from_json(bytes).unwrap();
        let path = "scheduler/scheduler_config.json";
        let made = scheduler(&family::configuration(&single, path).unwrap().unwrap());
        let kept = scheduler(&folder.0[path]);
        assert_eq!(
            (made.class, made.prediction(), made.steps_offset),
            (kept.class, kept.prediction(), kept.steps_offset),
            "{model}"
        );
    }
}

/// A file of which only the header is there.
struct HeaderOnly {
    header: Vec<u8>,
    len: u64,
}

impl WeightSource for HeaderOnly {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, SourceError> {
        let end = range.end.min(self.header.len() as u64);
        self.header.read(range.start..end)
    }
}

/// The tensors of a model of real size, by the configurations of its parts.
fn real_size(id: &str, parts: &[(&str, Value)]) -> BTreeMap<String, Vec<usize>> {
    let mut tensors = BTreeMap::new();
    for (part, config) in parts {
        let parameters = shell(part, config.to_string().as_bytes());
        let keys = family(id).keys(part, &parameters).unwrap();
        for parameter in &parameters {
            let Place { tensor, cut } = keys.candidates(&parameter.name).next().unwrap();
            let shape = match (cut, parameter.shape.as_slice()) {
                (Cut::Third(_), [first, rest @ ..]) => [&[3 * first], rest].concat(),
                (Cut::Transposed, [rows, columns]) => vec![*columns, *rows],
                (_, shape) => shape.to_vec(),
            };
            tensors.insert(tensor, shape);
        }
    }
    tensors
}

fn header_only(tensors: &BTreeMap<String, Vec<usize>>) -> HeaderOnly {
    let mut at = 0;
    let entry = |(name, shape): (&String, &Vec<usize>)| {
        let start = at;
        at += 2 * shape.iter().product::<usize>();
        (name.clone(), json!({"dtype": "F16", "shape": shape, "data_offsets": [start, at]}))
    };
    let table: serde_json::Map<_, _> = tensors.iter().map(entry).collect();
    let table = serde_json::to_vec(&table).unwrap();
    let header = [&(table.len() as u64).to_le_bytes(), table.as_slice()].concat();
    HeaderOnly { len: (header.len() + at) as u64, header }
}

/// A model of which only the header is there.
struct Outlined(BTreeMap<String, Vec<usize>>);

impl Files for Outlined {
    fn single_file(&self) -> Option<SingleFile<'_>> {
        Some(SingleFile { path: NAME, prediction: None })
    }

    fn list(&self, _folder: &str) -> Vec<String> {
        Vec::new()
    }

    fn text(&self, _path: &str) -> Result<Option<Vec<u8>>, FilesError> {
        Ok(None)
    }

    fn open(&self, _path: &str) -> Result<Box<dyn WeightSource + '_>, FilesError> {
        Ok(Box::new(header_only(&self.0)))
    }
}

fn clip(hidden: usize, layers: usize, heads: usize, act: &str, projection: Option<usize>) -> Value {
    let class = if projection.is_some() { "CLIPTextModelWithProjection" } else { "CLIPTextModel" };
    json!({
        "hidden_size": hidden, "intermediate_size": 4 * hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "hidden_act": act, "projection_dim": projection, "architectures": [class],
    })
}

/// The published models' configurations, as far as they are not diffusers' defaults.
fn published(id: &str) -> Vec<(&'static str, Value)> {
    let vae = (
        "vae",
        json!({
            "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
            "down_block_types": vec!["DownEncoderBlock2D"; 4], "up_block_types": vec!["UpDecoderBlock2D"; 4],
        }),
    );
    let (cross_down, cross_up) = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D");
    match id {
        "sd1" => {
            vec![("unet", json!({"cross_attention_dim": 768})), vae, ("text_encoder", clip(768, 12, 12, "quick_gelu", None))]
        }
        "sd2" => vec![
            ("unet", json!({"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20]})),
            vae,
            ("text_encoder", clip(1024, 24, 16, "gelu", None)),
        ],
        _ => vec![
            (
                "unet",
                json!({
                    "block_out_channels": [320, 640, 1280], "down_block_types": ["DownBlock2D", cross_down, cross_down],
                    "up_block_types": [cross_up, cross_up, "UpBlock2D"], "transformer_layers_per_block": [1, 2, 10],
                    "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048, "addition_embed_type": "text_time",
                    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
                }),
            ),
            vae,
            ("text_encoder", clip(768, 12, 12, "quick_gelu", None)),
            ("text_encoder_2", clip(1280, 32, 20, "gelu", Some(1280))),
        ],
    }
}

#[test]
fn checkpoints_of_real_size_are_found_whole() {
    let compute = compute();
    for (id, size, class, heads) in [
        ("sd1", [512, 512], SchedulerClass::Pndm, json!([8, 8, 8, 8])),
        ("sd2", [768, 768], SchedulerClass::Ddim, json!([5, 10, 20, 20])),
        ("sdxl", [1024, 1024], SchedulerClass::Euler, json!([5, 10, 20])),
    ] {
        let tensors = real_size(id, &published(id));
        let files: Rc<dyn Files> = Rc::new(Outlined(tensors));
        let model = family::load(&files, None, &compute, Keep::InTurn).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!((model.family.id, model.size, model.scheduler.class), (id, size, class));
        assert!(model.latent.preview.is_some(), "{id}: the autoencoder is the usual one");
        let config = family::configuration(&files, "unet/config.json").unwrap().unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["attention_head_dim"], heads, "{id}");
        if id == "sdxl" {
            assert_eq!(config["transformer_layers_per_block"], json!([[1, 1], [2, 2], [10, 10]]));
            assert_eq!(config["addition_time_embed_dim"], 256);
        }
        for (part, known) in published(id).into_iter().filter(|(part, _)| part.starts_with("text")) {
            let config = family::configuration(&files, &format!("{part}/config.json")).unwrap().unwrap();
            let config: Value = serde_json::from_slice(&config).unwrap();
            // SD 2 leaves the last layer aside.
            let layers = known["num_hidden_layers"].as_u64().map(|layers| layers - u64::from(id == "sd2"));
            assert_eq!(config["num_hidden_layers"].as_u64(), layers, "{id}: {part}");
            assert_eq!(
                (&config["num_attention_heads"], &config["hidden_act"]),
                (&known["num_attention_heads"], &known["hidden_act"])
            );
        }
    }
    // SD 2 made from a folder of diffusers has lost that layer already.
    let mut parts = published("sd2");
    parts[2] = ("text_encoder", clip(1024, 23, 16, "gelu", None));
    let files: Rc<dyn Files> = Rc::new(Outlined(real_size("sd2", &parts)));
    let config = family::configuration(&files, "text_encoder/config.json").unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&config).unwrap()["num_hidden_layers"], 23);
}

#[test]
fn what_is_predicted_is_told_by_marks_metadata_or_custom() {
    let file = |id: &str| match id {
        "sd2" => Checkpoint::zeros(&[("cond_stage_model.model.ln_final.bias", &[1]), ("model.diffusion_model.out.0.bias", &[1])]),
        _ => Checkpoint::zeros(&[
            ("conditioner.embedders.0.transformer.x", &[1]),
            ("conditioner.embedders.1.model.ln_final.bias", &[1]),
        ]),
    };
    let mark = |file: Checkpoint, name: &str| {
        let empty = Array { dtype: safetensors::Dtype::F32, shape: vec![0], bytes: Vec::new() };
        file.with(name, empty)
    };
    let (v, epsilon) = (Prediction::V, Prediction::Epsilon);
    let prediction = "modelspec.prediction_type";
    let architecture = "modelspec.architecture";
    let base = "ss_base_model_version";
    for (file, expected) in [
        (file("sd2"), (v, false, None)),
        (file("sdxl"), (epsilon, false, None)),
        (mark(file("sdxl"), "v_pred"), (v, false, Some("v_pred"))),
        (mark(mark(file("sdxl"), "v_pred"), "ztsnr"), (v, true, Some("v_pred"))),
        (file("sdxl").with("v_pred", Array::zeros(&[1])), (v, false, Some("v_pred"))),
        (file("sdxl").says(prediction, "v"), (v, false, Some(prediction))),
        (file("sd2").says(prediction, "epsilon"), (epsilon, false, Some(prediction))),
        (file("sd2").says(prediction, "something new"), (v, false, None)),
        (file("sd2").says(architecture, "stable-diffusion-v2-512"), (epsilon, false, Some(architecture))),
        (file("sd2").says(architecture, "stable-diffusion-v2-768-v"), (v, false, Some(architecture))),
        (file("sdxl").says(base, "sdxl_base_v1-0").says("ss_zero_terminal_snr", "True"), (epsilon, true, None)),
        (file("sd2").says(base, "sd_v2_v"), (v, false, Some(base))),
    ] {
        let bytes = file.bytes();
        let header = Header::read(&bytes).unwrap_or_else(|error| panic!("{error}"));
        let outline = Outline::new(&header);
        let found = outline.predicted(outline.family().unwrap());
        assert_eq!((found.prediction, found.zero_snr, found.told_by), expected, "{:?}", file.metadata);
    }
}

#[test]
fn a_user_may_know_better() {
    let mut single = Single::model("sd2", &Checkpoint::single_file("sd2"));
    for (asked, expected, size) in [(None, Prediction::V, 768), (Some(Prediction::Epsilon), Prediction::Epsilon, 512)] {
        single.prediction = asked;
        let files = single.files();
        let config = family::configuration(&files, "scheduler/scheduler_config.json").unwrap().unwrap();
        assert_eq!(SchedulerConfig::from_json(&config).unwrap().prediction(), expected);
        let vae: Value = serde_json::from_slice(&family::configuration(&files, "vae/config.json").unwrap().unwrap()).unwrap();
        assert_eq!(vae["sample_size"], json!([size, size]));
    }
    // The header may know better than the family what size the pictures had.
    let spec = Checkpoint::single_file("sd2").says("modelspec.resolution", "640x512");
    let vae = family::configuration(&Single::new(&spec).files(), "vae/config.json").unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&vae).unwrap()["sample_size"], json!([512, 640]));
}

#[test]
fn a_unet_that_was_distilled_is_told_the_guidance() {
    let config = Folder::open("models/lcm_unet").0.remove("config.json").unwrap();
    let parameters = shell("unet", &config);
    let keys = family("sd1").keys("unet", &parameters).unwrap();
    let weights = Checkpoint::read(&crate::common::golden_dir().join("models/lcm_unet/diffusion_pytorch_model.safetensors"));
    let mut file = Checkpoint::single_file("sd15").without("model.diffusion_model.").says("ss_zero_terminal_snr", "True");
    for Parameter { name, .. } in &parameters {
        let place = keys.candidates(name).next().unwrap();
        file = file.with(&place.tensor, weights.tensors[name].clone());
    }
    assert!(file.tensors.contains_key("model.diffusion_model.time_embed.cond_proj.weight"));
    let files = Single::model("sd15", &file).files();
    let model = family::load(&files, None, &compute(), Keep::InTurn).unwrap_or_else(|error| panic!("{error}"));
    assert!(model.is_distilled);
    assert_eq!((model.scheduler.class, model.scheduler.is_zero_snr()), (SchedulerClass::Lcm, true));
    assert_eq!(shell("unet", &family::configuration(&files, "unet/config.json").unwrap().unwrap()), parameters);
}
