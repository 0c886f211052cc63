//! Settings of other programs become requests: what each of them writes is read as it means it, what has no place here is
//! told, and nothing that a file holds can do harm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

use std::io::Cursor;
use std::time::{Duration, Instant};

use encaustic_picture::caption::{self, Tools};
use encaustic_picture::png::{self, Pixels};
use encaustic_picture::png_text::{self, PngText};
use encaustic_picture::restore::{self, Program, RestoreError, Restored};
use encaustic_protocol::{Catalog, Entry, Request, Rng};

fn catalog() -> Catalog {
    let entry = |(id, label, aliases): &(&str, &str, &[&str])| Entry {
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        ..Entry::new(id, label)
    };
    let samplers: &[(&str, &str, &[&str])] = &[
        ("euler", "Euler", &["k_euler"]),
        ("euler-a", "Euler a", &["k_euler_a", "euler ancestral", "k_euler_ancestral"]),
        ("dpm2", "DPM2", &["k_dpm_2", "dpm_2"]),
        ("lms", "LMS", &["k_lms"]),
        ("ddim", "DDIM", &[]),
        ("dpmpp-2m", "DPM++ 2M", &["k_dpmpp_2m"]),
        ("dpmpp-2m-sde", "DPM++ 2M SDE", &[]),
        ("unipc", "UniPC", &["uni_pc"]),
    ];
    let schedules: &[(&str, &str, &[&str])] = &[
        ("automatic", "Automatic", &[]),
        ("normal", "Uniform", &["uniform"]),
        ("karras", "Karras", &[]),
        ("exponential", "Exponential", &[]),
        ("sgm-uniform", "SGM Uniform", &[]),
    ];
    Catalog {
        samplers: samplers.iter().map(entry).collect(),
        schedules: schedules.iter().map(entry).collect(),
        ..Catalog::default()
    }
}

fn texts(entries: &[(&str, &str)]) -> PngText {
    let entries = entries.iter().map(|(keyword, text)| ((*keyword).to_owned(), (*text).to_owned())).collect();
    PngText { width: 8, height: 8, entries, damage: None }
}

fn read(keyword: &str, text: &str) -> Result<Restored, RestoreError> {
    restore::read(&texts(&[(keyword, text)]), &catalog())
}

fn request(json: &str) -> Request {
    serde_json::from_str(json).unwrap()
}

#[test]
fn our_own_pictures_give_their_request_back() {
    let request = Request {
        prompt: "a \"fox\", (painted:1.2)\nin two lines".into(),
        negative: "blurry, green: no".into(),
        seed: Some(u64::MAX),
        steps: Some(12),
        cfg: Some(6.5),
        sampler: Some("dpmpp-2m".into()),
        schedule: Some("karras".into()),
        width: Some(512),
        height: Some(768),
        clip_skip: Some(2),
        rng: Rng::Nv,
        eta: Some(0.25),
        guidance_rescale: Some(0.7),
        prompt_2: Some("another, with comma".into()),
        negative_2: Some("x: y".into()),
        ..Request::default()
    };
    let tools = Tools { model: Some("A model, v1".into()), model_hash: Some("0123456789".into()), ..Tools::default() };
    let text = caption::infotext(&request, u64::MAX, &tools, &catalog()).to_string();
    let mut file = Vec::new();
    png::write(Pixels { width: 2, height: 1, rgb: &[0; 6] }, &text, &mut file).unwrap();
    let found = restore::read(&png_text::read(Cursor::new(file)).unwrap(), &catalog()).unwrap();
    let expected = Restored { program: Program::Encaustic, request, model: Some("A model, v1".into()), notes: vec![] };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn names_that_the_caption_does_not_know_stand_as_they_are() {
    let request = Request { sampler: Some("new-one".into()), ..Request::default() };
    let text = caption::infotext(&request, 1, &Tools::default(), &catalog()).to_string();
    assert!(text.starts_with("\nSampler: new-one, Seed: 1, RNG: CPU, Version: encaustic "), "{text}");
}

#[test]
fn a1111_old_and_new() {
    let cases = [
        (
            "a cat\nNegative prompt: dog\nSteps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 4294967295, Size: 512x768, \
             Model hash: 6ce0161689, Model: v1-5, Clip skip: 2, ENSD: 31337, Hires upscale: 2, Lora hashes: \"a: b, c: d\", Version: v1.6.0",
            r#"{"prompt":"a cat","negative":"dog","steps":28,"sampler":"dpmpp-2m","schedule":"karras","cfg":7.5,"seed":4294967295,
                "width":512,"height":768,"clip_skip":2,"rng":"nv"}"#,
            &["Not taken over: ENSD, Hires upscale."][..],
        ),
        (
            "x\nSteps: 20, Sampler: Euler a, Schedule type: SGM Uniform, CFG scale: 7, Seed: 1, Size: 64x64, RNG: CPU, Eta: 0.5, Version: v1.10.1",
            r#"{"prompt":"x","steps":20,"sampler":"euler-a","schedule":"sgm-uniform","cfg":7,"seed":1,"width":64,"height":64,"eta":0.5}"#,
            &[],
        ),
        // Before 1.9, a plain name meant even steps for k-diffusion's samplers, and what is usual for the rest.
        (
            "x\nSteps: 20, Sampler: DPM++ 2M, Seed: 1",
            r#"{"prompt":"x","steps":20,"sampler":"dpmpp-2m","schedule":"normal","seed":1,"rng":"nv"}"#,
            &[],
        ),
        (
            "x\nSteps: 20, Sampler: DDIM, Seed: 1",
            r#"{"prompt":"x","steps":20,"sampler":"ddim","schedule":"automatic","seed":1,"rng":"nv"}"#,
            &[],
        ),
        (
            "x\nSteps: 0, Sampler: Restart++, Seed: -1, Size: 100x64, CFG scale: much, RNG: TPU",
            r#"{"prompt":"x","height":64,"rng":"nv"}"#,
            &[
                "Not taken over: steps: 0 is not allowed; use a whole number from 1 to 1000, or leave it to the model.",
                "The sampler \"Restart++\" is not known here; the model's own is used.",
                "Not taken over: width: 100 is not allowed; use a multiple of 8 from 64 to 8192, or leave it to the model.",
                "Not taken over: cfg is \"much\", which is no number.",
                "Whose random numbers \"TPU\" means is not known here; torch's on the CPU are used.",
            ],
        ),
        (
            "a <lora:paint:0.8> fox\nSteps: 20, Seed: 1, Size: 64x64, RNG: CPU",
            r#"{"prompt":"a <lora:paint:0.8> fox","steps":20,"seed":1,"width":64,"height":64}"#,
            &["The prompt names LoRAs (<lora:...>), which are not used here; take them out of it."],
        ),
        ("words alone", r#"{"prompt":"words alone"}"#, &["The picture tells its prompt only."]),
    ];
    for (text, json, notes) in cases {
        let found = read("parameters", text).unwrap();
        assert_eq!(found.request, request(json), "{text}");
        assert_eq!(found.notes, notes, "{text}");
        assert_eq!(found.program, Program::A1111);
    }
}

#[test]
fn without_a_catalog_names_stand_as_they_are() {
    let png = texts(&[("parameters", "x\nSteps: 20, Sampler: DPM++ 2M Karras, Seed: 1")]);
    let found = restore::read(&png, &Catalog::default()).unwrap().request;
    assert_eq!((found.sampler.as_deref(), found.schedule.as_deref()), (Some("DPM++ 2M"), Some("karras")));
}

/// What ComfyUI's first workflow saves.
const COMFY: &str = r#"{
  "3": {"inputs": {"seed": 18446744073709551615, "steps": 20, "cfg": 8.0, "sampler_name": "euler_ancestral", "scheduler": "normal",
        "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]},
        "class_type": "KSampler", "is_changed": [NaN]},
  "4": {"inputs": {"ckpt_name": "v1-5-pruned-emaonly.safetensors"}, "class_type": "CheckpointLoaderSimple"},
  "5": {"inputs": {"width": 512, "height": 640, "batch_size": 1}, "class_type": "EmptyLatentImage"},
  "6": {"inputs": {"text": "beautiful scenery, \"glass\" bottle", "clip": ["4", 1]}, "class_type": "CLIPTextEncode"},
  "7": {"inputs": {"text": "text, watermark", "clip": ["4", 1]}, "class_type": "CLIPTextEncode"},
  "8": {"inputs": {"samples": ["3", 0], "vae": ["4", 2]}, "class_type": "VAEDecode"},
  "9": {"inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}, "class_type": "SaveImage"}}"#;

#[test]
fn comfyui_the_first_workflow() {
    let found = read("prompt", COMFY).unwrap();
    let meant = r#"{"prompt":"beautiful scenery, \"glass\" bottle","negative":"text, watermark","seed":18446744073709551615,"steps":20,
        "cfg":8,"sampler":"euler-a","schedule":"normal","width":512,"height":640}"#;
    assert_eq!(found.request, request(meant));
    assert_eq!((found.model.as_deref(), found.program), (Some("v1-5-pruned-emaonly.safetensors"), Program::ComfyUi));
    assert_eq!(found.notes, [""; 0]);
}

#[test]
fn comfyui_what_a_graph_can_hold() {
    // Two passes, a LoRA, clip skip, an upscale between the passes, a text from elsewhere.
    let large = r#"{
      "10": {"class_type": "KSampler", "inputs": {"seed": 2, "steps": 8, "cfg": 5, "sampler_name": "euler", "scheduler": "karras", "denoise": 0.5,
             "model": ["1", 0], "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["11", 0]}},
      "11": {"class_type": "LatentUpscale", "inputs": {"samples": ["3", 0], "width": 1024, "height": 1024}},
      "3": {"class_type": "KSamplerAdvanced", "inputs": {"noise_seed": ["20", 0], "steps": 30, "cfg": 6.5, "sampler_name": "dpmpp_2m_sde_gpu",
            "scheduler": "linear_quadratic", "add_noise": "enable", "start_at_step": 0, "model": ["2", 0], "positive": ["6", 0],
            "negative": ["5", 0], "latent_image": ["9", 0]}},
      "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl/base.safetensors"}},
      "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "paint.safetensors", "strength_model": 1, "model": ["1", 0], "clip": ["1", 1]}},
      "8": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["2", 1]}},
      "4": {"class_type": "CLIPTextEncode", "inputs": {"text": ["21", 0], "clip": ["8", 0]}},
      "6": {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["7", 0], "negative": ["5", 0], "control_net": ["22", 0]}},
      "7": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["4", 0], "conditioning_2": ["12", 0]}},
      "12": {"class_type": "CLIPTextEncode", "inputs": {"text": "at night", "clip": ["8", 0]}},
      "5": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["8", 0]}},
      "9": {"class_type": "EmptyLatentImage", "inputs": {"width": 768, "height": 512, "batch_size": 4}},
      "20": {"class_type": "PrimitiveInt", "inputs": {"value": 99}},
      "21": {"class_type": "String Literal", "inputs": {"string": "a house"}},
      "22": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "canny"}}}"#;
    let found = read("prompt", large).unwrap();
    let meant = r#"{"prompt":"a house, at night","negative":"bad","seed":99,"steps":30,"cfg":6.5,"sampler":"dpmpp-2m-sde",
        "width":768,"height":512,"clip_skip":2}"#;
    assert_eq!(found.request, request(meant));
    assert_eq!(found.model.as_deref(), Some("xl/base.safetensors"));
    let all = found.notes.join("\n");
    for part in [
        "2 samplers",
        "The schedule \"linear_quadratic\" is not known",
        "Several texts",
        "a batch of 4",
        "The LoRA \"paint.safetensors\"",
        "ControlNetApplyAdvanced",
        "LatentUpscale",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    // Newer samplers keep their settings in nodes of their own; SDXL has two texts and sizes.
    let custom = r#"{
      "1": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["2", 0], "guider": ["3", 0], "sampler": ["4", 0], "sigmas": ["5", 0], "latent_image": ["6", 0]}},
      "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
      "3": {"class_type": "CFGGuider", "inputs": {"cfg": 3.5, "model": ["7", 0], "positive": ["8", 0], "negative": ["9", 0]}},
      "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpmpp_2m"}},
      "5": {"class_type": "BasicScheduler", "inputs": {"scheduler": "sgm_uniform", "steps": 25, "denoise": 1, "model": ["7", 0]}},
      "6": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
      "7": {"class_type": "UNETLoader", "inputs": {"unet_name": "net.safetensors"}},
      "8": {"class_type": "CLIPTextEncodeSDXL", "inputs": {"text_g": "grand", "text_l": "local", "width": 2048, "height": 1024, "crop_w": 8, "crop_h": 0,
            "target_width": 1024, "target_height": 1024, "clip": ["10", 0]}},
      "9": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["8", 0]}},
      "10": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "a"}}}"#;
    let found = read("prompt", custom).unwrap();
    let meant = r#"{"prompt":"local","prompt_2":"grand","seed":7,"steps":25,"cfg":3.5,"sampler":"dpmpp-2m","schedule":"sgm-uniform",
        "width":1024,"height":1024,"original_width":2048,"original_height":1024,"crop_left":8,"target_width":1024,"target_height":1024}"#;
    assert_eq!(found.request, request(meant));
    assert_eq!((found.model.as_deref(), found.notes.as_slice()), (Some("net.safetensors"), &[][..]));
}

#[test]
fn comfyui_graphs_that_lead_nowhere_end() {
    let sampler = |rest: &str| {
        format!(
            r#"{{"1": {{"class_type": "KSampler", "inputs": {{"seed": ["1", 0], "steps": ["9", 0], "positive": ["2", 0], "negative": ["2", 0],
            "model": ["3", 0], "latent_image": ["4", 0]}}}}, {rest}}}"#
        )
    };
    let circle = sampler(
        r#""2": {"class_type": "ConditioningAverage", "inputs": {"conditioning_to": ["2", 0], "conditioning_from": ["5", 0]}},
           "3": {"class_type": "LoraLoader", "inputs": {"model": ["3", 0]}}, "4": {"class_type": "LatentFlip", "inputs": {"samples": ["4", 0]}},
           "5": {"class_type": "ConditioningAverage", "inputs": {"conditioning_to": ["2", 0]}}"#,
    );
    assert_eq!(read("prompt", &circle).unwrap().request, Request::default());
    let odd = sampler(r#""2": 7, "3": {"class_type": 1, "inputs": []}, "4": {"inputs": {"width": "wide"}}"#);
    assert_eq!(read("prompt", &odd).unwrap().request, Request::default());
    // A chain longer than anyone's.
    let chain: Vec<_> = (2..2000)
        .map(|id| format!(r#""{id}": {{"class_type": "ConditioningSetArea", "inputs": {{"conditioning": ["{}", 0]}}}}"#, id + 1))
        .collect();
    assert_eq!(read("prompt", &sampler(&chain.join(","))).unwrap().request, Request::default());
    for text in ["{}", r#"{"1": {"class_type": "SaveImage", "inputs": {}}}"#, r#"{"1": 1}"#] {
        assert_eq!(read("prompt", text), Err(RestoreError::NoSampler), "{text}");
    }
}

#[test]
fn invokeai_new_and_old() {
    let new = r#"{"generation_mode": "sdxl_txt2img", "positive_prompt": "a lake", "negative_prompt": "fog", "positive_style_prompt": "oil",
        "negative_style_prompt": "", "width": 1024, "height": 768, "seed": 77, "rand_device": "cpu", "cfg_scale": 7.5,
        "cfg_rescale_multiplier": 0.5, "steps": 30, "scheduler": "dpmpp_2m_k", "model": {"key": "k", "hash": "blake3:0", "name": "Juggernaut XL",
        "base": "sdxl", "type": "main"}, "clip_skip": 1, "loras": [{"model": {"name": "x"}, "weight": 0.75}], "vae": null, "app_version": "5.0.0"}"#;
    let found = read("invokeai_metadata", new).unwrap();
    let meant = r#"{"prompt":"a lake","negative":"fog","prompt_2":"oil","width":1024,"height":768,"seed":77,"cfg":7.5,"guidance_rescale":0.5,
        "steps":30,"sampler":"dpmpp-2m","schedule":"karras","clip_skip":2}"#;
    assert_eq!(found.request, request(meant));
    assert_eq!((found.model.as_deref(), found.program), (Some("Juggernaut XL"), Program::InvokeAi));
    assert_eq!(found.notes, ["Not taken over: LoRAs."]);
    let old = r#"{"model": "stable diffusion", "model_weights": "sd-1.4", "app_version": "2.2", "image": {"prompt": [{"prompt": "a hill", "weight": 1.0}],
        "steps": 50, "cfg_scale": 7, "height": 512, "width": 512, "seed": 3, "sampler": "k_lms", "type": "txt2img", "variations": []}}"#;
    let found = read("sd-metadata", old).unwrap();
    let meant = r#"{"prompt":"a hill","steps":50,"cfg":7,"height":512,"width":512,"seed":3,"sampler":"lms","schedule":"normal"}"#;
    assert_eq!(found.request, request(meant));
    assert_eq!((found.model.as_deref(), found.notes.as_slice()), (Some("sd-1.4"), &[][..]));
    let image =
        read("invokeai_metadata", r#"{"generation_mode": "img2img", "positive_prompt": 3, "steps": "x", "seed": 1.5}"#).unwrap();
    assert_eq!(image.request, Request::default());
    assert_eq!(image.notes.len(), 4, "{:?}", image.notes);
}

#[test]
fn a_text_with_settings_goes_before_a_graph() {
    let parameters = ("parameters", "x\nSteps: 4, Seed: 5, Size: 64x64");
    let both = texts(&[("prompt", COMFY), parameters]);
    assert_eq!(restore::read(&both, &catalog()).unwrap().request.seed, Some(5));
    let empty = texts(&[("parameters", " "), ("prompt", COMFY)]);
    assert_eq!(restore::read(&empty, &catalog()).unwrap().program, Program::ComfyUi);
}

#[test]
fn what_cannot_be_read_is_told() {
    let cases = [
        (vec![], "holds no settings"),
        (vec![("Software", "a camera")], "holds no settings"),
        (vec![("workflow", "{}")], "`workflow` alone"),
        (vec![("Dream", "\"a fox\" -s 50")], "oldest form"),
        (vec![("parameters", "{\"sui_image_params\": {}}")], "JSON of another program"),
        (vec![("prompt", "a plain text")], "ComfyUI's settings in the picture are damaged: expected value at line 1"),
        (vec![("prompt", "[1]")], "no JSON object"),
        (vec![("invokeai_metadata", "{\"steps\": ")], "InvokeAI's settings in the picture are damaged: EOF"),
    ];
    for (entries, part) in cases {
        let message = restore::read(&texts(&entries), &catalog()).unwrap_err().to_string();
        assert!(message.contains(part), "{part}: {message}");
    }
    let deep = format!("{{\"a\": {}", "[".repeat(1 << 20));
    assert!(read("prompt", &deep).unwrap_err().to_string().contains("recursion limit"));
    let long = format!("{{\"a\": [{}0]}}", "0,".repeat(8 << 20));
    assert!(read("prompt", &long).unwrap_err().to_string().contains("more than the 4 MiB"));
}

#[test]
fn strangers_words_stay_short_and_take_no_time() {
    let start = Instant::now();
    let many: Vec<_> = (0..60_000).map(|id| format!("\"{id}\":{{\"class_type\":\"N{id}\\u001b[2J\",\"inputs\":{{}}}}")).collect();
    let graph = format!(
        "{{{}, \"s\":{{\"class_type\":\"KSampler\",\"inputs\":{{\"sampler_name\":\"{}\"}}}}}}",
        many.join(","),
        "x\\n".repeat(1000)
    );
    let found = read("prompt", &graph).unwrap();
    let settings: String = (0..20_000).map(|number| format!("Odd {number}: {}, ", "y".repeat(100))).collect();
    let odd = read("parameters", &format!("x\n{settings}Steps: 1")).unwrap();
    for note in found.notes.iter().chain(&odd.notes) {
        assert!(note.len() < 1500 && !note.contains(char::is_control), "{note:?}");
    }
    assert!(found.notes.len() + odd.notes.len() < 6);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
