//! The command as a user meets it: the built binary, its streams and its exit status.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how tests and their helpers fail

mod common;

use common::{encaustic, scratch};

#[test]
fn help_and_version_are_told() {
    for (args, words) in [
        (&["--help"][..], &["Usage: encaustic", "png-info", "completions", "Examples:"][..]),
        (&["--version"], &["encaustic "]),
        (&["png-info", "--help"], &["Usage: encaustic png-info", "<FILE>", "--json"]),
    ] {
        let run = encaustic(args);
        run.status(0);
        for word in words {
            assert!(run.stdout.contains(word), "{args:?} lacks {word:?}:\n{}", run.stdout);
        }
    }
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = encaustic(&["completions", shell]);
        run.status(0);
        assert!(run.stdout.contains("png-info"), "{shell}");
    }
}

#[test]
fn wrong_input_is_refused_by_name() {
    let folder = scratch("wrong-input");
    let text = folder.join("text.png");
    std::fs::write(&text, "no picture").unwrap();
    let text = text.to_str().unwrap();
    let cases: &[(&[&str], u8, &[&str])] = &[
        (&["genrate"], 2, &["genrate"]),
        (&["png-info"], 2, &["<FILE>"]),
        (&["png-info", "--jsn", "x"], 2, &["--json"]),
        (&["png-info", "/nowhere/x.png"], 2, &["FILE", "/nowhere/x.png", "No such file"]),
        (&["png-info", "/"], 2, &["FILE", "not a regular file"]),
        (&["png-info", text], 1, &["text.png", "not a PNG file"]),
        (&["completions", "tcsh"], 2, &["tcsh", "bash"]),
    ];
    for (args, status, words) in cases {
        let run = encaustic(args);
        run.status(*status);
        assert_eq!(run.stdout, "", "{args:?}");
        for word in *words {
            assert!(run.stderr.contains(word), "{args:?} lacks {word:?}:\n{}", run.stderr);
        }
        // The same for machines: one object.
        if !args.is_empty() {
            let run = encaustic(&[args, &["--json"][..]].concat());
            run.status(*status);
            let message = run.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(words.iter().any(|word| message.contains(word)), "{message}");
        }
    }
}

#[test]
fn a_picture_tells_its_settings() {
    let folder = scratch("png-info");
    let text = "絵, \"x\"\nNegative prompt: dog\nSteps: 20, Sampler: Euler, Seed: 7, Model: \"a, b\", Size: 2x1";
    let path = folder.join("picture.png");
    let picture = encaustic_picture::png::Pixels { width: 2, height: 1, rgb: &[0; 6] };
    encaustic_launcher::files::write(&path, |file| encaustic_picture::png::write(picture, text, file)).unwrap();
    let path = path.to_str().unwrap();

    let run = encaustic(&["png-info", path]);
    run.status(0);
    assert_eq!(run.stdout, format!("{text}\n"));

    let run = encaustic(&["--json", "png-info", path]);
    run.status(0);
    let report = run.json();
    let settings = serde_json::json!({"Steps": "20", "Sampler": "Euler", "Seed": "7", "Model": "a, b", "Size": "2x1"});
    for (key, value) in [
        ("prompt", "絵, \"x\"".into()),
        ("negative_prompt", "dog".into()),
        ("settings", settings),
        ("parameters", text.into()),
        ("width", 2.into()),
        ("height", 1.into()),
        ("comfyui", serde_json::json!({"prompt": false, "workflow": false})),
    ] {
        assert_eq!(report[key], value, "{key}");
    }
    assert!(run.stdout.find("Steps").unwrap() < run.stdout.find("Sampler").unwrap(), "settings keep their order");
}

#[test]
fn damage_is_told_after_what_could_be_read() {
    let folder = scratch("damage");
    let mut file = Vec::new();
    let picture = encaustic_picture::png::Pixels { width: 2, height: 1, rgb: &[0; 6] };
    encaustic_picture::png::write(picture, "a cat", &mut file).unwrap();
    let path = folder.join("cut.png");
    std::fs::write(&path, &file[..file.len() - 3]).unwrap();
    let run = encaustic(&["png-info", path.to_str().unwrap()]);
    run.status(1);
    assert_eq!(run.stdout, "a cat\n");
    assert!(run.stderr.contains("cut off"), "{}", run.stderr);
    let run = encaustic(&["png-info", "--json", path.to_str().unwrap()]);
    run.status(1);
    assert_eq!(run.json()["parameters"], "a cat");
    assert!(run.json()["error"]["message"].as_str().unwrap().contains("cut off"));
}

#[test]
fn nobody_reading_on_is_no_failure() {
    for args in [&["samplers"][..], &["samplers", "--json"], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = common::command().args(args).stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
        let run = common::Run::new(args, output);
        run.status(0);
        assert_eq!(run.stderr, "", "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = common::Run::new(&["samplers"], common::command().arg("samplers").stdout(full).output().unwrap());
    run.status(1);
    assert!(run.stderr.contains("the output cannot be written"), "{}", run.stderr);
}
