//! Times the CPU's kernels at the shapes of a Stable Diffusion 1.5 UNet (64 x 64 latents, two pictures), beside Burn's
//! own operations: `cargo build --release --workspace --example kernel_time`, then
//! `target/release/examples/kernel_time [FILTER [REPEATS [DEVICE]]]`.
//!
//! One line per case: its name, floating point operations, and the fewest CPU-milliseconds of a call, over all threads,
//! with our kernel and with Burn's. CPU time says more than the clock where the machine has other work. The two take
//! turns, so that a slow minute falls on both.

use std::hint::black_box;
use std::time::Instant;

use burn::tensor::{
    Device, Distribution, Tensor,
    activation::{gelu, silu},
    module::{attention, conv2d, layer_norm},
    ops::{AttentionModuleOptions, ConvOptions},
};
use encaustic_engine::device::{Precision, open};
use encaustic_engine::kernel::{self, Mask, Then};
use futures_lite::future::block_on;

fn main() {
    let mut args = std::env::args().skip(1);
    let filter = args.next().unwrap_or_default();
    let repeats: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(3);
    let device = args.next().unwrap_or_else(|| "cpu".to_owned()).parse().unwrap_or_else(|error| panic!("{error}"));
    let compute = block_on(open(device, Some(Precision::F32))).unwrap_or_else(|error| panic!("{error}"));
    println!("case\tGFLOP\tours\tBurn\tratio");
    for case in cases(&compute.device) {
        if !case.name.contains(&filter) {
            continue;
        }
        let mut best = [f64::INFINITY; 2];
        let mut calls = [1; 2];
        for round in 0..=repeats {
            for ((run, best), calls) in [&case.ours, &case.burn].into_iter().zip(&mut best).zip(&mut calls) {
                let before = cpu_seconds();
                for _ in 0..*calls {
                    run();
                }
                let seconds = cpu_seconds() - before;
                if round > 0 {
                    *best = best.min(seconds / f64::from(*calls));
                } else {
                    // the first round warms up, and tells how often to call: the kernel's accounts are kept in ticks
                    *calls = (0.1 / seconds.max(1e-4)).ceil() as u32;
                }
            }
        }
        let [ours, burn] = best.map(|seconds| seconds * 1e3);
        println!("{}\t{:.2}\t{ours:.2}\t{burn:.2}\t{:.2}", case.name, case.flops / 1e9, ours / burn);
    }
}

struct Case {
    name: String,
    flops: f64,
    ours: Box<dyn Fn()>,
    burn: Box<dyn Fn()>,
}

fn case<const D: usize, const E: usize>(
    name: String,
    flops: usize,
    ours: impl Fn() -> Tensor<D> + 'static,
    burn: impl Fn() -> Tensor<E> + 'static,
) -> Case {
    Case { name, flops: flops as f64, ours: Box::new(move || wait(ours())), burn: Box::new(move || wait(burn())) }
}

/// Waits until a result is there; a GPU only queues work.
fn wait<const D: usize>(result: Tensor<D>) {
    let device = result.device();
    black_box(result);
    device.sync().unwrap_or_else(|error| panic!("{error:?}"));
}

fn cases(device: &Device) -> Vec<Case> {
    let device = device.clone();
    let picture = {
        let device = device.clone();
        move |channels: usize, size: usize| {
            let x = Tensor::<4>::random([2, size, size, channels], Distribution::Normal(0.0, 1.0), &device);
            x.permute([0, 3, 1, 2])
        }
    };
    let matrix = {
        let device = device.clone();
        move |rows: usize, columns: usize| Tensor::<2>::random([rows, columns], Distribution::Normal(0.0, 1.0), &device)
    };
    let vector = {
        let device = device.clone();
        move |size: usize| Tensor::<1>::random([size], Distribution::Normal(0.0, 1.0), &device)
    };
    let mut cases = Vec::new();

    for (tokens, keys, d) in [(4096, 4096, 40), (1024, 1024, 80), (256, 256, 160), (64, 64, 160), (4096, 77, 40), (1024, 77, 80)]
    {
        let tensor = |tokens| Tensor::<3>::random([2, tokens, 8 * d], Distribution::Normal(0.0, 1.0), &device);
        let (q, k, v) = (tensor(tokens), tensor(keys), tensor(keys));
        let split = move |x: &Tensor<3>, tokens| x.clone().reshape([2, tokens, 8, d]).swap_dims(1, 2);
        let views = [split(&q, tokens), split(&k, keys), split(&v, keys)];
        cases.push(case(
            format!("attention {tokens} x {keys} x {d}"),
            2 * 8 * 4 * tokens * keys * d,
            move || kernel::attention_heads(q.clone(), k.clone(), v.clone(), 8, Mask::None),
            move || {
                let [q, k, v] = views.clone();
                attention(q, k, v, None, None, AttentionModuleOptions::default())
            },
        ));
    }
    let convs = [
        (320, 320, 64, 3, 1),
        (960, 320, 64, 3, 1),
        (640, 640, 32, 3, 1),
        (1920, 640, 32, 3, 1),
        (1280, 1280, 16, 3, 1),
        (2560, 1280, 16, 3, 1),
        (1280, 1280, 8, 3, 1),
        (320, 320, 64, 3, 2),
        (1280, 1280, 16, 3, 2),
        (4, 320, 64, 3, 1),
        (320, 4, 64, 3, 1),
        (960, 320, 64, 1, 1),
        (2560, 1280, 8, 1, 1),
    ];
    for (inputs, outs, size, kernel, stride) in convs {
        let weight = Tensor::<4>::random([outs, inputs, kernel, kernel], Distribution::Normal(0.0, 0.02), &device);
        let (x, bias) = (picture(inputs, size), vector(outs));
        let plain = x.clone() + 0.0;
        let padding = kernel / 2;
        let (w, b) = (weight.clone(), bias.clone());
        let weight = kernel::stored_weight(weight);
        cases.push(case(
            format!("conv {kernel}x{kernel}/{stride} {inputs} -> {outs} at {size}"),
            2 * 2 * inputs * outs * kernel * kernel * (size / stride).pow(2),
            move || kernel::conv2d(x.clone(), weight.clone(), Some(bias.clone()), stride, padding, None),
            move || {
                let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
                conv2d(plain.clone(), w.clone(), Some(b.clone()), options)
            },
        ));
    }
    for (rows, inputs, outs) in [
        (8192, 320, 320),
        (8192, 1280, 320),
        (2048, 640, 640),
        (2048, 2560, 640),
        (512, 1280, 1280),
        (512, 5120, 1280),
        (154, 768, 320),
        (154, 768, 1280),
        (2, 320, 1280),
    ] {
        let (x, weight, bias) = (matrix(rows, inputs), matrix(outs, inputs), vector(outs));
        let (a, w, b) = (x.clone(), weight.clone(), bias.clone());
        let weight = kernel::stored_weight(weight);
        cases.push(case(
            format!("linear {rows} x {inputs} -> {outs}"),
            2 * rows * inputs * outs,
            move || kernel::linear(x.clone(), weight.clone(), Some(bias.clone()), None),
            move || a.clone().matmul(w.clone().transpose()) + b.clone().unsqueeze(),
        ));
    }
    for (rows, inputs) in [(8192, 320), (2048, 640), (512, 1280)] {
        let outs = 8 * inputs;
        let (x, weight, bias) = (matrix(rows, inputs), matrix(outs, inputs), vector(outs));
        let (a, w, b) = (x.clone(), weight.clone(), bias.clone());
        let weight = kernel::stored_weight(weight);
        cases.push(case(
            format!("geglu {rows} x {inputs} -> {outs}"),
            2 * rows * inputs * outs,
            move || kernel::linear_geglu(x.clone(), weight.clone(), Some(bias.clone())),
            move || {
                let [value, gate] = [0, outs / 2].map(|start| {
                    let weight = w.clone().narrow(0, start, outs / 2).transpose();
                    a.clone().matmul(weight) + b.clone().narrow(0, start, outs / 2).unsqueeze()
                });
                value * gelu(gate)
            },
        ));
    }
    for (channels, size) in [(320, 64), (640, 32), (1280, 16)] {
        let (x, weight, bias) = (picture(channels, size), vector(channels), vector(channels));
        let plain = x.clone() + 0.0;
        let (w, b) = (weight.clone(), bias.clone());
        cases.push(case(
            format!("group norm + silu {channels} at {size}"),
            0,
            move || kernel::group_norm(x.clone(), weight.clone(), bias.clone(), 32, 1e-5, Then::Silu),
            move || {
                let x = plain.clone().reshape([2, 32, channels / 32 * size * size]);
                let centred = x.clone() - x.mean_dim(2);
                let variance = centred.clone().square().mean_dim(2);
                let normal = (centred / (variance + 1e-5).sqrt()).reshape([2, channels, size, size]);
                silu(normal * w.clone().reshape([1, channels, 1, 1]) + b.clone().reshape([1, channels, 1, 1]))
            },
        ));
        let rows = 2 * size * size;
        let (x, weight, bias) = (matrix(rows, channels), vector(channels), vector(channels));
        let (a, w, b) = (x.clone(), weight.clone(), bias.clone());
        cases.push(case(
            format!("layer norm {rows} x {channels}"),
            0,
            move || kernel::layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5),
            move || layer_norm(a.clone(), w.clone(), Some(b.clone()), 1e-5),
        ));
        let (x, y) = (picture(channels, size), picture(channels, size));
        let (a, b) = (x.clone() + 0.0, y.clone() + 0.0);
        let (c, d) = (x.clone(), y.clone());
        cases.push(case(
            format!("sum {channels} at {size}"),
            0,
            move || kernel::add(x.clone(), y.clone()),
            move || a.clone() + b.clone(),
        ));
        let (e, f) = (c.clone() + 0.0, d.clone() + 0.0);
        cases.push(case(
            format!("concat {channels} at {size}"),
            0,
            move || kernel::concat_channels(c.clone(), d.clone()),
            move || Tensor::cat(vec![e.clone(), f.clone()], 1),
        ));
    }
    cases
}

/// CPU time of all threads of this process, in seconds; the clock's where there is no /proc.
fn cpu_seconds() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        return START.get_or_init(Instant::now).elapsed().as_secs_f64();
    };
    let nanoseconds = |thread: std::fs::DirEntry| -> Option<f64> {
        std::fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    threads.flatten().filter_map(nanoseconds).sum::<f64>() / 1e9
}
