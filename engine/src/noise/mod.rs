//! Noise, made on the CPU and bit for bit as torch and NVIDIA make it: one seed, one image everywhere.
//!
//! Every image of a batch owns its generator, seeded with `seed + i`, and draws its first latents and all of its later
//! step noise from it. So an image does not depend on the batch it was made in, nor on the device that it was made on.

mod brownian;
mod mt19937;
mod philox;

use burn::tensor::{Device, Tensor, TensorData};
use encaustic_protocol::Rng;

pub use self::brownian::BrownianPath;
pub use self::mt19937::Mt19937;
pub use self::philox::Philox;

/// Where samplers draw unit normal noise from.
pub trait NoiseSource {
    /// Fresh unit normal noise `[batch, channels, height, width]` in the shape of the run's latents, f32, on the run's device.
    fn draw(&mut self) -> Tensor<4>;

    /// The increment of a Brownian path between two noise levels (the time of the path is the VE `sigma`), scaled to
    /// unit variance, in the shape of [`Self::draw`]. Overlapping intervals give correlated noise, as stochastic solvers
    /// of second order need; levels above the interval are forgotten, since samplers go down.
    fn increment(&mut self, from: f64, to: f64) -> Tensor<4>;
}

/// One image's generator.
#[derive(Clone, Debug)]
pub enum Generator {
    /// torch's on the CPU.
    Cpu(Mt19937),
    /// torch's on NVIDIA cards.
    Nv(Philox),
}

impl Generator {
    /// A generator in the state that follows seeding.
    #[must_use]
    pub fn new(rng: Rng, seed: u64) -> Self {
        match rng {
            Rng::Cpu => Self::Cpu(Mt19937::new(seed)),
            Rng::Nv => Self::Nv(Philox::new(seed)),
        }
    }

    /// `count` unit normal values: what one `randn` of that many elements returns.
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        match self {
            Self::Cpu(generator) => generator.normal(count),
            Self::Nv(generator) => generator.normal(count),
        }
    }
}

/// The noise of a batch: one generator per image, values uploaded to the device that the run is on.
#[derive(Debug)]
pub struct Noise {
    generators: Vec<Generator>,
    image: [usize; 3],
    device: Device,
    path: BrownianPath,
}

impl Noise {
    /// Noise for latents `[seeds.len(), channels, height, width]`, `image` being the last three.
    #[must_use]
    pub fn new(rng: Rng, seeds: &[u64], image: [usize; 3], device: &Device) -> Self {
        Self {
            generators: seeds.iter().map(|seed| Generator::new(rng, *seed)).collect(),
            image,
            device: device.clone(),
            path: BrownianPath::default(),
        }
    }

    /// The seeds of a batch: `seed`, `seed + 1`, ... (wrapping).
    #[must_use]
    pub fn seeds(seed: u64, batch: usize) -> Vec<u64> {
        (0..batch as u64).map(|i| seed.wrapping_add(i)).collect()
    }

    /// [`NoiseSource::draw`] as values on the host, images one after another.
    pub fn draw_host(&mut self) -> Vec<f32> {
        let count = self.image.iter().product();
        self.generators.iter_mut().flat_map(|generator| generator.normal(count)).collect()
    }
}

impl NoiseSource for Noise {
    fn draw(&mut self) -> Tensor<4> {
        let [channels, height, width] = self.image;
        let shape = [self.generators.len(), channels, height, width];
        Tensor::from_data(TensorData::new(self.draw_host(), shape), &self.device)
    }

    fn increment(&mut self, from: f64, to: f64) -> Tensor<4> {
        let mut path = std::mem::take(&mut self.path);
        let noise = path.increment(from, to, || self.draw());
        self.path = path;
        noise
    }
}
