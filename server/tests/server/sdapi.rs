//! A1111's interface: what its clients send and read.

use std::io::Write;
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encaustic_picture::png_text;
use serde_json::{Value, json};

use crate::support::{Easel, Trial};

fn small(more: Value) -> Value {
    let mut body = json!({"prompt": "a lake", "steps": 2, "width": 64, "height": 64, "seed": 5});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn draw(trial: &Trial, more: Value) -> (Value, Value) {
    let answer = trial.post("/sdapi/v1/txt2img", &small(more));
    let body = answer.json();
    assert_eq!(answer.status, 200, "{body}");
    let info = serde_json::from_str(body["info"].as_str().unwrap()).unwrap();
    (body, info)
}

#[test]
fn pictures_come_with_a_true_info() {
    let trial = Trial::start(|_| ());
    let asked = json!({"batch_size": 2, "n_iter": 2, "sampler_name": "DPM++ 2M Karras", "negative_prompt": "rain", "cfg_scale": 5,
        "override_settings": {"sd_model_checkpoint": "other"}});
    let (body, info) = draw(&trial, asked);
    let images = body["images"].as_array().unwrap();
    assert_eq!(images.len(), 4);
    for (image, (seed, text)) in images.iter().zip([5, 6, 7, 8].iter().zip(info["infotexts"].as_array().unwrap())) {
        let file = STANDARD.decode(image.as_str().unwrap()).unwrap();
        let told = png_text::read(std::io::Cursor::new(file)).unwrap();
        assert_eq!((told.width, told.height), (64, 64));
        assert_eq!(told.get("parameters"), text.as_str());
        assert!(text.as_str().unwrap().contains(&format!("Seed: {seed}")), "{text}");
    }
    let wanted = json!({
        "prompt": "a lake", "all_prompts": ["a lake", "a lake", "a lake", "a lake"], "negative_prompt": "rain",
        "all_negative_prompts": ["rain", "rain", "rain", "rain"], "seed": 5, "all_seeds": [5, 6, 7, 8], "subseed": 5,
        "all_subseeds": [5, 6, 7, 8], "subseed_strength": 0, "width": 64, "height": 64, "sampler_name": "DPM++ 2M",
        "cfg_scale": 5.0, "steps": 2, "batch_size": 2, "restore_faces": false, "face_restoration_model": null,
        "sd_model_name": "other", "sd_model_hash": "6ce0161689", "sd_vae_name": null, "sd_vae_hash": null,
        "seed_resize_from_w": -1, "seed_resize_from_h": -1, "denoising_strength": null,
        "extra_generation_params": {"Schedule type": "Karras"}, "index_of_first_image": 0, "styles": [], "clip_skip": 1,
        "is_using_inpainting_conditioning": false
    });
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&info[key], value, "{key}");
    }
    assert_eq!(info["job_timestamp"].as_str().unwrap().len(), 14);
    assert!(info["version"].as_str().unwrap().starts_with("encaustic "));
    let parameters = &body["parameters"];
    assert_eq!((&parameters["sampler_name"], &parameters["n_iter"]), (&"DPM++ 2M Karras".into(), &2.into()));
    assert_eq!((&parameters["hr_scale"], &parameters["script_name"]), (&json!(2.0), &Value::Null));
    // They are in the gallery, and went through the queue like all others.
    assert_eq!(trial.get("/api/v1/jobs?state=finished").json()["items"].as_array().unwrap().len(), 2);
}

#[test]
fn samplers_are_known_by_all_their_names() {
    let trial = Trial::start(|_| ());
    for (asked, sampler, schedule) in [
        (json!({}), "Euler", Some("Karras")),
        (json!({"sampler_name": "DPM++ 2M"}), "DPM++ 2M", None),
        (json!({"sampler_name": "DPM++ 2M", "scheduler": "Karras"}), "DPM++ 2M", Some("Karras")),
        (json!({"sampler_name": "DPM++ 2M Karras", "scheduler": "automatic"}), "DPM++ 2M", Some("Karras")),
        (json!({"sampler_name": "DPM++ 2M Karras", "scheduler": "normal"}), "DPM++ 2M", Some("Karras")),
        (json!({"sampler_index": "dpmpp_2m", "sampler_name": null}), "DPM++ 2M", None),
        (json!({"sampler_name": "", "scheduler": "Normal"}), "Euler", Some("Normal")),
        (
            json!({"infotext": "a cat\nSteps: 3, Sampler: DPM++ 2M, Schedule type: Normal, CFG scale: 4, Seed: 9"}),
            "DPM++ 2M",
            Some("Normal"),
        ),
    ] {
        let (_, info) = draw(&trial, asked.clone());
        assert_eq!(info["sampler_name"], sampler, "{asked}");
        if let Some(schedule) = schedule {
            assert_eq!(info["extra_generation_params"]["Schedule type"], schedule, "{asked}");
        }
    }
}

#[test]
fn defaults_are_those_of_a1111() {
    let trial = Trial::start(|_| ());
    let answer = trial.post("/sdapi/v1/txt2img", &json!({"prompt": "x", "send_images": false}));
    let body = answer.json();
    let info: Value = serde_json::from_str(body["info"].as_str().unwrap()).unwrap();
    assert_eq!(body["images"], json!([]));
    for (key, value) in [("steps", 50), ("width", 512), ("height", 512), ("batch_size", 1)] {
        assert_eq!(info[key], value, "{key}");
    }
    assert_eq!((&info["cfg_scale"], &info["infotexts"].as_array().unwrap().len()), (&json!(7.0), &1));
    assert!(info["seed"].as_u64().is_some_and(|seed| seed <= u64::from(u32::MAX)));
    assert_eq!(body["parameters"]["seed"], -1);
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let trial = Trial::start(|_| ());
    for (body, field, words) in [
        (json!({"enable_hr": true}), "enable_hr", "hires fix"),
        (json!({"firstphase_width": 512}), "firstphase_width", "hires fix"),
        (json!({"subseed_strength": 0.5}), "subseed_strength", "send 0"),
        (json!({"seed_resize_from_w": 512}), "seed_resize_from_w", "send -1"),
        (json!({"restore_faces": true}), "restore_faces", "faces"),
        (json!({"tiling": true}), "tiling", "tiled"),
        (json!({"s_churn": 1}), "s_churn", "send 0"),
        (json!({"styles": ["anime"]}), "styles", "no styles"),
        (json!({"refiner_checkpoint": "x"}), "refiner_checkpoint", "refiner"),
        (json!({"script_name": "x/y/z plot"}), "script_name", "no scripts"),
        (json!({"alwayson_scripts": {"ControlNet": {"args": [{"model": "x"}]}}}), "alwayson_scripts", "ControlNet"),
        (json!({"prompt": "a <lora:fox:0.8> b"}), "prompt", "<lora:fox:0.8>"),
        (json!({"negative_prompt": "<hypernet:x:1>"}), "negative_prompt", "hypernetworks"),
        (json!({"sampler_name": "DPM fast"}), "sampler_name", "use one of Euler, DPM++ 2M"),
        (json!({"sampler_name": "Eulr"}), "sampler_name", "did you mean \"Euler\"?"),
        (json!({"scheduler": "fancy"}), "scheduler", "use one of Karras, Normal"),
        (json!({"steps": 0}), "steps", "1 to 1000"),
        (json!({"steps": "many"}), "steps", "a whole number"),
        (json!({"steps": 1_000_000_000}), "steps", "1 to 1000"),
        (json!({"cfg_scale": -1}), "cfg_scale", "cfg_scale: -1 is not allowed"),
        (json!({"width": 65536}), "width", "64 to 8192"),
        (json!({"width": 65}), "width", "multiple of 8"),
        (json!({"batch_size": 0}), "batch_size", "1 to 64"),
        (json!({"n_iter": 0}), "n_iter", "1 to 64"),
        (json!({"batch_size": 9, "n_iter": 9}), "n_iter", "at most 64"),
        (json!({"seed": -2}), "seed", "-1 to"),
        (json!({"seed": 1.5}), "seed", "a whole number"),
        (json!({"prompt": 5}), "prompt", "a text"),
        (json!({"prompt": "x".repeat(20_000)}), "prompt", "at most 16384 bytes"),
        (json!({"prompt": "(".repeat(5000)}), "prompt", "nested"),
        (json!({"override_settings": {"sd_model_checkpoint": "nope"}}), "override_settings.sd_model_checkpoint", "no model"),
        (json!({"override_settings": {"CLIP_stop_at_last_layers": 0}}), "override_settings.CLIP_stop_at_last_layers", "1 to 64"),
        (json!({"override_settings": {"sd_vae": "x.pt"}}), "override_settings.sd_vae", "Automatic"),
        (json!({"override_settings": {"hide_samplers": []}}), "override_settings.hide_samplers", "no such option"),
        (
            json!({"override_settings": {"eta_noise_seed_delta": 31337}}),
            "override_settings.eta_noise_seed_delta",
            "cannot be changed",
        ),
        (json!({"override_settings": 1}), "override_settings", "an object"),
        (json!({"infotext": 1}), "infotext", "a text"),
    ] {
        let answer = trial.post("/sdapi/v1/txt2img", &small(body.clone()));
        let error = answer.json();
        let shown: String = body.to_string().chars().take(200).collect();
        assert_eq!((answer.status, error["body"].as_str()), (422, Some(field)), "{shown}: {error}");
        assert!(error["detail"].as_str().unwrap().contains(words), "{shown}: {error}");
        assert_eq!((&error["error"], &error["errors"]), (&"RequestValidationError".into(), &error["detail"]));
    }
    assert_eq!(trial.get("/api/v1/jobs").json()["items"], json!([]), "nothing came into the queue");
    for path in ["img2img", "extra-single-image", "extra-batch-images", "interrogate"] {
        let answer = trial.post(&format!("/sdapi/v1/{path}"), &json!({}));
        assert_eq!((answer.status, &answer.json()["error"]), (501, &"HTTPException".into()), "{path}");
    }
    let answer = trial.get("/sdapi/v1/nothing");
    assert_eq!((answer.status, answer.json()["detail"].as_str().is_some()), (404, true));
}

/// What clients send without meaning anything by it.
#[test]
fn what_means_nothing_is_taken() {
    let trial = Trial::start(|_| ());
    let harmless = json!({
        "styles": [], "subseed": 7, "subseed_strength": 0.0, "seed_resize_from_h": 0, "seed_resize_from_w": 0, "tiling": false,
        "restore_faces": false, "denoising_strength": 0.7, "eta": 1.0, "s_churn": 0, "s_tmax": 0, "s_tmin": 0, "s_noise": 1,
        "enable_hr": false, "hr_scale": 2, "hr_upscaler": "Latent", "firstphase_width": 0, "script_name": null, "script_args": [],
        "alwayson_scripts": {"ADetailer": {"args": [false]}, "ControlNet": {"args": []}}, "refiner_checkpoint": "None",
        "do_not_save_grid": false, "save_images": true, "sampler_index": "Euler", "scheduler": "automatic", "unheard_of": 1,
        "override_settings": {"sd_vae": "Automatic", "enable_pnginfo": true}, "steps": 2.0
    });
    let (_, info) = draw(&trial, harmless);
    assert_eq!(info["all_subseeds"], json!([7]));
}

#[test]
fn failures_are_told_in_its_form() {
    let trial = Trial::start(|_| ());
    let answer = trial.post("/sdapi/v1/txt2img", &small(json!({"prompt": "broken"})));
    assert_eq!((answer.status, &answer.json()["error"]), (500, &"RuntimeError".into()));
    assert!(answer.json()["detail"].as_str().unwrap().contains("range of f16"));
    let full = Trial::start(|config| config.capacity = 1);
    full.post("/api/v1/queue", &json!({"is_paused": true}));
    full.post("/api/v1/jobs", &json!({}));
    let answer = full.post("/sdapi/v1/txt2img", &small(json!({})));
    assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (429, true));
    assert_eq!(full.post("/sdapi/v1/txt2img", &small(json!({"n_iter": 2}))).status, 429);
    full.until("half an errand is taken back", || (full.get("/api/v1/queue").json()["waiting"] == 1).then_some(()));
}

#[test]
fn progress_is_true_and_a_run_can_be_stopped() {
    let trial = Trial::start(|_| ());
    let idle = trial.get("/sdapi/v1/progress").json();
    assert_eq!((&idle["progress"], &idle["state"]["job_count"]), (&json!(0.0), &0.into()));
    let slow = small(json!({"prompt": "slow:30", "steps": 40, "n_iter": 3}));
    for (path, least, most) in [("interrupt", 0, 1), ("skip", 2, 2)] {
        std::thread::scope(|scope| {
            let run = scope.spawn(|| trial.post("/sdapi/v1/txt2img", &slow));
            let seen = trial.until("it draws", || {
                let told = trial.get("/sdapi/v1/progress").json();
                (told["state"]["sampling_step"].as_u64() > Some(3) && !told["current_image"].is_null()).then_some(told)
            });
            let state = &seen["state"];
            assert_eq!((&state["job_count"], &state["job_no"], &state["sampling_steps"]), (&3.into(), &0.into(), &40.into()));
            assert!((0.01..0.34).contains(&seen["progress"].as_f64().unwrap()), "{}", seen["progress"]);
            assert!(seen["eta_relative"].as_f64().unwrap() > 0.0);
            let look = STANDARD.decode(seen["current_image"].as_str().unwrap()).unwrap();
            assert!(image_starts(&look), "a small picture");
            let without = trial.get("/sdapi/v1/progress?skip_current_image=true").json();
            assert!(without["current_image"].is_null());
            assert_eq!(trial.post(&format!("/sdapi/v1/{path}"), &Value::Null).status, 200);
            let answer = run.join().unwrap();
            let images = answer.json()["images"].as_array().unwrap().len();
            assert!(answer.status == 200 && (least..=most).contains(&images), "{path}: {images}");
        });
    }
    assert_eq!(trial.post("/sdapi/v1/interrupt", &Value::Null).status, 200, "nothing to stop is no error");
    assert_eq!(trial.post("/sdapi/v1/skip", &Value::Null).status, 200);
}

fn image_starts(file: &[u8]) -> bool {
    file.starts_with(b"\x89PNG") || file.starts_with(b"\xff\xd8\xff")
}

#[test]
fn who_hangs_up_takes_his_jobs_back() {
    let trial = Trial::start(|_| ());
    let body = small(json!({"prompt": "slow:50", "steps": 200, "n_iter": 2})).to_string();
    let address = trial.server.as_ref().unwrap().address();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /sdapi/v1/txt2img HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    trial.until("it runs", || (trial.get("/api/v1/queue").json()["running"] == 1).then_some(()));
    drop(stream);
    trial.until("both are cancelled", || {
        let jobs = trial.get("/api/v1/jobs?state=cancelled").json();
        (jobs["items"].as_array().unwrap().len() == 2).then_some(())
    });
}

#[test]
fn options_are_kept() {
    let trial = Trial::start(|_| ());
    let options = trial.get("/sdapi/v1/options").json();
    assert_eq!(options["sd_model_checkpoint"], "demo [6ce0161689]");
    // Many clients send back all that they got.
    assert_eq!(trial.post("/sdapi/v1/options", &options).status, 200);
    let chosen =
        || encaustic_server::preferences::read(&trial.server.as_ref().unwrap().app.db, &encaustic_server::job::Client::local());
    let is_layer = |(name, _): &(String, String)| name == "CLIP_stop_at_last_layers";
    assert!(!chosen().unwrap().iter().any(is_layer), "the model goes on to say which layer it wants");
    for (name, value, shown) in [
        ("sd_model_checkpoint", json!("OTHER"), json!("other [6ce0161689]")),
        ("CLIP_stop_at_last_layers", json!(2), json!(2)),
        ("randn_source", json!("cpu"), json!("CPU")),
    ] {
        let answer = trial.post("/sdapi/v1/options", &json!({name: value}));
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!(trial.get("/sdapi/v1/options").json()[name], shown, "{name}");
    }
    for (body, field) in [
        (json!({"sd_model_checkpoint": "gone"}), "sd_model_checkpoint"),
        (json!({"CLIP_stop_at_last_layers": "two"}), "CLIP_stop_at_last_layers"),
        (json!({"randn_source": "dice"}), "randn_source"),
        (json!({"samples_format": "gif"}), "samples_format"),
        (json!({"nonsense": true, "sd_model_checkpoint": "demo"}), "nonsense"),
    ] {
        let answer = trial.post("/sdapi/v1/options", &body);
        assert_eq!((answer.status, answer.json()["body"].as_str()), (422, Some(field)), "{body}");
    }
    let (_, info) = draw(&trial, json!({}));
    assert_eq!((&info["sd_model_name"], &info["clip_skip"]), (&"other".into(), &2.into()), "and are used");
    let (_, info) = draw(&trial, json!({"override_settings": {"sd_model_checkpoint": "demo"}}));
    assert_eq!(info["sd_model_name"], "demo");
    assert_eq!(trial.get("/sdapi/v1/options").json()["sd_model_checkpoint"], "other [6ce0161689]", "for one request");
    draw(&trial, json!({"override_settings": {"sd_model_checkpoint": "demo"}, "override_settings_restore_afterwards": false}));
    assert_eq!(trial.get("/sdapi/v1/options").json()["sd_model_checkpoint"], "demo [6ce0161689]", "for all");
    let again = Trial::over(trial.stop(), Easel::default(), |_| ());
    assert_eq!(again.get("/sdapi/v1/options").json()["CLIP_stop_at_last_layers"], 2, "over a restart");
}

#[test]
fn lists_have_the_shape_that_clients_read() {
    let trial = Trial::start(|_| ());
    for (path, wanted) in [
        (
            "samplers",
            json!([{"name": "Euler", "aliases": [], "options": {}}, {"name": "DPM++ 2M", "aliases": [], "options": {}}]),
        ),
        ("upscalers", json!([{"name": "None", "model_name": null, "model_path": null, "model_url": null, "scale": 4.0}])),
        ("latent-upscale-modes", json!([])),
        ("sd-vae", json!([])),
        ("loras", json!([])),
        ("hypernetworks", json!([])),
        ("face-restorers", json!([])),
        ("realesrgan-models", json!([])),
        ("prompt-styles", json!([])),
        ("script-info", json!([])),
        ("extensions", json!([])),
        ("embeddings", json!({"loaded": {}, "skipped": {}})),
        ("scripts", json!({"txt2img": [], "img2img": []})),
    ] {
        let answer = trial.get(&format!("/sdapi/v1/{path}"));
        assert_eq!((answer.status, answer.json()), (200, wanted), "{path}");
    }
    let schedulers = trial.get("/sdapi/v1/schedulers").json();
    assert_eq!((&schedulers[0]["name"], &schedulers[0]["label"]), (&"karras".into(), &"Karras".into()));
    let models = trial.get("/sdapi/v1/sd-models").json();
    assert_eq!((&models[0]["title"], &models[0]["hash"]), (&"demo [6ce0161689]".into(), &"6ce0161689".into()));
    assert_eq!(trial.get("/sdapi/v1/cmd-flags").json()["api"], true);
    let memory = trial.get("/sdapi/v1/memory").json();
    assert!(memory["ram"].is_object() && memory["cuda"].is_object());
    for path in ["refresh-checkpoints", "unload-checkpoint", "reload-checkpoint"] {
        assert_eq!(trial.post(&format!("/sdapi/v1/{path}"), &Value::Null).status, 200, "{path}");
    }
}

#[test]
fn what_a_picture_says_is_read() {
    let trial = Trial::start(|_| ());
    let (body, info) = draw(&trial, json!({}));
    let image = body["images"][0].as_str().unwrap();
    for image in [image.to_owned(), format!("data:image/png;base64,{image}")] {
        let told = trial.post("/sdapi/v1/png-info", &json!({"image": image})).json();
        assert_eq!(told["info"], info["infotexts"][0]);
        assert_eq!(told["items"]["parameters"], info["infotexts"][0]);
        assert_eq!((&told["parameters"]["Seed"], &told["parameters"]["Prompt"]), (&"5".into(), &"a lake".into()));
    }
    for (image, words) in [("%%%", "Base64"), ("", "no PNG"), ("aGVsbG8=", "no PNG")] {
        let answer = trial.post("/sdapi/v1/png-info", &json!({"image": image}));
        assert_eq!((answer.status, answer.json()["body"].as_str()), (422, Some("image")), "{image}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{image}");
    }
    // A picture is larger than other requests may be.
    let large = trial.post("/sdapi/v1/png-info", &json!({"image": "A".repeat(3 << 20)}));
    assert_eq!(large.status, 422);
}

/// The job is on its way into the database when its client hangs up.
#[test]
fn whoever_hangs_up_early_leaves_no_job() {
    use encaustic_server::db::DbError;

    let trial = Trial::start(|_| ());
    trial.post("/api/v1/queue", &json!({"is_paused": true}));
    let app = &trial.server.as_ref().unwrap().app;
    let jobs = || trial.get("/api/v1/jobs").json()["items"].as_array().unwrap().clone();
    app.db
        .write::<_, DbError>(|_| {
            let mut stream = trial.connect();
            let body = json!({"prompt": "x"}).to_string();
            let head = format!("Host: {}\r\nContent-Type: application/json\r\nContent-Length: {}", trial.address(), body.len());
            write!(stream, "POST /sdapi/v1/txt2img HTTP/1.1\r\n{head}\r\n\r\n{body}").unwrap();
            // It waits for this transaction.
            std::thread::sleep(std::time::Duration::from_millis(300));
            drop(stream);
            std::thread::sleep(std::time::Duration::from_millis(300));
            Ok(())
        })
        .unwrap();
    trial.until("the job to be taken back", || (jobs().first()?["state"] == "cancelled").then_some(()));
    assert_eq!(jobs().len(), 1);
}
