//! Noise, held against torch's own and against NVIDIA's published values.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use crate::common::goldens::to_f64;
use crate::common::{Goldens, device, golden_json};
use burn::tensor::Tensor;
use encaustic_engine::noise::{BrownianPath, Generator, Noise, NoiseSource};
use encaustic_protocol::Rng;

/// torch's vector instructions differ in the last bit from one processor to the next.
const TOLERANCE: f64 = 1e-6;

#[track_caller]
fn check(what: &str, actual: &[f32], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((f64::from(*a) - e).abs() < TOLERANCE, "{what}[{i}]: {a}, expected {e}");
    }
}

#[test]
fn torch_cpu_normals_for_every_golden_seed_and_length() {
    let goldens = Goldens::open("rng");
    let mut cases = 0;
    for name in goldens.names().iter().filter(|name| name.starts_with("randn/")) {
        let mut parts = name.split('/').skip(1);
        let seed: u64 = parts.next().unwrap().parse().unwrap();
        let count: usize = parts.next().unwrap().parse().unwrap();
        check(name, &Generator::new(Rng::Cpu, seed).normal(count), &goldens.values(name));
        cases += 1;
    }
    assert_eq!(cases, 6 * 13);
}

#[test]
fn the_spare_value_lives_across_calls() {
    let goldens = Goldens::open("rng");
    let mut generator = Generator::new(Rng::Cpu, 9);
    let counts = golden_json("rng")["sequence"].as_array().unwrap().clone();
    assert_eq!(counts.len(), 7);
    for (i, count) in counts.iter().enumerate() {
        let name = format!("sequence/{i}");
        check(&name, &generator.normal(count.as_u64().unwrap() as usize), &goldens.values(&name));
    }
}

#[test]
fn a_whole_latent() {
    let goldens = Goldens::open("rng");
    let mut noise = Noise::new(Rng::Cpu, &[1234], [4, 64, 64], &device());
    let drawn = noise.draw();
    assert_eq!(drawn.dims(), [1, 4, 64, 64]);
    let drawn: Vec<f32> = to_f64(drawn).into_iter().map(|v| v as f32).collect();
    check("latent", &drawn, &goldens.values("latent_64x64_seed1234"));
}

#[test]
fn nvidia_normals() {
    let expected = [
        -0.92466259,
        -0.42534415,
        -2.6438457,
        0.14518388,
        -0.12086647,
        -0.57972564,
        -0.62285122,
        -0.32838709,
        -1.07454231,
        -0.36314407,
        -1.67105067,
        2.26550497,
    ];
    let mut generator = Generator::new(Rng::Nv, 0);
    check("philox", &generator.normal(12), &expected);
    let second = generator.normal(12);
    assert!(second.iter().zip(expected).all(|(a, e)| (f64::from(*a) - e).abs() > 1e-3), "a second call has its own counters");
    let high = Generator::new(Rng::Nv, 1 << 32).normal(12);
    assert!((f64::from(high[0]) - expected[0]).abs() > 1e-3, "the high half of the seed counts");
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    for rng in [Rng::Cpu, Rng::Nv] {
        let image = [4, 5, 3];
        let mut batch = Noise::new(rng, &Noise::seeds(41, 3), image, &device());
        let mut alone = Noise::new(rng, &[42], image, &device());
        for _ in 0..3 {
            let together = batch.draw();
            assert_eq!(together.dims(), [3, 4, 5, 3]);
            assert_eq!(to_f64(together.narrow(0, 1, 1)), to_f64(alone.draw()));
        }
    }
    assert_eq!(Noise::seeds(u64::MAX, 2), [u64::MAX, 0]);
}

/// `W(to) - W(from)`, which is what adds up.
fn difference(noise: &mut Noise, from: f64, to: f64) -> Vec<f64> {
    to_f64(noise.increment(from, to).mul_scalar((to - from).abs().sqrt()))
}

#[test]
fn increments_of_a_path_add_up_in_any_order() {
    let new = || Noise::new(Rng::Cpu, &[7], [1, 4, 8], &device());
    let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);

    // extended: a part first, then the whole
    let mut noise = new();
    let part = difference(&mut noise, 10.0, 7.0);
    let whole = difference(&mut noise, 10.0, 3.0);
    let rest = difference(&mut noise, 7.0, 3.0);
    assert!(near(&add(&part, &rest), &whole));

    // bridged: the whole first, then a part of it
    let mut noise = new();
    let whole = difference(&mut noise, 10.0, 3.0);
    let part = difference(&mut noise, 10.0, 5.0);
    let rest = difference(&mut noise, 5.0, 3.0);
    assert!(near(&add(&part, &rest), &whole));
    assert!(!near(&part, &rest));

    // upwards is the negative of downwards
    let up = difference(&mut noise, 3.0, 5.0);
    assert!(near(&add(&up, &rest), &vec![0.0; up.len()]));
}

#[test]
fn increments_are_unit_normal_and_bridges_too() {
    let mut noise = Noise::new(Rng::Cpu, &[3], [4, 64, 64], &device());
    for (from, to) in [(14.6, 2.0), (14.6, 9.0), (9.0, 2.0), (2.0, 1e-3), (2.0, 1.0)] {
        let values = to_f64(noise.increment(from, to));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{from} to {to}: mean {mean}, variance {variance}");
    }
}

#[test]
fn levels_that_differ_by_rounding_are_one() {
    let device = device();
    let draws = std::cell::Cell::new(0);
    let mut path = BrownianPath::default();
    let mut at = |from, to| {
        path.increment(from, to, || {
            draws.set(draws.get() + 1);
            Tensor::ones([1, 1, 1, 1], &device)
        })
    };
    at(5.0, 3.0);
    at(5.0 * (1.0 + 1e-15), 3.0 * (1.0 - 1e-15));
    assert_eq!(draws.get(), 1);
    at(2.0, 2.0);
    assert_eq!(draws.get(), 2);
    // A run that begins above all that is known has a path of its own: one draw, no bridge to the old one.
    at(9.0, 4.0);
    assert_eq!(draws.get(), 3);
}
