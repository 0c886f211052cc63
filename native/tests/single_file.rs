//! Models in one file at the command line: told about, drawn with, and refused with a reason when they are something else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;
#[path = "../../tests/support/checkpoint.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Run, encaustic, golden_model, scratch, tensors};
use support::{Array, Checkpoint};

fn write(folder: &Path, name: &str, file: &Checkpoint) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, file.bytes()).unwrap();
    path
}

/// A folder with what cannot be told from the tensors of a reference model: its small heads and groups, its tokenizers.
fn config(folder: &Path, model: &str) -> PathBuf {
    let config = folder.join(format!("{model}-config"));
    for (path, text) in support::peculiarities(model) {
        fs::create_dir_all(config.join(&path).parent().unwrap()).unwrap();
        fs::write(config.join(path), text).unwrap();
    }
    for tokenizer in ["tokenizer", "tokenizer_2"] {
        let from = golden_model(model).join(tokenizer);
        if from.is_dir() {
            common::copy(&from, &config.join(tokenizer));
        }
    }
    config
}

/// Draws with a model; gives the picture's tensor and what was reported.
fn draw(folder: &Path, name: &str, args: &[&str]) -> (tensors::Array, serde_json::Value) {
    let dump = folder.join(format!("{name}.safetensors"));
    let out = folder.join(format!("{name}.png"));
    let usual = ["generate", "a red circle above a blue square", "--negative", "blurry", "--seed", "7", "--steps", "4"];
    let sizes = ["--width", "96", "--height", "64", "--device", "cpu", "--json"];
    let files = ["--dump-latents", dump.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let run = encaustic(&[&usual[..], &sizes, &files, args].concat());
    run.status(0);
    (tensors::read(&dump).remove("image").unwrap(), run.json())
}

#[test]
fn the_picture_is_that_of_the_folder() {
    let folder = scratch("single-picture");
    for (model, family) in [("sd15", "sd1"), ("sd2", "sd2"), ("sdxl", "sdxl")] {
        let reference = golden_model(model);
        let (expected, _) = draw(&folder, &format!("{model}-folder"), &["--model", reference.to_str().unwrap()]);
        let path = write(&folder, &format!("{model}.safetensors"), &Checkpoint::single_file(model));
        let config = config(&folder, model);
        let args = ["--model", path.to_str().unwrap(), "--config", config.to_str().unwrap()];
        let (found, report) = draw(&folder, &format!("{model}-file"), &args);
        let psnr = found.psnr(&expected, 1.0);
        assert!(psnr >= 60.0, "{model}: PSNR {psnr:.1} dB");
        assert_eq!((&report["model"], &report["family"]), (&model.into(), &family.into()));
        // The hash is the file's.
        let info = encaustic(&["info", path.to_str().unwrap(), "--json"]).json();
        assert_eq!(report["model_hash"], info["hash"], "{model}");
    }
}

#[test]
fn the_vae_beside_a_checkpoint_is_used() {
    let folder = scratch("single-sibling");
    let whole = Checkpoint::single_file("sd15");
    let config = config(&folder, "sd15");
    let config = config.to_str().unwrap();
    let reference = golden_model("sd15");
    let (expected, _) = draw(&folder, "folder", &["--model", reference.to_str().unwrap()]);
    let half = write(&folder, "half.safetensors", &whole.clone().without("first_stage_model."));
    let model = half.to_str().unwrap();

    let run = encaustic(&["generate", "x", "--model", model, "--config", config, "--device", "cpu"]);
    run.status(2);
    assert!(run.stderr.contains("the file has no VAE; give one (--vae)"), "{}", run.stderr);
    let info = encaustic(&["info", model]);
    assert!(info.stdout.contains("vae: give one with --vae"), "{}", info.stdout);

    // Given, in both namings.
    let vae = write(&folder, "vae.safetensors", &whole.only("first_stage_model."));
    let diffusers = write(&folder, "diffusers.safetensors", &Checkpoint::part("sd15", "vae"));
    for path in [&vae, &diffusers] {
        let (found, report) = draw(&folder, "given", &["--model", model, "--config", config, "--vae", path.to_str().unwrap()]);
        assert!(found.psnr(&expected, 1.0) >= 60.0, "{}", path.display());
        assert_eq!(report["model"], "half");
    }
    // Found, and told so.
    fs::copy(&vae, folder.join("half.vae.safetensors")).unwrap();
    let (found, _) = draw(&folder, "found", &["--model", model, "--config", config]);
    assert!(found.psnr(&expected, 1.0) >= 60.0);
    let png = encaustic(&["png-info", folder.join("found.png").to_str().unwrap()]);
    assert!(png.stdout.contains("half.vae"), "{}", png.stdout);
    let info = encaustic(&["info", model]);
    assert!(info.stdout.contains("half.vae.safetensors is used"), "{}", info.stdout);
    // It comes before the checkpoint's own, and after one that is asked for.
    let spoilt = whole.only("first_stage_model.").with("decoder.conv_out.bias", Array::zeros(&[3]));
    let other = write(&folder, "whole.safetensors", &whole);
    write(&folder, "whole.vae.safetensors", &spoilt);
    let (found, _) = draw(&folder, "spoilt", &["--model", other.to_str().unwrap(), "--config", config]);
    let (asked, _) =
        draw(&folder, "asked", &["--model", other.to_str().unwrap(), "--config", config, "--vae", vae.to_str().unwrap()]);
    assert!(asked.psnr(&expected, 1.0) >= 60.0);
    // The reference's last bias is zero, so only the hash tells the two apart.
    assert_eq!(found, asked);
    let (png, spoilt) = (folder.join("spoilt.png"), "VAE: whole.vae");
    assert!(encaustic(&["png-info", png.to_str().unwrap()]).stdout.contains(spoilt));
}

#[test]
fn a_file_is_described() {
    let folder = scratch("single-info");
    let file =
        Checkpoint::single_file("sd15").with("model_ema.decay", Array::zeros(&[1])).says("modelspec.title", "Tiny\u{1b}[2J");
    let path = write(&folder, "tiny.safetensors", &file);
    let run = encaustic(&["info", path.to_str().unwrap(), "--json"]);
    run.status(0);
    let report = run.json();
    let sha = report["sha256"].as_str().unwrap();
    assert_eq!((report["hash"].as_str().unwrap(), sha.len()), (&sha[..10], 64));
    let expected: [(&str, serde_json::Value); 8] = [
        ("model", "tiny".into()),
        ("what", "checkpoint of Stable Diffusion 1".into()),
        ("component", "checkpoint".into()),
        ("family", "sd1".into()),
        ("prediction_type", "epsilon".into()),
        ("hashed_file", "tiny.safetensors".into()),
        ("missing", serde_json::json!([])),
        ("parameters", (411_099 + 2000 + 77 + 1).into()),
    ];
    for (key, value) in expected {
        assert_eq!(report[key], value, "{key}");
    }
    assert_eq!(report["metadata"]["modelspec.title"], "Tiny\u{1b}[2J");

    let run = encaustic(&["info", path.to_str().unwrap()]);
    run.status(0);
    for word in ["Stable Diffusion 1", "epsilon (assumed", "F16", &sha[..10], "EMA", "text_encoder", "Tiny\\u{1b}[2J"] {
        assert!(run.stdout.contains(word), "{word:?} is missing:\n{}", run.stdout);
    }
    let lora = Checkpoint::zeros(&[("lora_unet_a_attn2_to_k.lora_down.weight", &[4, 768])]);
    let run = encaustic(&["info", write(&folder, "lora.safetensors", &lora).to_str().unwrap()]);
    run.status(0);
    assert!(run.stdout.contains("LoRA (kohya) for Stable Diffusion 1") && run.stdout.contains("rank 4"), "{}", run.stdout);
}

#[track_caller]
fn refused(run: &Run, words: &[&str]) {
    run.status(2);
    for word in words {
        assert!(run.stderr.contains(word), "{:?}: {word:?} is missing:\n{}", run.args, run.stderr);
    }
}

#[test]
fn what_is_no_model_is_refused_by_its_name() {
    let folder = scratch("single-refused");
    let sd15 = || Checkpoint::single_file("sd15");
    let input = "model.diffusion_model.input_blocks.0.0.weight";
    let channels = |count: usize| sd15().without(input).with(input, Array::zeros(&[8, count, 3, 3]));
    let refiner = sd15().without("cond_stage_model.").with("conditioner.embedders.0.model.ln_final.bias", Array::zeros(&[8]));
    let cases = [
        ("refiner", refiner, "Stable Diffusion XL refiner; it finishes what another model has begun"),
        ("inpainting", channels(9), "for inpainting; text to image needs"),
        ("pix2pix", channels(8), "for editing pictures (InstructPix2Pix)"),
        ("lora", Checkpoint::zeros(&[("lora_unet_x.lora_down.weight", &[4, 768])]), "this is a LoRA"),
        ("embedding", Checkpoint::zeros(&[("emb_params", &[1, 768])]), "this is a textual inversion"),
        ("vae", Checkpoint::part("sd15", "vae"), "a VAE is given with --vae"),
        ("unet", sd15().without("cond_stage_model.").without("first_stage_model."), "give the whole checkpoint"),
        // Its UNet is too small to tell the family by.
        ("text", sd15().without("cond_stage_model."), "this is a checkpoint; its family is not known here"),
        ("nothing", Checkpoint::zeros(&[("a.b", &[1])]), "no checkpoint of a family that is known here"),
        // Its heads and groups are not its family's, and it does not say so.
        ("unusual", sd15(), "give those that came with it"),
    ];
    for (name, file, words) in cases {
        let path = write(&folder, &format!("{name}.safetensors"), &file);
        let run = encaustic(&["generate", "x", "--model", path.to_str().unwrap(), "--device", "cpu"]);
        refused(&run, &["error: model: ", path.to_str().unwrap(), words]);
    }
    let model = write(&folder, "sd15.safetensors", &sd15());
    let lora = folder.join("lora.safetensors");
    let generate = |args: &[&str]| encaustic(&[&["generate", "x", "--device", "cpu"][..], args].concat());
    let (model, lora) = (model.to_str().unwrap(), lora.to_str().unwrap());
    let reference = golden_model("sd15");
    refused(&generate(&["--model", model, "--vae", lora]), &["vae: ", "this is a LoRA", "no VAE in it"]);
    refused(&generate(&["--model", model, "--prediction", "w"]), &["prediction: \"w\" is not known; give `epsilon`"]);
    refused(&generate(&["--model", model, "--config", model]), &["config: ", "not a folder"]);
    // What is only assumed is said, unless the user decides.
    let v = write(&folder, "v.safetensors", &Checkpoint::single_file("sd2").without("first_stage_model."));
    let said = "assumed that the UNet predicts v";
    refused(&generate(&["--model", v.to_str().unwrap()]), &[said, "--prediction epsilon"]);
    assert!(!generate(&["--model", v.to_str().unwrap(), "--prediction", "v"]).stderr.contains(said));
    // A configuration beside the file decides, and says so; one of another program does not.
    let yaml = v.with_extension("yaml");
    for (text, words) in [
        ("model:\n  params:\n    parameterization: \"v\"\n    unet_config:\n", Some("the UNet predicts v_prediction")),
        ("model:\n  params:\n    unet_config:\n", Some("the UNet predicts epsilon")),
        ("parameterization: v\n", None),
        ("unet_config:\nparameterization: x0", None),
    ] {
        fs::write(&yaml, text).unwrap();
        let told = generate(&["--model", v.to_str().unwrap()]).stderr;
        assert_eq!(told.contains(said), words.is_none(), "{text:?}: {told}");
        assert!(words.is_none_or(|words| told.contains(words)), "{text:?}: {told}");
        assert!(!generate(&["--model", v.to_str().unwrap(), "--prediction", "v"]).stderr.contains("yaml"));
    }
    fs::remove_file(yaml).unwrap();
    let folders = ["--model", reference.to_str().unwrap(), "--prediction", "v"];
    refused(&generate(&folders), &["prediction: this is for a model in one file"]);
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let folder = scratch("single-damaged");
    let good = Checkpoint::zeros(&[("emb_params", &[1, 768])]).bytes();
    let mut flipped = good.clone();
    flipped[0] ^= 0x80;
    let table = |text: &str, data: usize| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &vec![0; data]].concat();
    let tensor = |shape: &str, end: &str| format!(r#"{{"a":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,{end}]}}}}"#);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("pickle.safetensors", b"PK\x03\x04archive/data.pkl".to_vec(), "pickle"),
        ("model.ckpt", b"PK\x03\x04archive/data.pkl".to_vec(), "pickle"),
        ("old.pt", b"\x80\x02}q\x00.".to_vec(), "pickle"),
        ("page.safetensors", b"<!DOCTYPE html><html>404</html>".to_vec(), "web page"),
        ("pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "Git LFS"),
        ("gguf.safetensors", b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "GGUF"),
        ("empty.safetensors", Vec::new(), "too few"),
        ("cut.safetensors", good[..good.len() - 1].to_vec(), "cut short"),
        ("header-cut.safetensors", good[..20].to_vec(), "cut short"),
        ("flipped.safetensors", flipped, ""),
        ("length.safetensors", [&(1u64 << 63).to_le_bytes()[..], b"{}"].concat(), "at most"),
        ("product.safetensors", table(&tensor("4294967296,4294967296", "0"), 0), "beyond what a file can hold"),
        ("odd-product.safetensors", table(&tensor("4398046511105", "4"), 4), "do not span that"),
        ("zero.safetensors", table(&tensor("0,18446744073709551615", "0"), 0), "without elements"),
        (
            "name.safetensors",
            table(&tensor("1", "4").replace("\"a\"", "\"../../etc/passwd\""), 4),
            "not accepted as a tensor's name",
        ),
        ("behind.safetensors", [good.clone(), vec![0]].concat(), "belong to no tensor"),
    ];
    for (name, bytes, words) in cases {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        let path = path.to_str().unwrap();
        for args in [&["info", path][..], &["generate", "x", "--model", path, "--device", "cpu"]] {
            refused(&encaustic(args), &["error: model: ", path, words]);
        }
    }
}
