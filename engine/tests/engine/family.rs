//! Loading models: what is recognised, what is refused, and in which words.

use crate::common::folder::Folder;
use crate::common::run::{compute, load};
use encaustic_engine::error::GenerateError;
use encaustic_engine::family::{self, Keep};
use encaustic_engine::latent::LatentFormat;
use encaustic_engine::sampling::SamplerKind;
use encaustic_engine::schedule::ScheduleKind;
use encaustic_engine::settings::resolve;
use encaustic_protocol::Request;
use serde_json::{Value, json};

#[test]
fn families_are_recognised_by_their_configurations() {
    for (folder, id) in [("models/sd15", "sd1"), ("models/sd2", "sd2"), ("models/sdxl", "sdxl")] {
        let model = load(&Folder::open(folder));
        assert_eq!(model.family.id, id);
        assert_eq!(model.size, [64, 64], "unet.sample_size times the vae's factor");
        let LatentFormat { channels, factor, preview, .. } = model.latent;
        assert_eq!((channels, factor, preview.is_some()), (4, 8, false), "small autoencoders have colours of their own");
    }
}

#[test]
fn what_nobody_says_comes_from_the_model_and_its_family() {
    let cases = [
        ("models/sd15", SamplerKind::Pndm, ScheduleKind::Leading, 7.0),
        ("models/sd2", SamplerKind::Ddim, ScheduleKind::Leading, 7.0),
        ("models/sdxl", SamplerKind::Euler, ScheduleKind::Leading, 5.0),
    ];
    for (folder, sampler, schedule, cfg) in cases {
        let model = load(&Folder::open(folder));
        let settings = resolve(&Request::default(), &model, 5).unwrap();
        assert_eq!((settings.sampler, settings.schedule), (sampler, schedule), "{folder}");
        assert_eq!((settings.width, settings.height, settings.steps, settings.guidance.scale), (64, 64, 25, cfg), "{folder}");
        assert_eq!((settings.seed, settings.seeds()), (5, vec![5]));
    }
}

#[test]
fn a_model_s_own_settings_come_before_its_family_s_and_after_the_user_s() {
    let own = br#"{"steps": 9, "cfg": 3.5, "sampler": "dpm++ 2m", "schedule": "karras", "width": 128, "guidance_rescale": 0.5}"#;
    let model = load(&Folder::open("models/sd15").with("encaustic.json", own));
    let settings = resolve(&Request { steps: Some(4), ..Request::default() }, &model, 0).unwrap();
    assert_eq!((settings.steps, settings.guidance.scale, settings.guidance.rescale), (4, 3.5, 0.5));
    assert_eq!((settings.sampler, settings.schedule), (SamplerKind::Dpmpp2m, ScheduleKind::Karras));
    assert_eq!((settings.width, settings.height), (128, 64));
}

#[test]
fn a_guidance_distilled_unet_has_other_habits() {
    let folder = Folder::open("models/sd15").with_component("unet", Folder::open("models/lcm_unet"));
    let model = load(&folder);
    assert!(model.is_distilled);
    let settings = resolve(&Request::default(), &model, 0).unwrap();
    assert_eq!((settings.steps, settings.guidance.scale), (4, 8.0));
    assert!(!model.is_guided(settings.guidance), "it is told the guidance and predicts once");
}

#[test]
fn another_autoencoder_takes_the_place_of_the_model_s() {
    let files = Folder::open("models/sd15").files();
    let tiny = Folder::open("models/taesd").files();
    let compute = compute();
    let model = family::load(&files, Some(&tiny), &compute, Keep::All).unwrap();
    assert_eq!((model.latent.scale, model.latent.factor), (1.0, 8));
    let whole = Folder::open("models/sdxl").files();
    let model = family::load(&files, Some(&whole), &compute, Keep::All).unwrap();
    assert_eq!(model.latent.scale, 0.13025, "a whole model's folder will do");
    let none = Folder::default().files();
    let error = family::load(&files, Some(&none), &compute, Keep::InTurn).unwrap_err().to_string();
    assert!(error.contains("vae/config.json"), "{error}");
}

#[test]
fn what_is_wrong_with_a_folder_is_named() {
    let model = || Folder::open("models/sd15");
    let set = |key: &'static str, value: Value| move |config: &mut Value| config[key] = value;
    let cases = [
        (Folder::default(), "no model_index.json"),
        (model().without("unet/config.json"), "no unet/config.json"),
        (model().without("vae/config.json"), "no vae/config.json"),
        (model().without("text_encoder/config.json"), "no text_encoder/config.json"),
        (model().without("scheduler/scheduler_config.json"), "no scheduler/scheduler_config.json"),
        (model().without("unet/diffusion_pytorch_model.safetensors"), "unet: no weights here"),
        (model().without("text_encoder/model.safetensors").with("text_encoder/pytorch_model.bin", b"x"), "can run programs"),
        (model().without("tokenizer/merges.txt"), "tokenizer: the tokenizer has a vocab.json but no merges.txt"),
        (model().with("model_index.json", b"{"), "model_index.json is not valid JSON"),
        (model().with("unet/config.json", b"[]"), "unet"),
        (model().with("unet/diffusion_pytorch_model.safetensors", b"x"), "unet: diffusion_pytorch_model.safetensors"),
        (model().edit("model_index.json", set("text_encoder", json!([null, null]))), "no text encoder, which no family here"),
        (model().edit("model_index.json", set("text_encoder_2", json!(["t", "T5"]))), "text_encoder and text_encoder_2"),
        (
            Folder::open("models/sdxl").edit("model_index.json", set("text_encoder", json!([null, null]))),
            "Stable Diffusion XL refiner, which finishes what another model has begun",
        ),
        (model().edit("unet/config.json", set("in_channels", json!(9))), "unet: the weights do not fit"),
        (model().with_component("unet", Folder::open("models/inpaint_unet")), "a model for inpainting"),
        (model().edit("vae/config.json", set("_class_name", json!("VQModel"))), "\"VQModel\"; known are AutoencoderKL"),
        (model().edit("scheduler/scheduler_config.json", set("_class_name", json!("X"))), "class \"X\" is not known"),
        (model().edit("unet/config.json", set("cross_attention_dim", json!(48))), "unet"),
        (model().with("encaustic.json", br#"{"stepz": 3}"#), "encaustic.json: unknown field `stepz`"),
        (model().with("encaustic.json", br#"{"steps": 3, "negative": "blurry"}"#), "encaustic.json: a model may set sampler"),
        (model().with("encaustic.json", br#"{"steps": 0}"#), "encaustic.json: steps: 0 is not allowed"),
    ];
    let compute = compute();
    for (folder, message) in cases {
        match family::load(&folder.files(), None, &compute, Keep::InTurn) {
            Ok(_) => panic!("this should have failed: {message}"),
            Err(error) => assert!(error.to_string().contains(message), "{error} (should say: {message})"),
        }
    }
}

#[test]
fn requests_that_this_model_cannot_meet_are_refused() {
    let model = load(&Folder::open("models/sd15"));
    let cases = [
        (Request { width: Some(100), ..Request::default() }, "width: 100"),
        (Request { sampler: Some("eulr".into()), ..Request::default() }, "did you mean \"euler\"?"),
        (Request { schedule: Some("karas".into()), ..Request::default() }, "did you mean \"karras\"?"),
        (Request { steps: Some(0), ..Request::default() }, "steps: 0"),
    ];
    for (request, message) in cases {
        let error = resolve(&request, &model, 0).unwrap_err();
        assert!(matches!(error, GenerateError::Invalid(_)));
        assert!(error.to_string().contains(message), "{error}");
    }
    let settings = resolve(&Request { clip_skip: Some(4), ..Request::default() }, &model, 0).unwrap();
    let error = model.reader().unwrap().condition(&settings.prompts, settings.guidance).unwrap_err().to_string();
    assert!(error.contains("clip_skip: 4 is not allowed with this model; use a whole number from 1 to 3"), "{error}");
}
