//! The denoising network against diffusers.

use std::time::{Duration, Instant};

use crate::common::{Goldens, device, models};
use burn::tensor::{Device, Tensor};
use encaustic_engine::model::unet::{AddedConditioning, ControlResiduals, UNet, UNetConfig, UNetInput, guidance_embedding};
use encaustic_engine::weights::{KeyMap, parameter_count};

const TOLERANCE: f64 = 1e-4;

fn unet(path: &str, device: &Device) -> UNet {
    let config = UNetConfig::parse(&models::config_text(path)).unwrap();
    models::load(UNet::new(&config, device).unwrap(), path, &KeyMap::identity(), device)
}

/// The inputs of one golden case, from which calls are made.
struct Case {
    goldens: Goldens,
    unet: UNet,
    device: Device,
}

impl Case {
    fn open(file: &str, model: &str) -> Self {
        let device = device();
        Self { goldens: Goldens::open(file), unet: unet(model, &device), device }
    }

    /// Runs the network on `unet/<x>` with the first `batch` rows and `tokens` tokens of the text.
    fn run(&self, x: &str, timesteps: &[f32], batch: usize, tokens: usize, act: Option<&mut Vec<String>>) -> Tensor<4> {
        let tensor = |name: &str| format!("unet/{name}");
        let context = self.goldens.tensor::<3>(&tensor("ctx"), &self.device);
        let numbers: Vec<Vec<f32>> = if self.goldens.has("unet/time_ids") {
            self.goldens.f32("unet/time_ids").chunks(6).take(batch).map(<[f32]>::to_vec).collect()
        } else {
            Vec::new()
        };
        let added = self.goldens.has("unet/text_embeds").then(|| AddedConditioning {
            text: self.goldens.tensor::<2>("unet/text_embeds", &self.device).narrow(0, 0, batch),
            numbers: &numbers,
        });
        let input = UNetInput {
            sample: self.goldens.tensor(&tensor(x), &self.device),
            timesteps,
            context: context.narrow(0, 0, batch).narrow(1, 0, tokens),
            added,
            guidance: None,
            control: None,
        };
        self.unet.accepts(&input).unwrap();
        let Some(seen) = act else {
            return self.unet.forward(input);
        };
        self.unet.forward_observed(input, &mut |name, value| {
            let recorded = format!("unet/act/{name}");
            // The activations were recorded for the first picture of the batch.
            let first = value.clone().narrow(0, 0, 1);
            match self.goldens.shape(&recorded).len() {
                2 => {
                    let features = first.dims()[1];
                    self.goldens.check(&recorded, first.reshape([1, features]), TOLERANCE);
                }
                _ => self.goldens.check(&recorded, first, TOLERANCE),
            }
            seen.push(recorded);
        })
    }
}

#[test]
fn unets_match_diffusers() {
    for (file, model) in [
        ("sd15_modules", "models/sd15/unet"),
        ("sd2_modules", "models/sd2/unet"),
        ("sdxl_modules", "models/sdxl/unet"),
        ("inpaint9", "models/inpaint_unet"),
    ] {
        let case = Case::open(file, model);
        let check = |name: &str, out| case.goldens.check(&format!("unet/{name}"), out, TOLERANCE);
        let mut seen = Vec::new();
        check("out_t981", case.run("x", &[981.0], 2, 77, Some(&mut seen)));
        let recorded = case.goldens.names().into_iter().filter(|name| name.starts_with("unet/act/"));
        seen.sort();
        assert_eq!(seen, recorded.collect::<Vec<_>>(), "{file}: every recorded block is compared");

        check("out_t1", case.run("x", &[1.0], 2, 77, None));
        check("out_t1", case.run("x", &[1.0, 1.0], 2, 77, None));
        check("out_t_batch", case.run("x", &[999.0, 37.0], 2, 77, None));
        check("out_t_float", case.run("x", &[431.627], 2, 77, None));
        check("out_short_ctx", case.run("x", &[981.0], 2, 7, None));
        if case.goldens.has("unet/out_odd") {
            check("out_odd", case.run("x_odd", &[500.0], 1, 77, None));
        }

        let params = crate::common::golden_json(file)["cases"]["unet"]["params"].as_u64().unwrap();
        assert_eq!(parameter_count(&case.unet), params, "{file}");
    }
}

#[test]
fn guidance_is_embedded_as_in_lcm() {
    let case = Case::open("lcm", "models/lcm_unet");
    let features = case.unet.facts().guidance_features.unwrap();
    // Recorded for w, which is the guidance scale less one.
    let guidance = guidance_embedding(&[7.5, 0.5], features, &case.device);
    case.goldens.check("guidance_embedding_7.5_0.5", guidance.clone(), 1e-5);
    let input = UNetInput {
        sample: case.goldens.tensor("unet/x", &case.device),
        timesteps: &[981.0],
        context: case.goldens.tensor("unet/ctx", &case.device),
        added: None,
        guidance: Some(guidance),
        control: None,
    };
    case.unet.accepts(&input).unwrap();
    case.goldens.check("unet/out_t981", case.unet.forward(input), TOLERANCE);
}

#[test]
fn control_residuals_are_added() {
    let case = Case::open("control", "models/sd15/unet");
    let tensor = |name: &str| case.goldens.tensor::<4>(name, &case.device);
    let down: Vec<Tensor<4>> = (0..case.unet.facts().skips).map(|i| tensor(&format!("down.{i}"))).collect();
    let input = UNetInput {
        sample: tensor("x"),
        timesteps: &[981.0],
        context: case.goldens.tensor("ctx", &case.device),
        added: None,
        guidance: None,
        control: Some(ControlResiduals { down, mid: tensor("mid") }),
    };
    case.unet.accepts(&input).unwrap();
    case.goldens.check("out_t981", case.unet.forward(input), TOLERANCE);
}

#[test]
fn inputs_are_checked() {
    let device = device();
    let unet = unet("models/sdxl/unet", &device);
    let numbers = vec![vec![64.0, 96.0, 0.0, 0.0, 64.0, 96.0]; 2];
    let good = UNetInput {
        sample: Tensor::zeros([2, 4, 8, 12], &device),
        timesteps: &[1.0],
        context: Tensor::zeros([2, 77, 56], &device),
        added: Some(AddedConditioning { text: Tensor::zeros([2, 24], &device), numbers: &numbers }),
        guidance: None,
        control: None,
    };
    unet.accepts(&good).unwrap();
    let with = |change: &dyn Fn(&mut UNetInput<'_>)| {
        let mut input = good.clone();
        change(&mut input);
        unet.accepts(&input).unwrap_err().to_string()
    };
    type Change<'a> = &'a dyn Fn(&mut UNetInput<'_>);
    let cases: [(&str, Change<'_>); 10] = [
        ("4 channels", &|i| i.sample = Tensor::zeros([2, 9, 8, 12], &device)),
        ("1 or 2", &|i| i.timesteps = &[1.0, 2.0, 3.0]),
        ("1 or 2", &|i| i.timesteps = &[]),
        ("2 rows of 56 features", &|i| i.context = Tensor::zeros([2, 77, 32], &device)),
        ("2 rows of 56 features", &|i| i.context = Tensor::zeros([1, 77, 56], &device)),
        ("micro-conditioning", &|i| i.added = None),
        ("pooled text", &|i| {
            i.added = Some(AddedConditioning { text: Tensor::zeros([2, 23], &device), numbers: &[] });
        }),
        ("equal rows", &|i| {
            if let Some(added) = &mut i.added {
                added.numbers = &added.numbers[..1];
            }
        }),
        ("guidance", &|i| i.guidance = Some(Tensor::zeros([2, 16], &device))),
        ("ControlNet", &|i| {
            i.control = Some(ControlResiduals { down: vec![], mid: Tensor::zeros([1, 1, 1, 1], &device) });
        }),
    ];
    for (expected, change) in cases {
        let message = with(change);
        assert!(message.contains(expected), "{message:?} should mention {expected:?}");
    }
}

const SD15: &str = r#"{"attention_head_dim": 8, "cross_attention_dim": 768}"#;
const SD2: &str = r#"{"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": true,
    "dual_cross_attention": false, "only_cross_attention": false, "num_class_embeds": null, "upcast_attention": true}"#;
const SDXL: &str = r#"{"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "projection_class_embeddings_input_dim": 2816, "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": true}"#;

/// The real networks' sizes come out of their configurations, and describing one costs next to nothing.
#[test]
fn full_size_networks_are_described_at_once() {
    let device = device();
    for (name, config, expected) in [("SD 1.5", SD15, 859_520_964), ("SD 2", SD2, 865_910_724), ("SDXL", SDXL, 2_567_463_684)] {
        let start = Instant::now();
        let unet = UNet::new(&UNetConfig::parse(config.as_bytes()).unwrap(), &device).unwrap();
        let count = parameter_count(&unet);
        assert!(start.elapsed() < Duration::from_secs(1), "{name} took {:?}", start.elapsed());
        assert_eq!(count, expected, "{name}");
    }
}

/// Each change to SD 1.5's configuration is refused, with the field named.
#[test]
fn configurations_are_checked() {
    let refuse = |text: &str| match UNetConfig::parse(text.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(config) => UNet::new(&config, &device()).err().map_or_else(|| format!("{text} is accepted"), |e| e.to_string()),
    };
    for (change, expected) in [
        (r#""down_block_types": ["AttnDownBlock2D","DownBlock2D","DownBlock2D","DownBlock2D"]"#, "down_block_types"),
        (r#""up_block_types": ["UpBlock2D","UpBlock2D","UpBlock2D","SkipUpBlock2D"]"#, "CrossAttnUpBlock2D"),
        (r#""up_block_types": ["UpBlock2D"]"#, "up_block_types"),
        (r#""mid_block_type": "UNetMidBlock2DSimpleCrossAttn""#, "mid_block_type"),
        (r#""act_fn": "snake""#, "act_fn"),
        (r#""class_embed_type": "timestep""#, "class_embed_type"),
        (r#""num_class_embeds": 7"#, "num_class_embeds"),
        (r#""dual_cross_attention": true"#, "dual_cross_attention"),
        (r#""addition_embed_type": "image""#, "addition_embed_type"),
        (r#""addition_embed_type": "text_time""#, "addition_time_embed_dim"),
        (r#""encoder_hid_dim_type": "image_proj""#, "encoder_hid_dim_type"),
        (r#""resnet_time_scale_shift": "scale_shift""#, "resnet_time_scale_shift"),
        (r#""time_embedding_type": "fourier""#, "time_embedding_type"),
        (r#""attention_type": "gated""#, "attention_type"),
        (r#""attention_head_dim": 7"#, "attention_head_dim"),
        (r#""attention_head_dim": 0"#, "attention_head_dim"),
        (r#""attention_head_dim": [8, 8]"#, "attention_head_dim"),
        (r#""num_attention_heads": 7"#, "num_attention_heads"),
        (r#""block_out_channels": []"#, "block_out_channels"),
        (r#""block_out_channels": [320, 640, 1280]"#, "down_block_types"),
        (r#""block_out_channels": [320, 640, 1280, 0]"#, "block_out_channels"),
        (r#""block_out_channels": [320, 640, 1280, 1048608]"#, "block_out_channels"),
        (r#""block_out_channels": [320, 640, 1280, 1283]"#, "attention_head_dim"),
        (r#""norm_num_groups": 33"#, "norm_num_groups"),
        (r#""norm_num_groups": null"#, "norm_num_groups"),
        (r#""norm_num_groups": 0"#, "norm_num_groups"),
        (r#""norm_eps": 0"#, "norm_eps"),
        (r#""norm_eps": -1e-5"#, "norm_eps"),
        (r#""in_channels": 0"#, "in_channels"),
        (r#""out_channels": 99999999"#, "out_channels"),
        (r#""in_channels": -4"#, "in_channels"),
        (r#""layers_per_block": 0"#, "layers_per_block"),
        (r#""layers_per_block": 100000"#, "layers_per_block"),
        (r#""transformer_layers_per_block": 1e9"#, "config.json"),
        (r#""transformer_layers_per_block": 1000000"#, "transformer_layers_per_block"),
        (r#""transformer_layers_per_block": [1, 1]"#, "transformer_layers_per_block"),
        (r#""cross_attention_dim": [768, 1024, 768, 768]"#, "cross_attention_dim"),
        (r#""conv_in_kernel": 4"#, "conv_in_kernel"),
        (r#""freq_shift": 2"#, "freq_shift"),
        (r#""time_cond_proj_dim": 0"#, "time_cond_proj_dim"),
        (r#""in_channels": 4"#, ""),
    ] {
        if expected.is_empty() {
            let text = format!("{{{change}}}");
            UNet::new(&UNetConfig::parse(text.as_bytes()).unwrap(), &device()).unwrap();
            continue;
        }
        let message = refuse(&format!("{{{change}}}"));
        assert!(message.contains(expected), "{change}: {message:?} should mention {expected:?}");
    }
    for text in ["", "[]", "{", "{\"in_channels\": \"four\"}"] {
        assert!(refuse(text).contains("config.json"), "{text:?}");
    }
}
