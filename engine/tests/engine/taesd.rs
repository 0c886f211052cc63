//! The tiny autoencoder against diffusers.

use crate::common::{Goldens, device, models};
use burn::tensor::{Device, FloatDType};
use encaustic_engine::model::taesd::{Taesd, TaesdConfig};
use encaustic_engine::weights::{KeyMap, load_into, parameter_count};

const TOLERANCE: f64 = 1e-4;

fn check(taesd: &Taesd, device: &Device) {
    let goldens = Goldens::open("taesd");
    goldens.check("encoded", taesd.encode(goldens.tensor("image", device)), TOLERANCE);
    goldens.check("decoded", taesd.decode(goldens.tensor("latent", device)), TOLERANCE);
}

#[test]
fn diffusers_files_match() {
    let device = device();
    let config = TaesdConfig::parse(&models::config_text("models/taesd")).unwrap();
    let taesd = Taesd::new(&config, &device).unwrap();
    check(&models::load(taesd, "models/taesd", &KeyMap::identity(), &device), &device);
}

/// The author's two files bring no configuration: it is read off their layers.
#[test]
fn original_files_match() {
    let device = device();
    let file = |name: &str| models::checkpoint_file(&models::folder(&format!("files/{name}.safetensors")));
    let (encoder, decoder) = (file("taesd_encoder"), file("taesd_decoder"));
    let taesd = Taesd::new(&TaesdConfig::infer(Some(&encoder), Some(&decoder)), &device).unwrap();
    let (left, right) = taesd.clone().into_halves();
    let f32 = FloatDType::F32;
    let left = load_into(left, "encoder", &encoder, &Taesd::original_encoder_keys(), f32, &device).unwrap();
    let right = load_into(right, "decoder", &decoder, &Taesd::original_decoder_keys(), f32, &device).unwrap();
    check(&taesd.with_halves(left, right), &device);
}

#[test]
fn full_size_is_described() {
    let taesd = Taesd::new(&TaesdConfig::default(), &device()).unwrap();
    assert_eq!(parameter_count(&taesd), 2_445_063);
    assert_eq!(taesd.facts().compression, 8);
}

#[test]
fn configurations_are_checked() {
    for (change, expected) in [
        (r#""num_encoder_blocks": [1, 3]"#, "num_encoder_blocks"),
        (r#""decoder_block_out_channels": [64, 64, 64, 32]"#, "decoder_block_out_channels"),
        (r#""encoder_block_out_channels": []"#, "encoder_block_out_channels"),
        (r#""upsample_fn": "bilinear""#, "upsample_fn"),
        (r#""upsampling_scaling_factor": 1000"#, "upsampling_scaling_factor"),
        (r#""act_fn": "swoosh""#, "act_fn"),
        (r#""latent_channels": 0"#, "latent_channels"),
        (r#""num_decoder_blocks": [3, 3, 3, 1000000]"#, "num_decoder_blocks"),
    ] {
        let config = TaesdConfig::parse(format!("{{{change}}}").as_bytes()).unwrap();
        let message = Taesd::new(&config, &device()).unwrap_err().to_string();
        assert!(message.contains(expected), "{change}: {message:?} should mention {expected:?}");
    }
}
