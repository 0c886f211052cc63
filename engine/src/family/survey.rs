//! What a model will take of a device, told by its files' tables of contents: nothing is read, nothing opened.
//!
//! Weights are counted exactly, in the precision that they will have on the device. What a picture takes beside them is an
//! estimate of the widest moment of each network:
//!
//! - **UNet**: per row (one per prompt: two, with guidance) the skip connections of all levels, and at the level with the most
//!   numbers the feed-forward of a transformer block: 8 times the level's channels before its gate, 4 times behind it, and
//!   input and residual.
//! - **VAE**: four activations of its widest layer at the full size of the picture (input, residual, norm, output); a picture
//!   is decoded in tiles where one of them would exceed its budget.
//! - **Text encoders**: next to nothing.
//!
//! For full-size Stable Diffusion 1 in f32 this says 3.64 GB with networks in turn, and would say 3.54 GB without guidance, where
//! the command takes 3.57 GB on the processor (`docs/benchmarks.md`).

use std::rc::Rc;

use super::autoencoder::{ACTIVATION_BUDGET, Decoding, decoding, sparing_tile};
use super::files::{Files, LoadError, required_text};
use super::package::Package;
use super::sketch::Sketch;
use super::{Family, detect, latent_diffusion};
use crate::device::{DeviceInfo, Precision};
use crate::model::config::OneOrMany;
use crate::model::unet::UNetConfig;
use crate::weights::Manifest;

/// Numbers per channel and point in the widest moment of a transformer block.
const BLOCK: u64 = 8 + 4 + 2;
/// Activations of the autoencoder's widest layer that live at once.
const ALIVE: u64 = 4;
/// Prompts that the UNet reads at once.
const ROWS: u64 = 2;
/// Numbers per point that a sampler keeps: four channels of the latents, their guesses and a few earlier ones.
const LATENT_NUMBERS: u64 = 4 * 8;

/// A network of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSize {
    /// Its folder in diffusers' layout.
    pub name: String,
    /// Its numbers.
    pub numbers: u64,
    /// The numbers of its largest tensor.
    pub largest: u64,
    /// The name of that.
    pub largest_name: String,
}

/// A model before it is loaded.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Its family.
    pub family: &'static Family,
    /// Its networks.
    pub parts: Vec<PartSize>,
    /// What it says of itself, if it is packed.
    pub manifest: Option<Manifest>,
    unet: UNetConfig,
    vae: Decoding,
    /// Points of the latents of its own size.
    points: u64,
}

/// A job's pictures, as far as memory goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Their width in pixels.
    pub width: u32,
    /// Their height in pixels.
    pub height: u32,
    /// How many are made at once.
    pub batch: u32,
    /// Whether there are two prompts, which guidance takes.
    pub is_guided: bool,
    /// Whether they are decoded in small tiles.
    pub is_sparing: bool,
}

/// Bytes that a model takes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// With all networks at once.
    pub all: u64,
    /// With one after another.
    pub in_turn: u64,
    /// The largest tensor.
    pub tensor: u64,
}

/// Surveys the model that a folder, a packed model or a file holds.
///
/// # Errors
/// If it cannot be loaded, as far as names, shapes and configurations tell.
pub fn survey(files: &Rc<dyn Files>) -> Result<Survey, LoadError> {
    let package = Package::model(files)?;
    let sketch = Sketch::read(&package)?;
    let family = detect(&sketch).ok_or_else(|| latent_diffusion::unknown(&sketch))?;
    let config = UNetConfig::parse(&required_text(&package, "unet/config.json")?)?;
    let vae = decoding(&package, "vae")?;
    let [height, width] = sketch.sample_size.unwrap_or([latent_diffusion::USUAL_SAMPLE; 2]);
    Ok(Survey {
        family,
        parts: package.sizes(family)?,
        manifest: package.manifest().cloned(),
        unet: config,
        vae,
        points: (height as u64).saturating_mul(width as u64),
    })
}

/// Numbers in the widest moment of a UNet for one row of so many points.
fn row(config: &UNetConfig, points: u64) -> u64 {
    let layers = |level: usize| match &config.layers_per_block {
        OneOrMany::One(layers) => *layers,
        OneOrMany::Many(layers) => layers.get(level).copied().unwrap_or(1),
    };
    // Each level halves both sides.
    let level = |(level, channels): (usize, &usize)| {
        (level, points.checked_shr(2 * level as u32).unwrap_or(0).saturating_mul(*channels as u64))
    };
    let levels: Vec<_> = config.block_out_channels.iter().enumerate().map(level).collect();
    let skips = levels.iter().map(|(level, numbers)| numbers.saturating_mul(layers(*level) as u64 + 1));
    let skips = skips.fold(0, u64::saturating_add);
    skips.saturating_add(levels.iter().map(|(_, numbers)| numbers.saturating_mul(BLOCK)).max().unwrap_or(0))
}

impl Survey {
    /// What it takes in a precision, with one picture of its own size.
    pub fn needs(&self, precision: Precision) -> Needs {
        let pixels = self.points.saturating_mul(self.vae.factor * self.vae.factor);
        let vae = self.vae.widest.saturating_mul(pixels).saturating_mul(precision.bytes() as u64).min(ACTIVATION_BUDGET);
        self.sum(precision, row(&self.unet, self.points).saturating_mul(ROWS), vae)
    }

    /// What it takes on a device in a precision, with so many pictures of some size.
    pub fn needs_for(&self, info: &DeviceInfo, precision: Precision, amount: &Amount) -> Needs {
        let Amount { width, height, batch, is_guided, is_sparing } = *amount;
        let latents = |side: u32| u64::from(side).div_ceil(self.vae.factor.max(1));
        let points = latents(width).saturating_mul(latents(height));
        let area = usize::try_from(points).unwrap_or(usize::MAX);
        let at_once = latent_diffusion::points_at_once(info.kind) / area.max(1);
        let rows = u64::from(batch.max(1)) * if is_guided { ROWS } else { 1 };
        let rows = rows.min(at_once.max(1) as u64);
        let tile = sparing_tile(height as usize, width as usize) as u64;
        let pixels = u64::from(width).saturating_mul(height.into());
        let pixels = if is_sparing && self.vae.has_tiles { pixels.min(tile.saturating_mul(tile)) } else { pixels };
        let budget = info.largest_buffer.unwrap_or(u64::MAX).min(ACTIVATION_BUDGET);
        let vae = self.vae.widest.saturating_mul(pixels).saturating_mul(precision.bytes() as u64).min(budget);
        // Each picture's latents: the sampler's own, and a few that it remembers.
        let kept = points.saturating_mul(batch.into()).saturating_mul(LATENT_NUMBERS);
        self.sum(precision, row(&self.unet, points).saturating_mul(rows).saturating_add(kept), vae)
    }

    /// All of it, with so many numbers in the UNet's widest moment, and so many bytes in one activation of the VAE's.
    fn sum(&self, precision: Precision, unet_numbers: u64, vae_bytes: u64) -> Needs {
        let bytes = precision.bytes() as u64;
        let weights = |is_it: &dyn Fn(&str) -> bool| {
            let its = self.parts.iter().filter(|part| is_it(&part.name)).map(|part| part.numbers);
            its.fold(0, u64::saturating_add).saturating_mul(bytes)
        };
        let (unet, vae) = (weights(&|name| name == "unet"), weights(&|name| name == "vae"));
        let text = weights(&|name| name != "unet" && name != "vae");
        let unet_work = unet_numbers.saturating_mul(bytes);
        let vae_work = ALIVE * vae_bytes;
        Needs {
            all: [text, unet, vae, unet_work.max(vae_work)].into_iter().fold(0, u64::saturating_add),
            in_turn: text.max(unet.saturating_add(unet_work)).max(vae.saturating_add(vae_work)),
            tensor: self.largest().map_or(0, |part| part.largest.saturating_mul(bytes)),
        }
    }

    /// The part with the largest tensor.
    pub fn largest(&self) -> Option<&PartSize> {
        self.parts.iter().max_by_key(|part| part.largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DeviceKind, DeviceName};

    /// Full-size Stable Diffusion 1: the numbers of its networks, and its configurations, which are diffusers' defaults.
    fn full_size() -> Survey {
        let part = |name: &str, numbers, largest| PartSize { name: name.into(), numbers, largest, largest_name: "w".into() };
        Survey {
            family: super::super::FAMILIES[3],
            parts: vec![
                part("text_encoder", 123_060_480, 49_408 * 768),
                part("unet", 859_520_964, 2560 * 1280 * 9),
                part("vae", 83_653_863, 512 * 512 * 9),
            ],
            manifest: None,
            unet: UNetConfig::default(),
            vae: Decoding { widest: 256, factor: 8, has_tiles: true },
            points: 64 * 64,
        }
    }

    #[test]
    fn what_a_full_size_model_takes() {
        let Needs { all, in_turn, tensor } = full_size().needs(Precision::F32);
        let gigabytes = |bytes: u64| (bytes as f64 / 1e7).round() / 100.0;
        // 3.57 were measured with one row instead of two, which is 0.1 less.
        assert_eq!(gigabytes(in_turn), 3.64);
        assert_eq!(gigabytes(all), 5.34);
        // CLIP's vocabulary.
        assert_eq!(tensor, 151_781_376);
        let half = full_size().needs(Precision::F16);
        assert_eq!((half.in_turn, half.tensor), (in_turn / 2, tensor / 2));
        assert_eq!(full_size().largest().map(|part| part.name.as_str()), Some("text_encoder"));
    }

    fn card(kind: DeviceKind) -> DeviceInfo {
        let label = String::new();
        DeviceInfo { name: DeviceName::Cpu, label, kind, memory: None, largest_buffer: None, f16: true }
    }

    #[test]
    fn what_a_job_takes() {
        let survey = full_size();
        let usual = Amount { width: 512, height: 512, batch: 1, is_guided: true, is_sparing: false };
        let needs = |kind, amount| survey.needs_for(&card(kind), Precision::F32, &amount).all;
        let gpu = |amount| needs(DeviceKind::Discrete, amount);
        let own = survey.needs(Precision::F32).all;
        assert!(gpu(usual) >= own && gpu(usual) < own + (1 << 20), "its own size");
        let batch = Amount { batch: 8, ..usual };
        assert!(gpu(batch) > gpu(Amount { batch: 4, ..usual }), "more at once take more");
        assert!(needs(DeviceKind::Cpu, batch) < needs(DeviceKind::Cpu, usual) + (8 << 20), "a processor draws one after another");
        let large = Amount { width: 1024, height: 1024, ..usual };
        let sparing = Amount { is_sparing: true, ..large };
        assert!(gpu(large) > gpu(usual) && gpu(sparing) < gpu(large), "tiles take less");
    }

    #[test]
    fn strange_configurations_overflow_nothing() {
        let config = UNetConfig { block_out_channels: vec![usize::MAX; 200], ..UNetConfig::default() };
        let vae = Decoding { widest: u64::MAX, factor: 1 << 7, has_tiles: true };
        let survey = Survey { unet: config, vae, points: u64::MAX, ..full_size() };
        assert_eq!(survey.needs(Precision::F32).all, u64::MAX);
        let amount = Amount { width: u32::MAX, height: u32::MAX, batch: u32::MAX, is_guided: true, is_sparing: false };
        assert_eq!(survey.needs_for(&card(DeviceKind::Discrete), Precision::F32, &amount).all, u64::MAX);
    }
}
