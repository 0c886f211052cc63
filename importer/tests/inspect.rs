//! Every kind of file is told by its header.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

#[path = "../../tests/support/checkpoint.rs"]
mod support;

use encaustic_engine::weights::{Header, HeaderError};
use encaustic_importer::{Component, Naming, Report, inspect};
use safetensors::Dtype;
use support::{Array, Checkpoint};

fn report(file: &Checkpoint) -> Report {
    inspect(&Header::read(&file.bytes()).unwrap_or_else(|error| panic!("{error}")))
}

/// A checkpoint in outline: what its UNet reads and takes, and the tensors that stand for its other parts.
fn checkpoint(context: usize, channels: usize, others: &[&str]) -> Checkpoint {
    let unet = Checkpoint::zeros(&[
        ("model.diffusion_model.input_blocks.0.0.weight", &[2, channels, 3, 3]),
        ("model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", &[2, context]),
        ("model.diffusion_model.out.2.weight", &[4, 2, 3, 3]),
    ]);
    others.iter().fold(unet, |file, name| file.with(name, Array::zeros(&[1])))
}

const SD1: [&str; 2] =
    ["cond_stage_model.transformer.text_model.final_layer_norm.bias", "first_stage_model.decoder.conv_in.weight"];
const SD2: [&str; 2] = ["cond_stage_model.model.ln_final.bias", "first_stage_model.decoder.conv_in.weight"];
const SDXL: [&str; 3] = [
    "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias",
    "conditioner.embedders.1.model.ln_final.bias",
    "first_stage_model.decoder.conv_in.weight",
];
const REFINER: [&str; 2] = ["conditioner.embedders.0.model.ln_final.bias", "first_stage_model.decoder.conv_in.weight"];

/// Component, naming, family, a word of what is said, and one of why it is no model (nothing if it is one).
type Expected = (Component, Option<Naming>, Option<&'static str>, &'static str, &'static str);

#[track_caller]
fn check(name: &str, file: &Checkpoint, (component, naming, family, word, why): Expected) {
    let found = report(file);
    assert_eq!((found.component, found.naming, found.family), (component, naming, family), "{name}");
    assert!(found.what().contains(word), "{name}: {word:?} is not in {:?}", found.what());
    match (found.unfit(), why) {
        (None, "") => {}
        (Some(said), _) if !why.is_empty() && said.contains(why) => {}
        (said, _) => panic!("{name}: {said:?} (should say: {why})"),
    }
    // Machines get it all.
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["family"], serde_json::json!(family), "{name}");
    assert_eq!(json["component"], serde_json::to_value(component).unwrap());
}

#[test]
fn checkpoints_and_what_they_are_for() {
    use Component::Checkpoint as Whole;
    let original = Some(Naming::Original);
    let cases: Vec<(&str, Checkpoint, Expected)> = vec![
        ("sd1", checkpoint(768, 4, &SD1), (Whole, original, Some("sd1"), "checkpoint of Stable Diffusion 1", "")),
        ("sd2", checkpoint(1024, 4, &SD2), (Whole, original, Some("sd2"), "Stable Diffusion 2", "")),
        ("sdxl", checkpoint(2048, 4, &SDXL), (Whole, original, Some("sdxl"), "Stable Diffusion XL", "")),
        ("refiner", checkpoint(1280, 4, &REFINER), (Whole, original, Some("sdxl-refiner"), "XL refiner", "give the base model")),
        ("inpainting", checkpoint(768, 9, &SD1), (Whole, original, Some("sd1"), "for inpainting", "latents alone")),
        ("xl inpainting", checkpoint(2048, 9, &SDXL), (Whole, original, Some("sdxl"), "for inpainting", "latents alone")),
        ("pix2pix", checkpoint(768, 8, &SD1), (Whole, original, Some("sd1"), "InstructPix2Pix", "latents alone")),
        ("depth", checkpoint(1024, 5, &SD2), (Whole, original, Some("sd2"), "depth", "latents alone")),
        ("x4", checkpoint(1024, 7, &SD2), (Whole, original, Some("sd2"), "for enlarging", "latents alone")),
        // The text encoders decide, also for networks of unusual widths.
        ("tiny sd15", Checkpoint::single_file("sd15"), (Whole, original, Some("sd1"), "checkpoint", "")),
        ("tiny sd2", Checkpoint::single_file("sd2"), (Whole, original, Some("sd2"), "checkpoint", "")),
        ("tiny sdxl", Checkpoint::single_file("sdxl"), (Whole, original, Some("sdxl"), "checkpoint", "")),
        // Halves.
        ("no vae", checkpoint(768, 4, &SD1[..1]), (Whole, original, Some("sd1"), "checkpoint", "")),
        ("no text", checkpoint(768, 4, &SD1[1..]), (Whole, original, Some("sd1"), "checkpoint", "no text encoder")),
        ("half of the text", checkpoint(2048, 4, &SDXL[..1]), (Whole, original, Some("sdxl"), "checkpoint", "not all of them")),
        (
            "no unet",
            checkpoint(768, 4, &SD1).without("model.diffusion_model."),
            (Whole, original, Some("sd1"), "checkpoint", "no UNet"),
        ),
        ("unet", checkpoint(2048, 4, &[]), (Component::Unet, original, Some("sdxl"), "UNet of", "give the whole checkpoint")),
        ("edm", checkpoint(2048, 4, &SDXL).with("edm_mean", Array::zeros(&[4])), (Whole, original, Some("sdxl"), "XL", "EDM")),
        (
            "another family",
            checkpoint(64, 4, &SD1[1..]).with("model.diffusion_model.joint_blocks.0.x", Array::zeros(&[1])),
            (Whole, original, None, "checkpoint", "looks like Stable Diffusion 3"),
        ),
    ];
    for (name, file, expected) in &cases {
        check(name, file, *expected);
    }
}

#[test]
fn single_networks_and_small_files() {
    use Component::{ControlNet, Lora, Taesd, TextEncoder, TextualInversion, Unet, Unknown, Upscaler, Vae};
    let (original, diffusers) = (Some(Naming::Original), Some(Naming::Diffusers));
    let one = |name: &str| Checkpoint::zeros(&[(name, &[2, 2])]);
    let whole = Checkpoint::single_file("sdxl");
    let goldens = |path: &str| Checkpoint::read(&support::goldens().join(path));
    let part = "one part of a model";
    let cases: Vec<(&str, Checkpoint, Expected)> = vec![
        (
            "unet",
            checkpoint(1024, 4, &[]).only("model.diffusion_model.").with("time_embed.0.weight", Array::zeros(&[1])),
            (Unet, original, Some("sd2"), "UNet", part),
        ),
        ("diffusers unet", Checkpoint::part("sdxl", "unet"), (Unet, diffusers, None, "UNet (diffusers)", part)),
        (
            "diffusers inpainting",
            goldens("models/inpaint_unet/diffusion_pytorch_model.safetensors"),
            (Unet, diffusers, None, "inpainting", part),
        ),
        ("vae", whole.only("first_stage_model."), (Vae, original, None, "VAE", "--vae")),
        (
            "prefixed vae",
            Checkpoint { tensors: whole.tensors.clone(), ..Checkpoint::default() }.without("model.").without("conditioner."),
            (Vae, original, None, "VAE", "--vae"),
        ),
        ("diffusers vae", Checkpoint::part("sd15", "vae"), (Vae, diffusers, None, "VAE", "--vae")),
        ("clip", Checkpoint::part("sd15", "text_encoder"), (TextEncoder, Some(Naming::Transformers), None, "text encoder", part)),
        (
            "openclip",
            whole.only("conditioner.embedders.1.model."),
            (TextEncoder, Some(Naming::OpenClip), None, "text encoder (OpenCLIP)", part),
        ),
        ("taesd", goldens("models/taesd/diffusion_pytorch_model.safetensors"), (Taesd, diffusers, None, "TAESD", part)),
        ("taesd decoder", goldens("files/taesd_decoder.safetensors"), (Taesd, original, None, "TAESD", part)),
        ("taesd encoder", goldens("files/taesd_encoder.safetensors"), (Taesd, original, None, "TAESD", part)),
        (
            "controlnet",
            one("control_model.zero_convs.0.0.weight")
                .with("control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", Array::zeros(&[2, 768])),
            (ControlNet, original, Some("sd1"), "ControlNet for Stable Diffusion 1", "leads a model"),
        ),
        (
            "bare controlnet",
            one("zero_convs.0.0.weight").with("input_hint_block.0.weight", Array::zeros(&[1])),
            (ControlNet, original, None, "ControlNet", "leads a model"),
        ),
        (
            "diffusers controlnet",
            one("controlnet_cond_embedding.conv_in.weight").with("conv_in.weight", Array::zeros(&[1])),
            (ControlNet, diffusers, None, "ControlNet (diffusers)", "leads"),
        ),
        (
            "kohya",
            kohya(".lora_down.weight", &[4, 768]),
            (Lora, Some(Naming::Kohya), Some("sd1"), "LoRA (kohya) for Stable Diffusion 1", "changes a model"),
        ),
        ("sd2 lora", kohya(".lora_down.weight", &[4, 1024]), (Lora, Some(Naming::Kohya), Some("sd2"), "LoRA", "changes")),
        ("xl lora", kohya(".lora_down.weight", &[4, 2048]), (Lora, Some(Naming::Kohya), Some("sdxl"), "LoRA", "changes")),
        (
            "xl text lora",
            one("lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"),
            (Lora, Some(Naming::Kohya), Some("sdxl"), "LoRA", "changes"),
        ),
        (
            "named lora",
            one("lora_unet_x.lora_down.weight").says("ss_base_model_version", "sdxl_base_v1-0"),
            (Lora, Some(Naming::Kohya), Some("sdxl"), "LoRA", "changes"),
        ),
        ("locon", kohya(".lora_down.weight", &[4, 8, 3, 3]), (Lora, Some(Naming::Kohya), None, "LoCon", "changes")),
        ("locon, in the middle", kohya(".lora_mid.weight", &[4, 4, 3, 3]), (Lora, Some(Naming::Kohya), None, "LoCon", "changes")),
        (
            "a convolution of one point",
            kohya(".lora_down.weight", &[4, 768, 1, 1]),
            (Lora, Some(Naming::Kohya), Some("sd1"), "LoRA (kohya)", "changes"),
        ),
        ("loha", kohya(".hada_w1_a", &[8, 4]), (Lora, Some(Naming::Kohya), None, "LoHa", "changes")),
        ("lokr", kohya(".lokr_w1", &[8, 4]), (Lora, Some(Naming::Kohya), None, "LoKr", "changes")),
        (
            "dora",
            kohya(".lora_down.weight", &[4, 768]).with("lora_unet_x.dora_scale", Array::zeros(&[8, 1])),
            (Lora, Some(Naming::Kohya), Some("sd1"), "LoRA (DoRA, kohya)", "changes"),
        ),
        ("full", kohya(".diff", &[8, 8]), (Lora, Some(Naming::Kohya), None, "full", "changes")),
        ("peft", one("unet.down_blocks.0.attn2.to_k.lora_A.weight"), (Lora, Some(Naming::Peft), None, "PEFT", "changes")),
        ("old diffusers", one("unet.a.attn2.processor.to_k_lora.down.weight"), (Lora, diffusers, None, "diffusers", "changes")),
        (
            "a1111 embedding",
            Checkpoint::zeros(&[("emb_params", &[2, 768])]),
            (TextualInversion, original, Some("sd1"), "textual inversion for", "a word"),
        ),
        (
            "diffusers embedding",
            Checkpoint::zeros(&[("<tiny-style>", &[1024])]),
            (TextualInversion, original, Some("sd2"), "textual inversion", "a word"),
        ),
        (
            "xl embedding",
            Checkpoint::zeros(&[("clip_l", &[2, 768]), ("clip_g", &[2, 1280])]),
            (TextualInversion, original, Some("sdxl"), "textual inversion", "a word"),
        ),
        (
            "rrdb",
            Checkpoint::zeros(&[("conv_first.weight", &[8, 12, 3, 3]), ("body.0.rdb1.conv1.weight", &[4, 8, 3, 3])]),
            (Upscaler, original, None, "upscaler", "enlarges pictures"),
        ),
        (
            "old rrdb",
            Checkpoint::zeros(&[("model.1.sub.0.RDB1.conv1.0.weight", &[4, 8, 3, 3])]),
            (Upscaler, original, None, "upscaler", "this is an upscaler"),
        ),
        (
            "srvgg",
            Checkpoint::zeros(&[("body.0.weight", &[8, 3, 3, 3]), ("body.1.weight", &[8]), ("body.2.weight", &[48, 8, 3, 3])]),
            (Upscaler, original, None, "upscaler", "enlarges"),
        ),
        (
            "nothing known",
            Checkpoint::zeros(&[("a.b", &[1]), ("c", &[2])]),
            (Unknown, None, None, "another kind", "no checkpoint"),
        ),
        ("nothing at all", Checkpoint::default(), (Unknown, None, None, "another kind", "no checkpoint")),
    ];
    for (name, file, expected) in &cases {
        check(name, file, *expected);
    }
}

/// A LoRA of kohya's kind with one tensor, in the keys of the UNet's second attention.
fn kohya(end: &str, shape: &[usize]) -> Checkpoint {
    let name = format!("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k{end}");
    Checkpoint::default().with(&name, Array::zeros(shape))
}

#[test]
fn what_is_missing_is_named_with_what_to_add() {
    let missing = |file: &Checkpoint| {
        let found = report(file);
        found.missing.iter().map(|missing| (missing.part, missing.add.contains("--vae"))).collect::<Vec<_>>()
    };
    assert_eq!(missing(&checkpoint(768, 4, &SD1)), []);
    assert_eq!(missing(&checkpoint(768, 4, &SD1[..1])), [("vae", true)]);
    assert_eq!(missing(&checkpoint(768, 4, &SD1[1..])), [("text_encoder", false)]);
    assert_eq!(missing(&checkpoint(2048, 4, &SDXL[..1])), [("text_encoder_2", false), ("vae", true)]);
    assert_eq!(missing(&checkpoint(768, 4, &[])), [("text_encoder", false), ("vae", true)]);
    // What never was a checkpoint lacks nothing.
    assert_eq!(missing(&Checkpoint::zeros(&[("emb_params", &[1, 768])])), []);
}

#[test]
fn numbers_and_types_are_counted_part_by_part() {
    let file = Checkpoint::single_file("sd15").with("model_ema.decay", Array::zeros(&[3]));
    let found = report(&file);
    let parts: Vec<_> = found.parts.iter().map(|part| (part.name, part.parameters)).collect();
    // The folder's own numbers, and 2000 numbers of noise levels; 77 are positions.
    assert_eq!(parts, [("ema", 3), ("other", 2000), ("text_encoder", 54_272 + 77), ("unet", 289_596), ("vae", 67_231)]);
    assert_eq!(found.parameters, parts.iter().map(|(_, count)| count).sum::<u64>());
    assert_eq!(found.dtypes["F16"], 54_272 + 289_596 + 67_231);
    assert_eq!((found.dtypes["F32"], found.dtypes["I64"]), (2003, 77));
    assert!(found.notes.iter().any(|note| note.contains("EMA") && note.contains("not used")), "{:?}", found.notes);
    assert_eq!(found.unfit(), None, "they do not make it less of a model");
}

#[test]
fn prediction_and_distillation_are_told_with_their_source() {
    let sdxl = || checkpoint(2048, 4, &SDXL);
    let empty = Array { dtype: Dtype::F32, shape: vec![0], bytes: Vec::new() };
    for (file, kind, told_by, zero_snr) in [
        (sdxl(), "epsilon", None, false),
        (checkpoint(1024, 4, &SD2), "v_prediction", None, false),
        (sdxl().with("v_pred", empty.clone()).with("ztsnr", empty), "v_prediction", Some("v_pred"), true),
        (sdxl().says("modelspec.prediction_type", "v"), "v_prediction", Some("modelspec.prediction_type"), false),
    ] {
        let told = report(&file).prediction.unwrap();
        assert_eq!((told.kind, told.told_by, told.zero_snr), (kind, told_by, zero_snr));
    }
    // Nobody asks a refiner, a LoRA or a VAE.
    assert_eq!(report(&checkpoint(1280, 4, &REFINER)).prediction, None);
    assert_eq!(report(&kohya(".lora_down.weight", &[4, 768])).prediction, None);

    let distilled = |file: &Checkpoint| report(file).distilled.map(|distilled| distilled.kind);
    let cond_proj = "model.diffusion_model.time_embed.cond_proj.weight";
    assert_eq!(distilled(&sdxl()), None);
    assert_eq!(distilled(&sdxl().with(cond_proj, Array::zeros(&[4, 2]))), Some("LCM"));
    assert_eq!(distilled(&sdxl().says("modelspec.title", "SDXL-Turbo")), Some("Turbo"));
    assert_eq!(distilled(&sdxl().says("modelspec.title", "Lightning 4 step")), Some("Lightning"));
    assert_eq!(distilled(&kohya(".lora_down.weight", &[4, 768]).says("ss_output_name", "calcmap")), None, "part of a word");
    assert_eq!(distilled(&kohya(".lora_down.weight", &[4, 768]).says("ss_output_name", "LCM LoRA")), Some("LCM"));
}

#[test]
fn trainers_notes_are_read_and_doubted() {
    let file = kohya(".lora_down.weight", &[16, 768])
        .says("modelspec.title", "  Lighthouses  ")
        .says("modelspec.author", "")
        .says("modelspec.license", "CC0-1.0")
        .says("modelspec.trigger_phrase", "lghths")
        .says("ss_sd_model_name", "sd-v1-5.safetensors")
        .says("ss_network_module", "networks.lora")
        .says("ss_network_dim", "16")
        .says("ss_network_alpha", "8")
        .says("ss_steps", "None")
        .says("ss_num_train_images", "40")
        .says("modelspec.description", &"é".repeat(5000))
        .says(
            "ss_tag_frequency",
            r#"{"10_lghths": {"sea": 30, " rock ": 12}, "5_more": {"rock": 20, "x": "y", "": 9}, "odd": 3}"#,
        );
    let found = report(&file);
    let training = &found.training;
    assert_eq!(training.title.as_deref(), Some("Lighthouses"));
    assert_eq!((training.author.as_deref(), training.license.as_deref()), (None, Some("CC0-1.0")));
    assert_eq!((training.trigger.as_deref(), training.base_model.as_deref()), (Some("lghths"), Some("sd-v1-5.safetensors")));
    assert_eq!(training.network.as_deref(), Some("networks.lora, rank 16, alpha 8"));
    assert_eq!(training.effort.as_deref(), Some("pictures 40"));
    assert_eq!(training.description.as_ref().map(|text| text.chars().count()), Some(300));
    assert_eq!(training.tags, [("rock".to_owned(), 32), ("sea".to_owned(), 30), ("x".to_owned(), 0)]);
    assert_eq!(found.metadata.len(), 12, "and all of it is there whole");
    let adapter = found.adapter.unwrap();
    assert_eq!((adapter.kind, adapter.rank, adapter.text, adapter.dora), ("LoRA", Some(16), false, false));

    for text in ["", "[]", "{", "null", r#"{"a": {"b": -1, "c": 1e300, "d": 18446744073709551615}}"#, &"[".repeat(100_000)] {
        let found =
            report(&kohya(".lora_down.weight", &[1, 1]).says("ss_tag_frequency", text).says("modelspec.resolution", text));
        assert!(found.training.tags.len() <= 3, "{text:.20}");
    }
    assert!(report(&kohya(".lora_down.weight", &[1, 1])).training.is_empty());
}

#[test]
fn what_is_special_is_noted() {
    let notes = |file: &Checkpoint| report(file).notes.join("; ");
    let rrdb = |channels: usize| {
        Checkpoint::zeros(&[("conv_first.weight", &[8, channels, 3, 3]), ("body.0.rdb1.conv1.weight", &[4, 8, 3, 3])])
    };
    let old = Checkpoint::zeros(&[
        ("model.0.weight", &[8, 3, 3, 3]),
        ("model.1.sub.0.RDB1.conv1.0.weight", &[4, 8, 3, 3]),
        ("model.3.weight", &[8, 8, 3, 3]),
        ("model.6.weight", &[8, 8, 3, 3]),
        ("model.8.weight", &[8, 8, 3, 3]),
        ("model.10.weight", &[3, 8, 3, 3]),
    ]);
    let srvgg = Checkpoint::zeros(&[
        ("body.0.weight", &[8, 3, 3, 3]),
        ("body.1.weight", &[8]),
        ("body.10.weight", &[48, 8, 3, 3]),
        ("body.2.weight", &[8, 8, 3, 3]),
    ]);
    for (file, words) in [
        (rrdb(3), "enlarges 4 times"),
        (rrdb(12), "enlarges 2 times"),
        (rrdb(48), "enlarges 1 times"),
        (rrdb(5), "RRDB (ESRGAN)"),
        (old, "old names, enlarges 4 times"),
        (srvgg, "compact), enlarges 4 times"),
        (Checkpoint::part("sd15", "vae"), "have one shape"),
        (Checkpoint::zeros(&[("emb_params", &[3, 768])]), "3 vectors"),
        (Checkpoint::zeros(&[("<x>", &[768])]), "1 vector;"),
    ] {
        let found = notes(&file);
        assert!(found.contains(words), "{found:?} (should say: {words})");
    }
}

#[test]
fn hostile_headers_end_in_errors_or_reports() {
    // Numbers where there should be few, and names that look like more than they are.
    for name in [
        "model.diffusion_model.",
        "model.diffusion_model.input_blocks.99999999999999999999.0.op.weight",
        "lora_unet_",
        ".lora_A.weight",
        "body.body.body.weight",
        "model..weight",
        "model.1.sub.0.RDB1.conv1.0.weight",
        "decoder.mid.",
        "9999999999999.conv.4.weight",
        "v_pred",
        "emb_params",
        "é.attn2.to_k.weight",
        "attn2.to_k.weight",
    ] {
        for shape in [&[][..], &[1], &[1, 1], &[3, 1, 1, 1, 1, 1, 1, 1]] {
            let found = report(&Checkpoint::zeros(&[(name, shape)]));
            let _ = (found.what(), found.unfit(), serde_json::to_string(&found).unwrap());
        }
    }
    // A pickle, whatever it is called, and a file that is cut short.
    for (bytes, is_foreign) in
        [(&b"PK\x03\x04archive/data.pkl"[..], true), (b"\x80\x02}q\x00.", true), (b"\x10\0\0\0\0\0\0\0{", false)]
    {
        let error = Header::read(bytes).unwrap_err();
        assert_eq!(matches!(error, HeaderError::Foreign { .. }), is_foreign, "{error}");
    }
}
