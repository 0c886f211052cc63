//! The autoencoder against diffusers.

use crate::common::{Goldens, device, models};
use burn::tensor::{Device, Tensor};
use encaustic_engine::model::vae::{Tiling, Vae, VaeConfig};
use encaustic_engine::weights::parameter_count;

const TOLERANCE: f64 = 1e-4;
const MODEL: &str = "models/sd15/vae";

fn vae(device: &Device) -> Vae {
    let config = VaeConfig::parse(&models::config_text(MODEL)).unwrap();
    models::load(Vae::new(&config, device).unwrap(), MODEL, &Vae::keys(), device)
}

#[test]
fn encoding_matches_diffusers() {
    let device = device();
    let goldens = Goldens::open("sd15_modules");
    let mut seen = 0;
    let moments = vae(&device).encode_observed(goldens.tensor("vae/image", &device), &mut |name, value| {
        let recorded = format!("vae/enc/{name}");
        if goldens.has(&recorded) {
            goldens.check(&recorded, value.clone(), TOLERANCE);
            seen += 1;
        }
    });
    assert_eq!(seen, 3, "recorded parts of the encoder");
    goldens.check("vae/mean", moments.mean.clone(), TOLERANCE);
    goldens.check("vae/logvar", moments.log_variance.clone(), TOLERANCE);
    let sample = moments.sample(goldens.tensor("vae/sample_noise", &device));
    goldens.check("vae/sample", sample, TOLERANCE);
}

#[test]
fn decoding_matches_diffusers() {
    let device = device();
    let goldens = Goldens::open("sd15_modules");
    let mut seen = 0;
    let picture = vae(&device).decode_observed(goldens.tensor("vae/latent", &device), &mut |name, value| {
        let recorded = format!("vae/dec/{name}");
        if goldens.has(&recorded) {
            goldens.check(&recorded, value.clone(), TOLERANCE);
            seen += 1;
        }
    });
    assert_eq!(seen, 2, "recorded parts of the decoder");
    goldens.check("vae/decoded", picture, TOLERANCE);
}

#[test]
fn log_variance_is_limited() {
    let device = device();
    // An encoder's overflow must not make infinite or vanishing noise.
    let goldens = Goldens::open("sd15_modules");
    let wild = goldens.tensor::<4>("vae/image", &device) * 1e6;
    let values = crate::common::goldens::to_f64(vae(&device).encode(wild).log_variance);
    assert!(values.iter().all(|value| (-30.0..=20.0).contains(value)));
}

/// Tiles as diffusers cuts and blends them.
#[test]
fn tiling_matches_diffusers() {
    let device = device();
    let goldens = Goldens::open("vae_tiling");
    let vae = vae(&device);
    let tiling = Tiling::of_size(vae.facts().sample_size);
    let picture = goldens.tensor::<4>("image", &device);
    let latent = goldens.tensor::<4>("latent", &device);
    assert!(tiling.splits(picture.dims()[2], picture.dims()[3]));
    let moments = vae.encode_tiled(picture, tiling);
    goldens.check("mean", moments.mean, TOLERANCE);
    goldens.check("logvar", moments.log_variance, TOLERANCE);
    goldens.check("decoded", vae.decode_tiled(latent, tiling), TOLERANCE);
}

#[test]
fn one_tile_is_the_whole() {
    let device = device();
    let vae = vae(&device);
    let latent = Goldens::open("sd15_modules").tensor::<4>("vae/latent", &device);
    // Tiles that start past the first are thrown away where the first covers everything.
    let whole = vae.decode(latent.clone());
    let tiled = vae.decode_tiled(latent, Tiling { sample_size: 96, overlap: 0.0 });
    assert_eq!(crate::common::goldens::to_f64(whole), crate::common::goldens::to_f64(tiled));
}

/// The attention's projections were called otherwise, and were convolutions, in older files.
#[test]
fn old_names_load() {
    let device = device();
    let bytes = std::fs::read(models::folder(MODEL).join("diffusion_pytorch_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut renamed = 0;
    let tensors: Vec<(String, safetensors::tensor::TensorView<'_>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let pairs = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
            match pairs.iter().find(|(new, _)| name.contains(new)) {
                None => (name, view),
                Some((new, old)) => {
                    renamed += 1;
                    let mut shape = view.shape().to_vec();
                    if shape.len() == 2 {
                        shape.extend([1, 1]);
                    }
                    let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
                    let data = &bytes[offset..offset + view.data().len()];
                    (name.replace(new, old), safetensors::tensor::TensorView::new(view.dtype(), shape, data).unwrap())
                }
            }
        })
        .collect();
    assert_eq!(renamed, 16);
    let old = safetensors::serialize(tensors, None).unwrap();
    let checkpoint = encaustic_engine::weights::Checkpoint::single("old", old).unwrap();
    let config = VaeConfig::parse(&models::config_text(MODEL)).unwrap();
    let empty = Vae::new(&config, &device).unwrap();
    let keys = Vae::keys();
    let loaded = encaustic_engine::weights::load_into(empty, "vae", &checkpoint, &keys, burn::tensor::FloatDType::F32, &device);
    let latent = Goldens::open("sd15_modules").tensor::<4>("vae/latent", &device);
    let [here, there] = [vae(&device), loaded.unwrap()].map(|vae| crate::common::goldens::to_f64(vae.decode(latent.clone())));
    assert_eq!(here, there);
}

#[test]
fn full_size_networks_are_described() {
    let config = r#"{"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "sample_size": 512,
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}"#;
    let vae = Vae::new(&VaeConfig::parse(config.as_bytes()).unwrap(), &device()).unwrap();
    assert_eq!(parameter_count(&vae), 83_653_863);
    assert_eq!(vae.facts().compression, 8);
    assert_eq!(vae.facts().scaling_factor, 0.18215);
}

#[test]
fn configurations_are_checked() {
    for (change, expected) in [
        (r#""down_block_types": ["AttnDownEncoderBlock2D"]"#, "down_block_types"),
        (r#""up_block_types": []"#, "up_block_types"),
        (r#""block_out_channels": [64, 64]"#, "down_block_types"),
        (r#""block_out_channels": [48]"#, "norm_num_groups"),
        (r#""act_fn": "sine""#, "act_fn"),
        (r#""scaling_factor": 0"#, "scaling_factor"),
        (r#""scaling_factor": 1e999"#, "config.json"),
        (r#""latents_mean": [0, 0, 0, 0]"#, "latents_mean"),
        (r#""latent_channels": 0"#, "latent_channels"),
        (r#""layers_per_block": 999999"#, "layers_per_block"),
        (r#""sample_size": 0"#, "sample_size"),
    ] {
        let text = format!("{{{change}}}");
        let message = match VaeConfig::parse(text.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(config) => Vae::new(&config, &device()).unwrap_err().to_string(),
        };
        assert!(message.contains(expected), "{change}: {message:?} should mention {expected:?}");
    }
}

/// Pictures that the tiles do not divide evenly come out whole.
#[test]
fn tiles_of_any_size_join() {
    let device = device();
    let vae = vae(&device);
    for (height, width) in [(8, 8), (3, 17), (13, 9), (8, 25)] {
        let picture = vae.decode_tiled(Tensor::zeros([1, 4, height, width], &device), Tiling::of_size(64));
        assert_eq!(picture.dims(), [1, 3, 8 * height, 8 * width]);
        let latent = vae.encode_tiled(Tensor::zeros([1, 3, 8 * height, 8 * width], &device), Tiling::of_size(64));
        assert_eq!(latent.mean.dims(), [1, 4, height, width]);
    }
}
