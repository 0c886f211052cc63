//! The library of models: what lies in our own folder and in other programs' trees, by name, listed, told about and removed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;
#[path = "../../tests/support/checkpoint.rs"]
mod support;

use std::fs;

use common::house::{House, put, state};
use common::{copy, golden_model};
use support::{Array, Checkpoint};

fn sd(model: &str) -> Vec<u8> {
    Checkpoint::single_file(model).bytes()
}

fn lora() -> Vec<u8> {
    Checkpoint::zeros(&[("lora_unet_a_attn2_to_k.lora_down.weight", &[4, 768])]).bytes()
}

fn embedding(width: usize) -> Vec<u8> {
    Checkpoint::zeros(&[("emb_params", &[2, width])]).bytes()
}

const PICKLE: &[u8] = b"PK\x03\x04archive/data.pkl";

/// Every kind of file: path in an A1111 tree, in one of ComfyUI, content, kind, and what its table tells about it.
type Sort = (&'static str, &'static str, Vec<u8>, &'static str, &'static str);

fn every_kind() -> Vec<Sort> {
    let sd15 = Checkpoint::single_file("sd15");
    let controlnet = Checkpoint::zeros(&[("control_model.zero_convs.0.0.weight", &[8, 8, 1, 1])]);
    let upscaler = Checkpoint::zeros(&[("body.0.rdb1.conv1.weight", &[4, 8, 3, 3]), ("conv_first.weight", &[8, 3, 3, 3])]);
    let text = Checkpoint::part("sd15", "text_encoder");
    let loha = Checkpoint::zeros(&[("lora_unet_a.hada_w1_a", &[8, 4]), ("lora_unet_a.hada_w1_b", &[4, 8])]);
    let page = b"<!DOCTYPE html><html>404</html>".to_vec();
    vec![
        (
            "models/Stable-diffusion/lighthouse.safetensors",
            "checkpoints/lighthouse.safetensors",
            sd15.bytes(),
            "checkpoint",
            "sd1",
        ),
        (
            "models/Stable-diffusion/lighthouse.vae.safetensors",
            "checkpoints/lighthouse.vae.safetensors",
            Checkpoint::part("sd15", "vae").bytes(),
            "vae",
            "of lighthouse",
        ),
        ("models/Stable-diffusion/v/harbour.SAFETENSORS", "checkpoints/v/harbour.SAFETENSORS", sd("sd2"), "checkpoint", "sd2 v"),
        ("models/Stable-diffusion/xl.safetensors", "checkpoints/xl.safetensors", sd("sdxl"), "checkpoint", "sdxl"),
        (
            "models/Stable-diffusion/half.safetensors",
            "checkpoints/half.safetensors",
            sd15.clone().without("first_stage_model.").bytes(),
            "checkpoint",
            "no VAE",
        ),
        ("models/Stable-diffusion/old.ckpt", "checkpoints/old.ckpt", PICKLE.to_vec(), "pickle", "pickle"),
        ("models/Stable-diffusion/older.PKL", "checkpoints/older.PKL", PICKLE.to_vec(), "pickle", "pickle"),
        ("models/Stable-diffusion/renamed.safetensors", "checkpoints/renamed.safetensors", PICKLE.to_vec(), "pickle", "pickle"),
        ("models/Stable-diffusion/page.safetensors", "checkpoints/page.safetensors", page, "damaged", "a web page"),
        ("models/Stable-diffusion/empty.safetensors", "checkpoints/empty.safetensors", Vec::new(), "damaged", "too few"),
        ("models/Lora/風景.safetensors", "loras/風景.safetensors", lora(), "lora", "rank 4"),
        ("models/Lora/style/loha.safetensors", "loras/style/loha.safetensors", loha.bytes(), "lora", "LoHa"),
        ("models/VAE/soft.safetensors", "vae/soft.safetensors", sd15.only("first_stage_model.").bytes(), "vae", "VAE"),
        ("models/ControlNet/canny.safetensors", "controlnet/canny.safetensors", controlnet.bytes(), "controlnet", "ControlNet"),
        ("models/ESRGAN/large.safetensors", "upscale_models/large.safetensors", upscaler.bytes(), "upscaler", "enlarges 4 times"),
        ("embeddings/blurry.safetensors", "embeddings/blurry.safetensors", embedding(768), "textual-inversion", "2 vectors"),
        ("models/text/clip.safetensors", "clip/clip.safetensors", text.bytes(), "text-encoder", "text encoder"),
        (
            "models/UNet/alone.safetensors",
            "diffusion_models/alone.safetensors",
            Checkpoint::part("sd15", "unet").bytes(),
            "unet",
            "diffusers",
        ),
        (
            "models/other/what.safetensors",
            "other/what.safetensors",
            Checkpoint::zeros(&[("a.b", &[1])]).bytes(),
            "unknown",
            "unknown",
        ),
    ]
}

#[test]
fn trees_of_other_programs_are_listed_and_never_changed() {
    for (program, is_a1111) in [("webui", true), ("ComfyUI", false)] {
        let mut house = House::new(&format!("library-{program}"));
        let sorts = every_kind();
        let root = house.root.join(program);
        for (a1111, comfy, bytes, _, _) in &sorts {
            put(if is_a1111 { root.join(a1111) } else { root.join("models").join(comfy) }, bytes);
        }
        house.tree(&format!("{program}/models"));
        copy(&golden_model("sd15"), &root.join("models/diffusers/folder"));
        let packed = root.join("models/packed");
        let model = golden_model("sd15");
        let import = ["import", model.to_str().unwrap(), "--out", packed.to_str().unwrap(), "--title", "Small", "--dtype", "q8"];
        house.run(&import).status(0);
        put(root.join("models/Lora/.hidden.safetensors"), lora());
        put(root.join("models/.encaustic-1-0.part/x.safetensors"), lora());
        put(root.join("models/Lora/readme.txt"), "words");
        let before = state(&root);

        let listed = house.listed(&[]);
        let table = house.run(&["models"]);
        table.status(0);
        for (path, _, bytes, kind, words) in &sorts {
            let name = path.rsplit('/').next().unwrap().rsplit_once('.').unwrap().0;
            let model = listed.get(name).unwrap_or_else(|| panic!("{name} in {:?}", listed.keys()));
            assert_eq!((&model["kind"], &model["bytes"]), (&(*kind).into(), &bytes.len().into()), "{name}");
            assert_eq!(model["read_only"], true, "{name}");
            assert!(model["path"].as_str().unwrap().contains(name) && model["hash"].is_null(), "{model}");
            assert_eq!(model["problem"].is_null(), !["pickle", "damaged"].contains(kind), "{model}");
            let lines = || table.stdout.lines().filter(|line| line.trim_start().starts_with(name));
            let is_told = lines().any(|line| line.contains(words)) && (lines().count() > 0);
            assert!(is_told, "{name}: {words:?} is missing:\n{}", table.stdout);
        }
        let (folder, packed) = (&listed["folder"], &listed["packed"]);
        assert_eq!(
            (&folder["kind"], &folder["layout"], &folder["family"]),
            (&"checkpoint".into(), &"diffusers".into(), &"sd1".into())
        );
        assert_eq!((&folder["parameters"], &folder["prediction"]), (&411_099.into(), &"epsilon".into()));
        assert_eq!(
            (&packed["layout"], &packed["family"], &packed["parameters"]),
            (&"packed".into(), &"sd1".into(), &411_099.into())
        );
        assert!(packed["what"].as_str().unwrap().contains("Small") && packed["dtypes"]["Q8"].is_u64(), "{packed}");
        // Of a packed model the hash of its source is known at once, and means it as long as the source is not here.
        let hash = packed["hash"].as_str().unwrap();
        assert_eq!(hash.len(), 10, "{packed}");
        for (name, is_it) in [(hash, true), (&format!("packed [{hash}]"), true), ("packed [0000000000]", false)] {
            let run = house.run(&["info", name, "--json"]);
            run.status(if is_it { 0 } else { 2 });
            let words = if is_it { "models/packed" } else { "its hash is" };
            assert!(run.stdout.contains(words) || run.stderr.contains(words), "{name}: {run:?}");
        }
        assert_eq!(listed["harbour"]["prediction"], "v_prediction");
        assert_eq!(listed["half"]["missing"], serde_json::json!(["vae"]));
        assert_eq!(listed["lighthouse"]["missing"], serde_json::json!([]));
        assert_eq!(listed["lighthouse.vae"]["vae_of"], "lighthouse");
        assert!(listed["lighthouse"]["dtypes"]["F16"].as_u64().unwrap() > 400_000);
        assert_eq!(listed["demo"]["layout"], "built-in");
        assert_eq!(listed.len(), sorts.len() + 3, "{:?}", listed.keys());

        // Every command, and not a byte or a time is another.
        for (args, status) in [
            (&["models", "--hash"][..], 0),
            (&["models", "--json", "--kind", "lora"], 0),
            (&["info", "lighthouse"], 0),
            (&["info", "風景"], 0),
            (&["info", "folder", "--json"], 0),
            (&["info", "page"], 2),
            (&["info", "old"], 2),
            (&["rm", "lighthouse", "--yes"], 2),
            (&["rm", "folder", "--yes"], 2),
            (&["rm", "packed", "--yes"], 2),
            (&["rm", "blurry", "--yes"], 2),
            (&["generate", "x", "--model", "canny", "--device", "cpu"], 2),
            (&["generate", "x", "--model", "folder", "--steps", "1", "--device", "cpu", "--width", "64", "--height", "64"], 0),
            (&["bench", "--model", "folder", "--steps", "1", "--device", "cpu", "--width", "64", "--height", "64"], 0),
        ] {
            house.run(args).status(status);
        }
        assert_eq!(state(&root), before, "{program}");
    }
}

#[test]
fn the_table_fits_and_the_rest_is_picked_by_kind() {
    let mut house = House::new("library-kinds");
    let tree = house.tree("tree");
    for (_, path, bytes, _, _) in every_kind() {
        put(tree.join(path), bytes);
    }
    for (kind, count) in
        [("checkpoint", 5), ("lora", 2), ("vae", 2), ("embedding", 1), ("pickle", 3), ("damaged", 2), ("taesd", 0)]
    {
        assert_eq!(house.listed(&["--kind", kind]).len(), count, "{kind}");
    }
    assert_eq!(house.listed(&["--kind", "lora", "--kind", "vae"]).len(), 4);
    house.run(&["models", "--kind", "sofa"]).status(2);
    // Sorted by kind, then by name; without a hash nothing is read, with one everything is known.
    let table = house.run(&["models"]).stdout;
    let place = |name: &str| table.lines().position(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}:\n{table}"));
    assert!(place("demo") < place("half") && place("half") < place("lighthouse ") && place("xl") < place("alone"), "{table}");
    assert!(table.contains("5 checkpoints, 1 UNet, 2 VAEs, 1 text encoder, 2 LoRAs"), "{table}");
    let hashed = house.listed(&["--hash"]);
    for (name, model) in &hashed {
        let is_readable = model["problem"].is_null();
        assert_eq!(model["sha256"].as_str().is_some_and(|sha| sha.len() == 64), is_readable, "{name}: {model}");
    }
    assert_eq!(house.listed(&[]), hashed, "hashes are remembered");
    house.run(&["models", "--models", "nowhere"]).status(2);
    assert!(house.run(&["models", "--models", "nowhere"]).stderr.contains("nowhere: there is no such folder"));
}

#[test]
fn names_are_unambiguous_and_are_understood_as_others_write_them() {
    let mut house = House::new("library-names");
    let tree = house.tree("webui/models");
    put(tree.join("Stable-diffusion/anime/lighthouse.safetensors"), sd("sd15"));
    put(tree.join("Stable-diffusion/photo/lighthouse.safetensors"), sd("sd2"));
    put(tree.join("Lora/lighthouse.safetensors"), lora());
    put(tree.join("Stable-diffusion/Harbour.safetensors"), sd("sd15"));
    put(tree.join("Stable-diffusion/Harbour.ckpt"), PICKLE);
    put(tree.join("Stable-diffusion/demo.safetensors"), sd("sd15"));
    put(tree.join("Stable-diffusion/絵の具 v1.5 (soft).safetensors"), sd("sd15"));
    put(house.own().join("mine.safetensors"), embedding(768));
    put(tree.join("embeddings/mine.safetensors"), embedding(1024));
    let expected = [
        "Harbour",
        "Lora/lighthouse",
        "Stable-diffusion/Harbour",
        "Stable-diffusion/anime/lighthouse",
        "Stable-diffusion/demo",
        "Stable-diffusion/photo/lighthouse",
        "embeddings/mine",
        "mine",
        "絵の具 v1.5 (soft)",
    ];
    assert_eq!(house.names(), expected);
    let sha = house.listed(&["--hash"])["Harbour"]["sha256"].as_str().unwrap().to_owned();
    let anime = house.listed(&[])["Stable-diffusion/anime/lighthouse"]["sha256"].clone();
    assert_eq!(anime, sha.as_str(), "the same bytes");
    let photo = house.listed(&[])["Stable-diffusion/photo/lighthouse"]["hash"].as_str().unwrap().to_owned();
    let short = &sha[..10];
    let mine = house.listed(&[])["mine"]["hash"].as_str().unwrap().to_owned();

    // What is written, and the end of the path that it means; nothing for a refusal with these words.
    let path = |end: &str| Ok::<_, &[&str]>(end.to_owned());
    let cases = [
        ("Harbour".to_owned(), path("Harbour.safetensors")),
        ("harbour".to_owned(), path("Harbour.safetensors")),
        ("HARBOUR.SafeTensors".to_owned(), path("Harbour.safetensors")),
        (format!("Harbour.safetensors [{short}]"), path("Harbour.safetensors")),
        (format!("Harbour [{}]", short.to_uppercase()), path("Harbour.safetensors")),
        ("Harbour.safetensors [0123456789]".to_owned(), Err(&["its hash is", "it is another file of that name"])),
        ("Harbour.ckpt".to_owned(), Err(&["Harbour.ckpt", "pickle"])),
        ("anime/lighthouse".to_owned(), path("anime/lighthouse.safetensors")),
        ("anime\\lighthouse.safetensors".to_owned(), path("anime/lighthouse.safetensors")),
        (format!("lighthouse [{photo}]"), path("photo/lighthouse.safetensors")),
        (photo.clone(), path("photo/lighthouse.safetensors")),
        (mine, path("home/models/mine.safetensors")),
        ("Lora/lighthouse".to_owned(), path("Lora/lighthouse.safetensors")),
        ("ighthouse".to_owned(), Err(&["there is no \"ighthouse\"", "did you mean", "lighthouse"])),
        ("lighthouse".to_owned(), Err(&["may be 3 things here", "Lora/lighthouse", "Stable-diffusion/anime/lighthouse"])),
        (short.to_owned(), Err(&["may be", "Harbour", "anime/lighthouse"])),
        ("0123456789".to_owned(), Err(&["there is no", "models --hash"])),
        ("mine".to_owned(), path("home/models/mine.safetensors")),
        ("embeddings/mine".to_owned(), path("embeddings/mine.safetensors")),
        ("絵の具 v1.5 (soft)".to_owned(), path("絵の具 v1.5 (soft).safetensors")),
        (String::new(), Err(&["there is no \"\""])),
    ];
    for (name, expected) in cases {
        let run = house.run(&["info", &name, "--json"]);
        match expected {
            Ok(end) => {
                run.status(0);
                assert!(run.json()["place"].as_str().unwrap().ends_with(&end), "{name}: {}", run.stdout);
            }
            Err(words) => {
                run.status(2);
                assert!(words.iter().all(|word| run.stderr.contains(word)), "{name}: {words:?} in {}", run.stderr);
            }
        }
    }
    let run = house.run(&["info", "demo", "--json"]);
    assert_eq!(run.json()["place"], "the model in the box");
    // Where a model is wanted, a LoRA of that name is none.
    fs::remove_file(tree.join("Stable-diffusion/photo/lighthouse.safetensors")).unwrap();
    house.run(&["info", "lighthouse"]).status(2);
    let run = house.run(&["generate", "x", "--model", "lighthouse", "--device", "nowhere"]);
    assert!(run.stderr.contains("error: device: "), "{}", run.stderr);
    // Paths come first.
    put(house.root.join("Harbour"), "no model");
    assert!(
        house.run(&["info", "Harbour"]).stderr.contains("too few") || house.run(&["info", "Harbour"]).stderr.contains("header")
    );
}

#[test]
fn the_report_has_everything() {
    let mut house = House::new("library-report");
    let trees = [house.tree("one/models"), house.tree("two/models"), house.root.join("three")];
    put(trees[0].join("half.safetensors"), Checkpoint::single_file("sd2").without("first_stage_model.").bytes());
    put(trees[2].join("old.ckpt"), PICKLE);
    house.trees.push(house.root.join("nowhere"));
    let three = trees[2].to_str().unwrap();
    let run = house.run(&["models", "--json", "--hash", "--models", three]);
    run.status(0);
    let report = run.json();
    let labels: Vec<_> = report["places"].as_array().unwrap().iter().map(|place| place["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["own", "three", "one/models", "two/models"]);
    assert_eq!((&report["count"], &report["places"][0]["read_only"]), (&3.into(), &false.into()));
    assert!(report["warnings"][0].as_str().unwrap().contains("nowhere") && run.stderr.contains("ENCAUSTIC_MODELS"), "{report}");
    let models = report["models"].as_array().unwrap();
    let bytes: u64 = models.iter().map(|model| model["bytes"].as_u64().unwrap()).sum();
    assert_eq!(report["bytes"], bytes);
    let half = models.iter().find(|model| model["name"] == "half").unwrap();
    let sha = half["sha256"].as_str().unwrap();
    let expected = serde_json::json!({
        "name": "half",
        "kind": "checkpoint",
        "layout": "file",
        "what": "checkpoint of Stable Diffusion 2",
        "family": "sd2",
        "family_label": "Stable Diffusion 2",
        "prediction": "v_prediction",
        "parameters": half["parameters"],
        "dtypes": half["dtypes"],
        "bytes": std::fs::metadata(trees[0].join("half.safetensors")).unwrap().len(),
        "hash": sha[..10],
        "sha256": sha,
        "problem": null,
        "missing": ["vae"],
        "vae_of": null,
        "path": trees[0].join("half.safetensors").to_str().unwrap(),
        "place": "one/models",
        "read_only": true,
    });
    assert_eq!(half, &expected);
    let old = models.iter().find(|model| model["name"] == "old").unwrap();
    assert!(old["problem"].as_str().unwrap().contains("can run programs") && old["sha256"].is_null(), "{old}");
    // Where nothing is, what to do is said.
    let empty = House::new("library-empty").run(&["models"]);
    empty.status(0);
    assert!(empty.stdout.contains("demo") && empty.stdout.contains("--models DIR"), "{}", empty.stdout);
}

#[test]
fn pictures_are_drawn_by_name() {
    let mut house = House::new("library-draw");
    let tree = house.tree("ComfyUI/models");
    put(house.own().join("tiny.safetensors"), Checkpoint::single_file("sd15").without("first_stage_model.").bytes());
    put(tree.join("vae/soft.safetensors"), Checkpoint::part("sd15", "vae").bytes());
    put(tree.join("loras/soft.safetensors"), lora());
    // Folders that are no models hide neither.
    for folder in ["tiny", "soft"] {
        fs::create_dir_all(house.root.join(folder)).unwrap();
    }
    // Its heads and groups are smaller than its family's.
    for (path, text) in support::peculiarities("sd15") {
        put(house.root.join("config").join(path), text);
    }
    copy(&golden_model("sd15").join("tokenizer"), &house.root.join("config/tokenizer"));
    let model = ["generate", "x", "--model", "tiny", "--vae", "soft", "--config", "config"];
    let run = house.run(&[&model[..], &["--steps", "1", "--device", "cpu", "--out", "x.png", "--json"]].concat());
    run.status(0);
    assert_eq!((&run.json()["model"], house.root.join("x.png").is_file()), (&"tiny".into(), true));
    assert!(house.run(&["png-info", "x.png"]).stdout.contains("VAE: soft"));
    let run = house.run(&["generate", "x", "--model", "tiny", "--vae", "sotf", "--device", "cpu"]);
    run.status(2);
    assert!(run.stderr.contains("error: vae: there is no \"sotf\"") && run.stderr.contains("soft"), "{}", run.stderr);
}

#[test]
fn thousands_of_files_are_no_trouble() {
    let mut house = House::new("library-many");
    let tree = house.tree("many");
    let bytes = Checkpoint::default().with("word", Array::zeros(&[1])).bytes();
    for index in 0..2000 {
        put(tree.join(format!("{:02}/word-{index}.safetensors", index % 50)), &bytes);
    }
    let begun = std::time::Instant::now();
    assert_eq!(house.listed(&[]).len(), 2001);
    house.run(&["info", "word-1234"]).status(0);
    assert!(house.run(&["models"]).stdout.contains("2000 embeddings"));
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn folders_that_are_no_models_hide_no_names() {
    let house = House::new("library-shadow");
    put(house.own().join("lighthouse.safetensors"), sd("sd15"));
    put(house.own().join("soft.safetensors"), Checkpoint::single_file("sd15").only("first_stage_model.").bytes());
    for folder in ["demo/pictures", "lighthouse", "soft", "empty"] {
        fs::create_dir_all(house.root.join(folder)).unwrap();
    }
    for (name, place) in
        [("demo", "the model in the box"), ("lighthouse", "lighthouse.safetensors"), ("soft", "soft.safetensors")]
    {
        let run = house.run(&["info", name, "--json"]);
        run.status(0);
        assert!(run.json()["place"].as_str().unwrap().ends_with(place), "{}", run.stdout);
    }
    // What is written as a path is one, and what nothing else is called is told as what it is.
    for name in ["./lighthouse", "lighthouse/", "empty", "."] {
        let run = house.run(&["info", name]);
        run.status(2);
        assert!(run.stderr.contains("there is no model_index.json in it"), "{name}: {}", run.stderr);
    }
    copy(&golden_model("sd15"), &house.root.join("lighthouse"));
    let run = house.run(&["info", "lighthouse", "--json"]);
    assert_eq!(run.json()["place"], "lighthouse", "a folder that is a model comes first");
}
