//! Packed models at the command line: whichever way a model came in, it draws the same picture; what is half done is never
//! seen; what is damaged is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;
#[path = "../../tests/support/checkpoint.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use common::hub::Hub;
use common::{Run, command, encaustic, golden_model, scratch, tensors};
use support::Checkpoint;

/// Runs the command with a library and a cache of the test's own; there is no hub.
fn at_home(home: &Path, args: &[&str]) -> Run {
    Run::new(args, common::hub::at_home(home).args(args).output().unwrap())
}

/// Draws with a model of the library at `home`; gives what was dumped and what was reported.
fn draw(home: &Path, model: &[&str], more: &[&str]) -> (std::collections::BTreeMap<String, tensors::Array>, serde_json::Value) {
    let dump = home.join("dump.safetensors");
    let out = home.join("out.png");
    let usual = ["generate", "a red circle above a blue square", "--negative", "blurry", "--seed", "7", "--device", "cpu"];
    let files = ["--dump-latents", dump.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json", "--model"];
    let run = at_home(home, &[&usual[..], more, &files, model].concat());
    run.status(0);
    (tensors::read(&dump), run.json())
}

const SMALL: [&str; 6] = ["--steps", "4", "--width", "96", "--height", "64"];

/// A folder with what cannot be told from the tensors of a reference model, its tokenizers too.
fn config(folder: &Path, model: &str) -> PathBuf {
    let config = folder.join("config");
    for (path, text) in support::peculiarities(model) {
        fs::create_dir_all(config.join(&path).parent().unwrap()).unwrap();
        fs::write(config.join(path), text).unwrap();
    }
    for tokenizer in ["tokenizer", "tokenizer_2"].iter().filter(|name| golden_model(model).join(name).is_dir()) {
        common::copy(&golden_model(model).join(tokenizer), &config.join(tokenizer));
    }
    config
}

#[test]
fn a_model_draws_the_same_whichever_way_it_came_in() {
    for (model, family) in [("sd15", "sd1"), ("sd2", "sd2"), ("sdxl", "sdxl")] {
        let home = scratch(&format!("import-{model}"));
        let folder = golden_model(model);
        let folder = folder.to_str().unwrap();
        let file = home.join("file.safetensors");
        fs::write(&file, Checkpoint::single_file(model).bytes()).unwrap();
        let config = config(&home, model);
        let single = [file.to_str().unwrap(), "--config", config.to_str().unwrap()];
        let packed = home.join("elsewhere/packed");
        let packed = packed.to_str().unwrap();

        let run = at_home(&home, &["import", folder, "--name", "from a folder", "--json"]);
        run.status(0);
        assert_eq!((&run.json()["family"], &run.json()["name"]), (&family.into(), &"from a folder".into()));
        at_home(&home, &[&["import"][..], &single, &["--name", "from-a-file"]].concat()).status(0);
        at_home(&home, &["import", "from-a-file", "--out", packed]).status(0);

        let elsewhere = [packed];
        let mut ways = vec![&single[..], &["from a folder"], &["from-a-file"], &elsewhere];
        if model == "sd15" {
            // The hub has the same folder; what was fetched once is used without it.
            Hub::with_model().run(&home, &["import", "hf:tester/tiny", "--name", "from-the-hub"]).status(0);
            ways.extend([&["hf:tester/tiny"][..], &["from-the-hub"]]);
        }
        let (expected, report) = draw(&home, &[folder], &SMALL);
        let image = &expected["image"];
        for way in ways {
            let (found, told) = draw(&home, way, &SMALL);
            let psnr = found["image"].psnr(image, 1.0);
            assert!(psnr >= 60.0, "{model} as {way:?}: {psnr:.1} dB");
            // A picture names the same weights by the same hash.
            let is_of_folder = ["from a folder", "from-the-hub", "hf:tester/tiny"].contains(&way[0]);
            assert_eq!(told["model_hash"] == report["model_hash"], is_of_folder, "{model} as {way:?}");
        }
        let shas = [single[0], "from-a-file", packed].map(|way| at_home(&home, &["info", way, "--json"]).json()["hash"].clone());
        assert!(shas.iter().all(|sha| *sha == shas[0] && sha.is_string()), "{shas:?}");
        at_home(&home, &["verify"]).status(0);
    }
}

#[test]
fn quantised_models_draw_nearly_the_same() {
    let home = scratch("import-quantised");
    let steps = ["--steps", "20", "--seed", "1"];
    let (expected, _) = draw(&home, &["demo"], &steps[..2]);
    let latents = |found: &std::collections::BTreeMap<String, tensors::Array>| found["latents"].clone();
    let range = |array: &tensors::Array| {
        let (low, high) = array.values.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        f64::from(high - low)
    };
    let f16 = latents(&expected);
    // (dtype, least PSNR of the last latents in dB, most MB, most that the UNet's output may be off)
    for (dtype, least, most, off) in [("f16", 200.0, 20.9, 1e-6), ("q8", 30.0, 12.5, 0.03), ("q4", 20.0, 7.8, 0.4)] {
        let run = at_home(&home, &["import", "demo", "--dtype", dtype, "--name", dtype, "--measure", "--json"]);
        run.status(0);
        let report = run.json();
        let (found, _) = draw(&home, &[dtype], &steps[..2]);
        let psnr = latents(&found).psnr(&f16, range(&f16));
        assert!(psnr >= least, "{dtype}: {psnr:.1} dB");
        let megabytes = report["bytes"].as_u64().unwrap() as f64 / 1e6;
        assert!(megabytes <= most, "{dtype}: {megabytes} MB");
        let parts = report["components"].as_array().unwrap();
        let outputs = report["outputs"].as_array().unwrap();
        for (part, output) in parts.iter().zip(outputs) {
            assert_eq!(part["name"], output["component"]);
            let (error, layers) = (output["error"].as_f64().unwrap(), part["layer_error"].as_f64());
            assert!(error <= off, "{dtype}: {part} {output}");
            let is_quantised = dtype != "f16" && part["name"] != "vae";
            assert_eq!(layers.is_some(), is_quantised, "{dtype}: {part}");
            assert!(!is_quantised || layers.unwrap() > 1e-4 && error > 1e-4, "{dtype}: {part} {output}");
        }
        assert_eq!(outputs.len(), 3);
    }
    // The VAE too, where that is asked for; and a packed model can be packed again.
    at_home(&home, &["import", "demo", "--dtype", "f32", "--vae-dtype", "q8", "--name", "odd"]).status(0);
    let info = at_home(&home, &["info", "odd", "--json"]).json();
    let dtypes = |name: &str| {
        let part = info["components"].as_array().unwrap().iter().find(|part| part["name"] == name).unwrap();
        part["dtypes"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!((dtypes("unet"), dtypes("vae")), (vec!["F32".to_owned()], vec!["F16".to_owned(), "Q8".to_owned()]));
}

/// Arguments and the words of the refusal.
type Refused<'a> = (&'a [&'a str], &'a [&'a str]);

#[test]
fn what_cannot_be_packed_is_refused_and_leaves_nothing() {
    let home = scratch("import-refused");
    let model = golden_model("sd15");
    let model = model.to_str().unwrap();
    let mine = home.join("mine");
    fs::create_dir_all(&mine).unwrap();
    fs::write(mine.join("diary.txt"), "dear").unwrap();
    let mine = mine.to_str().unwrap();
    let lora = home.join("lora.safetensors");
    fs::write(&lora, Checkpoint::zeros(&[("lora_unet_x.lora_down.weight", &[4, 8])]).bytes()).unwrap();
    let packed = home.join("packed");
    let packed = packed.to_str().unwrap();
    at_home(&home, &["import", model, "--out", packed]).status(0);
    let cases: [Refused<'_>; 15] = [
        (&["import", "demo"], &["name: ", "the model in the box", "--name"]),
        (&["import", model, "--name", "NUL.x"], &["name: "]),
        (&["import", model, "--name=-q"], &["name: ", "--name"]),
        (&["import", model, "--out", lora.to_str().unwrap()], &["out: ", "is no folder"]),
        (&["import", model, "--dtype", "q5"], &["dtype: ", "q8 or q4"]),
        (&["import", model, "--vae-dtype", "8"], &["vae-dtype: ", "q8 or q4"]),
        (&["import", model, "--name", "../x"], &["name: ", "cannot be the name of a model"]),
        (&["import", model, "--name", ".hidden"], &["name: "]),
        (&["import", model, "--name", "a/b"], &["name: "]),
        (&["import", model, "--out", mine, "--replace"], &["exists already", "diary.txt", "another name"]),
        (&["import", model, "--out", packed], &["exists already", "--replace"]),
        (&["import", packed, "--out", packed, "--replace"], &["into itself"]),
        (&["import", lora.to_str().unwrap()], &["LoRA"]),
        (&["import", "no such model"], &["there is no \"no such model\""]),
        (&["import", model, "--out", packed, "--name", "x"], &["--name"]),
    ];
    for (args, words) in cases {
        let run = at_home(&home, args);
        run.status(2);
        for word in words {
            assert!(run.stderr.contains(word), "{args:?}: {word:?} is missing:\n{}", run.stderr);
        }
    }
    assert_eq!(fs::read_dir(mine).unwrap().count(), 1);
    let library = encaustic_launcher::library::library().unwrap();
    let library = home.join(library.strip_prefix(std::env::home_dir().unwrap()).unwrap());
    let left: Vec<_> = fs::read_dir(&library).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");

    // Replacing works, and leaves only the new one.
    at_home(&home, &["import", model, "--out", packed, "--replace", "--dtype", "q8"]).status(0);
    assert_eq!(at_home(&home, &["verify", packed]).code, Some(0));
    let hidden = fs::read_dir(&home).unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".enc"));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn damage_is_told() {
    let home = scratch("import-damaged");
    let packed = home.join("packed");
    let shard = packed.join("model-00001.safetensors");
    let manifest = packed.join("manifest.json");
    at_home(&home, &["import", "demo", "--out", packed.to_str().unwrap()]).status(0);
    at_home(&home, &["verify", packed.to_str().unwrap()]).status(0);
    let (good, told) = (fs::read(&shard).unwrap(), fs::read(&manifest).unwrap());
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        bytes
    };
    let middle = good.len() / 2;
    let cases: [(&str, Vec<u8>, &[&str], bool); 4] = [
        ("a bit", flipped(middle), &["SHA-256", "model-00001.safetensors", "import it again"], true),
        ("the header", flipped(100), &["SHA-256"], false),
        ("cut short", good[..middle].to_vec(), &["bytes instead of"], false),
        ("empty", Vec::new(), &["0 bytes instead of"], false),
    ];
    for (what, bytes, words, loads) in cases {
        fs::write(&shard, bytes).unwrap();
        let run = at_home(&home, &["verify", packed.to_str().unwrap(), "--json"]);
        run.status(1);
        let error = run.json()["error"]["message"].as_str().unwrap().to_owned();
        for word in words {
            assert!(error.contains(word), "{what}: {word:?} is missing: {error}");
        }
        assert_eq!(run.json()["models"][0]["faults"][0]["file"], "model-00001.safetensors", "{what}");
        // What shows without reading everything is told before a picture is begun.
        if !loads {
            let run = at_home(&home, &["generate", "x", "--steps", "1", "--model", packed.to_str().unwrap()]);
            run.status(2);
            assert!(run.stderr.contains("model-00001.safetensors"), "{what}: {}", run.stderr);
        }
    }
    fs::remove_file(&shard).unwrap();
    let run = at_home(&home, &["generate", "x", "--steps", "1", "--model", packed.to_str().unwrap()]);
    run.status(2);
    fs::write(&shard, &good).unwrap();
    let text = String::from_utf8(told).unwrap();
    for (what, text, words) in [
        ("later", text.replace("\"schema\":1", "\"schema\":2"), "get a newer one"),
        ("foreign", text.replace("\"format\":\"encaustic\"", "\"format\":\"other\""), "no packed model"),
        ("cut", text[..text.len() / 2].to_owned(), "the manifest is not valid"),
        ("a path", text.replace("model-00001.safetensors", "../model.safetensors"), "the name of a shard"),
    ] {
        fs::write(&manifest, text).unwrap();
        for (command, status) in [(&["verify"][..], 1), (&["info"], 2), (&["generate", "x", "--model"], 2)] {
            let run = at_home(&home, &[command, &[packed.to_str().unwrap()]].concat());
            run.status(status);
            assert!(run.stderr.contains(words), "{what}: {command:?}: {}", run.stderr);
        }
    }
    let folder = golden_model("sd15");
    let run = encaustic(&["verify", folder.to_str().unwrap()]);
    run.status(2);
    assert!(run.stderr.contains("encaustic import"), "{}", run.stderr);
}

#[test]
fn another_vae_is_packed_and_named() {
    let home = scratch("import-vae");
    let model = golden_model("sd15");
    let model = model.to_str().unwrap();
    let vae = golden_model("sd15").join("vae");
    let whole = Checkpoint::single_file("sd15");
    let single = home.join("vae.safetensors");
    fs::write(&single, whole.only("first_stage_model.").bytes()).unwrap();
    let packed = home.join("packed");
    at_home(&home, &["import", model, "--out", packed.to_str().unwrap()]).status(0);
    let (expected, _) = draw(&home, &[model], &SMALL);
    let hash = |name: &str| at_home(&home, &["info", name, "--json"]).json();
    for (name, vae, file) in [
        ("folder", vae.to_str().unwrap(), "diffusion_pytorch_model.safetensors"),
        ("model", model, "vae/diffusion_pytorch_model.safetensors"),
        ("packed", packed.to_str().unwrap(), "vae/diffusion_pytorch_model.safetensors"),
    ] {
        at_home(&home, &["import", model, "--vae", vae, "--name", name]).status(0);
        let (found, told) = draw(&home, &[name], &SMALL);
        assert!(found["image"].psnr(&expected["image"], 1.0) >= 60.0, "{name}");
        // The model is still called by its UNet's hash, and of the VAE only what is used is named.
        let info = hash(name);
        assert_eq!((&info["hash"], &told["model_hash"]), (&hash(model)["hash"], &hash(model)["hash"]), "{name}: {info}");
        let sources = info["packed"]["sources"].as_array().unwrap();
        let of_vae: Vec<_> = sources.iter().filter(|source| source["components"] == serde_json::json!(["vae"])).collect();
        assert_eq!((of_vae.len(), &of_vae[0]["file"]), (1, &file.into()), "{name}: {sources:?}");
        assert_eq!(sources.len(), 3, "{name}: {sources:?}");
    }
    // A checkpoint with a VAE beside it: one hash each.
    let config = config(&home, "sd15");
    let file = home.join("beside.safetensors");
    fs::write(&file, whole.without("first_stage_model.").bytes()).unwrap();
    fs::copy(&single, home.join("beside.vae.safetensors")).unwrap();
    let args = ["import", file.to_str().unwrap(), "--config", config.to_str().unwrap(), "--name", "beside"];
    at_home(&home, &args).status(0);
    assert_eq!(hash("beside")["hash"], hash(file.to_str().unwrap())["hash"]);
}

#[test]
fn what_appears_meanwhile_is_not_replaced() {
    use encaustic_launcher::files::Staging;
    let home = scratch("import-late");
    let path = home.join("late");
    let begin = || {
        let staging = Staging::begin(&path).unwrap();
        fs::write(staging.folder().join("new"), "new").unwrap();
        staging
    };
    let left = || fs::read_dir(&home).unwrap().flatten().map(|entry| entry.file_name()).collect::<Vec<_>>();
    // Somebody's diary came after the first look.
    let staging = begin();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("diary"), "dear").unwrap();
    let error = staging.keep(|there| !there.join("diary").exists()).unwrap_err();
    assert!(error.to_string().contains("something of that name"), "{error}");
    assert_eq!((fs::read_to_string(path.join("diary")).unwrap().as_str(), left()), ("dear", vec!["late".into()]));
    // What may be replaced is, a link as well, and an empty folder is no hindrance.
    begin().keep(|_| true).unwrap();
    assert!(path.join("new").is_file() && !path.join("diary").exists());
    fs::remove_dir_all(&path).unwrap();
    fs::create_dir(&path).unwrap();
    begin().keep(|_| false).unwrap();
    assert_eq!((path.join("new").is_file(), left()), (true, vec!["late".into()]));
    // What a killed process left is removed by the next; what is in use is not.
    let dead = home.join(".encaustic-1-0.part");
    fs::create_dir(&dead).unwrap();
    let (first, second) = (begin(), Staging::begin(&home.join("other")).unwrap());
    assert!(first.folder().is_dir() && second.folder().is_dir());
    #[cfg(unix)]
    assert!(!dead.exists());
}

#[test]
fn one_damaged_model_does_not_hide_the_others() {
    let home = scratch("import-several");
    let model = golden_model("sd15");
    for name in ["a", "b", "c"] {
        at_home(&home, &["import", model.to_str().unwrap(), "--name", name]).status(0);
    }
    let folder = |name: &str| PathBuf::from(at_home(&home, &["info", name, "--json"]).json()["place"].as_str().unwrap());
    fs::write(folder("a").join("manifest.json"), "{").unwrap();
    let manifest = folder("b").join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (one, other) = ("unet.mid_block.resnets.0.conv1.weight", "unet.mid_block.resnets.0.conv2.weight");
    let spoil = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut told = told.clone();
        change(&mut told);
        fs::write(&manifest, told.to_string()).unwrap();
        let run = at_home(&home, &["verify", "--json"]);
        run.status(1);
        let models = run.json()["models"].as_array().unwrap().clone();
        let faults = |name: &str| models.iter().find(|model| model["model"] == name).unwrap()["faults"].clone();
        assert_eq!((faults("a").as_array().unwrap().len(), faults("c").as_array().unwrap().len()), (1, 0));
        faults("b").to_string()
    };
    // A manifest that was tampered with is no model, even where every shard is as it was.
    let swapped = spoil(&|told| {
        let tensors = told["tensors"].as_object_mut().unwrap();
        let (a, b) = (tensors[one]["pieces"].clone(), tensors[other]["pieces"].clone());
        tensors.get_mut(one).unwrap()["pieces"] = b;
        tensors.get_mut(other).unwrap()["pieces"] = a;
    });
    assert!(swapped.contains(one) || swapped.contains(other), "{swapped}");
    let without = spoil(&|told| drop(told["files"].as_object_mut().unwrap().remove("unet/config.json")));
    assert!(without.contains("unet/config.json"), "{without}");
    let family = spoil(&|told| told["family"] = "sdxl".into());
    assert!(family.contains("sdxl"), "{family}");
    let renamed = spoil(&|told| {
        let tensors = told["tensors"].as_object_mut().unwrap();
        let tensor = tensors.remove(one).unwrap();
        tensors.insert(format!("{one}s"), tensor);
    });
    assert!(renamed.contains(one), "{renamed}");
    let title = spoil(&|told| told["title"] = "two\nlines".into());
    assert!(title.contains("title"), "{title}");
}

#[test]
fn files_of_the_hub_are_verified_by_their_names() {
    let home = scratch("import-hub-verify");
    Hub::with_model().run(&home, &["pull", "tester/tiny"]).status(0);
    at_home(&home, &["verify", "hf:tester/tiny"]).status(0);
    let blobs = common::hub::cache(&home).join("blobs");
    let largest = fs::read_dir(blobs).unwrap().flatten().max_by_key(|entry| entry.metadata().unwrap().len()).unwrap().path();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    for _ in 0..2 {
        let run = at_home(&home, &["verify", "hf:tester/tiny"]);
        run.status(1);
        assert!(run.stderr.contains("SHA-256"), "{}", run.stderr);
    }
}

/// A full disk leaves the reason and nothing else, and there is no harm for the next try.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_part_of_a_model() {
    let disk = scratch("import-disk");
    let script = r#"mount -t tmpfs -o size=8m tmpfs "$1" || exit 99
        "$2" import demo --out "$1/models/demo"; status=$?
        find "$1" -type f; rm -rf "$1/models"; "$2" import demo --dtype q4 --out "$1/small" >/dev/null || exit 98
        exit $status"#;
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", disk.to_str().unwrap()])
        .arg(env!("CARGO_BIN_EXE_encaustic"))
        .env("HOME", disk.parent().unwrap())
        .output()
        .expect("`unshare` (util-linux) is needed to make a small disk");
    let run = Run::new(&["import"], output);
    run.status(1);
    assert!(run.stderr.contains("the disk is full"), "{}", run.stderr);
    assert_eq!(run.stdout.trim(), "", "something is left");
}

/// Ctrl-C while a model is packed: the command says so and nothing is left.
#[cfg(unix)]
#[test]
fn an_interrupted_import_leaves_nothing() {
    use std::io::Read as _;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let home = scratch("import-interrupted");
    // Large enough that it takes a while, and sparse, so that it takes no room: an encoder with a huge vocabulary.
    let model = home.join("large");
    common::copy(&golden_model("sd15"), &model);
    let text = model.join("text_encoder");
    let config = fs::read_to_string(text.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let (features, words) = (config["hidden_size"].as_u64().unwrap(), 1_000_000u64);
    config["vocab_size"] = words.into();
    fs::write(text.join("config.json"), config.to_string()).unwrap();
    enlarge(&text.join("model.safetensors"), words * features);
    let out = home.join("out/packed");
    let args = ["import", model.to_str().unwrap(), "--dtype", "q4", "--out", out.to_str().unwrap()];
    let mut child =
        command().env("HOME", &home).args(args).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let begun = Instant::now();
    while fs::read_dir(home.join("out")).map_or(0, Iterator::count) == 0 {
        if let Some(status) = child.try_wait().unwrap() {
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            panic!("it ended with {status}: {told}");
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is begun");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(status.code(), Some(130), "{told}");
    assert!(told.contains("nothing of it was kept"), "{told}");
    assert_eq!(fs::read_dir(home.join("out")).unwrap().count(), 0);
}

/// Makes the table of words in a file of f16 so large, as a hole at its end.
#[cfg(unix)]
fn enlarge(path: &Path, elements: u64) {
    use std::io::Write as _;
    let bytes = fs::read(path).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut table: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = (bytes.len() - 8 - length) as u64;
    let name = table.as_object().unwrap().keys().find(|name| name.contains("token_embedding")).unwrap().clone();
    let [start, end] = [0, 1].map(|i| table[&name]["data_offsets"][i].as_u64().unwrap());
    let features = table[&name]["shape"][1].as_u64().unwrap();
    let cut = end - start;
    for (other, entry) in table.as_object_mut().unwrap() {
        if *other != name && other != "__metadata__" && entry["data_offsets"][0].as_u64().unwrap() >= end {
            for i in 0..2 {
                entry["data_offsets"][i] = (entry["data_offsets"][i].as_u64().unwrap() - cut).into();
            }
        }
    }
    table[&name] = serde_json::json!({
        "dtype": "F16", "shape": [elements / features, features], "data_offsets": [data - cut, data - cut + 2 * elements]
    });
    let mut header = table.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    let body = &bytes[8 + length..];
    file.write_all(&body[..usize::try_from(start).unwrap()]).unwrap();
    file.write_all(&body[usize::try_from(end).unwrap()..]).unwrap();
    let whole = 8 + header.len() as u64 + data - cut + 2 * elements;
    file.set_len(whole).unwrap();
}
