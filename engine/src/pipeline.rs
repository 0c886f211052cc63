//! A run: encode the prompt, take the noise away step by step, decode.
//!
//! Everything between two waits for the device is plain synchronous code: it queues work. The run waits once per step,
//! for the latents; that bounds the queue, lets a browser breathe and is where a run can be stopped.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};

use crate::device::{DeviceKind, Precision};
use crate::error::GenerateError;
use crate::family::{Decoder, LatentDiffusion};
use crate::kernel::prepare_attention;
use crate::latent::Picture;
use crate::noise::{Noise, NoiseSource};
use crate::readback::{Floats, ReadbackError, floats};
use crate::sampling::{Level, Sampler};
use crate::settings::Settings;

/// Follows a run, and may stop it.
pub trait Observer {
    /// Told of each moment, when the device has done what it tells. [`ControlFlow::Break`] ends the run there.
    fn at(&mut self, moment: Moment<'_>) -> ControlFlow<()>;

    /// Whether the next [`Moment::Step`] should bring a look; asked once per step.
    fn wants_look(&mut self) -> bool {
        false
    }
}

/// Follows nothing.
impl Observer for () {
    fn at(&mut self, _moment: Moment<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// A moment of a run.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// The text encoders, then the UNet, then the autoencoder are on the device.
    Loaded,
    /// The prompt has been encoded.
    Text,
    /// The noise that the run begins with: unit normal, `[batch, channels, height, width]`.
    Noise(&'a Floats),
    /// A step has been taken.
    Step {
        /// How many are done, this one included.
        done: usize,
        /// How many there are, as far as is known.
        of: usize,
        /// The latents after it, in the sampler's own parameterisation.
        latents: &'a Floats,
        /// What the model takes the first picture to be, seen from this step, if the observer wants a look: through TAESD
        /// where that is the model's autoencoder, else by colours alone, a pixel per latent, where the latents' are known.
        look: Option<&'a Picture>,
        /// Where on the way they are.
        level: Level,
    },
    /// The last step has been taken; these are the clean latents that go to the autoencoder.
    Latents(&'a Floats),
    /// A picture has been decoded.
    Picture {
        /// Its place in the batch.
        index: usize,
        /// How many there are.
        of: usize,
        /// `[1, 3, height, width]`, from 0 to 1.
        pixels: &'a Floats,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With pictures, in the order of their seeds.
    Finished(Vec<Picture>),
    /// Its observer stopped it.
    Cancelled,
}

/// Makes the pictures that `settings` describe.
pub async fn generate(
    model: &mut LatentDiffusion,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<Outcome, GenerateError> {
    let shape = settings.latent_shape(model);
    let noise = |seeds: Vec<u64>| Box::new(Noise::new(settings.rng, &seeds, shape, model.device())) as Box<dyn NoiseSource>;
    let noise = settings.lanes().into_iter().map(noise).collect();
    generate_from(model, settings, noise, observer).await
}

/// The same with noise from elsewhere: a source for each of [`Settings::lanes`], whose first draw is what the run begins
/// with.
pub async fn generate_from(
    model: &mut LatentDiffusion,
    settings: &Settings,
    noise: Vec<Box<dyn NoiseSource>>,
    observer: &mut dyn Observer,
) -> Result<Outcome, GenerateError> {
    match denoise(model, settings, noise, observer).await? {
        Some(latents) => decode(model, &latents, observer).await,
        None => Ok(Outcome::Cancelled),
    }
}

/// Pictures that one sampler makes together.
struct Lane {
    sampler: Box<dyn Sampler>,
    noise: Box<dyn NoiseSource>,
    x: Tensor<4>,
}

/// Prompt and noise to clean latents; `None` if the observer stopped it.
async fn denoise(
    model: &LatentDiffusion,
    settings: &Settings,
    noise: Vec<Box<dyn NoiseSource>>,
    observer: &mut dyn Observer,
) -> Result<Option<Floats>, GenerateError> {
    let [_, height, width] = settings.latent_shape(model);
    let together = settings.lanes().first().map_or(1, Vec::len);
    let reader = model.reader().map_err(Box::new)?;
    if observer.at(Moment::Loaded).is_break() {
        return Ok(None);
    }
    let conditioning = reader.condition(&settings.prompts, settings.guidance)?;
    // A look at one number waits for all that was queued before it.
    floats(conditioning.positive.context.clone().slice([0..1, 0..1, 0..1])).await?;
    drop(reader);
    if observer.at(Moment::Text).is_break() {
        return Ok(None);
    }
    let unet = model.unet().map_err(Box::new)?;
    if model.compute().info.kind != DeviceKind::Cpu {
        // No network here attends among more tokens than there are latents.
        prepare_attention(model.device(), model.compute().precision.dtype(), height * width).await;
    }
    let denoiser = model.denoiser(unet, &conditioning, settings.guidance, together, [height, width], settings.sizes)?;
    if observer.at(Moment::Loaded).is_break() {
        return Ok(None);
    }
    let mut lanes = Vec::new();
    for mut noise in noise {
        let x = noise.draw();
        lanes.push(Lane { sampler: settings.start(model)?, noise, x });
    }
    let (mut latents, _) = gather(&lanes, None).await?;
    if observer.at(Moment::Noise(&latents)).is_break() {
        return Ok(None);
    }
    for lane in &mut lanes {
        lane.x = lane.x.clone() * lane.sampler.initial_scale();
    }
    let quick = model.quick_decoder();
    let mut done = 0;
    while lanes.iter().any(|lane| !lane.sampler.finished()) {
        let mut guess = None;
        for lane in lanes.iter_mut().filter(|lane| !lane.sampler.finished()) {
            lane.x = lane.sampler.step(lane.x.clone(), &denoiser, lane.noise.as_mut());
            guess = guess.or(denoiser.take_guess());
            if let Some(probe) = lane.sampler.probe() {
                let value = floats(probe).await?.values.first().copied();
                lane.sampler.observe(value.unwrap_or(f32::NAN));
            }
        }
        done += 1;
        let clean;
        (latents, clean) = gather(&lanes, guess).await?;
        if !latents.are_finite() {
            return Err(GenerateError::UNetOverflow { step: done, precision: model.compute().precision });
        }
        let of = lanes.iter().map(|lane| lane.sampler.steps()).max().unwrap_or(0).max(done);
        let level = lanes.first().map(|lane| lane.sampler.level());
        let look = if observer.wants_look() { look(model, quick.as_ref(), &clean).await? } else { None };
        if let Some(level) = level
            && observer.at(Moment::Step { done, of, latents: &latents, look: look.as_ref(), level }).is_break()
        {
            return Ok(None);
        }
    }
    Ok(observer.at(Moment::Latents(&latents)).is_continue().then_some(latents))
}

/// The latents of all pictures, and the first one's as the model guesses them, on the host with one wait.
async fn gather(lanes: &[Lane], guess: Option<Tensor<4>>) -> Result<(Floats, Floats), ReadbackError> {
    let all = lanes.iter().map(|lane| lane.x.clone()).chain(guess.map(|guess| guess.narrow(0, 0, 1)));
    let mut latents = floats(Tensor::cat(all.collect(), 0)).await?;
    let pictures: usize = lanes.iter().map(|lane| lane.x.dims()[0]).sum();
    let mut shape = latents.shape.clone();
    if let Some(first) = shape.first_mut() {
        *first = 1;
    }
    let length: usize = shape.iter().product();
    // Without a guess the latents themselves are the best one.
    let place = if latents.shape.first().is_some_and(|count| *count > pictures) { pictures } else { 0 };
    let clean = Floats { values: latents.item(place).to_vec(), shape };
    if let Some(first) = latents.shape.first_mut() {
        *first = pictures;
    }
    latents.values.truncate(pictures.saturating_mul(length));
    Ok((latents, clean))
}

/// What one picture's clean latents show.
async fn look(model: &LatentDiffusion, quick: Option<&Decoder>, clean: &Floats) -> Result<Option<Picture>, ReadbackError> {
    let Some(decoder) = quick else { return Ok(model.latent.preview(clean, 0)) };
    let latents = TensorData::new(clean.values.clone(), clean.shape.clone());
    let decoded = floats(model.decode(decoder, Tensor::from_data(latents, model.device()))).await?;
    Ok(Picture::from_floats(&decoded, 0))
}

/// Clean latents to pictures, one after another: decoding takes more memory than all else.
async fn decode(model: &mut LatentDiffusion, latents: &Floats, observer: &mut dyn Observer) -> Result<Outcome, GenerateError> {
    let of = latents.shape.first().copied().unwrap_or(0);
    let mut pictures = Vec::new();
    let mut decoder = model.decoder().map_err(Box::new)?;
    if observer.at(Moment::Loaded).is_break() {
        return Ok(Outcome::Cancelled);
    }
    for index in 0..of {
        let shape = [vec![1], latents.shape.get(1..).unwrap_or_default().to_vec()].concat();
        let one = TensorData::new(latents.item(index).to_vec(), shape);
        let mut decoded = floats(model.decode(&decoder, Tensor::from_data(one.clone(), model.device()))).await?;
        // Some autoencoders overflow in f16, where f32 does well.
        if !decoded.are_finite() && decoder.precision() == Precision::F16 {
            model.widen_decoder();
            decoder = model.decoder().map_err(Box::new)?;
            decoded = floats(model.decode(&decoder, Tensor::from_data(one, model.device()))).await?;
        }
        if !decoded.are_finite() {
            return Err(GenerateError::VaeOverflow);
        }
        for value in &mut decoded.values {
            *value = value.clamp(0.0, 1.0);
        }
        let picture = Picture::from_floats(&decoded, 0).ok_or(GenerateError::VaeOverflow)?;
        pictures.push(picture);
        if observer.at(Moment::Picture { index, of, pixels: &decoded }).is_break() {
            return Ok(Outcome::Cancelled);
        }
    }
    Ok(Outcome::Finished(pictures))
}
