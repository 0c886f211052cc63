//! The kernels against their definitions, in f64, over shapes that a network has and shapes that it has not.

use burn::tensor::{Device, Tensor, TensorData};
use encaustic_engine::kernel::{self, Then};

use crate::common::device;

/// A source of numbers that are about normal.
struct Numbers(u64);

impl Numbers {
    fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| {
                let sum: f64 = (0..4)
                    .map(|_| {
                        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        (self.0 >> 40) as f64 / (1u64 << 24) as f64 - 0.5
                    })
                    .sum();
                (sum * 1.7) as f32
            })
            .collect()
    }
}

/// Values in row-major order.
#[derive(Clone)]
struct Array<const D: usize> {
    shape: [usize; D],
    values: Vec<f32>,
}

impl<const D: usize> Array<D> {
    fn random(shape: [usize; D], numbers: &mut Numbers) -> Self {
        Self { shape, values: numbers.take(shape.iter().product()) }
    }

    fn tensor(&self, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.shape), device)
    }

    fn at(&self, index: [usize; D]) -> f64 {
        let place = index.iter().zip(&self.shape).fold(0, |place, (i, size)| place * size + i);
        f64::from(self.values[place])
    }
}

#[track_caller]
fn assert_near<const D: usize>(label: &str, out: Tensor<D>, shape: [usize; D], expected: &[f64], limit: f64) {
    assert_eq!(out.dims(), shape, "{label}");
    let out: Vec<f32> = out.into_data().try_to_vec().unwrap();
    assert_eq!(out.len(), expected.len(), "{label}");
    let off: f64 = out.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum();
    let size: f64 = expected.iter().map(|x| x * x).sum();
    let error = (off / size.max(1e-30)).sqrt();
    assert!(error < limit, "{label}: relative error {error:.1e}");
}

/// The same picture, lying in memory in other ways.
fn orders(x: &Tensor<4>) -> [(&'static str, Tensor<4>); 3] {
    [
        ("as is", x.clone()),
        ("channels last", (x.clone().permute([0, 2, 3, 1]) + 0.0).permute([0, 3, 1, 2])),
        ("columns first", (x.clone().permute([3, 1, 0, 2]) + 0.0).permute([2, 1, 3, 0])),
    ]
}

/// Size of a convolution.
struct Conv {
    batch: usize,
    channels: usize,
    outs: usize,
    size: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Conv {
    fn out(&self) -> [usize; 2] {
        self.size.map(|size| (size + 2 * self.padding - self.kernel) / self.stride + 1)
    }

    fn expected(&self, x: &Array<4>, weight: &Array<4>, bias: Option<&Array<1>>) -> Vec<f64> {
        let [height, width] = self.out();
        let mut out = Vec::new();
        for b in 0..self.batch {
            for o in 0..self.outs {
                for y in 0..height {
                    for xx in 0..width {
                        let mut sum = bias.map_or(0.0, |bias| bias.at([o]));
                        for c in 0..self.channels {
                            for i in 0..self.kernel {
                                for j in 0..self.kernel {
                                    let row = (y * self.stride + i).wrapping_sub(self.padding);
                                    let column = (xx * self.stride + j).wrapping_sub(self.padding);
                                    if row < self.size[0] && column < self.size[1] {
                                        sum += x.at([b, c, row, column]) * weight.at([o, c, i, j]);
                                    }
                                }
                            }
                        }
                        out.push(sum);
                    }
                }
            }
        }
        out
    }
}

#[test]
fn convolution() {
    let device = device();
    let mut numbers = Numbers(1);
    let conv =
        |batch, channels, outs, size, kernel, stride, padding| Conv { batch, channels, outs, size, kernel, stride, padding };
    let cases = [
        conv(2, 16, 48, [8, 8], 3, 1, 1),
        conv(1, 70, 100, [16, 12], 3, 1, 1),
        conv(3, 20, 33, [7, 5], 3, 1, 1),
        conv(1, 8, 8, [1, 1], 3, 1, 1),
        conv(2, 9, 17, [33, 18], 3, 1, 1),
        conv(1, 130, 64, [3, 50], 3, 1, 1),
        conv(2, 4, 32, [16, 16], 3, 1, 1),
        conv(2, 32, 4, [16, 16], 3, 1, 1),
        conv(2, 3, 5, [9, 11], 3, 1, 1),
        conv(2, 24, 40, [16, 16], 3, 2, 1),
        conv(1, 24, 40, [17, 15], 3, 2, 0),
        conv(2, 300, 50, [6, 6], 1, 1, 0),
        conv(1, 16, 24, [9, 9], 5, 3, 2),
        conv(1, 6, 7, [8, 8], 1, 2, 1),
        // more than half a million results: on a GPU, another way
        conv(2, 4, 64, [70, 64], 3, 1, 1),
        conv(2, 5, 96, [54, 54], 1, 1, 0),
    ];
    for case in cases {
        let &Conv { batch, channels, outs, size, kernel, stride, padding } = &case;
        let x = Array::random([batch, channels, size[0], size[1]], &mut numbers);
        let weight = Array::random([outs, channels, kernel, kernel], &mut numbers);
        let bias = Array::random([outs], &mut numbers);
        let out = [batch, outs, case.out()[0], case.out()[1]];
        let label = format!("{batch} x {channels} -> {outs}, {size:?}, kernel {kernel}, stride {stride}, padding {padding}");
        let plain = case.expected(&x, &weight, Some(&bias));
        let stored = kernel::stored_weight(weight.tensor(&device));
        assert_near(
            "stored",
            stored.clone(),
            weight.shape,
            &weight.values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(),
            1e-9,
        );
        let weights = [orders(&weight.tensor(&device)).to_vec(), vec![("stored", stored)]].concat();
        for (order, x) in orders(&x.tensor(&device)) {
            for (weight_order, weight) in &weights {
                let y = kernel::conv2d(x.clone(), weight.clone(), Some(bias.tensor(&device)), stride, padding, None);
                assert_near(&format!("{label}, {order}, weight {weight_order}"), y, out, &plain, 1e-5);
            }
        }
        let x = x.tensor(&device);
        let weight = weight.tensor(&device);
        let residual = Array::random(out, &mut numbers);
        let expected: Vec<f64> = plain
            .iter()
            .zip(&residual.values)
            .enumerate()
            .map(|(i, (y, r))| y + f64::from(*r) - bias.at([i / (out[2] * out[3]) % outs]))
            .collect();
        for (order, residual) in orders(&residual.tensor(&device)) {
            let y = kernel::conv2d(x.clone(), weight.clone(), None, stride, padding, Some(residual));
            assert_near(&format!("{label}, residual {order}"), y, out, &expected, 1e-5);
        }
        for rows in [1, batch] {
            let shift = Array::random([rows, outs, 1, 1], &mut numbers);
            let expected: Vec<f64> = plain
                .iter()
                .enumerate()
                .map(|(i, y)| {
                    let (channel, picture) = (i / (out[2] * out[3]) % outs, i / (out[2] * out[3] * outs));
                    y + shift.at([picture % rows, channel, 0, 0])
                })
                .collect();
            let addend = Some(shift.tensor(&device));
            let y = kernel::conv2d(x.clone(), weight.clone(), Some(bias.tensor(&device)), stride, padding, addend);
            assert_near(&format!("{label}, {rows} shifts"), y, out, &expected, 1e-5);
        }
    }
}

/// The complementary error function: its Taylor series about 0 up to 3, beyond that a continued fraction.
fn erfc(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for n in 1..200 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum
    } else {
        let fraction = (1..200).rev().fold(a, |fraction, k| a + f64::from(k) / 2.0 / fraction);
        (-a * a).exp() / std::f64::consts::PI.sqrt() / fraction
    };
    if x < 0.0 { 2.0 - value } else { value }
}

fn gelu(x: f64) -> f64 {
    x * 0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

fn swish(x: f64, factor: f64) -> f64 {
    x / (1.0 + (-factor * x).exp())
}

#[test]
fn linear_map() {
    let device = device();
    let mut numbers = Numbers(2);
    for (rows, inputs, outs) in
        [(1, 1, 2), (7, 20, 34), (64, 320, 96), (130, 300, 50), (1000, 16, 8), (9, 1300, 100), (8200, 12, 66)]
    {
        let x = Array::random([rows, inputs], &mut numbers);
        let weight = Array::random([outs, inputs], &mut numbers);
        let bias = Array::random([outs], &mut numbers);
        let addend = Array::random([rows, outs], &mut numbers);
        let plain: Vec<f64> =
            (0..rows * outs).map(|i| (0..inputs).map(|k| x.at([i / outs, k]) * weight.at([i % outs, k])).sum::<f64>()).collect();
        let biased: Vec<f64> = plain.iter().enumerate().map(|(i, y)| y + bias.at([i % outs])).collect();
        let added: Vec<f64> = biased.iter().zip(&addend.values).map(|(y, a)| y + f64::from(*a)).collect();
        let half = outs / 2;
        let gated: Vec<f64> = (0..rows * half)
            .map(|i| biased[i / half * outs + i % half] * gelu(biased[i / half * outs + half + i % half]))
            .collect();
        let [bias, addend] = [bias.tensor(&device).unsqueeze(), addend.tensor(&device)];
        let bias: Tensor<1> = bias.reshape([outs]);
        let transposed = |x: Tensor<2>| (x.transpose() + 0.0).transpose();
        let (x, weight) = (x.tensor(&device), weight.tensor(&device));
        for (order, x, weight) in [
            ("as is", x.clone(), weight.clone()),
            ("weight transposed", x.clone(), transposed(weight.clone())),
            ("weight stored", x.clone(), kernel::stored_weight(weight.clone())),
            ("x transposed", transposed(x.clone()), weight.clone()),
        ] {
            let label = format!("{rows} x {inputs} -> {outs}, {order}");
            let y = kernel::linear(x.clone(), weight.clone(), None, None);
            assert_near(&label, y, [rows, outs], &plain, 1e-5);
            let y = kernel::linear(x.clone(), weight.clone(), Some(bias.clone()), None);
            assert_near(&format!("{label}, bias"), y, [rows, outs], &biased, 1e-5);
            let y = kernel::linear(x.clone(), weight.clone(), Some(bias.clone()), Some(addend.clone()));
            assert_near(&format!("{label}, addend"), y, [rows, outs], &added, 1e-5);
            let y = kernel::linear_geglu(x, weight, Some(bias.clone()));
            assert_near(&format!("{label}, gated"), y, [rows, half], &gated, 1e-5);
        }
    }
}

#[test]
fn pixels_and_tokens() {
    let device = device();
    let mut numbers = Numbers(6);
    let [batch, height, width, inputs, outs] = [2, 3, 5, 20, 36];
    let x = Array::random([batch, inputs, height, width], &mut numbers);
    let weight = Array::random([outs, inputs], &mut numbers);
    let bias = Array::random([outs], &mut numbers);
    let pixels = height * width;
    let tokens: Vec<f64> = (0..batch * pixels * outs)
        .map(|i| {
            let (b, pixel, o) = (i / (pixels * outs), i / outs % pixels, i % outs);
            (0..inputs).map(|c| x.at([b, c, pixel / width, pixel % width]) * weight.at([o, c])).sum::<f64>() + bias.at([o])
        })
        .collect();
    let residual = Array::random([batch, outs, height, width], &mut numbers);
    let picture: Vec<f64> = (0..batch * outs * pixels)
        .map(|i| {
            let (b, o, pixel) = (i / (pixels * outs), i / pixels % outs, i % pixels);
            tokens[(b * pixels + pixel) * outs + o] + f64::from(residual.values[i])
        })
        .collect();
    let (weight, bias) = (weight.tensor(&device), bias.tensor(&device));
    for (order, x) in orders(&x.tensor(&device)) {
        for weight in [weight.clone(), kernel::stored_weight(weight.clone())] {
            let y = kernel::pixels_to_tokens(x.clone(), weight.clone(), Some(bias.clone()));
            assert_near(&format!("to tokens, {order}"), y, [batch, pixels, outs], &tokens, 1e-5);
            let t = x.clone().reshape([batch, inputs, pixels]).swap_dims(1, 2);
            for (other, residual) in orders(&residual.tensor(&device)) {
                let size = [height, width];
                let y = kernel::tokens_to_pixels(t.clone(), weight.clone(), Some(bias.clone()), size, Some(residual));
                assert_near(&format!("to pixels, {order}, {other}"), y, [batch, outs, height, width], &picture, 1e-5);
            }
        }
    }
}

#[test]
fn norms() {
    let device = device();
    let mut numbers = Numbers(3);
    let epsilon = 1e-5;
    for ([batch, channels, height, width], groups) in
        [([2, 32, 8, 8], 8), ([1, 64, 9, 7], 32), ([3, 6, 5, 5], 2), ([1, 4, 40, 40], 1), ([2, 40, 1, 1], 4)]
    {
        for offset in [0.0, 100.0] {
            let mut x = Array::random([batch, channels, height, width], &mut numbers);
            x.values.iter_mut().for_each(|x| *x += offset);
            let (weight, bias) = (Array::random([channels], &mut numbers), Array::random([channels], &mut numbers));
            let size = channels / groups * height * width;
            let expected: Vec<f64> = x
                .values
                .chunks(size)
                .enumerate()
                .flat_map(|(i, group)| {
                    let mean = group.iter().map(|&x| f64::from(x)).sum::<f64>() / size as f64;
                    let variance = group.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / size as f64;
                    let (weight, bias) = (&weight, &bias);
                    group.iter().enumerate().map(move |(j, &x)| {
                        let channel = i % groups * (channels / groups) + j / (height * width);
                        (f64::from(x) - mean) / (variance + epsilon).sqrt() * weight.at([channel]) + bias.at([channel])
                    })
                })
                .collect();
            let silu: Vec<f64> = expected.iter().map(|&x| swish(x, 1.0)).collect();
            let limit = if offset == 0.0 { 1e-5 } else { 1e-4 };
            let (weight, bias) = (weight.tensor(&device), bias.tensor(&device));
            for (order, x) in orders(&x.tensor(&device)) {
                let label = format!("group norm of {:?} in {groups}, around {offset}, {order}", x.dims());
                for (then, expected) in [(Then::Nothing, &expected), (Then::Silu, &silu)] {
                    let y = kernel::group_norm(x.clone(), weight.clone(), bias.clone(), groups, epsilon, then);
                    assert_near(&label, y, [batch, channels, height, width], expected, limit);
                }
            }
        }
    }
    for shape in [[2, 5, 320], [1, 77, 33], [3, 1, 8]] {
        let x = Array::random(shape, &mut numbers);
        let channels = shape[2];
        let (weight, bias) = (Array::random([channels], &mut numbers), Array::random([channels], &mut numbers));
        let expected: Vec<f64> = x
            .values
            .chunks(channels)
            .flat_map(|row| {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / channels as f64;
                let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / channels as f64;
                let (weight, bias) = (&weight, &bias);
                row.iter()
                    .enumerate()
                    .map(move |(c, &x)| (f64::from(x) - mean) / (variance + epsilon).sqrt() * weight.at([c]) + bias.at([c]))
            })
            .collect();
        let y = kernel::layer_norm(x.tensor(&device), weight.tensor(&device), bias.tensor(&device), epsilon);
        assert_near(&format!("layer norm of {shape:?}"), y, shape, &expected, 1e-5);
    }
}

#[test]
fn pointwise() {
    let device = device();
    let x: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 200.0).chain([1e4, -1e4, 100.0, -100.0, 0.0]).collect();
    let of = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { x.iter().map(|&x| f(f64::from(x))).collect() };
    let tensor = || Tensor::<1>::from_data(TensorData::new(x.clone(), [x.len()]), &device);
    let shape = [x.len()];
    assert_near("silu", kernel::silu(tensor()), shape, &of(&|x| swish(x, 1.0)), 1e-6);
    assert_near("quick gelu", kernel::quick_gelu(tensor()), shape, &of(&|x| swish(x, 1.702)), 1e-6);
    assert_near("gelu", kernel::gelu(tensor()), shape, &of(&gelu), 1e-6);
    // the large numbers hide the small ones' errors
    let small: Vec<f64> = of(&gelu)[3000..5001].to_vec();
    assert_near("gelu near 0", kernel::gelu(tensor()).narrow(0, 3000, 2001), [2001], &small, 1e-6);
    assert_near("sum", kernel::add(tensor(), tensor()), shape, &of(&|x| 2.0 * x), 1e-6);
    // the argument is still the caller's
    let kept = tensor();
    assert_near("silu of a copy", kernel::silu(kept.clone()), shape, &of(&|x| swish(x, 1.0)), 1e-6);
    assert_near("the copy", kept, shape, &of(&|x| x), 1e-6);
    let nan = Tensor::<1>::from_data([f32::NAN; 40], &device);
    for y in [kernel::silu(nan.clone()), kernel::quick_gelu(nan.clone()), kernel::gelu(nan)] {
        let y: Vec<f32> = y.into_data().try_to_vec().unwrap();
        assert!(y.iter().all(|y| y.is_nan()), "NaN was lost");
    }
}

#[test]
fn sums_of_pictures() {
    let device = device();
    let mut numbers = Numbers(4);
    let [a, b] = [(); 2].map(|()| Array::random([2, 6, 5, 7], &mut numbers));
    let expected: Vec<f64> = a.values.iter().zip(&b.values).map(|(&a, &b)| f64::from(a) + f64::from(b)).collect();
    for (order, a) in orders(&a.tensor(&device)) {
        for (other, b) in orders(&b.tensor(&device)) {
            assert_near(&format!("{order} + {other}"), kernel::add(a.clone(), b), [2, 6, 5, 7], &expected, 1e-6);
        }
        let shift = b.tensor(&device).slice([0..2, 0..6, 0..1, 0..1]);
        let broadcast: Vec<f64> = (0..2 * 6 * 35)
            .map(|i| expected[i] - b.at([i / 210, i / 35 % 6, i % 35 / 7, i % 7]) + b.at([i / 210, i / 35 % 6, 0, 0]))
            .collect();
        assert_near(&format!("{order} + a shift"), kernel::add(a, shift), [2, 6, 5, 7], &broadcast, 1e-6);
    }
}

#[test]
fn pixels_and_channels() {
    let device = device();
    let mut numbers = Numbers(5);
    let a = Array::random([2, 5, 4, 3], &mut numbers);
    let b = Array::random([2, 3, 4, 3], &mut numbers);
    for (order, x) in orders(&a.tensor(&device)) {
        for size in [[8, 6], [7, 5], [4, 3], [2, 1]] {
            let mut expected = Vec::new();
            for i in 0..2 * 5 * size[0] * size[1] {
                let (plane, y, x) = (i / (size[0] * size[1]), i / size[1] % size[0], i % size[1]);
                expected.push(a.at([plane / 5, plane % 5, y * 4 / size[0], x * 3 / size[1]]));
            }
            let y = kernel::nearest(x.clone(), size);
            assert_near(&format!("nearest to {size:?}, {order}"), y, [2, 5, size[0], size[1]], &expected, 1e-7);
        }
        let expected: Vec<f64> = (0..2 * 8 * 12)
            .map(|i| {
                let (picture, channel, pixel) = (i / 96, i / 12 % 8, i % 12);
                let index = |c| [picture, c, pixel / 3, pixel % 3];
                if channel < 5 { a.at(index(channel)) } else { b.at(index(channel - 5)) }
            })
            .collect();
        for (other, b) in orders(&b.tensor(&device)) {
            let y = kernel::concat_channels(x.clone(), b);
            assert_near(&format!("{order} and {other}"), y, [2, 8, 4, 3], &expected, 1e-7);
        }
    }
}
