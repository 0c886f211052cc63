//! Running a model in a test.

use std::ops::ControlFlow;
use std::rc::Rc;

use burn::tensor::Tensor;
use encaustic_engine::device::{Compute, DeviceName, Precision, open};
use encaustic_engine::family::{self, Files, Keep, LatentDiffusion};
use encaustic_engine::latent::Picture;
use encaustic_engine::noise::NoiseSource;
use encaustic_engine::pipeline::{Moment, Observer};
use encaustic_engine::readback::Floats;
use futures_lite::future::block_on;

use super::device::VARIABLE;
use super::folder::Folder;

/// The device under test, in f32.
pub fn compute() -> Compute {
    let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty());
    let name = name.map_or(DeviceName::Cpu, |name| name.parse().unwrap());
    block_on(open(name, Some(Precision::F32))).unwrap_or_else(|e| panic!("{VARIABLE}: {e}"))
}

/// Loads a model on it.
pub fn load(folder: &Folder) -> LatentDiffusion {
    load_on(folder, &compute(), Keep::All)
}

/// Loads a model that is not a folder, with another autoencoder if one is given.
pub fn load_files(files: &Rc<dyn Files>, vae: Option<&Rc<dyn Files>>) -> LatentDiffusion {
    family::load(files, vae, &compute(), Keep::InTurn).unwrap_or_else(|e| panic!("{e}"))
}

/// Loads a model on a device.
pub fn load_on(folder: &Folder, compute: &Compute, keep: Keep) -> LatentDiffusion {
    family::load(&folder.files(), None, compute, keep).unwrap_or_else(|e| panic!("{e}"))
}

/// Noise that was drawn before.
pub struct Recorded(std::vec::IntoIter<Tensor<4>>);

impl Recorded {
    pub fn boxed(draws: Vec<Tensor<4>>) -> Box<dyn NoiseSource> {
        Box::new(Self(draws.into_iter()))
    }
}

impl NoiseSource for Recorded {
    fn draw(&mut self) -> Tensor<4> {
        self.0.next().expect("a sampler draws more noise than the reference")
    }

    fn increment(&mut self, _from: f64, _to: f64) -> Tensor<4> {
        self.draw()
    }
}

/// Keeps what a run shows, and stops it when told.
#[derive(Default)]
pub struct Watch {
    pub loaded: usize,
    pub text: usize,
    pub noise: Option<Floats>,
    pub steps: Vec<Floats>,
    pub latents: Option<Floats>,
    pub pixels: Vec<Floats>,
    pub stop_after: Option<usize>,
}

impl Observer for Watch {
    fn at(&mut self, moment: Moment<'_>) -> ControlFlow<()> {
        match moment {
            Moment::Loaded => self.loaded += 1,
            Moment::Text => self.text += 1,
            Moment::Noise(noise) => self.noise = Some(noise.clone()),
            Moment::Step { done, of, latents, .. } => {
                self.steps.push(latents.clone());
                assert_eq!(done, self.steps.len());
                assert!(done <= of);
                if self.stop_after == Some(done) {
                    return ControlFlow::Break(());
                }
            }
            Moment::Latents(latents) => self.latents = Some(latents.clone()),
            Moment::Picture { index, pixels, .. } => {
                assert_eq!(index, self.pixels.len());
                self.pixels.push(pixels.clone());
            }
        }
        ControlFlow::Continue(())
    }
}

/// Peak signal-to-noise ratio in dB between a picture and bytes in the order channel, row, column.
pub fn psnr(picture: &Picture, reference: &[f64]) -> f64 {
    let plane = picture.width * picture.height;
    assert_eq!(reference.len(), 3 * plane);
    let ours = picture.pixels.iter().enumerate().map(|(at, byte)| (f64::from(*byte), (at % 3) * plane + at / 3));
    let error: f64 = ours.map(|(byte, place)| (byte - reference[place]).powi(2)).sum();
    10.0 * (255.0 * 255.0 * reference.len() as f64 / error).log10()
}
