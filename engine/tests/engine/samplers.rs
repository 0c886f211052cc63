//! Samplers, held against the trajectories of diffusers and k-diffusion, and what they refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use crate::common::goldens::{relative_error, to_f64};
use crate::common::sampling::{Formula, Recorded, config_of, request, run, step};
use crate::common::{Goldens, device, golden_json};
use burn::tensor::Tensor;
use encaustic_engine::noise::{Noise, NoiseSource};
use encaustic_engine::prediction::{Prediction, input_scale};
use encaustic_engine::sampling::{
    Level, Request, SAMPLERS, SamplerKind, SamplerOptions, SamplingError, build, build_on, parse, parse_with_schedule,
};
use encaustic_engine::schedule::{
    CLASSES, Point, SCHEDULES, Schedule, ScheduleError, ScheduleKind, SchedulerClass, SchedulerConfig, Spacing,
};
use encaustic_protocol::Rng;
use serde_json::Value;

#[test]
fn diffusers_trajectories() {
    let goldens = Goldens::open("schedulers");
    let meta = golden_json("schedulers");
    let cases = meta["cases"].as_object().unwrap();
    let unit: Tensor<4> = goldens.tensor("x0_noise", &device());
    let mut faults = Vec::new();
    for (name, case) in cases {
        assert!(case.get("skipped").is_none(), "{name} has no reference");
        if let Err(fault) = follow(&goldens, name, case, unit.clone()) {
            faults.push(format!("{name}: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert_eq!(cases.len(), 120);
}

/// Follows one trajectory of diffusers, level by level and latent by latent.
fn follow(goldens: &Goldens, name: &str, case: &Value, unit: Tensor<4>) -> Result<(), String> {
    let config = config_of(case);
    let options = SamplerOptions { eta: case["eta"].as_f64(), ..SamplerOptions::default() };
    let steps = case["steps"].as_u64().unwrap() as usize;
    let mut sampler = build(&request(&config, steps, &options)).map_err(|e| e.to_string())?.sampler;
    if sampler.steps() != steps {
        return Err(format!("{} steps", sampler.steps()));
    }
    let expected = case["init_noise_sigma"].as_f64().unwrap();
    if (sampler.initial_scale() / expected - 1.0).abs() > 1e-6 {
        return Err(format!("begins with {} instead of {expected}", sampler.initial_scale()));
    }

    let prediction = config.prediction();
    let model = Formula::new(|x: Tensor<4>, at: Level| {
        let input = x.clone().mul_scalar(input_scale(at) as f32);
        let output = input.mul_scalar(0.1) + (0.01 * at.timestep).sin() as f32;
        prediction.clean(output, x, at)
    });
    let reference = goldens.values(&format!("{name}/traj"));
    let size: usize = unit.dims().iter().product();
    let mut noise = Recorded::of(goldens, &format!("{name}/noise"));
    let mut x = unit.mul_scalar(sampler.initial_scale() as f32);
    let mut worst: f64 = 0.0;
    while !sampler.finished() {
        x = step(sampler.as_mut(), x, &model, &mut noise);
        // The reference counts model calls as steps.
        let at = model.calls() * size;
        let expected = reference.get(at..at + size).ok_or("more model calls than the reference")?;
        let error = relative_error(&to_f64(x.clone()), expected);
        if error > 5e-5 {
            return Err(format!("relative error {error:.1e} after {} of {steps} steps' model calls", model.calls()));
        }
        worst = worst.max(error);
    }
    println!("{name}: {worst:.1e}");

    let asked: Vec<f64> = model.asked.borrow().iter().map(|level| level.timestep).collect();
    let expected = goldens.values(&format!("{name}/timesteps"));
    let is_same = |(a, e): (&f64, &f64)| (a - e).abs() <= 1e-5 * e.max(1.0);
    if asked.len() != expected.len() || !asked.iter().zip(&expected).all(is_same) {
        return Err(format!("asked at {asked:?} instead of {expected:?}"));
    }
    Ok(())
}

/// The model of the recorded runs of k-diffusion.
fn k_diffusion_model(x: Tensor<4>, at: Level) -> Tensor<4> {
    let (x, sigma) = (x.mul_scalar((1.0 / at.alpha) as f32), at.ratio());
    let slope = x.clone().mul_scalar((0.1 / sigma.hypot(1.0)) as f32) + sigma.ln().sin() as f32;
    x - slope.mul_scalar(sigma as f32)
}

#[test]
fn k_diffusion_trajectories() {
    let samplers = [
        ("sample_euler", SamplerKind::Euler),
        ("sample_euler_ancestral", SamplerKind::EulerA),
        ("sample_heun", SamplerKind::Heun),
        ("sample_dpm_2", SamplerKind::Dpm2),
        ("sample_dpm_2_ancestral", SamplerKind::Dpm2A),
        ("sample_lms", SamplerKind::Lms),
        ("sample_dpmpp_2s_ancestral", SamplerKind::Dpmpp2sA),
        ("sample_dpmpp_sde", SamplerKind::DpmppSde),
        ("sample_dpmpp_2m", SamplerKind::Dpmpp2m),
        ("sample_dpmpp_2m_sde", SamplerKind::Dpmpp2mSde),
        ("sample_dpmpp_3m_sde", SamplerKind::Dpmpp3mSde),
    ];
    let goldens = Goldens::open("kdiffusion");
    let followed = samplers.iter().flat_map(|(name, _)| ["karras", "exponential"].map(|s| format!("{name}/{s}/traj")));
    let mut followed: Vec<String> = followed.collect();
    followed.sort();
    let recorded: Vec<String> = goldens.names().into_iter().filter(|name| name.ends_with("/traj")).collect();
    assert_eq!(followed, recorded, "every recorded trajectory is followed");

    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let options = SamplerOptions::default();
    let unit: Tensor<4> = goldens.tensor("noise0", &device());
    let size: usize = unit.dims().iter().product();
    for (name, kind) in samplers {
        for schedule in ["karras", "exponential"] {
            let sigmas = goldens.values(&format!("sigmas/{schedule}"));
            let points: Vec<Point> = sigmas.iter().map(|sigma| Point { sigma: *sigma, timestep: 0.0 }).collect();
            let schedule_points = Schedule { points, stride: None, counts_signal: false };
            let request = Request { sampler: Some(kind), ..request(&config, 10, &options) };
            let mut sampler = build_on(&schedule_points, &request).unwrap().sampler;
            let model = Formula::new(k_diffusion_model);
            let mut noise = Recorded::of(&goldens, &format!("{name}/{schedule}/noise"));
            let reference = goldens.values(&format!("{name}/{schedule}/traj"));
            // The reference keeps alpha = 1, whatever our sampler does.
            let mut x = unit.clone().mul_scalar((sigmas[0] * sampler.level().alpha) as f32);
            let mut worst: f64 = 0.0;
            for i in 1..sigmas.len() {
                x = step(sampler.as_mut(), x, &model, &mut noise);
                let exploding = x.clone().mul_scalar((1.0 / sampler.level().alpha) as f32);
                let error = relative_error(&to_f64(exploding), &reference[i * size..(i + 1) * size]);
                assert!(error < 2e-5, "{name} {schedule}: relative error {error:.1e} after step {i}");
                worst = worst.max(error);
            }
            assert!(sampler.finished());
            assert!(noise.draws.next().is_none(), "{name} {schedule}: not all of the noise was used");
            println!("{name} {schedule}: {worst:.1e}");
        }
    }
}

#[test]
fn dpm_adaptive_chooses_k_diffusion_s_steps() {
    // k-diffusion 0.1.1, sample_dpm_adaptive(model, noise0 * sigma_max, sigma_min, sigma_max, rtol, atol): calls and the
    // first values of what it returns.
    let runs = [
        (0.05, 0.0078, 30, [-5.816_946_5, -24.644_997, 3.692_350_1, -12.989_15, -21.728_329, -16.948_219]),
        (0.005, 0.001, 45, [-5.832_796, -24.659_237, 3.675_688, -13.004_386, -21.742_815, -16.963_11]),
    ];
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    for (rtol, atol, calls, expected) in runs {
        let options = SamplerOptions { rtol, atol, ..SamplerOptions::default() };
        let wanted = Request {
            sampler: Some(SamplerKind::DpmAdaptive),
            schedule: Some(ScheduleKind::Karras),
            ..request(&config, 10, &options)
        };
        let mut sampler = build(&wanted).unwrap().sampler;
        let unit: Tensor<4> = Goldens::open("kdiffusion").tensor("noise0", &device());
        let model = Formula::new(k_diffusion_model);
        let x = unit.mul_scalar(sampler.initial_scale() as f32);
        let x = to_f64(run(sampler.as_mut(), x, &model, &mut Recorded::nothing()));
        assert_eq!(model.calls(), calls);
        let error = relative_error(&x[..expected.len()], &expected);
        assert!(error < 1e-5, "rtol {rtol}: {error:.1e}, {x:?}");
    }
}

#[test]
fn a_picture_is_brought_to_the_level_where_a_late_run_begins() {
    let goldens = Goldens::open("schedulers");
    let clean: Tensor<4> = goldens.tensor("add_noise_x", &device());
    let noise: Tensor<4> = goldens.tensor("add_noise_n", &device());
    let options = SamplerOptions::default();
    for (name, class) in [
        ("ddim", SchedulerClass::Ddim),
        ("ddpm", SchedulerClass::Ddpm),
        ("euler", SchedulerClass::Euler),
        ("dpmpp2m", SchedulerClass::DpmSolverMultistep),
    ] {
        let config = SchedulerConfig { class, ..SchedulerConfig::stable_diffusion(Prediction::Epsilon) };
        let sampler = build(&Request { start: 4, ..request(&config, 10, &options) }).unwrap().sampler;
        assert_eq!(sampler.level().timestep, goldens.values(&format!("add_noise_{name}_t"))[0]);
        goldens.check(&format!("add_noise_{name}"), sampler.level().mix(clean.clone(), noise.clone()), 1e-6);
    }
}

#[test]
fn what_cannot_be_sampled_is_refused() {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let fine = SamplerOptions::default;
    for (options, field) in [
        (SamplerOptions { eta: Some(f64::NAN), ..fine() }, "eta"),
        (SamplerOptions { eta: Some(1.5), ..fine() }, "eta"),
        (SamplerOptions { s_noise: f64::INFINITY, ..fine() }, "s_noise"),
        (SamplerOptions { s_churn: -1.0, ..fine() }, "s_churn"),
        (SamplerOptions { s_tmin: f64::NAN, ..fine() }, "s_tmin"),
        (SamplerOptions { s_tmax: f64::NAN, ..fine() }, "s_tmax"),
        (SamplerOptions { order: Some(0), ..fine() }, "order"),
        (SamplerOptions { order: Some(5), ..fine() }, "order"),
        (SamplerOptions { rtol: 0.0, ..fine() }, "rtol"),
        (SamplerOptions { atol: f64::NAN, ..fine() }, "atol"),
    ] {
        let fault = build(&request(&config, 10, &options)).err().unwrap().to_string();
        assert!(fault.starts_with(&format!("{field}: ")) && fault.contains("use a"), "{fault}");
    }
    let options = fine();
    for steps in [0, 1001, 1_000_000_000] {
        let fault = build(&request(&config, steps, &options)).err().unwrap();
        assert!(matches!(fault, SamplingError::Schedule(ScheduleError::Steps { .. })), "{fault}");
    }

    // Noise prediction says nothing where there is no signal; velocity does.
    let mut blind = SchedulerConfig { class: SchedulerClass::Ddim, ..config.clone() };
    blind.rescale_betas_zero_snr = Some(true);
    let trailing = |config: &SchedulerConfig| {
        build(&Request { schedule: Some(ScheduleKind::Trailing), ..request(config, 10, &options) }).err()
    };
    let fault = trailing(&blind).unwrap();
    assert!(matches!(fault, SamplingError::NoSignal { timestep: 999.0 }), "{fault}");
    blind.prediction_type = Some(Prediction::V);
    assert!(trailing(&blind).is_none());

    let level = |sigma| Point { sigma, timestep: 0.0 };
    for sigmas in [vec![1.0, 2.0, 0.0], vec![1.0, 0.0, 0.0], vec![f64::NAN, 0.0], vec![-1.0, 0.0], vec![1.0, f64::NAN]] {
        let schedule = Schedule { points: sigmas.iter().copied().map(level).collect(), stride: None, counts_signal: false };
        let fault = build_on(&schedule, &request(&config, 1, &options)).err();
        assert!(matches!(fault, Some(SamplingError::Levels { .. })), "{sigmas:?}");
    }
    let nothing = Schedule { points: Vec::new(), stride: None, counts_signal: false };
    assert!(matches!(build_on(&nothing, &request(&config, 1, &options)), Err(SamplingError::Start { .. })));
}

#[test]
fn names() {
    for info in SAMPLERS {
        assert_eq!(info.kind.info().name, info.name);
        for spelling in [info.name, info.label].iter().chain(info.aliases) {
            assert_eq!(parse(spelling).unwrap(), info.kind, "{spelling}");
            assert_eq!(parse(&spelling.to_uppercase().replace([' ', '-'], "_")).unwrap(), info.kind, "{spelling}");
        }
        for schedule in SCHEDULES {
            let joined = format!("{} {}", info.label, schedule.label);
            if parse(&joined).is_err() {
                assert_eq!(parse_with_schedule(&joined).unwrap(), (info.kind, Some(schedule.kind)), "{joined}");
            }
        }
        assert_eq!(parse_with_schedule(info.label).unwrap(), (info.kind, None));
    }
    assert_eq!(SAMPLERS.len(), SamplerKind::DpmAdaptive as usize + 1);
    for (name, nearest) in [("eulr", "euler"), ("dpm++ 2n", "dpmpp-2m"), ("ddimm", "ddim")] {
        let fault = parse(name).unwrap_err().to_string();
        assert!(fault.contains(&format!("did you mean {nearest:?}?")), "{fault}");
    }
    for name in ["", "nothing of the kind", " Karras", &"x".repeat(1 << 20)] {
        assert!(parse_with_schedule(name).unwrap_err().to_string().len() < 200);
    }
}

#[test]
fn a_configuration_decides_where_the_user_does_not() {
    let options = SamplerOptions::default();
    let of = |json: &str| SchedulerConfig::from_json(json.as_bytes()).unwrap();
    for (json, kind, schedule) in [
        (r#"{"_class_name": "PNDMScheduler", "steps_offset": 1}"#, SamplerKind::Pndm, ScheduleKind::Leading),
        (r#"{"_class_name": "EulerDiscreteScheduler"}"#, SamplerKind::Euler, ScheduleKind::Linspace),
        (
            r#"{"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}"#,
            SamplerKind::EulerA,
            ScheduleKind::Trailing,
        ),
        (
            r#"{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": true}"#,
            SamplerKind::Dpmpp2mSde,
            ScheduleKind::Karras,
        ),
        (
            r#"{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "solver_order": 3}"#,
            SamplerKind::Dpmpp3mSde,
            ScheduleKind::Linspace,
        ),
        (r#"{"_class_name": "LCMScheduler"}"#, SamplerKind::Lcm, ScheduleKind::Lcm),
    ] {
        let run = build(&request(&of(json), 8, &options)).unwrap();
        assert_eq!((run.kind, run.schedule), (kind, schedule), "{json}");
    }
    // A sampler of the user's on the model's own schedule, as diffusers makes one class from another's configuration.
    let config = of(r#"{"_class_name": "PNDMScheduler", "steps_offset": 1, "beta_schedule": "scaled_linear"}"#);
    let run = build(&Request { sampler: Some(SamplerKind::Euler), ..request(&config, 20, &options) }).unwrap();
    assert_eq!((run.schedule, run.sampler.level().timestep), (ScheduleKind::Linspace, 999.0));
    let config = SchedulerConfig { timestep_spacing: Some(Spacing::Leading), ..config };
    let run = build(&Request { sampler: Some(SamplerKind::Euler), ..request(&config, 20, &options) }).unwrap();
    assert_eq!((run.schedule, run.sampler.level().timestep), (ScheduleKind::Leading, 951.0));
}

#[test]
fn a_named_sampler_is_its_class_made_from_the_model_s_configuration() {
    let base = SchedulerConfig {
        class: SchedulerClass::Pndm,
        skip_prk_steps: Some(true),
        ..SchedulerConfig::stable_diffusion(Prediction::Epsilon)
    };
    let result = |config: &SchedulerConfig, sampler: Option<SamplerKind>| {
        let options = SamplerOptions::default();
        let mut sampler = build(&Request { sampler, ..request(config, 6, &options) }).unwrap().sampler;
        let mut noise = Noise::new(Rng::Cpu, &[1], [1, 3, 3], &device());
        let x = noise.draw().mul_scalar(sampler.initial_scale() as f32);
        to_f64(run(sampler.as_mut(), x, &Formula::new(k_diffusion_model), &mut noise))
    };
    for facts in CLASSES {
        let config = SchedulerConfig { class: facts.class, ..base.clone() };
        let kind = SamplerKind::of(&config);
        assert_eq!(result(&base, Some(kind)), result(&config, None), "{} as {kind:?}", facts.name);
    }
}
