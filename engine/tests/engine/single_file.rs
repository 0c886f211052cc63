//! Models in one file: the picture is that of the same weights in a folder of diffusers, and what is wrong is named.

use std::rc::Rc;

use crate::common::checkpoint::{Array, Checkpoint};
use crate::common::folder::Folder;
use crate::common::run::{Watch, compute, load_files};
use crate::common::single::{MODELS, Single};
use encaustic_engine::family::{self, Files, Keep};
use encaustic_engine::pipeline::{Outcome, generate};
use encaustic_engine::prediction::Prediction;
use encaustic_engine::settings::resolve;
use encaustic_protocol::Request;
use futures_lite::future::block_on;
use serde_json::json;

/// The picture of a prompt, as bytes.
fn picture(files: &Rc<dyn Files>, vae: Option<&Rc<dyn Files>>) -> Vec<u8> {
    let mut model = load_files(files, vae);
    let request = Request {
        prompt: "a red circle above a blue square".to_owned(),
        negative: "blurry".to_owned(),
        steps: Some(4),
        width: Some(96),
        height: Some(64),
        ..Request::default()
    };
    let settings = resolve(&request, &model, 7).unwrap();
    match block_on(generate(&mut model, &settings, &mut Watch::default())).unwrap() {
        Outcome::Finished(pictures) => pictures[0].pixels.clone(),
        Outcome::Cancelled => panic!("nobody stops this run"),
    }
}

/// Peak signal-to-noise ratio in dB.
fn psnr(ours: &[u8], theirs: &[u8]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let squares: f64 = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * ours.len() as f64 / squares).log10()
}

#[track_caller]
fn same(what: &str, ours: &[u8], theirs: &[u8]) {
    let psnr = psnr(ours, theirs);
    println!("{what}: PSNR {psnr:.1} dB");
    assert!(psnr >= 60.0, "{what}: PSNR {psnr:.1} dB");
}

#[test]
fn one_file_gives_the_picture_of_the_folder() {
    for (model, _) in MODELS {
        let expected = picture(&Folder::open(&format!("models/{model}")).files(), None);
        let file = Checkpoint::single_file(model);
        same(model, &picture(&Single::model(model, &file).files(), None), &expected);
        // What trainers leave in a file is nobody's business here.
        let ema = file.clone().with("model_ema.diffusion_modelinput_blocks00bias", Array::zeros(&[8]));
        let ema = ema.with("first_stage_model.loss.logvar", Array::zeros(&[1])).with("optimizer.step", Array::zeros(&[1]));
        same(&format!("{model} with averages"), &picture(&Single::model(model, &ema).files(), None), &expected);
        // The measure would show a mistake: here, of what the UNet predicts.
        let mut mistaken = Single::model(model, &file);
        mistaken.prediction = Some(if model == "sd2" { Prediction::Epsilon } else { Prediction::V });
        assert!(psnr(&picture(&mistaken.files(), None), &expected) < 40.0, "{model}");
    }
}

#[test]
fn an_autoencoder_may_come_in_a_file_of_its_own() {
    let expected = picture(&Folder::open("models/sdxl").files(), None);
    let whole = Checkpoint::single_file("sdxl");
    let model = Single::model("sdxl", &whole.clone().without("first_stage_model.")).files();
    let bare = whole.only("first_stage_model.");
    let prefixed = Checkpoint { tensors: whole.tensors.clone(), ..Checkpoint::default() };
    let groups = json!({"norm_num_groups": 4}).to_string();
    for (what, file) in [
        ("with the losses of its training", bare.clone().with("loss.logvar", Array::zeros(&[1]))),
        ("without a prefix", bare),
        ("of a whole checkpoint", prefixed),
        ("by diffusers' names", Checkpoint::part("sdxl", "vae")),
    ] {
        let mut vae = Single::new(&file);
        vae.beside = vae.beside.with("config.json", groups.as_bytes());
        same(what, &picture(&model, Some(&vae.files())), &expected);
        // A folder takes it as well, and the scale is the model's: a VAE does not tell its own.
        same(what, &picture(&Folder::open("models/sdxl").files(), Some(&vae.files())), &expected);
    }
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let sd15 = || Checkpoint::single_file("sd15");
    let unet = "model.diffusion_model.";
    let channels = |count: usize| {
        let name = "model.diffusion_model.input_blocks.0.0.weight";
        sd15().without(name).with(name, Array::zeros(&[8, count, 3, 3]))
    };
    let refiner = sd15().without("cond_stage_model.").with("conditioner.embedders.0.model.ln_final.bias", Array::zeros(&[8]));
    let cases = [
        (Checkpoint::zeros(&[("a", &[1])]), "no family here has checkpoints like this file; known are Stable Diffusion XL"),
        (sd15().without(unet), "no UNet"),
        (sd15().with("edm_mean", Array::zeros(&[4])), "trained on other noise levels (EDM)"),
        (sd15().without("first_stage_model."), "no VAE; give one (--vae), or put it beside the file"),
        (refiner, "Stable Diffusion XL refiner, which finishes what another model has begun"),
        (channels(9), "a model for inpainting"),
        (channels(8), "for editing pictures"),
        (channels(5), "of a given depth"),
        (channels(6), "whose UNet takes 6 channels"),
        (sd15().without("model.diffusion_model.middle_block.1."), "no transformer in the middle"),
        (sd15().without("model.diffusion_model.out.2.bias"), "missing (1):\n    conv_out.bias"),
        (
            sd15().with("model.diffusion_model.extra.weight", Array::zeros(&[1])),
            "unexpected (1):\n    model.diffusion_model.extra.weight",
        ),
        (sd15().without("first_stage_model.encoder.conv_in.weight"), "vae: there is no encoder.conv_in.weight"),
        (
            sd15().with("model.diffusion_model.out.0.bias", Array::zeros(&[9])),
            "model.diffusion_model.out.0.bias: [9] in the file, [8] in the model",
        ),
    ];
    let compute = compute();
    for (file, message) in cases {
        match family::load(&Single::model("sd15", &file).files(), None, &compute, Keep::InTurn) {
            Ok(_) => panic!("this should have failed: {message}"),
            Err(error) => assert!(error.to_string().contains(message), "{error} (should say: {message})"),
        }
    }
    // Without what cannot be told from the tensors, a network of unusual heads and groups is refused, not guessed.
    let error = family::load(&Single::new(&sd15()).files(), None, &compute, Keep::InTurn).unwrap_err().to_string();
    assert!(error.contains("give those that came with it") && error.contains("--config"), "{error}");
    // A VAE is no model, and a model's file that holds none is no VAE.
    let model = Single::model("sd15", &sd15()).files();
    let none = Single::new(&Checkpoint::zeros(&[("decoder.layers.1.weight", &[1])])).files();
    let error = family::load(&model, Some(&none), &compute, Keep::InTurn).unwrap_err().to_string();
    assert!(error.contains("the file has no VAE"), "{error}");
}

#[test]
fn hostile_shapes_and_names_are_errors() {
    // Every tensor of a small model in turn: gone, of another rank, or of another size.
    let whole = Checkpoint::single_file("sd2");
    let compute = compute();
    let mut refused = 0;
    for (index, name) in whole.tensors.keys().enumerate().filter(|(index, _)| index % 7 == 0) {
        let mut file = whole.clone();
        let shape = &whole.tensors[name].shape;
        match index % 3 {
            0 => drop(file.tensors.remove(name)),
            1 => drop(file.tensors.insert(name.clone(), Array::zeros(&[]))),
            _ => drop(file.tensors.insert(name.clone(), Array::zeros(&[shape.as_slice(), &[2]].concat()))),
        }
        // Whatever it is, it ends here without a panic; tensors that no network needs may well be gone.
        refused += usize::from(family::load(&Single::model("sd2", &file).files(), None, &compute, Keep::InTurn).is_err());
    }
    assert!(refused > 50, "{refused}");
    // Numbers of blocks and layers that no memory could hold.
    for name in [
        "model.diffusion_model.input_blocks.18446744073709551615.0.op.weight",
        "model.diffusion_model.middle_block.1.transformer_blocks.18446744073709551616.x",
        "cond_stage_model.model.transformer.resblocks.18446744073709551615.ln_1.weight",
        "first_stage_model.decoder.up.99999999999999999999.block.0.conv1.weight",
    ] {
        let file = whole.clone().with(name, Array::zeros(&[1]));
        let _ = family::load(&Single::model("sd2", &file).files(), None, &compute, Keep::InTurn);
    }
}
