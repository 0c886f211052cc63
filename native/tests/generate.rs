//! `encaustic generate` from end to end on a tiny Stable Diffusion 1.5 whose results with diffusers are known.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::tensors::{self, Array};
use common::{Run, command, encaustic, golden_model, scratch};
use encaustic_picture::infotext::Infotext;
use encaustic_picture::png_text;

const PROMPT: &str = "a red circle above a blue square on a yellow background";
const NEGATIVE: &str = "blurry, low quality";

/// The seed whose first noise is the reference runs' start.
const SEED: &str = "61";

/// A run of the tiny model on the CPU that all tests vary.
fn arguments(out: &Path) -> Vec<String> {
    let model = golden_model("sd15");
    ["generate", PROMPT, "--model", model.to_str().unwrap(), "--device", "cpu", "--json", "--out", out.to_str().unwrap()]
        .map(str::to_owned)
        .to_vec()
}

fn generate(out: &Path, more: &[&str]) -> Run {
    let mut args = arguments(out);
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    encaustic(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Files below a folder, hidden ones too.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A saved picture, as tensor `[3, height, width]` of 0 to 255.
fn picture(path: &Path) -> Array {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap())).read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    let (width, height) = (info.width as usize, info.height as usize);
    let values = (0..3 * height * width).map(|at| rgb[at % (height * width) * 3 + at / (height * width)].into()).collect();
    Array { shape: vec![3, height, width], values }
}

/// A reference run of `sd15_pipeline` and the arguments that ask for it.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    /// Whether our steps are the reference's, so that the latents of each can be compared.
    every_step: bool,
}

const CASES: &[Case] = &[
    // Nothing said: sampler, timesteps and size... are the model's.
    Case { name: "pndm", args: &["--steps", "6", "--cfg", "7.5", "--seed", SEED], every_step: false },
    Case { name: "ddim", args: &["--sampler", "ddim", "--steps", "6", "--cfg", "7.5", "--seed", SEED], every_step: true },
    Case { name: "euler", args: &["--sampler", "Euler", "--steps", "6", "--cfg", "7.5", "--seed", SEED], every_step: true },
    Case {
        name: "euler_trailing",
        args: &["--sampler", "k_euler", "--schedule", "trailing", "--steps", "6", "--cfg", "7.5", "--seed", SEED],
        every_step: true,
    },
    Case { name: "dpmpp_2m", args: &["--sampler", "DPM++ 2M", "--steps", "6", "--cfg", "7.5", "--seed", SEED], every_step: true },
    Case { name: "unipc", args: &["--sampler", "unipc", "--steps", "6", "--cfg", "7.5", "--seed", SEED], every_step: true },
    Case { name: "ddim_cfg1", args: &["--sampler", "ddim", "--steps", "4", "--cfg", "1", "--seed", SEED], every_step: true },
    Case {
        name: "ddim_clip_skip1",
        args: &["--sampler", "ddim", "--steps", "4", "--cfg", "5", "--clip-skip", "2", "--seed", SEED],
        every_step: true,
    },
    Case {
        name: "ddim_guidance_rescale",
        args: &["--sampler", "ddim", "--steps", "4", "--cfg", "7.5", "--guidance-rescale", "0.7", "--seed", SEED],
        every_step: true,
    },
    Case { name: "ddim_seeded", args: &["--sampler", "ddim", "--steps", "6", "--cfg", "7.5", "--seed", "7"], every_step: true },
    Case {
        name: "euler_a_seeded",
        args: &["--sampler", "euler-a", "--steps", "6", "--cfg", "7.5", "--seed", "7"],
        every_step: true,
    },
];

#[test]
fn pictures_are_those_of_the_reference() {
    let reference = tensors::read(&golden_model("../golden/sd15_pipeline.safetensors"));
    for Case { name, args, every_step } in CASES {
        let folder = scratch("reference").join(name);
        let dump = folder.join("dump.safetensors");
        let mut args = args.to_vec();
        args.extend(["--negative", NEGATIVE, "--width", "96", "--height", "64"]);
        args.extend(["--dump-latents", dump.to_str().unwrap()]);
        fs::create_dir_all(&folder).unwrap();
        let run = generate(&folder.join("picture.png"), &args);
        run.status(0);

        let found = tensors::read(&dump);
        let expected = &reference[&format!("{name}/latents")];
        let steps = expected.shape[0];
        if args.contains(&SEED) {
            let error = found["noise"].relative_error(&reference["latents"]);
            assert!(error < 1e-6, "{name}: the noise is off by {error}");
        }
        let last = found["latents"].relative_error(&expected.item(steps - 1));
        assert!(last < 1e-3, "{name}: the last latents are off by {last}");
        if *every_step {
            for step in 0..steps {
                let error = found[&format!("step_{step:03}")].relative_error(&expected.item(step));
                assert!(error < 1e-3, "{name}: the latents after step {step} are off by {error}");
            }
            assert!(!found.contains_key(&format!("step_{steps:03}")), "{name}");
        }
        let saved = picture(&folder.join("picture.png"));
        let image = &found["image"];
        assert_eq!(image.shape, [1, 3, 64, 96]);
        assert!(image.values.iter().all(|value| (0.0..=1.0).contains(value)), "{name}");
        let bytes =
            Array { shape: saved.shape.clone(), values: image.values.iter().map(|v| (v * 255.0).round_ties_even()).collect() };
        assert_eq!(saved, bytes, "{name}: the picture is what was dumped");
        if let Some(expected) = reference.get(&format!("{name}/image_u8")) {
            let psnr = saved.psnr(&expected.item(0), 255.0);
            assert!(psnr >= 40.0, "{name}: PSNR {psnr} dB");
        }
    }
}

#[test]
fn a_batch_is_made_of_the_pictures_that_would_be_made_alone() {
    let folder = scratch("batch");
    let common = ["--steps", "2", "--width", "64", "--height", "64", "--sampler", "euler-a"];
    let run = generate(&folder.join("batch"), &[&common[..], &["--seed", "7", "--batch", "3"]].concat());
    run.status(0);
    assert_eq!(run.json()["seeds"], serde_json::json!([7, 8, 9]));
    assert_eq!(files(&folder.join("batch")), ["00001-7.png", "00002-8.png", "00003-9.png"]);
    for (index, seed) in ["7", "8", "9"].into_iter().enumerate() {
        let alone = folder.join("alone.png");
        generate(&alone, &[&common[..], &["--seed", seed]].concat()).status(0);
        let together = folder.join(format!("batch/{:05}-{seed}.png", index + 1));
        let psnr = picture(&together).psnr(&picture(&alone), 255.0);
        assert!(psnr >= 50.0, "seed {seed}: PSNR {psnr} dB");
    }
}

#[test]
fn one_seed_gives_the_same_bytes() {
    let folder = scratch("determinism");
    let args = ["--steps", "3", "--width", "64", "--height", "64", "--sampler", "euler-a"];
    // A random seed is told, and gives the picture again.
    let run = generate(&folder.join("first.png"), &args);
    run.status(0);
    let seed = run.json()["seeds"][0].as_u64().unwrap().to_string();
    assert!(run.stderr.contains(&seed), "the seed is told to people: {}", run.stderr);
    generate(&folder.join("second.png"), &[&args[..], &["--seed", &seed]].concat()).status(0);
    assert_eq!(fs::read(folder.join("first.png")).unwrap(), fs::read(folder.join("second.png")).unwrap());
    // And two random seeds differ.
    let run = generate(&folder.join("third.png"), &[&args[..], &["--seed", "-1"]].concat());
    assert_ne!(run.json()["seeds"][0].as_u64().unwrap().to_string(), seed);
    // The other generator makes other noise.
    generate(&folder.join("nv.png"), &[&args[..], &["--seed", &seed, "--rng", "nv"]].concat()).status(0);
    assert_ne!(fs::read(folder.join("first.png")).unwrap(), fs::read(folder.join("nv.png")).unwrap());
}

#[test]
fn the_report_tells_what_was_done() {
    let folder = scratch("report");
    let args = ["--steps", "3", "--width", "72", "--height", "64", "--seed", "5", "--cfg", "4.5", "--batch", "2"];
    let run = generate(&folder, &[&args[..], &["--sampler", "dpmpp-2m", "--schedule", "karras"]].concat());
    run.status(0);
    let report = run.json();
    let expected: [(&str, serde_json::Value); 10] = [
        ("seeds", serde_json::json!([5, 6])),
        ("device", "cpu".into()),
        ("dtype", "f32".into()),
        ("sampler", "dpmpp-2m".into()),
        ("schedule", "karras".into()),
        ("steps", 3.into()),
        ("cfg", 4.5.into()),
        ("width", 72.into()),
        ("height", 64.into()),
        ("model", "sd15".into()),
    ];
    for (key, value) in expected {
        assert_eq!(report[key], value, "{key} of {report}");
    }
    let paths: Vec<PathBuf> = report["files"].as_array().unwrap().iter().map(|path| path.as_str().unwrap().into()).collect();
    assert_eq!(paths.len(), 2);
    for key in ["load", "text", "denoise", "vae", "save", "total"] {
        let seconds = report["seconds"][key].as_f64().unwrap_or_else(|| panic!("seconds.{key} of {report}"));
        assert!((0.0..600.0).contains(&seconds), "{key}: {seconds}");
    }
    assert_eq!(report["seconds"]["steps"].as_array().unwrap().len(), 3);
    assert!(report["memory"]["host_peak"].as_u64().unwrap() > 1 << 20);
    assert!(report["memory"].as_object().unwrap().contains_key("device_peak"));

    // The same is in the picture, as other programs write it.
    let text = png_text::read(fs::File::open(&paths[1]).unwrap()).unwrap();
    let info = Infotext::parse(text.get("parameters").unwrap());
    assert_eq!(info.prompt, PROMPT);
    for (name, value) in [
        ("Steps", "3"),
        ("Sampler", "DPM++ 2M"),
        ("Schedule type", "Karras"),
        ("CFG scale", "4.5"),
        ("Seed", "6"),
        ("Size", "72x64"),
        ("Model hash", "707a7e9344"),
        ("Model", "sd15"),
    ] {
        assert_eq!(info.get(name), Some(value), "{name}");
    }
    assert!(info.get("Version").unwrap().starts_with("encaustic"));
    let order: Vec<_> = info.settings.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(order[..5], ["Steps", "Sampler", "Schedule type", "CFG scale", "Seed"]);
}

#[test]
fn the_model_says_what_the_user_does_not() {
    let folder = scratch("defaults");
    let run = generate(&folder, &["--steps", "2"]);
    run.status(0);
    let report = run.json();
    // sample_size 8 and a VAE of factor 8; a PNDM scheduler with leading timesteps.
    let expected: [(&str, serde_json::Value); 4] =
        [("width", 64.into()), ("height", 64.into()), ("sampler", "pndm".into()), ("schedule", "leading".into())];
    for (key, value) in expected {
        assert_eq!(report[key], value, "{key}");
    }
}

#[test]
fn another_autoencoder_takes_the_place_of_the_models_own() {
    let folder = scratch("vae");
    let args = ["--steps", "2", "--width", "64", "--height", "64", "--seed", "3"];
    generate(&folder.join("own.png"), &args).status(0);
    let own = picture(&folder.join("own.png"));
    // Its own given by hand, in both ways, makes the same picture; a tiny one another.
    for (name, vae, is_same) in [("folder", "sd15/vae", true), ("model", "sd15", true), ("tiny", "taesd", false)] {
        let path = folder.join(format!("{name}.png"));
        let vae = golden_model(vae);
        generate(&path, &[&args[..], &["--vae", vae.to_str().unwrap()]].concat()).status(0);
        assert_eq!(picture(&path) == own, is_same, "{name}");
        let text = png_text::read(fs::File::open(&path).unwrap()).unwrap();
        let info = Infotext::parse(text.get("parameters").unwrap());
        assert_eq!(info.get("VAE"), vae.file_name().unwrap().to_str(), "{name}");
        assert_eq!(info.get("VAE hash").unwrap().len(), 10, "{name}");
    }
}

#[test]
fn a_folder_keeps_every_picture() {
    let folder = scratch("numbers");
    fs::write(folder.join("00041-9.png"), "another's").unwrap();
    fs::write(folder.join("99999999999-9.png"), "no number").unwrap();
    let args = ["--steps", "1", "--width", "64", "--height", "64", "--seed", "3"];
    for _ in 0..2 {
        generate(&folder, &args).status(0);
    }
    assert_eq!(files(&folder), ["00041-9.png", "00042-3.png", "00043-3.png", "99999999999-9.png"]);
    assert_eq!(fs::read(folder.join("00042-3.png")).unwrap(), fs::read(folder.join("00043-3.png")).unwrap());

    // A file of its own is replaced; a batch gets numbers.
    let file = folder.join("one.png");
    fs::write(&file, "old").unwrap();
    generate(&file, &args).status(0);
    assert_eq!(fs::read(&file).unwrap(), fs::read(folder.join("00042-3.png")).unwrap());
    let run = generate(&folder.join("two.png"), &[&args[..], &["--batch", "2"]].concat());
    run.status(0);
    let names: Vec<_> = files(&folder).into_iter().filter(|name| name.starts_with("two")).collect();
    assert_eq!(names, ["two-1.png", "two-2.png"]);
}

#[test]
fn wrong_settings_are_refused_before_any_work() {
    let folder = scratch("wrong-settings");
    let model = golden_model("sd15");
    let model = model.to_str().unwrap();
    let long = "x".repeat(20_000);
    let cases: &[(&[&str], &str, &[&str])] = &[
        (&["--width", "100"], "width", &["100", "multiple of 8"]),
        (&["--height", "0"], "height", &["0", "multiple of 8"]),
        (&["--width", "65536"], "width", &["65536", "8192"]),
        (&["--cfg", "NaN"], "cfg", &["NaN", "0 to 100"]),
        (&["--cfg", "inf"], "cfg", &["inf", "0 to 100"]),
        (&["--cfg", "-1"], "cfg", &["-1", "0 to 100"]),
        (&["--cfg", "high"], "cfg", &["high", "0 to 100"]),
        (&["--steps", "0"], "steps", &["0", "1 to 1000"]),
        (&["--steps", "1000000000"], "steps", &["1000000000", "1 to 1000"]),
        (&["--steps", "2.5"], "steps", &["2.5", "1 to 1000"]),
        (&["--seed", "-2"], "seed", &["-2"]),
        (&["--seed", "99999999999999999999"], "seed", &["99999999999999999999"]),
        (&["--batch", "0"], "batch", &["0", "1 to"]),
        (&["--sampler", "eulr"], "sampler", &["eulr", "dpmpp-2m", "did you mean \"euler\"?"]),
        (&["--schedule", "karass"], "schedule", &["karass", "did you mean \"karras\"?"]),
        (&["--rng", "gpu"], "rng", &["gpu", "cpu, nv"]),
        (&["--eta", "2"], "eta", &["2", "0 to 1"]),
        (&["--clip-skip", "0"], "clip-skip", &["0", "1 to"]),
        (&["--clip-skip", "60"], "clip-skip", &["60"]),
        (&["--negative", &long], "negative", &["bytes"]),
        (&["--device", "vulcan"], "device", &["vulcan", "did you mean \"vulkan\"?"]),
        (&["--device", "cuda:7"], "device", &["cuda:7", "cpu"]),
        (&["--dtype", "f17"], "dtype", &["f17", "f32", "f16"]),
        (&["--dtype", "f16"], "dtype", &["f16", "f32"]),
        (&["--model", "/nowhere"], "model", &["/nowhere"]),
        (&["--model", folder.to_str().unwrap()], "model", &["model_index.json"]),
        (&["--vae", "/nowhere"], "vae", &["/nowhere"]),
        (&["--out", "picture.jpg"], "out", &["picture.jpg", "PNG"]),
        (&["--out", "/dev/null"], "out", &["/dev/null"]),
        (&["--dump-latents", "x.bin"], "dump-latents", &["x.bin", ".safetensors"]),
    ];
    for (more, field, words) in cases {
        let mut args = vec!["generate", "x", "--device", "cpu", "--model", model, "--steps", "1"];
        // The last of an option counts, so a case's replaces the common one.
        for pair in more.chunks(2) {
            args = args.chunks(2).filter(|known| known[0] != pair[0]).flatten().copied().collect();
            args.extend(pair);
        }
        let run = Run::new(&args, command().args(&args).current_dir(&folder).output().unwrap());
        run.status(2);
        let start = format!("error: {field}: ");
        assert!(run.stderr.lines().any(|line| line.starts_with(&start)), "{args:?}: {}", run.stderr);
        for word in *words {
            assert!(run.stderr.contains(word), "{args:?}: {word:?} is missing:\n{}", run.stderr);
        }
        assert!(run.stderr.len() < 2000, "{args:?}");
        let run = Run::new(&args, command().args(&args).arg("--json").current_dir(&folder).output().unwrap());
        run.status(2);
        assert_eq!(run.json()["error"]["field"], *field, "{args:?}");
    }
    assert_eq!(files(&folder), [""; 0], "nothing was written");
}

#[test]
fn a_prompt_of_a_megabyte_is_refused() {
    let folder = scratch("long-prompt");
    let prompt = folder.join("prompt.txt");
    for (text, words) in [("x".repeat(1 << 20).into_bytes(), "bytes"), (b"a\0b".to_vec(), "NUL"), (b"\xff\xfe".to_vec(), "UTF-8")]
    {
        fs::write(&prompt, text).unwrap();
        let args = ["generate", "-", "--model", golden_model("sd15").to_str().unwrap()].map(str::to_owned);
        let output = command().args(&args).stdin(fs::File::open(&prompt).unwrap()).current_dir(&folder).output().unwrap();
        let run = Run::new(&args.each_ref().map(String::as_str), output);
        run.status(2);
        assert!(run.stderr.starts_with("error: prompt: ") && run.stderr.contains(words), "{}", run.stderr);
    }
}

#[test]
fn a_prompt_comes_from_the_standard_input() {
    let folder = scratch("stdin");
    let prompt = folder.join("prompt.txt");
    fs::write(&prompt, "a 絵 in\ntwo lines\n").unwrap();
    let mut args = arguments(&folder.join("a.png"));
    args[1] = "-".to_owned();
    args.extend(["--steps", "1", "--width", "64", "--height", "64"].map(str::to_owned));
    let output = command().args(&args).stdin(fs::File::open(&prompt).unwrap()).output().unwrap();
    Run::new(&args.iter().map(String::as_str).collect::<Vec<_>>(), output).status(0);
    let text = png_text::read(fs::File::open(folder.join("a.png")).unwrap()).unwrap();
    assert_eq!(Infotext::parse(text.get("parameters").unwrap()).prompt, "a 絵 in\ntwo lines");
}

/// Runs in a small disk of its own, and lists what is on that disk afterwards.
#[cfg(target_os = "linux")]
fn on_disk(options: &str, args: &[String]) -> (Run, Vec<String>) {
    let disk = scratch(&format!("disk-{}", options.replace([',', '='], "-")));
    let script = r#"mount -t tmpfs -o "$1" tmpfs "$2" || exit 99
        disk=$2; shift 2; "$@"; status=$?; echo; ls -A "$disk"; exit $status"#;
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", options, disk.to_str().unwrap()])
        .arg(env!("CARGO_BIN_EXE_encaustic"))
        .args(args.iter().map(|arg| arg.replace("DISK", disk.to_str().unwrap())))
        .output()
        .expect("`unshare` (util-linux) is needed to make a small disk");
    let mut run = Run::new(&args.iter().map(String::as_str).collect::<Vec<_>>(), output);
    assert!(
        run.code != Some(99) && !run.stderr.contains("unshare:"),
        "this test mounts a small disk in a user namespace, which this system refuses: {}",
        run.stderr
    );
    let (stdout, listing) = run.stdout.rsplit_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or_default();
    let listing = if listing.is_empty() { run.stdout.trim_start().to_owned() } else { listing };
    run.stdout = stdout;
    (run, listing.lines().map(str::to_owned).collect())
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_part_of_a_picture() {
    let small = ["--steps", "1", "--width", "64", "--height", "64"];
    for (options, more) in [
        // Too small for a picture.
        ("size=8k", &[][..]),
        // No file can be made at all.
        ("nr_inodes=1", &[]),
        // Too small for the tensors.
        ("size=40k", &["--dump-latents", "DISK/dump.safetensors"]),
    ] {
        let mut args = arguments(Path::new("DISK"));
        args.extend(small.iter().chain(more).map(|&arg| arg.to_owned()));
        args.retain(|arg| arg != "--json");
        let (run, left) = on_disk(options, &args);
        run.status(1);
        assert!(run.stderr.contains("the disk is full"), "{options}: {}", run.stderr);
        assert!(left.iter().all(|name| name.ends_with(".png")), "{options}: {left:?} is left");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_read_only_is_told_at_once() {
    for out in ["DISK", "DISK/a.png", "DISK/new/folder"] {
        let mut args = arguments(Path::new(out));
        // Were the work begun, it would take hours.
        args.extend(["--steps", "1000", "--width", "2048", "--height", "2048"].map(str::to_owned));
        args.retain(|arg| arg != "--json");
        let (run, left) = on_disk("ro", &args);
        run.status(1);
        assert!(run.stderr.contains("Read-only") && run.stderr.contains("elsewhere"), "{}", run.stderr);
        assert_eq!(left, [""; 0]);
    }
}

/// A run that takes long, and has told `until`.
#[cfg(unix)]
fn begin(folder: &Path, more: &[&str], until: &str) -> std::process::Child {
    use std::io::{BufRead, BufReader};
    let mut args = arguments(folder);
    args.extend(["-vv", "--steps", "1000"].iter().chain(more).map(|&arg| arg.to_owned()));
    let mut child = command().args(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while stderr.read_line(&mut line).unwrap() > 0 && !line.contains(until) {}
    assert!(line.contains(until), "the run ended early:\n{line}");
    child.stderr = Some(stderr.into_inner());
    child
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn the_first_interrupt_ends_after_the_step() {
    let folder = scratch("interrupt");
    let child = begin(&folder, &["--width", "256", "--height", "256"], "done=2");
    interrupt(&child);
    let run = Run::new(&["generate"], child.wait_with_output().unwrap());
    run.status(130);
    assert!(run.stderr.contains("stopped") && run.stderr.contains("of 1000"), "{}", run.stderr);
    assert_eq!(run.json()["error"]["kind"], "interrupted");
    assert_eq!(files(&folder), [""; 0], "nothing is left");
}

#[cfg(unix)]
#[test]
fn the_second_interrupt_ends_at_once() {
    let folder = scratch("interrupt-twice");
    // One step of this size takes much longer than the time in which all this happens.
    let child = begin(&folder, &["--width", "2048", "--height", "2048"], "denoising begins");
    let pause = std::time::Duration::from_millis(200);
    std::thread::sleep(pause);
    interrupt(&child);
    std::thread::sleep(pause);
    interrupt(&child);
    let run = Run::new(&["generate"], child.wait_with_output().unwrap());
    run.status(130);
    assert!(!run.stderr.contains("stopped"), "the step was not waited for: {}", run.stderr);
    assert_eq!(run.stdout, "");
    assert_eq!(files(&folder), [""; 0], "nothing is left");
}

#[test]
fn a_copied_program_runs_in_an_empty_environment() {
    let folder = scratch("bare");
    let program = folder.join("copied");
    fs::copy(env!("CARGO_BIN_EXE_encaustic"), &program).unwrap();
    common::copy(&golden_model("sd15"), &folder.join("model"));
    let args = [
        "generate", PROMPT, "--model", "model", "--device", "cpu", "--steps", "1", "--width", "64", "--height", "64", "--seed",
        "1",
    ];
    let run = Run::new(&args, Command::new(&program).args(args).env_clear().current_dir(&folder).output().unwrap());
    run.status(0);
    assert_eq!(files(&folder), ["00001-1.png", "copied", "model"]);
}
