//! Samplers, held against what mathematics says they must do. Always on the CPU: this is about coefficients, not kernels.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use crate::common::device::cpu;
use crate::common::goldens::{relative_error, to_f64};
use crate::common::sampling::{Formula, Recorded, request, run};
use burn::tensor::Tensor;
use encaustic_engine::noise::{Noise, NoiseSource};
use encaustic_engine::prediction::Prediction;
use encaustic_engine::sampling::{
    Level, Randomness, Request, SAMPLERS, SamplerKind, SamplerOptions, SamplingError, build, build_on,
};
use encaustic_engine::schedule::{NoiseTable, Point, SCHEDULES, Schedule, ScheduleKind, SchedulerConfig};
use encaustic_protocol::Rng;

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
        let x = Tensor::full([1, 1, 1, 1], start as f32, &cpu());
        let x = run(sampler.as_mut(), x, &gaussian(), &mut Recorded::nothing());
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
        let mut noise = Noise::new(Rng::Cpu, &[5], [4, 64, 64], &cpu());
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
                let mut noise = Noise::new(Rng::Cpu, &[1, 2], [1, 2, 2], &cpu());
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
                let mut noise = Noise::new(Rng::Nv, &[1], [1, 2, 2], &cpu());
                let picture = Tensor::full([1, 1, 2, 2], 0.25, &cpu());
                assert!(info.couples_batch || sampler.steps() == steps - start, "{what}: {} steps", sampler.steps());
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
            let mut noise = Noise::new(Rng::Cpu, seeds, [4, 3, 2], &cpu());
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
        let mut noise = Noise::new(Rng::Cpu, &[3], [1, 3, 3], &cpu());
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
        let x = Tensor::full([1, 4, 2, 2], start as f32, &cpu());
        let x = run(sampler.as_mut(), x, &model, &mut Recorded::nothing());
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
        let mut noise = Noise::new(Rng::Cpu, &[1], [1, 2, 2], &cpu());
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
    let mut noise = Noise::new(Rng::Cpu, &[1], [1, 2, 2], &cpu());
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
        let mut noise = Noise::new(Rng::Cpu, &[1], [1, 2, 2], &cpu());
        let x = noise.draw().mul_scalar(sampler.initial_scale() as f32);
        run(sampler.as_mut(), x, &model, &mut noise);
        let asked = model.asked.borrow();
        let ups = asked.windows(2).filter(|pair| pair[1].sigma > 1.5 * pair[0].sigma).count();
        assert_eq!(ups, times, "{steps} steps");
        assert_eq!(asked.len(), 2 * steps - 1);
    }
}
