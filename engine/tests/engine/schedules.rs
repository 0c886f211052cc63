//! Noise levels and timesteps, held against published tables, k-diffusion and diffusers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use crate::common::sampling::config_of;
use crate::common::{Goldens, golden_json};
use encaustic_engine::prediction::Prediction;
use encaustic_engine::schedule::{
    self, AlignedTo, Basis, CLASSES, Grid, MAX_STEPS, NoiseTable, SCHEDULES, Schedule, ScheduleError, ScheduleKind,
    SchedulerClass, SchedulerConfig, diffusers,
};

const TOLERANCE: f64 = 1e-5;

fn stable_diffusion() -> (SchedulerConfig, NoiseTable) {
    let config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    let table = NoiseTable::new(&config).unwrap();
    (config, table)
}

fn build(kind: ScheduleKind, class: SchedulerClass, steps: usize) -> Result<Schedule, ScheduleError> {
    let (config, table) = stable_diffusion();
    let basis = Basis { config: &config, table: &table, class, aligned_to: AlignedTo::Sd };
    schedule::build(kind, ScheduleKind::Karras, steps, basis)
}

fn sigmas(schedule: &Schedule) -> Vec<f64> {
    schedule.points.iter().map(|point| point.sigma).collect()
}

#[track_caller]
fn check(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: {actual:?}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * e.abs().max(1.0), "{what}[{i}]: {a}, expected {e}");
    }
}

#[test]
fn published_sigmas_for_ten_steps() {
    use ScheduleKind::*;
    let table: &[(ScheduleKind, [f64; 10])] = &[
        (Karras, [14.6146, 9.1029, 5.4784, 3.1686, 1.7494, 0.9141, 0.4469, 0.2014, 0.0819, 0.0292]),
        (Exponential, [14.6146, 7.3249, 3.6712, 1.8400, 0.9222, 0.4622, 0.2317, 0.1161, 0.0582, 0.0292]),
        (Polyexponential, [14.6146, 7.3249, 3.6712, 1.8400, 0.9222, 0.4622, 0.2317, 0.1161, 0.0582, 0.0292]),
        (Normal, [14.6146, 7.8399, 4.6092, 2.9183, 1.9502, 1.3449, 0.9324, 0.6250, 0.3687, 0.0292]),
        (SgmUniform, [14.6146, 8.3072, 5.0924, 3.3251, 2.2797, 1.6156, 1.1629, 0.8319, 0.5712, 0.3437]),
        (Simple, [14.6146, 8.3028, 5.0878, 3.3211, 2.2765, 1.6129, 1.1606, 0.8299, 0.5693, 0.3417]),
    ];
    for (kind, expected) in table {
        let schedule = build(*kind, SchedulerClass::Euler, 10).unwrap();
        let actual = sigmas(&schedule);
        assert_eq!(actual.len(), 11);
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() < 6e-5, "{}: {a}, expected {e}", kind.info().name);
        }
        assert_eq!(actual[10], 0.0, "every list ends without noise");
    }
}

#[test]
fn sigmas_of_closed_form() {
    let (_, table) = stable_diffusion();
    let (min, max) = (table.sigma_min(), table.sigma_max());
    assert!((min - 0.029167).abs() < 1e-6 && (max - 14.614641).abs() < 1e-5, "{min} {max}");

    let actual = sigmas(&build(ScheduleKind::KlOptimal, SchedulerClass::Euler, 10).unwrap());
    let angle = |i: f64| i / 10.0 * min.atan() + (1.0 - i / 10.0) * max.atan();
    let expected: Vec<f64> = (0..10).map(|i| angle(f64::from(i)).tan()).chain([0.0]).collect();
    check("kl-optimal", &actual, &expected, 1e-9);

    // Every hundredth level of training, from the second up.
    let actual = sigmas(&build(ScheduleKind::Ddim, SchedulerClass::Euler, 10).unwrap());
    let expected: Vec<f64> = (0..10).rev().map(|i| table.sigmas()[1 + 100 * i]).chain([0.0]).collect();
    check("ddim", &actual, &expected, 0.0);

    // Half of the steps above and half below the middle, denser at both ends.
    let actual = sigmas(&build(ScheduleKind::Beta, SchedulerClass::Euler, 11).unwrap());
    check("beta", &actual[5..6], &[0.5 * (min + max)], 1e-9);
    assert!(actual[0] - actual[1] < actual[4] - actual[5] && actual[9] - actual[10] < actual[5] - actual[6]);
}

#[test]
fn align_your_steps_has_the_published_levels_and_bends_to_other_counts() {
    let (config, table) = stable_diffusion();
    let sd = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029, 0.0];
    let sdxl = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029, 0.0];
    for (aligned_to, published) in [(AlignedTo::Sd, sd), (AlignedTo::Sdxl, sdxl)] {
        let basis = Basis { config: &config, table: &table, class: SchedulerClass::Euler, aligned_to };
        let of = |steps| sigmas(&schedule::build(ScheduleKind::AlignYourSteps, ScheduleKind::Normal, steps, basis).unwrap());
        check("published", &of(11), &published, 1e-12);
        let double = of(21);
        check("every second", &double.iter().copied().step_by(2).take(11).collect::<Vec<_>>(), &published[..11], 1e-12);
        check("between", &double[1..2], &[(published[0] * published[1]).sqrt()], 1e-12);
        check("one", &of(1), &[14.615, 0.0], 1e-12);
    }
}

#[test]
fn k_diffusion_s_own_sigmas() {
    let goldens = Goldens::open("kdiffusion");
    let meta = golden_json("kdiffusion");
    let (_, table) = stable_diffusion();
    let ends = [table.sigma_min(), table.sigma_max()];
    check("ends", &ends, &["sigma_min", "sigma_max"].map(|name| meta[name].as_f64().unwrap()), 1e-6);
    for kind in [ScheduleKind::Karras, ScheduleKind::Exponential] {
        let name = kind.info().name;
        let actual = sigmas(&build(kind, SchedulerClass::Euler, 10).unwrap());
        check(name, &actual, &goldens.values(&format!("sigmas/{name}")), 1e-6);
    }
}

#[test]
fn training_levels() {
    let goldens = Goldens::open("schedulers");
    let mut config = SchedulerConfig::stable_diffusion(Prediction::V);
    let check = |config: &SchedulerConfig, name: &str, tolerance: f64| {
        let table = NoiseTable::new(config).unwrap();
        let expected = goldens.values(name);
        assert_eq!(table.alphas_cumprod().len(), expected.len());
        let worst = table.alphas_cumprod().iter().zip(&expected).map(|(a, e)| (a - e).abs()).fold(0.0, f64::max);
        println!("{name}: {worst:.1e}");
        assert!(worst <= tolerance, "{name}: {worst}");
        table
    };
    check(&config, "alphas_cumprod_scaled_linear", 0.0);
    // torch itself differs by 4e-7 from one processor to the next here.
    config.rescale_betas_zero_snr = Some(true);
    let table = check(&config, "alphas_cumprod_zsnr", 1e-6);
    assert_eq!(table.alphas_cumprod()[999], 0.0);
    assert!(table.sigma_exact(999).is_infinite());
    assert!((table.sigma_max() - 4096.0).abs() < 1e-3, "{}", table.sigma_max());
}

#[test]
fn timesteps_and_sigmas_are_inverse() {
    let (_, table) = stable_diffusion();
    for timestep in [0.0, 0.25, 1.0, 17.5, 500.0, 998.75, 999.0] {
        let back = table.timestep(table.sigma_log(timestep));
        assert!((back - timestep).abs() < 1e-6, "{timestep}: {back}");
    }
    assert_eq!(table.timestep(0.0), 0.0);
    assert_eq!(table.timestep(1e9), 999.0);
    assert_eq!(table.sigma_linear(-3.0), table.sigma_min());
    assert_eq!(table.sigma_linear(2000.0), table.sigma_max());
    let middle = 0.5 * (table.sigmas()[10] + table.sigmas()[11]);
    assert!((table.sigma_linear(10.5) - middle).abs() < 1e-12);
}

#[test]
fn betas_that_make_no_schedule_are_refused() {
    let mut config = SchedulerConfig::stable_diffusion(Prediction::Epsilon);
    config.num_train_timesteps = 3;
    config.trained_betas = Some(vec![0.5, 1.0, 0.5]);
    let fault = NoiseTable::new(&config).unwrap_err();
    assert_eq!(fault.timestep, 1);
    assert!(fault.to_string().contains("at timestep 1"));
    config.trained_betas = Some(vec![0.5, 0.5, 1.0]);
    assert!(NoiseTable::new(&config).unwrap().sigma_exact(2).is_infinite());
    config.trained_betas = Some(vec![1e-30, 0.5, 0.5]);
    assert_eq!(NoiseTable::new(&config).unwrap_err().timestep, 0);
}

fn without_repeats(sigmas: &[f64]) -> Vec<f64> {
    let mut sigmas: Vec<f32> = sigmas.iter().map(|sigma| *sigma as f32).collect();
    sigmas.dedup();
    sigmas.into_iter().map(f64::from).collect()
}

#[test]
fn every_configuration_gives_diffusers_levels() {
    let goldens = Goldens::open("schedulers");
    let meta = golden_json("schedulers");
    let cases = meta["cases"].as_object().unwrap();
    let mut with_sigmas = 0;
    for (name, case) in cases {
        assert!(case.get("skipped").is_none(), "{name} has no reference");
        let config = config_of(case);
        let table = NoiseTable::new(&config).unwrap();
        let basis = Basis { config: &config, table: &table, class: config.class, aligned_to: AlignedTo::Sd };
        let steps = case["steps"].as_u64().unwrap() as usize;
        let is_distilled = matches!(config.class, SchedulerClass::Lcm | SchedulerClass::Tcd);
        let schedule = if is_distilled {
            schedule::build(ScheduleKind::Lcm, ScheduleKind::Lcm, steps, basis)
        } else {
            diffusers::configured(steps, basis)
        };
        let schedule = schedule.unwrap();
        assert_eq!(schedule.points.len(), steps + 1, "{name}");

        // Each of our timesteps is one of the reference's, which has those between as well where it calls twice a step.
        let expected = goldens.values(&format!("{name}/timesteps"));
        let mut rest = expected.as_slice();
        for point in &schedule.points[..steps] {
            let is_it = |e: &f64| (point.timestep - e).abs() <= TOLERANCE * e.max(1.0);
            let at = rest.iter().position(is_it);
            let Some(at) = at else { panic!("{name}: {} is not among {rest:?}", point.timestep) };
            rest = &rest[at + 1..];
        }

        let key = format!("{name}/sigmas");
        if !goldens.has(&key) {
            assert_eq!(config.class.facts().grid, Grid::Whole, "{name}: only DDIM's kin has no sigmas");
            continue;
        }
        let mut expected = goldens.values(&key);
        if config.interpolation_type == Some(schedule::Interpolation::LogLinear) {
            assert_eq!(expected.pop(), Some(0.0), "{name}: a zero that no step reaches");
        }
        check(name, &without_repeats(&sigmas(&schedule)), &without_repeats(&expected), TOLERANCE);
        with_sigmas += 1;
    }
    assert_eq!(cases.len(), 120);
    assert_eq!(with_sigmas, 87);
}

#[test]
fn every_schedule_falls_from_noise_to_nothing_for_every_grid() {
    for info in SCHEDULES {
        for class in CLASSES.iter().map(|facts| facts.class) {
            for steps in [1, 2, 3, 7, 20, 50, 333, 999, 1000] {
                let schedule = match build(info.kind, class, steps) {
                    Ok(schedule) => schedule,
                    Err(ScheduleError::Steps { most, .. }) => {
                        assert!(steps > most, "{} {steps}", info.name);
                        continue;
                    }
                    Err(other) => panic!("{}: {other}", info.name),
                };
                let sigmas = sigmas(&schedule);
                let what = format!("{} with {steps} steps on {class:?}: {sigmas:?}", info.name);
                assert_eq!(sigmas.len(), steps + 1, "{what}");
                assert!(sigmas.windows(2).all(|pair| pair[0] >= pair[1]), "{what}");
                assert!(sigmas[..steps].iter().all(|sigma| *sigma > 0.0 && sigma.is_finite()), "{what}");
                assert!(*sigmas.last().unwrap() < 0.03, "{what}");
                let times = schedule.points.iter().map(|point| point.timestep);
                assert!(times.clone().all(|time| (0.0..=999.0).contains(&time)), "{what}: {:?}", times.collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn step_counts_that_make_no_schedule_are_refused() {
    for info in SCHEDULES {
        for steps in [0, MAX_STEPS + 1, usize::MAX] {
            let fault = build(info.kind, SchedulerClass::Euler, steps).unwrap_err().to_string();
            assert!(fault.starts_with(&format!("steps: {steps} is not allowed with the schedule")), "{fault}");
        }
    }
    let fault = build(ScheduleKind::Trailing, SchedulerClass::Euler, 1001).unwrap_err();
    assert_eq!(fault.to_string(), "steps: 1001 is not allowed with the schedule \"trailing\"; use a whole number from 1 to 1000");
    let fault = build(ScheduleKind::Leading, SchedulerClass::UniPc, 1000).unwrap_err().to_string();
    assert!(fault.ends_with("from 1 to 999"), "{fault}");
    let fault = build(ScheduleKind::Lcm, SchedulerClass::Lcm, 51).unwrap_err().to_string();
    assert!(fault.ends_with("from 1 to 50"), "{fault}");
    assert!(build(ScheduleKind::Karras, SchedulerClass::Euler, MAX_STEPS).is_ok());
}

#[test]
fn names() {
    for info in SCHEDULES {
        let spellings = [info.name, info.label].into_iter().chain(info.aliases.iter().copied());
        for spelling in spellings {
            assert_eq!(schedule::parse(spelling).unwrap(), info.kind, "{spelling}");
            assert_eq!(schedule::parse(&spelling.to_uppercase().replace('-', "_")).unwrap(), info.kind, "{spelling}");
        }
    }
    for (name, message) in [("karas", "did you mean \"karras\"?"), ("", "there is no \"\""), ("qqqqqq", "there is no \"qqqqqq\"")]
    {
        let fault = schedule::parse(name).unwrap_err().to_string();
        assert!(fault.contains(message), "{fault}");
    }
}
