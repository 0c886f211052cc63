//! Whole runs equal diffusers': latents after every step, and pictures.
//!
//! Each golden case is a configuration of a scheduler, as `scheduler_config.json` would have it, and the arguments of a
//! call. The model gets that configuration, the request those arguments and nothing else: what the engine makes of them
//! by itself is what is tested. The noise that the reference drew is played back.

use std::collections::BTreeSet;

use crate::common::folder::Folder;
use crate::common::run::{Recorded, Watch, load, psnr};
use crate::common::{Goldens, golden_json, relative_error};
use burn::tensor::Tensor;
use encaustic_engine::family::LatentDiffusion;
use encaustic_engine::pipeline::{Outcome, generate, generate_from};
use encaustic_engine::schedule::{NoiseTable, SchedulerConfig};
use encaustic_engine::settings::resolve;
use encaustic_protocol::Request;
use futures_lite::future::block_on;
use serde_json::Value;

/// What relative error latents may have.
const TOLERANCE: f64 = 1e-3;
/// Runs whose tiny random network amplifies rounding from step to step, with the distance of the reference's last latents
/// from its own in f64. Nobody can be nearer to them than that, so a few times as much is allowed.
const AMPLIFIED: &[(&str, &str, f64)] = &[("sd2_pipeline", "dpmpp_2m", 6.8e-4), ("sd2_pipeline", "pndm", 3.2e-3)];
/// How many times.
const TIMES: f64 = 4.0;
/// How like the reference's pictures ours must be, in dB.
const LIKENESS: f64 = 40.0;

/// What a golden file has beside text to image, for later work.
const LATER: &[&str] = &["img2img_ddim", "img2img_euler", "img2img_dpmpp_2m", "inpaint4_ddim", "inpaint4_ddim_s07"];

/// The request that the arguments of a case mean.
fn request(case: &Value) -> Request {
    let text = |key: &str| case.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| case.get(key).and_then(Value::as_f64);
    let whole = |key: &str| case.get(key).and_then(Value::as_u64).map(|n| n as u32);
    let pair = |key: &str, at: usize| case.get(key).map(|pair| pair[at].as_u64().unwrap() as u32);
    Request {
        prompt: text("prompt").unwrap(),
        negative: text("negative_prompt").unwrap_or_default(),
        prompt_2: text("prompt_2"),
        steps: whole("num_inference_steps"),
        cfg: number("guidance_scale"),
        width: whole("width"),
        height: whole("height"),
        // diffusers counts the layers that are left out.
        clip_skip: whole("clip_skip").map(|skipped| skipped + 1),
        eta: number("eta"),
        guidance_rescale: number("guidance_rescale"),
        original_height: pair("original_size", 0),
        original_width: pair("original_size", 1),
        crop_top: pair("crops_coords_top_left", 0).unwrap_or(0),
        crop_left: pair("crops_coords_top_left", 1).unwrap_or(0),
        target_height: pair("target_size", 0),
        target_width: pair("target_size", 1),
        ..Request::default()
    }
}

/// Gives the model the scheduler of a case.
fn configure(model: &mut LatentDiffusion, case: &Value) {
    let mut config = case["config"].clone();
    config["_class_name"] = case["class"].clone();
    model.scheduler = SchedulerConfig::from_json(config.to_string().as_bytes()).unwrap();
    model.table = NoiseTable::new(&model.scheduler).unwrap();
}

/// Runs a case with the reference's noise and compares everything that the reference recorded.
#[track_caller]
fn check(model: &mut LatentDiffusion, goldens: &Goldens, file: &str, name: &str, case: &Value) {
    configure(model, case);
    let device = model.device().clone();
    let mut draws = vec![goldens.tensor::<4>("latents", &device)];
    let recorded = format!("{name}/noise");
    if goldens.has(&recorded) {
        let all = goldens.tensor::<5>(&recorded, &device);
        let [count, batch, channels, height, width] = all.dims();
        let one = |i| all.clone().narrow(0, i, 1).reshape([batch, channels, height, width]);
        draws.extend((0..count).map(one));
    }
    let settings = resolve(&request(case), model, 0).unwrap();
    let mut watch = Watch::default();
    let noise = vec![Recorded::boxed(draws)];
    let outcome = block_on(generate_from(model, &settings, noise, &mut watch));
    let Outcome::Finished(pictures) = outcome.unwrap_or_else(|e| panic!("{file}: {name}: {e}")) else {
        panic!("{name}: cancelled")
    };

    let expected: Vec<Vec<f64>> = rows(goldens, &format!("{name}/latents"));
    assert_eq!(watch.steps.len(), settings.steps, "{file}: {name}: steps");
    let own = AMPLIFIED.iter().find(|(of, case, _)| *of == file && *case == name).map_or(0.0, |(.., own)| *own);
    let tolerance = TOLERANCE.max(TIMES * own);
    let mut worst = 0.0f64;
    for (step, latents) in watch.steps.iter().enumerate() {
        let at = place(step, watch.steps.len(), expected.len()).unwrap_or_else(|| panic!("{name}: {} states", expected.len()));
        let ours: Vec<f64> = latents.values.iter().map(|v| f64::from(*v)).collect();
        let error = relative_error(&ours, &expected[at]);
        worst = worst.max(error);
        assert!(error < tolerance, "{file}: {name}: after step {step}: relative error {error:.2e}");
    }
    let picture = format!("{name}/image_u8");
    let mut likeness = f64::INFINITY;
    if goldens.has(&picture) {
        likeness = psnr(&pictures[0], &goldens.values(&picture));
        assert!(likeness >= LIKENESS, "{file}: {name}: {likeness:.1} dB");
    }
    println!("{file}: {name}: {worst:.1e}, {likeness:.1} dB");
}

/// The first dimension as separate rows.
fn rows(goldens: &Goldens, tensor: &str) -> Vec<Vec<f64>> {
    let values = goldens.values(tensor);
    let count = goldens.shape(tensor)[0];
    values.chunks(values.len() / count).map(<[f64]>::to_vec).collect()
}

/// Which of the reference's states is the one after our step: it records one per call of the network, we one per step.
fn place(step: usize, steps: usize, states: usize) -> Option<usize> {
    match states {
        // One call a step.
        n if n == steps => Some(step),
        // PLMS calls twice in its first step.
        n if n == steps + 1 => Some(step + 1),
        // Two calls a step, but one in the last.
        n if n == 2 * steps - 1 => Some((2 * step + 1).min(n - 1)),
        _ => None,
    }
}

/// Runs all cases of a golden file that play back noise, and sees that none is left over.
fn check_all(folder: Folder, file: &str, special: &[&str]) {
    let mut model = load(&folder);
    let goldens = Goldens::open(file);
    let json = golden_json(file);
    let cases = json["cases"].as_object().unwrap();
    let mut seen = BTreeSet::new();
    for (name, case) in cases {
        seen.insert(name.as_str());
        if !LATER.contains(&name.as_str()) && !special.contains(&name.as_str()) {
            check(&mut model, &goldens, file, name, case);
        }
    }
    let latents = goldens.names().into_iter().filter_map(|name| name.strip_suffix("/latents").map(str::to_owned));
    for name in latents {
        assert!(seen.contains(name.as_str()), "{file}: {name} has states but no description");
    }
    for name in special {
        assert!(seen.contains(name), "{file}: no {name}");
    }
}

#[test]
fn sd15() {
    let special = ["ddim_seeded", "euler_a_seeded", "euler_a_batch2_seeds_7_8"];
    check_all(Folder::open("models/sd15"), "sd15_pipeline", &special);
}

#[test]
fn sd2() {
    check_all(Folder::open("models/sd2"), "sd2_pipeline", &[]);
}

#[test]
fn sdxl() {
    check_all(Folder::open("models/sdxl"), "sdxl_pipeline", &[]);
}

#[test]
fn lcm() {
    let folder = Folder::open("models/sd15").with_component("unet", Folder::open("models/lcm_unet"));
    check_all(folder, "lcm", &[]);
}

/// Noise from our own generators, first and later, one generator per picture.
#[test]
fn seeds_mean_the_same_noise() {
    let mut model = load(&Folder::open("models/sd15"));
    let goldens = Goldens::open("sd15_pipeline");
    let json = golden_json("sd15_pipeline");
    for (name, index, seed) in
        [("ddim_seeded", 0, 7), ("euler_a_seeded", 0, 7), ("euler_a_batch2_seeds_7_8", 0, 7), ("euler_a_batch2_seeds_7_8", 1, 8)]
    {
        let mut case = json["cases"][name].clone();
        configure(&mut model, &case);
        // The reference made a batch of two prompts; a picture does not depend on its batch, so one by one will do.
        if let Some(negatives) = case["negative_prompt"].as_array().cloned() {
            case["negative_prompt"] = negatives[index].clone();
            let prompts = golden_json("tokenizer")["cases"]["eos_pad"]["rows"].clone();
            case["prompt"] = prompts[if index == 0 { 0 } else { 2 }]["text"].clone();
        }
        let request = Request { seed: Some(seed), ..request(&case) };
        let settings = resolve(&request, &model, 0).unwrap();
        let mut watch = Watch::default();
        let outcome = block_on(generate(&mut model, &settings, &mut watch)).unwrap();
        let Outcome::Finished(pictures) = outcome else { panic!("cancelled") };
        let expected = rows(&goldens, &format!("{name}/latents"));
        for (step, latents) in watch.steps.iter().enumerate() {
            let batch = expected[step].len() / latents.values.len();
            let length = expected[step].len() / batch;
            let ours: Vec<f64> = latents.values.iter().map(|v| f64::from(*v)).collect();
            let error = relative_error(&ours, &expected[step][index * length..(index + 1) * length]);
            assert!(error < TOLERANCE, "{name} {index}: after step {step}: relative error {error:.2e}");
        }
        let picture = format!("{name}/image_u8");
        if goldens.has(&picture) {
            let all = goldens.values(&picture);
            let length = all.len() / 2;
            let likeness = psnr(&pictures[0], &all[index * length..(index + 1) * length]);
            assert!(likeness >= LIKENESS, "{name} {index}: {likeness:.1} dB");
        }
    }
}

/// Text conditioning as the pipelines make it, before any step.
#[test]
fn conditioning() {
    for (folder, file) in [("models/sd15", "sd15_pipeline"), ("models/sdxl", "sdxl_pipeline")] {
        let model = load(&Folder::open(folder));
        let goldens = Goldens::open(file);
        let json = golden_json("sd15_pipeline");
        let text = |key: &str| json["common"][key].as_str().unwrap().to_owned();
        let request = Request { prompt: text("prompt"), negative: text("negative_prompt"), ..Request::default() };
        let settings = resolve(&request, &model, 0).unwrap();
        let conditioning = model.reader().unwrap().condition(&settings.prompts, settings.guidance).unwrap();
        let negative = conditioning.negative.unwrap();
        goldens.check("prompt_embeds", conditioning.positive.context, 1e-4);
        goldens.check("negative_prompt_embeds", negative.context, 1e-4);
        let pooled = [("pooled", conditioning.positive.pooled), ("negative_pooled", negative.pooled)];
        for (key, pooled) in pooled {
            assert_eq!(pooled.is_some(), goldens.has(key), "{file}: {key}");
            if let Some(pooled) = pooled {
                let _: Tensor<2> = pooled.clone();
                goldens.check(key, pooled, 1e-4);
            }
        }
    }
}
