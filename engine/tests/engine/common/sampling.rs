//! Models made of formulas, recorded noise, and the loop around a sampler.

use std::cell::RefCell;

use burn::tensor::Tensor;
use encaustic_engine::noise::NoiseSource;
use encaustic_engine::sampling::{Denoise, Level, Request, Sampler, SamplerOptions};
use encaustic_engine::schedule::{AlignedTo, SchedulerConfig};
use serde_json::Value;

use super::device;
use super::goldens::{Goldens, to_f64};

/// Noise that was recorded while the reference ran.
pub struct Recorded {
    pub draws: std::vec::IntoIter<Tensor<4>>,
}

impl Recorded {
    /// The draws under one name; nothing, if there are none.
    pub fn of(goldens: &Goldens, name: &str) -> Self {
        if !goldens.has(name) {
            return Self::nothing();
        }
        let all: Tensor<4> = goldens.tensor(name, &device());
        let count = all.dims()[0];
        Self { draws: all.chunk(count, 0).into_iter() }
    }

    /// Noise that nobody may ask for.
    pub fn nothing() -> Self {
        Self { draws: Vec::new().into_iter() }
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
pub struct Formula<F> {
    clean: F,
    pub asked: RefCell<Vec<Level>>,
}

impl<F: Fn(Tensor<4>, Level) -> Tensor<4>> Formula<F> {
    pub fn new(clean: F) -> Self {
        Self { clean, asked: RefCell::default() }
    }

    pub fn calls(&self) -> usize {
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
pub fn step(sampler: &mut dyn Sampler, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
    let x = sampler.step(x, model, noise);
    if let Some(probe) = sampler.probe() {
        sampler.observe(to_f64(probe)[0] as f32);
    }
    x
}

/// Runs a sampler to its end.
pub fn run(sampler: &mut dyn Sampler, mut x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
    let mut steps = 0;
    while !sampler.finished() {
        x = step(sampler, x, model, noise);
        steps += 1;
        assert!(steps <= 1000, "the run does not end");
    }
    x
}

/// The model's own sampler and schedule, with these steps and options.
pub fn request<'a>(config: &'a SchedulerConfig, steps: usize, options: &'a SamplerOptions) -> Request<'a> {
    Request { config, sampler: None, schedule: None, steps, start: 0, aligned_to: AlignedTo::Sd, options }
}

/// The configuration of a golden case, through the same reader as a file's.
pub fn config_of(case: &Value) -> SchedulerConfig {
    let mut json = case["config"].clone();
    json["_class_name"] = case["class"].clone();
    SchedulerConfig::from_json(json.to_string().as_bytes()).unwrap()
}
