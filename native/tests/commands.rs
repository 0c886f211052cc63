//! The commands that tell and measure: devices, samplers, bench.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use common::{encaustic, golden_model, scratch};

#[test]
fn the_processor_is_always_listed() {
    let run = encaustic(&["devices", "--json"]);
    run.status(0);
    let report = run.json();
    let cpu = report["devices"].as_array().unwrap().iter().find(|device| device["name"] == "cpu");
    let cpu = cpu.unwrap_or_else(|| panic!("no cpu in {report}"));
    assert_eq!(cpu["kind"], "CPU");
    for key in ["label", "memory", "largest_buffer", "f16"] {
        assert!(cpu.get(key).is_some(), "{key} of {cpu}");
    }
    let run = encaustic(&["devices"]);
    run.status(0);
    assert_eq!(run.stdout.lines().count(), report["devices"].as_array().unwrap().len());
    assert!(run.stdout.lines().any(|line| line.starts_with("cpu")), "{}", run.stdout);
}

#[test]
fn every_device_that_is_listed_is_a_device_that_can_be_asked_for() {
    let report = encaustic(&["devices", "--json"]).json();
    for device in report["devices"].as_array().unwrap() {
        let name = device["name"].as_str().unwrap();
        assert!(name.parse::<encaustic_engine::device::DeviceName>().is_ok(), "{name}");
    }
}

#[test]
fn samplers_and_schedules_are_told_by_all_their_names() {
    let run = encaustic(&["samplers", "--json"]);
    run.status(0);
    let report = run.json();
    let ids = |key: &str| -> Vec<String> {
        report[key].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    };
    let (samplers, schedules) = (ids("samplers"), ids("schedules"));
    let text = "euler euler-a heun dpm2 dpm2-a lms ddim ddpm pndm dpmpp-2m dpmpp-2s-a dpmpp-sde dpmpp-2m-sde dpmpp-3m-sde \
        unipc lcm tcd restart dpm-adaptive";
    for id in text.split_whitespace() {
        assert!(samplers.iter().any(|known| known == id), "{id} in {samplers:?}");
    }
    let text = "normal karras exponential polyexponential sgm_uniform simple ddim beta kl_optimal align_your_steps leading linspace \
        trailing";
    for name in text.split_whitespace() {
        let entries: Vec<encaustic_protocol::Entry> = serde_json::from_value(report["schedules"].clone()).unwrap();
        assert!(entries.iter().any(|entry| entry.is_called(name)), "{name} in {schedules:?}");
    }
    let run = encaustic(&["samplers"]);
    run.status(0);
    for id in samplers.iter().chain(&schedules) {
        assert!(run.stdout.contains(id.as_str()), "{id}");
    }
}

#[test]
fn every_sampler_and_schedule_makes_a_picture() {
    let folder = scratch("all-samplers");
    let report = encaustic(&["samplers", "--json"]).json();
    let model = golden_model("sd15");
    for (option, key) in [("--sampler", "samplers"), ("--schedule", "schedules")] {
        for entry in report[key].as_array().unwrap() {
            let name = entry["label"].as_str().unwrap();
            let out = folder.join("picture.png");
            let run = encaustic(&[
                "generate",
                "x",
                "--model",
                model.to_str().unwrap(),
                "--device",
                "cpu",
                "--steps",
                "4",
                "--cfg",
                "1",
                option,
                name,
                "--out",
                out.to_str().unwrap(),
                "--json",
            ]);
            run.status(0);
            assert!(out.is_file(), "{name}");
            // `automatic` stands for another one.
            let done = &run.json()[option.trim_start_matches('-')];
            assert!(done == &entry["id"] || entry["id"] == "automatic", "{name}: {done}");
        }
    }
}

#[test]
fn bench_measures() {
    let model = golden_model("sd15");
    let args =
        ["bench", "--model", model.to_str().unwrap(), "--steps", "3", "--width", "64", "--height", "64", "--device", "cpu"];
    let run = encaustic(&[&args[..], &["--json", "--cfg", "1", "--batch", "2"]].concat());
    run.status(0);
    let report = run.json();
    for key in ["load", "text", "warm_up", "vae"] {
        let seconds = report[key].as_f64().unwrap_or_else(|| panic!("{key} of {report}"));
        assert!((0.0..600.0).contains(&seconds), "{key}: {seconds}");
    }
    let unet = |key: &str| report["unet"][key].as_f64().unwrap_or_else(|| panic!("unet.{key} of {report}"));
    assert_eq!(report["unet"]["count"], 3, "the step that warms up is not counted");
    assert!(0.0 < unet("min") && unet("min") <= unet("median") && unet("median") <= unet("max"), "{report}");
    assert!(report["peak_bytes"].as_u64().unwrap() > 1 << 20);
    let expected: [(&str, serde_json::Value); 5] =
        [("device", "cpu".into()), ("dtype", "f32".into()), ("width", 64.into()), ("batch", 2.into()), ("cfg", 1.0.into())];
    for (key, value) in expected {
        assert_eq!(report[key], value, "{key}");
    }
    let run = encaustic(&args);
    run.status(0);
    for word in ["load", "text", "step, median", "VAE", "host memory"] {
        assert!(run.stdout.contains(word), "{word}:\n{}", run.stdout);
    }
    encaustic(&["bench", "--model", model.to_str().unwrap(), "--steps", "0"]).status(2);
}

#[test]
fn settings_of_the_server_are_documented_and_checked() {
    let run = encaustic(&["config"]);
    run.status(0);
    assert!(run.stdout.contains("[queue]") && run.stdout.contains("#capacity = 1000"), "{}", run.stdout);

    let folder = scratch("settings");
    let file = folder.join("encaustic.toml");
    let in_effect = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        encaustic(&[&["config", "--in-effect", "--config", file.to_str().unwrap()], more].concat())
    };
    let run = in_effect("[queue]\ncapacity = 7\n[webhooks]\nwebhook_secret = \"hush\"", &["--timeout-secs", "8"]);
    run.status(0);
    for line in ["capacity = 7", "timeout_secs = 8", "webhook_secret = \"***\"", "look_ahead = 8"] {
        assert!(run.stdout.lines().any(|told| told == line), "{line} in {}", run.stdout);
    }
    for (text, more, words) in [
        ("[queue]\ncapacty = 7", &[][..], "[queue] capacty: there is no such setting; did you mean `capacity`"),
        ("[queue]\ncapacity = -7", &[], "[queue] capacity: \"-7\" is not a whole number, 0 or more"),
        ("", &["--listen", "here"], "--listen: \"here\" is not an address with a port"),
    ] {
        let run = in_effect(text, more);
        run.status(2);
        assert!(run.stderr.contains(words), "{words} in {}", run.stderr);
    }
}
