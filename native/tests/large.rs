//! Models of real size, as holes in files: what is held to memory is the same whatever the numbers are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use common::{Run, command, copy, golden_model, scratch};
use encaustic_engine::device::{self, DeviceName, Precision};
use encaustic_engine::model::clip::{ClipConfig, ClipText};
use encaustic_engine::model::unet::{UNet, UNetConfig};
use encaustic_engine::weights::{Parameter, parameters};
use futures_lite::future::block_on;
use serde_json::{Value, json};

/// Changes fields of a configuration and gives its new text.
fn edit(path: &Path, fields: Value) -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let text = serde_json::to_vec(&config).unwrap();
    fs::write(path, &text).unwrap();
    text
}

/// Writes a file of zeros in f16 that takes no room on the disk.
fn hollow(path: &Path, parameters: &[Parameter]) {
    let mut table = serde_json::Map::new();
    let mut end = 0;
    for Parameter { name, shape } in parameters {
        let start = end;
        end += 2 * shape.iter().product::<usize>() as u64;
        table.insert(name.clone(), json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = Value::Object(table).to_string();
    let mut file = fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
}

/// Stable Diffusion 1.5 with a small VAE; the largest tensor is the table of so many words.
fn stable_diffusion(folder: &Path, words: usize) -> u64 {
    copy(&golden_model("sd15"), folder);
    let compute = block_on(device::open(DeviceName::Cpu, Some(Precision::F32))).unwrap();
    let unet = edit(
        &folder.join("unet/config.json"),
        json!({
            "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "cross_attention_dim": 768,
            "attention_head_dim": 8, "norm_num_groups": 32, "sample_size": 64,
            "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        }),
    );
    let unet = parameters(&UNet::new(&UNetConfig::parse(&unet).unwrap(), &compute.device).unwrap());
    let text = edit(
        &folder.join("text_encoder/config.json"),
        json!({
            "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            "max_position_embeddings": 77, "projection_dim": 768, "vocab_size": words,
        }),
    );
    let text = parameters(&ClipText::new(&ClipConfig::parse(&text).unwrap(), &compute.device).unwrap());
    hollow(&folder.join("unet/diffusion_pytorch_model.safetensors"), &unet);
    hollow(&folder.join("text_encoder/model.safetensors"), &text);
    let sizes = unet.iter().chain(&text).map(|parameter| 2 * parameter.shape.iter().product::<usize>() as u64);
    sizes.max().unwrap()
}

#[test]
#[ignore = "writes gigabytes"]
#[cfg(target_os = "linux")]
fn an_import_holds_little_of_the_model() {
    let home = scratch("large");
    // With as many words as make the table as large as that of Stable Diffusion XL's second encoder.
    let largest = stable_diffusion(&home.join("sd15"), 82_347);
    for dtype in ["f16", "q8", "q4", "f32"] {
        let out = home.join("packed");
        let model = home.join("sd15");
        let args = ["import", model.to_str().unwrap(), "--dtype", dtype, "--out", out.to_str().unwrap(), "--json"];
        let run = Run::new(&args, command().env("HOME", &home).args(args).output().unwrap());
        run.status(0);
        let report = run.json();
        assert!(report["read"].as_u64().unwrap() > 2_000_000_000, "{report}");
        let (peak, most) = (report["memory_peak"].as_u64().unwrap(), largest + (512 << 20));
        assert!(peak <= most, "{dtype}: {} MB, and {} MB are allowed", peak / 1_000_000, most / 1_000_000);
        let args = ["verify", out.to_str().unwrap()];
        Run::new(&args, command().env("HOME", &home).args(args).output().unwrap()).status(0);
        fs::remove_dir_all(&out).unwrap();
    }
    fs::remove_dir_all(&home).unwrap();
}
