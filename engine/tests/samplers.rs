//! Samplers, held against diffusers and k-diffusion, and against what mathematics says they must do.

mod common;

use std::cell::RefCell;

use burn::tensor::Tensor;
use common::goldens::{relative_error, to_f64};
use common::{Goldens, device, golden_json};
use encaustic_engine::noise::{Noise, NoiseSource};
use encaustic_engine::prediction::{Prediction, input_scale};
use encaustic_engine::sampling::{
    Denoise, Level, Randomness, Request, SAMPLERS, Sampler, SamplerKind, SamplerOptions, SamplingError, build, build_on, parse,
    parse_with_schedule,
};
use encaustic_engine::schedule::{
    AlignedTo, NoiseTable, Point, SCHEDULES, Schedule, ScheduleError, ScheduleKind, SchedulerClass, SchedulerConfig,
};
use encaustic_protocol::Rng;
use serde_json::Value;

/// Noise that was recorded while the reference ran.
struct Recorded {
    draws: std::vec::IntoIter<Tensor<4>>,
}

impl Recorded {
    fn of(goldens: &Goldens, name: &str) -> Self {
        if !goldens.has(name) {
            return Self { draws: Vec::new().into_iter() };
        }
        let all: Tensor<4> = goldens.tensor(name, &device());
        let count = all.dims()[0];
        Self { draws: all.chunk(count, 0).into_iter() }
    }
}

impl NoiseSource for Recorded {
    fn draw(&mut self) -> Tensor<4> {
        self.draws.next().expect("the reference drew no more noise")
    }

    fn increment(&mut self, _: f64, _: f64) -> Tensor<4> {
        self.draw()
    }
}

/// A model made of a formula, which remembers what it was asked.
struct Formula<F> {
    clean: F,
    asked: RefCell<Vec<Level>>,
}

impl<F: Fn(Tensor<4>, Level) -> Tensor<4>> Formula<F> {
    fn new(clean: F) -> Self {
        Self { clean, asked: RefCell::default() }
    }

    fn calls(&self) -> usize {
        self.asked.borrow().len()
    }
}

impl<F: Fn(Tensor<4>, Level) -> Tensor<4>> Denoise for Formula<F> {
    fn denoise(&self, x: Tensor<4>, at: Level) -> Tensor<4> {
        self.asked.borrow_mut().push(at);
        (self.clean)(x, at)
    }
}

/// Takes one step, reading the probe as the pipeline does.
fn step(sampler: &mut dyn Sampler, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
    let x = sampler.step(x, model, noise);
    if let Some(probe) = sampler.probe() {
        sampler.observe(to_f64(probe)[0] as f32);
    }
    x
}

fn run(sampler: &mut dyn Sampler, mut x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
    let mut steps = 0;
    while !sampler.finished() {
        x = step(sampler, x, model, noise);
        steps += 1;
        assert!(steps <= 1000, "the run does not end");
    }
    x
}

fn request<'a>(config: &'a SchedulerConfig, steps: usize, options: &'a SamplerOptions) -> Request<'a> {
    Request { config, sampler: None, schedule: None, steps, start: 0, aligned_to: AlignedTo::Sd, options }
}

fn config_of(case: &Value) -> SchedulerConfig {
    let mut json = case["config"].clone();
    json["_class_name"] = case["class"].clone();
    SchedulerConfig::from_json(json.to_string().as_bytes()).unwrap()
}

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
            let model = Formula::new(|x: Tensor<4>, at: Level| {
                let (x, sigma) = (x.mul_scalar((1.0 / at.alpha) as f32), at.ratio());
                let slope = x.clone().mul_scalar((0.1 / sigma.hypot(1.0)) as f32) + sigma.ln().sin() as f32;
                x - slope.mul_scalar(sigma as f32)
            });
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

/// The deviation of the data in the tests below.
const DATA: f64 = 0.7;

/// The exact denoiser of normally distributed data without correlations.
fn gaussian() -> Formula<impl Fn(Tensor<4>, Level) -> Tensor<4>> {
    Formula::new(|x: Tensor<4>, at: Level| {
        let signal = at.alpha * DATA * DATA;
        x.mul_scalar((signal / (signal * at.alpha + at.sigma * at.sigma)) as f32)
    })
}

/// Levels evenly spaced in lambda: smooth ones, so that a solver shows its order.
fn smooth(steps: usize, first: f64, last: f64) -> Schedule {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let table = NoiseTable::new(&config).unwrap();
    let sigma = |i: usize| first * (last / first).powf(i as f64 / steps as f64);
    let points = (0..=steps).map(|i| Point { sigma: sigma(i), timestep: table.timestep(sigma(i)) }).collect();
    Schedule { points, stride: None, counts_signal: false }
}

#[test]
fn deterministic_solvers_converge_with_their_order() {
    // Away from the beginning of a run the solvers differ less, so the levels span two decades only.
    let (first, last) = (10.0, 0.1);
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let exact = |level: Level| level.alpha * (DATA * DATA + level.ratio().powi(2)).sqrt();
    let error = |kind: SamplerKind, options: &SamplerOptions, steps: usize| {
        let request = Request { sampler: Some(kind), ..request(&config, steps, options) };
        let mut sampler = build_on(&smooth(steps, first, last), &request).unwrap().sampler;
        let start = exact(sampler.level());
        let x = Tensor::full([1, 1, 1, 1], start as f32, &device());
        let x = run(sampler.as_mut(), x, &gaussian(), &mut Recorded { draws: Vec::new().into_iter() });
        (to_f64(x)[0] / exact(sampler.level()) - 1.0).abs()
    };
    let order = |order| SamplerOptions { order: Some(order), eta: Some(0.0), ..SamplerOptions::default() };
    let plain = SamplerOptions { eta: Some(0.0), ..SamplerOptions::default() };
    use SamplerKind::*;
    for (kind, options, order) in [
        (Euler, &plain, 1.0),
        (EulerA, &plain, 1.0),
        (Ddim, &plain, 1.0),
        (Heun, &plain, 2.0),
        (Dpm2, &plain, 2.0),
        (Dpm2A, &plain, 2.0),
        (Dpmpp2sA, &plain, 2.0),
        (DpmppSde, &plain, 2.0),
        (Dpmpp2m, &plain, 2.0),
        (Dpmpp2s, &plain, 2.0),
        (Dpmpp2mSde, &plain, 2.0),
        (Dpmpp2mSdeHeun, &plain, 2.0),
        (Deis, &plain, 2.0),
        (Pndm, &plain, 2.0),
        (Lms, &order(2), 2.0),
        // A multistep method of higher order still begins with a step of the first.
        (Dpmpp2m, &order(3), 2.0),
        (Dpmpp3mSde, &plain, 2.0),
        (Deis, &order(3), 2.0),
    ] {
        let steps = 64;
        let (coarse, fine) = (error(kind, options, steps / 2), error(kind, options, steps));
        let seen = (coarse / fine).log2();
        println!("{kind:?} {:?}: {coarse:.1e} -> {fine:.1e}, order {seen:.2}", options.order);
        assert!(fine < 0.02 && seen > order - 0.4, "{kind:?} {:?}: order {seen:.2} instead of {order}", options.order);
    }
    for steps in [20, 40] {
        assert!(error(Dpmpp2m, &order(3), steps) < error(Dpmpp2m, &plain, steps), "a higher order is more exact");
        assert!(error(Deis, &order(3), steps) < error(Deis, &plain, steps), "a higher order is more exact");
        assert!(error(UniPc, &plain, steps) < error(Dpmpp2m, &plain, steps), "a corrector is more exact");
    }
}

#[test]
fn stochastic_samplers_keep_the_distribution() {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let options = SamplerOptions { eta: Some(1.0), ..SamplerOptions::default() };
    let churned = SamplerOptions { s_churn: 20.0, ..SamplerOptions::default() };
    for info in SAMPLERS {
        let options = match (info.kind, info.randomness) {
            // One jump of LCM's is exact only for models that were distilled.
            (SamplerKind::Lcm | SamplerKind::Tcd, _) | (_, Randomness::None) => continue,
            (SamplerKind::Euler | SamplerKind::Heun | SamplerKind::Dpm2, _) => &churned,
            _ => &options,
        };
        let steps = if info.order == 1 { 250 } else { 60 };
        let wanted =
            Request { sampler: Some(info.kind), schedule: Some(ScheduleKind::Automatic), ..request(&config, steps, options) };
        let mut sampler = build(&wanted).unwrap().sampler;
        let mut noise = Noise::new(Rng::Cpu, &[5], [4, 64, 64], &device());
        let x = noise.draw().mul_scalar(sampler.initial_scale() as f32);
        let values = to_f64(run(sampler.as_mut(), x, &gaussian(), &mut noise));
        let deviation = (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt();
        println!("{}: {:.3}", info.name, deviation / DATA);
        assert!((deviation / DATA - 1.0).abs() < 0.06, "{}: deviation {deviation} instead of {DATA}", info.name);
    }
}

/// A model that always sees the same picture.
fn knows(picture: f32) -> Formula<impl Fn(Tensor<4>, Level) -> Tensor<4>> {
    Formula::new(move |x: Tensor<4>, _| x.zeros_like() + picture)
}

#[test]
fn every_sampler_arrives_on_every_schedule_with_any_number_of_steps() {
    let options = SamplerOptions::default();
    let mut runs = 0;
    for prediction in [Prediction::Epsilon, Prediction::V] {
        let mut config = SchedulerConfig::stable_diffusion(prediction);
        config.rescale_betas_zero_snr = Some(prediction == Prediction::V);
        for (info, schedule) in SAMPLERS.iter().flat_map(|sampler| SCHEDULES.iter().map(move |schedule| (sampler, schedule))) {
            for steps in [1, 2, 3, 4, 5, 21] {
                let what = format!("{} on {} with {steps} steps, {prediction:?}", info.name, schedule.name);
                let wanted =
                    Request { sampler: Some(info.kind), schedule: Some(schedule.kind), ..request(&config, steps, &options) };
                let mut built = build(&wanted).unwrap_or_else(|e| panic!("{what}: {e}"));
                let mut noise = Noise::new(Rng::Cpu, &[1, 2], [1, 2, 2], &device());
                let x = noise.draw().mul_scalar(built.sampler.initial_scale() as f32);
                let model = knows(0.25);
                let x = to_f64(run(built.sampler.as_mut(), x, &model, &mut noise));
                // What noise is left is at most what the last level of training has.
                let worst = x.iter().map(|v| (v - 0.25).abs()).fold(0.0, f64::max);
                // One step of these begins at the cleanest level, and on diffusers' `linspace` DDIM's stride misses the next.
                let is_one = matches!(schedule.kind, ScheduleKind::Leading | ScheduleKind::Linspace | ScheduleKind::Ddim);
                let misses =
                    matches!(info.kind, SamplerKind::Ddim | SamplerKind::Pndm) && schedule.kind == ScheduleKind::Linspace;
                let limit = match info.kind {
                    _ if (steps == 1 && is_one) || misses => 200.0,
                    // It extrapolates velocities, which differ where levels are far apart, even for one picture.
                    SamplerKind::Pndm if prediction == Prediction::V => 1.0,
                    _ => 0.12,
                };
                assert!(worst < limit, "{what}: off by {worst}");
                assert!(model.calls() <= steps * info.calls || info.couples_batch || info.kind == SamplerKind::Pndm, "{what}");
                runs += 1;
            }
        }
    }
    assert_eq!(runs, 2 * 6 * SAMPLERS.len() * SCHEDULES.len());
}

#[test]
fn a_thousand_steps_and_late_starts() {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let options = SamplerOptions::default();
    for info in SAMPLERS {
        for (steps, start) in [(1000, 0), (30, 1), (30, 7), (30, 28), (30, 29)] {
            let schedule = if info.usual == ScheduleKind::Lcm { ScheduleKind::Normal } else { ScheduleKind::Automatic };
            for schedule in [schedule, ScheduleKind::Trailing] {
                let what = format!("{} on {} from step {start} of {steps}", info.name, schedule.info().name);
                let wanted =
                    Request { sampler: Some(info.kind), schedule: Some(schedule), start, ..request(&config, steps, &options) };
                let mut sampler = build(&wanted).unwrap_or_else(|e| panic!("{what}: {e}")).sampler;
                let mut noise = Noise::new(Rng::Nv, &[1], [1, 2, 2], &device());
                let picture = Tensor::full([1, 1, 2, 2], 0.25, &device());
                let x = sampler.level().mix(picture, noise.draw());
                let x = to_f64(run(sampler.as_mut(), x, &knows(0.25), &mut noise));
                assert!(x.iter().all(|v| (v - 0.25).abs() < 0.12), "{what}: {x:?}");
            }
        }
        let wanted = Request { sampler: Some(info.kind), start: 30, ..request(&config, 30, &options) };
        assert!(matches!(build(&wanted), Err(SamplingError::Start { start: 30, steps: 30 })), "{}", info.name);
    }
}

#[test]
fn images_of_a_batch_do_not_see_each_other() {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let options = SamplerOptions { eta: Some(0.8), s_churn: 5.0, ..SamplerOptions::default() };
    for info in SAMPLERS.iter().filter(|info| !info.couples_batch) {
        let result = |seeds: &[u64]| {
            let wanted = Request { sampler: Some(info.kind), ..request(&config, 24, &options) };
            let mut sampler = build(&wanted).unwrap().sampler;
            let mut noise = Noise::new(Rng::Cpu, seeds, [4, 3, 2], &device());
            let x = noise.draw().mul_scalar(sampler.initial_scale() as f32);
            to_f64(run(sampler.as_mut(), x, &gaussian(), &mut noise))
        };
        let batch = result(&[7, 8, 9]);
        assert_eq!(batch[24..48], result(&[8]), "{}", info.name);
    }
}

#[test]
fn eta_turns_one_sampler_into_another() {
    let config = SchedulerConfig { set_alpha_to_one: Some(true), ..SchedulerConfig::stable_diffusion(Prediction::Epsilon) };
    let result = |kind, eta, schedule| {
        let options = SamplerOptions { eta: Some(eta), ..SamplerOptions::default() };
        let wanted = Request { sampler: Some(kind), schedule: Some(schedule), ..request(&config, 20, &options) };
        let mut sampler = build(&wanted).unwrap().sampler;
        let mut noise = Noise::new(Rng::Cpu, &[3], [1, 3, 3], &device());
        let x = noise.draw().mul_scalar(sampler.initial_scale() as f32);
        to_f64(run(sampler.as_mut(), x, &gaussian(), &mut noise))
    };
    use SamplerKind::*;
    let near = |a: &[f64], b: &[f64]| relative_error(a, b) < 1e-5;
    let normal = ScheduleKind::Normal;
    assert!(near(&result(EulerA, 0.0, normal), &result(Euler, 0.0, normal)));
    assert!(!near(&result(EulerA, 1.0, normal), &result(Euler, 0.0, normal)));
    assert!(near(&result(Dpm2A, 0.0, normal), &result(Dpm2, 0.0, normal)));
    assert!(near(&result(Dpmpp2mSde, 0.0, normal), &result(Dpmpp2m, 0.0, normal)));
    assert!(!near(&result(Dpmpp2mSde, 0.5, normal), &result(Dpmpp2m, 0.0, normal)));
    // DDIM with all of the noise is the diffusion itself, where the timesteps are a stride apart.
    assert!(near(&result(Ddim, 1.0, ScheduleKind::Leading), &result(Ddpm, 1.0, ScheduleKind::Leading)));
    assert!(!near(&result(Tcd, 0.0, ScheduleKind::Lcm), &result(Tcd, 0.9, ScheduleKind::Lcm)));
}

#[test]
fn dpm_adaptive_finds_its_steps() {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let mut runs = Vec::new();
    for rtol in [0.05, 0.0005] {
        let options = SamplerOptions { rtol, atol: 1e-4, ..SamplerOptions::default() };
        let wanted = Request {
            sampler: Some(SamplerKind::DpmAdaptive),
            schedule: Some(ScheduleKind::Karras),
            ..request(&config, 10, &options)
        };
        let mut sampler = build(&wanted).unwrap().sampler;
        assert!(sampler.steps() > 0);
        let start = (DATA * DATA + sampler.level().sigma.powi(2)).sqrt();
        let model = gaussian();
        let x = Tensor::full([1, 4, 2, 2], start as f32, &device());
        let x = run(sampler.as_mut(), x, &model, &mut Recorded { draws: Vec::new().into_iter() });
        let end = (DATA * DATA + sampler.level().sigma.powi(2)).sqrt();
        let error = (to_f64(x)[0] / end - 1.0).abs();
        println!("rtol {rtol}: {} calls, error {error:.1e}", model.calls());
        assert!(error < 0.05, "{error}");
        assert!((sampler.level().sigma - 0.029167).abs() < 1e-4);
        runs.push((model.calls(), error));
    }
    assert!(runs[1].0 > runs[0].0 && runs[1].1 < 0.5 * runs[0].1, "more calls make a smaller error: {runs:?}");
}

#[test]
fn dpm_adaptive_takes_back_what_went_wrong() {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    for eta in [0.0, 0.5] {
        let options = SamplerOptions { eta: Some(eta), ..SamplerOptions::default() };
        let wanted = Request { sampler: Some(SamplerKind::DpmAdaptive), ..request(&config, 10, &options) };
        let mut sampler = build(&wanted).unwrap().sampler;
        let mut noise = Noise::new(Rng::Cpu, &[1], [1, 2, 2], &device());
        let model = gaussian();
        let x = noise.draw().mul_scalar(sampler.initial_scale() as f32);
        let before = sampler.level();
        let attempt = sampler.step(x.clone(), &model, &mut noise);
        sampler.observe(1e6);
        assert_eq!(sampler.level(), before, "a rejected attempt does not count");
        // The next attempt is shorter and begins with the latent from before, whatever it is handed.
        let again = sampler.step(attempt, &model, &mut noise);
        let asked = model.asked.borrow();
        assert_eq!(asked[0], asked[3]);
        assert!(asked[4].sigma > asked[1].sigma);
        drop(asked);
        sampler.observe(0.1);
        assert!(sampler.level().sigma < before.sigma);
        assert!(relative_error(&to_f64(again), &to_f64(x)) < 0.2);
    }
    // A model that gives no numbers ends the run.
    let options = SamplerOptions::default();
    let wanted = Request { sampler: Some(SamplerKind::DpmAdaptive), ..request(&config, 10, &options) };
    let mut sampler = build(&wanted).unwrap().sampler;
    let mut noise = Noise::new(Rng::Cpu, &[1], [1, 2, 2], &device());
    let x = noise.draw();
    run(sampler.as_mut(), x, &knows(f32::NAN), &mut noise);
}

#[test]
fn restart_goes_up_again() {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let options = SamplerOptions::default();
    for (steps, times) in [(19, 0), (20, 1), (35, 1), (36, 2), (50, 2)] {
        let wanted = Request {
            sampler: Some(SamplerKind::Restart),
            schedule: Some(ScheduleKind::Automatic),
            ..request(&config, steps, &options)
        };
        let mut sampler = build(&wanted).unwrap().sampler;
        assert_eq!(sampler.steps(), steps);
        let model = gaussian();
        let mut noise = Noise::new(Rng::Cpu, &[1], [1, 2, 2], &device());
        let x = noise.draw().mul_scalar(sampler.initial_scale() as f32);
        run(sampler.as_mut(), x, &model, &mut noise);
        let asked = model.asked.borrow();
        let ups = asked.windows(2).filter(|pair| pair[1].sigma > 1.5 * pair[0].sigma).count();
        assert_eq!(ups, times, "{steps} steps");
        assert_eq!(asked.len(), 2 * steps - 1);
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
    let config = SchedulerConfig { timestep_spacing: Some(encaustic_engine::schedule::Spacing::Leading), ..config };
    let run = build(&Request { sampler: Some(SamplerKind::Euler), ..request(&config, 20, &options) }).unwrap();
    assert_eq!((run.schedule, run.sampler.level().timestep), (ScheduleKind::Leading, 951.0));
}
